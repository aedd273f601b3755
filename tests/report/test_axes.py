import pytest

from forecasting.report.axes import make_axes, round_ticks, tick_label
from forecasting.report.units import Unit

SHARES = Unit(1e6, 2, "", "M shares")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.0, 28.6, (0, 5, 10, 15, 20, 25)), (0.0, 10.0, (0, 2, 4, 6, 8, 10)), (86.0, 99.0, (86, 88, 90, 92, 94, 96, 98))],
)
def test_ticks_are_round_and_few(low: float, high: float, ticks: tuple[float, ...]):
    assert round_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize(
    "high", [10.0**power * digit for power in range(-4, 11) for digit in (1, 1.7, 2.4, 3.3, 6, 9.9)]
)
def test_any_axis_has_three_to_eight_ticks(high: float):
    assert 3 <= len(round_ticks(0.0, high)) <= 8


def test_tick_labels_have_as_many_decimals_as_they_need_and_all_the_same():
    ticks = (0.0, 0.5e6, 1e6)
    assert [tick_label(tick, SHARES, ticks) for tick in ticks] == ["0.0", "0.5", "1.0"]


def test_ticks_far_below_the_unit_still_have_labels():
    assert tick_label(5.0, SHARES, (0.0, 5.0, 10.0)) == "0.000005"


def test_higher_values_lie_higher_up():
    plot = make_axes([2e6, 10e6], width=100, height=100, unit=SHARES, from_zero=True)
    assert plot.y(0.0) == plot.floor
    assert plot.y(10e6) < plot.y(2e6) < plot.floor


def test_a_flat_series_still_has_an_axis():
    plot = make_axes([50.0, 50.0, float("nan")], width=100, height=100, unit=Unit(1, 2, "$", ""), from_zero=False)
    assert plot.low < 50.0 < plot.high
