import numpy as np
import pytest

from forecasting.backtest.walk_forward import best_set, figures
from forecasting.evaluate.scores import DollarVolumes, dollar_volume_r2
from forecasting.losses import absolute_error
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

H, Q = len(HORIZONS), len(QUANTILES)
ACTUAL = np.random.default_rng(0).normal(10.0, 1.0, (80, H))
AROUND = np.linspace(-1.5, 1.5, Q)


def forecasts(error: float) -> np.ndarray:
    """Quantiles whose median is off by `error`."""
    return ACTUAL[..., None] + error + AROUND


def test_skill_is_positive_when_the_issued_forecasts_are_better():
    baselines = {"last_value": forecasts(4.0), "ridge": forecasts(-2.0)}
    noise = np.random.default_rng(1).normal(0.0, 0.1, (80, H, 1))
    ours = figures("volume", ACTUAL, forecasts(1.0) + noise, baselines)
    assert ours.best_baseline == "ridge"
    assert (ours.mae_naive, ours.baselines["ridge"]) == pytest.approx((4.0, 2.0))
    assert (ours.skill_vs_naive, ours.skill_vs_best) == (pytest.approx(0.75, abs=0.02), pytest.approx(0.5, abs=0.02))
    assert ours.dm_p_value < 0.001


def test_coverage_counts_the_actuals_between_the_ends():
    issued = forecasts(0.0)
    issued[:20] += 1.2  # the median is too high by more than the 80% interval reaches, by less than the 90%
    ours = figures("volume", ACTUAL, issued, {"last_value": forecasts(3.0)})
    assert (ours.coverage_80, ours.coverage_90) == (pytest.approx(0.75), pytest.approx(1.0))


def test_close_ranks_baselines_by_pinball_and_others_by_error():
    wide = ACTUAL[..., None] + 0.5 + 9.0 * AROUND
    baselines = {"wide": wide, "narrow": forecasts(0.6)}
    assert figures("close", ACTUAL, forecasts(0.0), baselines).best_baseline == "narrow"
    assert figures("volume", ACTUAL, forecasts(0.0), baselines).best_baseline == "wide"


def test_the_confidence_set_holds_only_forecasters_that_do_not_differ_significantly_from_the_best():
    noise = np.random.default_rng(2).normal(0.0, 0.3, (2, 80, H, 1))
    baselines = {"last_value": forecasts(4.0), "twin": forecasts(1.0) + noise[0]}
    best = best_set(ACTUAL, forecasts(1.0) + noise[1], baselines, loss=absolute_error)
    assert (set(best.included), best.p_values["last_value"] < 0.1, best.n) == ({"ours", "twin"}, True, 80)


DOLLARS = DollarVolumes(close=np.full(80, 20.0), mean=np.full(80, np.log(180.0)), actual=np.log(20.0 * ACTUAL))


def test_r2_of_dollar_volume_is_of_the_medians_of_each_forecaster():
    issued, baselines = forecasts(0.5), {"last_value": forecasts(2.0)}
    ours = figures("volume", ACTUAL, issued, baselines, dollars=DOLLARS)
    assert ours.r2_dollar_volume == dollar_volume_r2(DOLLARS, issued[..., MEDIAN]) > 0.0
    assert ours.r2_baselines == {"last_value": dollar_volume_r2(DOLLARS, baselines["last_value"][..., MEDIAN])}
    third = DollarVolumes(DOLLARS.close, DOLLARS.mean, DOLLARS.actual[:, 2:3])
    at_third = figures("volume", ACTUAL, issued, baselines, horizon=3, dollars=DOLLARS)
    assert at_third.r2_dollar_volume == dollar_volume_r2(third, issued[:, 2:3, MEDIAN])
