import re

import numpy as np
import pytest

from forecasting.report import charts
from forecasting.report.units import Unit
from tests.report.nights import forecasts, long_record, report_data, score, scored

SHARES = Unit(1e6, 2, "", "M shares")


def test_ticks_are_round_and_few_and_their_labels_have_as_many_decimals_as_they_need():
    for span, ticks in {
        (0.0, 28.6): (0, 5, 10, 15, 20, 25),
        (86.0, 99.0): (86, 88, 90, 92, 94, 96, 98),
    }.items():
        assert charts.round_ticks(*span) == pytest.approx(ticks)
    labels = {0.0: "0.0", 0.5e6: "0.5", 1e6: "1.0"}
    assert charts.tick_labels(tuple(labels), SHARES) == labels


def test_hits_and_misses_differ_in_shape():
    inside = score(ago=3, actual=10.0)
    between = score(ago=2, actual=16.0)
    outside = score(ago=1, actual=30.0)
    drawn = charts.past_chart(report_data(scored=scored(inside, between, outside)), "wide")
    assert [drawn.count(f'class="{shape}"') for shape in ("dot", "diamond", "cross")] == [1, 1, 1]


def test_dates_on_a_phone_do_not_overlap_whether_nights_are_few_or_many():
    for origins in (1, 3, 8, 11, 12, 23):
        drawn = charts.past_chart(report_data(scored=long_record(origins=origins)), "narrow")
        places = [*map(float, re.findall(r'axis middle" x="([\d.]+)', drawn))]
        assert np.diff(places).min(initial=99.0) > 40.0


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_a_nights_chart_has_each_session_with_its_day_and_values(target):
    drawn = charts.night_chart(report_data(target), "narrow")
    tips = re.findall("<title>(.*?)</title>", drawn, re.S)
    assert len(tips) == 20 + 5
    assert tips[19].splitlines()[0] == "Fri 8 Mar 2024"
    assert [line.split()[0] for line in tips[22].splitlines()] == [
        "Wed",
        "median",
        "50%",
        "80%",
        "90%",
        "earnings",
    ]
    assert drawn.count('class="band80"') == 5
    assert drawn.count('class="history"') == (target == "close")
    assert drawn.count(">E</text>") == 1


def test_on_a_phone_a_median_of_five_characters_has_its_label_too():
    rows = forecasts().assign(q50=lambda rows: rows["q50"] * 1.5)
    data = report_data(forecasts=rows)
    drawn = charts.night_chart(data, "narrow")
    medians = [line.median for line in data.lines]
    assert max(map(len, medians)) == 5
    assert [f">{median}</text>" in drawn for median in medians] == [True] * 5


def test_no_date_of_a_nights_chart_touches_the_first_coming_day():
    history = report_data().history.copy()
    history.loc[history.index[-4:], "value"] = np.nan  # the newest known one is a Monday
    for layout in ("wide", "narrow"):
        drawn = charts.night_chart(report_data(history=history), layout)
        dates = [*map(float, re.findall(r'axis middle" x="([\d.]+)', drawn))]
        days = [*map(float, re.findall(r'axis strong middle" x="([\d.]+)', drawn))]
        assert days[0] - dates[-1] > 32.0


def paths(drawing, css):
    """The corners of every path of a class."""
    found = re.findall(f'class="{css}" d="([^"]+)"', drawing)
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", steps)]
        for steps in found
    ]


def test_the_fan_opens_at_the_newest_known_value_and_stays_inside_the_drawing():
    drawing = charts.fan_svg(report_data())
    ((*_, newest),) = paths(drawing, "known")
    ((start, *medians),) = paths(drawing, "median")
    assert (start, len(medians)) == (newest, 5)
    assert [f">{level}% interval</text>" in drawing for level in (80, 90)] == [True, True]
    for css in ("outer", "inner", "known", "median"):
        ((*corners,),) = paths(drawing, css)
        assert all(0 < x < charts.FAN_WIDTH and 0 < y < charts.FAN_HEIGHT for x, y in corners)


def test_an_unknown_value_leaves_a_gap():
    history = report_data().history.copy()
    history.iloc[-10, history.columns.get_loc("value")] = np.nan
    assert [len(part) for part in paths(charts.fan_svg(report_data(history=history)), "known")] == [
        30,
        9,
    ]
