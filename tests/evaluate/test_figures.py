"""What the figures of a backtest mean: their signs, their means, and where they are kept."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from forecasting.evaluate.figures import BacktestResult, figure_frame, forecast_frame
from forecasting.evaluate.scores import DollarVolumes, dollar_volume_r2
from forecasting.losses import pinball
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

H = len(HORIZONS)
Q = len(QUANTILES)
ACTUAL = np.random.default_rng(0).normal(10.0, 1.0, (80, H))
AROUND = np.linspace(-1.5, 1.5, Q)


def forecasts(error):
    """Quantiles whose median is off by `error`."""
    return ACTUAL[..., None] + error + AROUND


def result_of(target, issued, baselines, *, dollars=None):
    origins = np.datetime64("2024-01-01") + np.arange(80)
    targets = origins[:, None] + 1 + np.arange(H)
    nights = {"network": 80, "fallback": 0, "warm": 3, "scratch": 1, "refused": 0}
    return BacktestResult(
        "AAA", target, origins, targets, ACTUAL, issued, baselines, nights, 0.0, dollars=dollars
    )


def test_skill_is_positive_when_the_issued_forecasts_are_better():
    wide = ACTUAL[..., None] - 2.0 + 9.0 * AROUND
    baselines = {"last_value": forecasts(4.0), "ridge": wide, "har": forecasts(-2.5)}
    noise = np.random.default_rng(1).normal(0.0, 0.1, (80, H, 1))
    ours = result_of("volume", forecasts(1.0) + noise, baselines).figures()
    assert ours.baselines == pytest.approx({"last_value": 4.0, "ridge": 2.0, "har": 2.5})
    assert (ours.reference, ours.reference_p_value < 0.001) == ("ridge", True)
    assert ours.reference_skill == pytest.approx(1.0 - ours.pinball / pinball(ACTUAL, wide).mean())


DOLLARS = DollarVolumes(
    close=np.full(80, 20.0), mean=np.full(80, np.log(180.0)), actual=np.log(20.0 * ACTUAL)
)


def test_r2_of_dollar_volume_is_of_the_medians_of_each_forecaster():
    issued = forecasts(0.5)
    baselines = {"ridge": forecasts(2.0)}
    result = result_of("volume", issued, baselines, dollars=DOLLARS)
    ours = result.figures()
    assert ours.r2_dollar_volume == dollar_volume_r2(DOLLARS, issued[..., MEDIAN]) > 0.0
    assert ours.r2_baselines == {
        "ridge": dollar_volume_r2(DOLLARS, baselines["ridge"][..., MEDIAN])
    }
    third = DollarVolumes(DOLLARS.close, DOLLARS.mean, DOLLARS.actual[:, 2:3])
    assert result.figures(3).r2_dollar_volume == dollar_volume_r2(third, issued[:, 2:3, MEDIAN])


def test_the_summary_counts_fits_and_has_the_figures_of_totals():
    actual = ACTUAL.cumsum(axis=1)[..., None]
    totals = (actual + AROUND, actual + 2.0 * AROUND)
    result = replace(result_of("volume", forecasts(0.5), {"ridge": forecasts(1.5)}), totals=totals)
    found = result.summary()
    assert found.refits == 4
    assert [*found.totals] == ["2", "3", "4", "5"]
    half = {
        "pinball": pinball(actual[:, 1:2, 0], totals[0][:, 1:2]).mean(),
        "skill_vs_reference": 0.5,
    }
    covered = {"coverage_80": 1.0, "coverage_90": 1.0}
    assert all(asdict(one) == pytest.approx(half | covered) for one in found.totals.values())


def test_an_error_of_a_forecast_is_its_median_less_the_actual():
    frame = forecast_frame(result_of("volume", forecasts(0.5), {"ridge": forecasts(-1.5)}))
    errors = frame.groupby("model")["error"].agg(["min", "max"])
    assert errors.loc["lstm"].tolist() == pytest.approx([0.5, 0.5])
    assert errors.loc["ridge"].tolist() == pytest.approx([-1.5, -1.5])


def test_the_frame_of_figures_has_those_of_each_horizon():
    baselines = {"last_value": forecasts(2.0), "ridge": forecasts(1.5)}
    result = result_of("volume", forecasts(0.5), baselines, dollars=DOLLARS)
    rows = {(row["horizon"], row["metric"]): row for row in figure_frame(result).to_dict("records")}
    figures = result.figures(2)
    window = {"window_from": result.origins[0], "window_to": result.origins[-1]}
    about = {"symbol": "AAA", "target": "volume", "horizon": 2, "metric": "reference_skill"}
    about |= {"scope": "published", "n": 80, "baseline": "ridge"}
    figure = {"value": figures.reference_skill, "p_value": figures.reference_p_value}
    assert rows[(2, "reference_skill")] == about | window | figure
    assert rows[(0, "mae")]["value"] == result.figures().mae
    alone = ("mae", "pinball", "coverage_80", "coverage_90", "r2_dollar_volume")
    expected = dict.fromkeys(alone, "") | {"reference_skill": "ridge"}
    expected |= {f"{prefix}_{name}": name for prefix in ("mae", "r2") for name in baselines}
    assert {
        metric: row["baseline"] for (horizon, metric), row in rows.items() if horizon == 2
    } == expected
