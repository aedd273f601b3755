import numpy as np
import pandas as pd
import pytest

from forecasting.preprocess.future_covariates import EVENTS
from forecasting.preprocess.windows import (
    NETWORK_SESSIONS,
    STEP_NAMES,
    lag_features,
)
from forecasting.train.baselines import baseline_quantiles, usable_baselines
from forecasting.train.linear import fit_ridge
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES
from tests.train.windows import windows_with_hole, young_windows


@pytest.mark.parametrize(
    ("sessions", "names"),
    [
        (199, ["last_value", "seasonal", "rolling_median"]),
        (200, ["last_value", "seasonal", "rolling_median", "har"]),
        (NETWORK_SESSIONS - 1, ["last_value", "seasonal", "rolling_median", "har"]),
        (NETWORK_SESSIONS, ["last_value", "seasonal", "rolling_median", "har", "ridge"]),
    ],
)
def test_a_baseline_is_usable_from_its_least_history_on(sessions, names):
    assert usable_baselines(young_windows(sessions=sessions)) == names


# How a quantile is interpolated: that of the few errors of a young symbol lies further out
MADE = pytest.mark.parametrize(
    ("made", "method"), [(windows_with_hole, "linear"), (young_windows, "weibull")]
)


@MADE
@pytest.mark.parametrize(
    ("target", "name", "point"),
    [
        ("volume", "last_value", lambda filled, t, h: filled[t]),
        ("range", "rolling_median", lambda filled, t, h: np.median(filled[t - 19 : t + 1])),
        ("volume", "seasonal", lambda filled, t, h: filled[t + h - 5]),
    ],
)
def test_a_rule_forecasts_its_point_and_the_quantiles_of_its_last_500_errors(
    target, name, point, made, method
):
    windows = made(target)
    filled = pd.Series(windows.values).ffill().to_numpy()
    newest = len(filled) - 1
    expected = []
    for h in HORIZONS:
        known = [
            t for t in range(windows.warm_up, newest - h + 1) if np.isfinite(windows.values[t + h])
        ]
        errors = [np.log(filled[t + h] / point(filled, t, h)) for t in known[-500:]]
        offsets = np.quantile(errors, QUANTILES, method=method)
        expected.append(point(filled, newest, h) * np.exp(offsets - offsets[MEDIAN]))
    np.testing.assert_allclose(baseline_quantiles(name, windows), expected)


@MADE
@pytest.mark.parametrize(
    ("target", "name"),
    [("volume", "har"), ("range", "har"), ("volume", "ridge")],
)
def test_a_ridge_forecasts_its_point_and_the_quantiles_of_its_leave_one_out_errors(
    target, name, made, method
):
    windows = made(target)
    past = past_inputs(name, windows)
    expected = []
    for h in HORIZONS:
        ahead = windows.future_flags[:, h - 1]
        if name == "har":
            ahead = ahead[:, : EVENTS.start]
        features = np.column_stack([past, ahead])
        known = np.isfinite(windows.scaled[:, h - 1]) & np.isfinite(features).all(axis=1)
        truth = windows.scaled[known, h - 1]
        ridge = fit_ridge(features[known], truth, np.ones(len(truth)))
        point = ridge.forecast(features[-1])
        quantiles = point + np.quantile(ridge.loo_residuals, QUANTILES, method=method)
        expected.append(np.exp(windows.level[-1] + quantiles))
    np.testing.assert_allclose(baseline_quantiles(name, windows), expected)


def past_inputs(name, windows):
    """(N, P)"""
    rows = slice(windows.warm_up, None)

    def means(series, *lengths):
        values = windows.steps[:, STEP_NAMES.index(series)]
        ends = range(windows.warm_up + 1, len(values) + 1)
        means = [[values[max(end - n, 0) : end].mean() for n in lengths] for end in ends]
        return np.where(np.array(ends)[:, None] < lengths, np.nan, means)

    if name == "har":
        found = means(f"log_{windows.target}", 1, 5, 66, 22)
        return found[:, :3] - found[:, 3:]
    past = [lag_features(windows.steps, windows.target)[rows], windows.flags[rows, EVENTS]]
    return np.column_stack([*past, windows.market_inputs])
