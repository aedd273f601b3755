"""Alerts: conditions as users write them, and which hold tonight."""

from datetime import date

from forecasting.publish.alerts import ForecastAlert, judged_alerts, parse_alerts
from forecasting.settings import Settings
from forecasting.store import write
from forecasting.store.connect import transaction
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.store.rows import SYMBOL, at, forecast_row, part_rows, store_scored

FIRST = "2024-03-07"
LAST = "2024-03-08"


def test_alerts_are_conditions_with_an_optional_symbol_and_usual():
    text = " median > 1.5 usual;width<0.3; sbux q90 > 20e6 ; range q10 < 0.01"
    wrong = (
        "median|mean > 1|q15 > 1|sb/x q90 > 1|A B q90 > 1|q90 >= 1|q90 > x|q90 > -1|q90 > "
        "1e999|q90 > 1 often"
    )
    wrong += "|q90 > 1, q10 < 2|q90 > 1 q10 < 2|median > 1.5usual|1 < q90|q90 > \u0663"
    alerts, refused = parse_alerts("; ".join([text, *wrong.split("|")]))
    assert refused == wrong.split("|")
    assert alerts == [
        ForecastAlert("median > 1.5 usual", "", "volume", "median", ">", number=1.5, of_usual=True),
        ForecastAlert("width<0.3", "", "volume", "width", "<", number=0.3, of_usual=False),
        ForecastAlert("sbux q90 > 20e6", "SBUX", "volume", "q90", ">", number=20e6, of_usual=False),
        ForecastAlert("range q10 < 0.01", "", "range", "q10", "<", number=0.01, of_usual=False),
    ]


def test_alerts_are_judged_on_the_newest_published_forecast_one_session_ahead(database_url):
    raised = {name: 160.0 + 10.0 * place for place, name in enumerate(QUANTILE_COLUMNS)}
    old = forecast_row("lstm", FIRST)
    newest = forecast_row("lstm", LAST, **raised)
    hidden = forecast_row("lstm", LAST, kind="replay", issued_at=at("2025-01-01T00:00"))
    of_range = forecast_row("lstm", LAST, target="range")
    others = [forecast_row("ridge", FIRST, role="baseline"), forecast_row("lstm", LAST, 2)]
    with transaction(database_url) as connection:
        store_scored(connection, *((row, []) for row in [old, newest, hidden, of_range, *others]))
        write.add(connection, "forecast_parts", *part_rows(newest, usual=100.0, report=1.9))
        write.add(connection, "forecast_parts", *part_rows(of_range, usual=80.0))

    def judged(text, last=date.max):
        settings = Settings(database_url=database_url, symbols=(SYMBOL, "MSFT"), alerts=text)
        rows, _ = judged_alerts(settings, last=last)
        return {row.alert: (row.holds, row.value) for row in rows}

    text = "median > 1.5 usual; width < 41; width < 40; median < 150; SBUX q90 > 100; MSFT q05 > 0"
    assert judged(text) == {
        "median > 1.5 usual": (True, newest["q50"] / 100.0),
        "width < 41": (True, 40.0),
        "width < 40": (False, 40.0),
        "median < 150": (False, newest["q50"]),
        "SBUX q90 > 100": (True, newest["q90"]),
    }
    before = judged(text, date.fromisoformat(FIRST))
    assert before["median < 150"] == (True, old["q50"])
    assert not before["median > 1.5 usual"][0]  # the older has no usual value
    ranges = judged("range width < 0.49 usual; range width < 0.51 usual; range median > 1.2 usual")
    assert [holds for holds, _ in ranges.values()] == [False, True, True]
