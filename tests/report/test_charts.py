import pytest

from forecasting.report import charts
from forecasting.report.units import Unit
from tests.report.nights import report_data

SHARES = Unit(1e6, 2, "M shares")


def test_ticks_are_round_and_few_and_their_labels_have_as_many_decimals_as_they_need():
    assert charts.round_ticks(28.6) == pytest.approx((0, 5, 10, 15, 20, 25))
    labels = {0.0: "0.0", 0.5e6: "0.5", 1e6: "1.0"}
    assert charts.tick_labels(tuple(labels), SHARES) == labels


def test_an_unknown_value_is_drawn_nowhere():
    history = report_data().history.copy()
    history.iloc[-10, history.columns.get_loc("value")] = float("nan")
    data = report_data(history=history)
    assert "nan" not in charts.night_chart(data, "wide")
