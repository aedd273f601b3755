"""Alerts: conditions as users write them, and which hold tonight."""

from dataclasses import replace

from forecasting.evaluate.significance import Skill
from forecasting.publish.alerts import ForecastAlert, held_alerts, parse_alerts, value_of
from forecasting.settings import Settings
from tests.report.nights import index_line, total

SYMBOL = "SBUX"


def test_alerts_are_conditions_with_an_optional_symbol_and_usual():
    text = " median > 1.5 usual;width<0.3; sbux q90 > 20e6 ; range q10 < 0.01"
    wrong = (
        "median|mean > 1|q15 > 1|sb/x q90 > 1|A B q90 > 1|q90 >= 1|q90 > x|q90 > -1|q90 > "
        "1e999|q90 > 1 often"
    )
    wrong += "|q90 > 1, q10 < 2|q90 > 1 q10 < 2|median > 1.5usual|range total > 1|skill > 1 usual|1 < q90|q90 > \u0663"
    alerts, refused = parse_alerts("; ".join([text, *wrong.split("|")]))
    assert refused == wrong.split("|")
    assert alerts == [
        ForecastAlert("median > 1.5 usual", "", "volume", "median", ">", number=1.5, of_usual=True),
        ForecastAlert("width<0.3", "", "volume", "width", "<", number=0.3, of_usual=False),
        ForecastAlert("sbux q90 > 20e6", "SBUX", "volume", "q90", ">", number=20e6, of_usual=False),
        ForecastAlert("range q10 < 0.01", "", "range", "q10", "<", number=0.01, of_usual=False),
    ]


VALUES = [80.0, 90.0, 100.0, 110.0, 120.0] * 5  # the middle 80% of the last twenty is 40 wide


def night(target="volume", *, q10=80.0, q50=160.0, q90=130.0, **changed):
    return index_line(SYMBOL, target, q10=q10, q50=q50, q90=q90, values=VALUES, **changed)


def judged(text, *nights):
    """Whether each alert holds on the nights that it is of, and its value."""
    pairs = [(alert, night) for night in nights for alert in parse_alerts(text)[0]]
    values = {alert: value_of(alert, night) for alert, night in pairs if alert.is_of(night)}
    return {alert.text: (alert.holds(value), value) for alert, value in values.items()}


def test_alerts_are_judged_on_each_night_with_a_forecast_that_they_are_of():
    volume = night(usual=100.0)
    text = "median > 1.5 usual; width < 51; width < 50; median < 150; SBUX q90 > 100; MSFT q05 > 0"
    assert judged(text, volume, night("range")) == {
        "median > 1.5 usual": (True, 1.6),
        "width < 51": (True, 50.0),
        "width < 50": (False, 50.0),
        "median < 150": (False, 160.0),
        "SBUX q90 > 100": (True, 130.0),
    }
    assert not judged("median > 1.5 usual", night(usual=None))["median > 1.5 usual"][0]


def test_alerts_that_hold_are_named_with_their_values_those_of_a_night_together():
    ratio = night(usual=100.0, q50=182.4, q90=28e6)
    other = replace(night("range", q50=0.02, usual=0.01), symbol="KO")
    text = "median > 1.5 usual; SBUX q90 > 20e6; MSFT median > 1; median < 1; range median > 0.015"
    held = held_alerts(Settings(alerts=text), [ratio, other])
    assert [(one.brief, one.text) for one in held] == [
        (
            "SBUX volume median 1.824 usual",
            "SBUX volume: median > 1.5 usual (is 1.824); SBUX q90 > 20e6 (is 28.0\N{NO-BREAK SPACE}M)",
        ),
        ("KO range median 2.00%", "KO range: range median > 0.015 (is 2.00%)"),
    ]
    assert held_alerts(Settings(), [ratio]) == []


def test_a_width_is_compared_with_the_usual_width_not_with_the_usual_volume():
    assert judged("width > 1.2 usual", night()) == {"width > 1.2 usual": (True, 50.0 / 40.0)}
    assert judged("width > 1.2 usual", night(q90=120.0))["width > 1.2 usual"] == (False, 1.0)


def test_an_alert_may_be_of_the_total_of_five_sessions_and_of_the_skill():
    behind = Skill("ridge", 60, -0.03, 0.2)
    shown = night(usual=100.0, totals=[total(5, q10=600.0, q50=750.0, q90=900.0)], skill=behind)
    assert judged("total > 1.4 usual; total > 751; skill < 0.02", shown) == {
        "total > 1.4 usual": (True, 1.5),
        "total > 751": (False, 750.0),
        "skill < 0.02": (True, -0.03),
    }
    young = night(skill=replace(behind, n=59))
    assert not any(holds for holds, _ in judged("total > 1; skill < 0.02", young).values())
