from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma

from forecasting.evaluate.scores import RATIOS, cost, nearest_level, optimal_level, quantile_at
from forecasting.losses import pinball
from forecasting.vocabulary import MEDIAN, QUANTILES

ISSUED = st.lists(st.floats(-1e9, 1e9), min_size=len(QUANTILES), max_size=len(QUANTILES)).map(sorted)
LEVELS = st.floats(QUANTILES[0], QUANTILES[-1])


def naive_cost(actual: float, forecast: float, ratio: float) -> float:
    return ratio * (forecast - actual) if forecast > actual else actual - forecast


@pytest.mark.parametrize("ratio", [0.2, 1.0, 3.0, 40.0])
def test_a_cost_equals_its_naive_twin(ratio: float) -> None:
    rng = np.random.default_rng(1)
    actual, forecast = rng.normal(size=(2, 50))
    expected = [naive_cost(y, q, ratio) for y, q in zip(actual, forecast, strict=True)]
    np.testing.assert_allclose(cost(actual, forecast, ratio=ratio), expected)
    assert cost(7.0, 7.0, ratio=ratio) == 0.0


def test_an_overestimate_costs_the_ratio_and_an_underestimate_one_for_each_unit() -> None:
    assert cost(10.0, 12.0, ratio=3.0) == 6.0
    assert cost(10.0, 8.0, ratio=3.0) == 2.0
    assert np.isnan(cost(np.nan, 8.0, ratio=3.0))


@pytest.mark.parametrize(("ratio", "level"), [(1, 0.5), (3, 0.25), (9, 0.1), (19, 0.05), (1 / 3, 0.75)])
def test_the_level_is_that_of_the_newsvendor(ratio: float, level: float) -> None:
    assert optimal_level(ratio) == pytest.approx(level)


def test_the_fixed_ratios_are_those_of_issued_levels() -> None:
    assert [optimal_level(ratio) for ratio in RATIOS] == [QUANTILES[place] for place in (MEDIAN, 2, 1, 0)]


@pytest.mark.parametrize(("ratio", "level"), [(19.0, 0.05), (20.0, 0.05), (1e6, 0.05), (0.01, 0.95), (2.0, 1 / 3)])
def test_a_level_outside_the_issued_ones_becomes_the_outermost(ratio: float, level: float) -> None:
    assert nearest_level(ratio) == pytest.approx(level)


@given(quantiles=ISSUED)
def test_an_issued_level_gives_the_issued_quantile(quantiles: list[float]) -> None:
    assert [float(quantile_at(quantiles, level)) for level in QUANTILES] == quantiles


@given(quantiles=ISSUED, level=LEVELS)
def test_a_quantile_between_two_levels_is_on_the_line_between_them(quantiles: list[float], level: float) -> None:
    expected = float(np.interp(level, QUANTILES, quantiles))
    tolerance = 1e-9 * max(map(abs, quantiles))
    assert float(quantile_at(quantiles, level)) == pytest.approx(expected, rel=1e-9, abs=tolerance)


@given(quantiles=ISSUED, levels=st.tuples(LEVELS, LEVELS).map(sorted))
def test_a_higher_level_never_has_a_lower_quantile(quantiles: list[float], levels: list[float]) -> None:
    low, high = (float(quantile_at(quantiles, level)) for level in levels)
    assert low <= high + 1e-9 * max(map(abs, quantiles))


def test_quantiles_of_many_forecasts_are_interpolated_each_by_itself() -> None:
    issued = np.arange(14.0).reshape(2, 7) ** 2
    np.testing.assert_allclose(
        quantile_at(issued, 0.3), [np.interp(0.3, QUANTILES, issued[0]), np.interp(0.3, QUANTILES, issued[1])]
    )


@pytest.mark.parametrize("level", [0.04, 0.96, float("nan")])
def test_a_level_that_was_not_issued_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=r"Expected a level from 0\.05 to 0\.95, found"):
        quantile_at(np.zeros(7), level)


@pytest.mark.parametrize("ratio", [1 / 9, 0.5, 1.0, 2.0, 3.0, 9.0, 19.0])
def test_the_quantile_of_the_level_has_the_least_mean_cost_of_all_points(ratio: float) -> None:
    """On 200,000 skewed values, as volumes are: no other point, on a fine grid of quantiles, costs less."""
    values = gamma(3.0).rvs(size=200_000, random_state=np.random.default_rng(7))
    levels = np.arange(0.02, 0.981, 0.01)
    mean_costs = [float(cost(values, gamma(3.0).ppf(level), ratio=ratio).mean()) for level in levels]
    best = float(levels[int(np.argmin(mean_costs))])
    assert best == pytest.approx(optimal_level(ratio), abs=0.015)


@pytest.mark.parametrize("ratio", [2.0, 3.0, 4.0, 9.0])
def test_the_interpolated_quantile_costs_less_than_the_median(ratio: float) -> None:
    values = gamma(3.0).rvs(size=50_000, random_state=np.random.default_rng(8))
    issued = gamma(3.0).ppf(QUANTILES)
    ours = cost(values, quantile_at(issued, nearest_level(ratio)), ratio=ratio).mean()
    assert ours < cost(values, issued[MEDIAN], ratio=ratio).mean()


def test_a_cost_is_the_pinball_loss_of_its_level_times_one_plus_the_ratio() -> None:
    issued = np.arange(7.0)
    summed = sum(float(cost(2.6, q, ratio=1 / level - 1)) * level for q, level in zip(issued, QUANTILES, strict=True))
    assert summed / len(QUANTILES) == pytest.approx(float(pinball(2.6, issued)))
