import re

import pytest

from forecasting.report import charts
from forecasting.report.units import Unit
from tests.report.nights import report_data

SHARES = Unit(1e6, 2, "M shares")


def test_ticks_are_round_and_few_and_their_labels_have_as_many_decimals_as_they_need():
    assert charts.round_ticks(28.6) == pytest.approx((0, 5, 10, 15, 20, 25))
    labels = {0.0: "0.0", 0.5e6: "0.5", 1e6: "1.0"}
    assert charts.tick_labels(tuple(labels), SHARES) == labels


@pytest.mark.parametrize("target", ["volume", "range"])
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


def test_an_unknown_value_is_drawn_nowhere():
    history = report_data().history.copy()
    history.iloc[-10, history.columns.get_loc("value")] = float("nan")
    data = report_data(history=history)
    assert "nan" not in charts.night_chart(data, "wide")
