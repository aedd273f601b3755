import json
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from forecasting.losses import pinball
from forecasting.predict.combine import (
    MIN_FORECASTS,
    Past,
    combine,
    forecast_kind,
    issue,
    learn_factors,
    learn_share,
    learn_weight,
    read_past,
    widen,
    with_trees,
)
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

H = len(HORIZONS)
Q = len(QUANTILES)
NORMAL = norm.ppf(QUANTILES)
LEVEL = np.array(15.0)
SKEWED = NORMAL * np.where(NORMAL < 0.0, 0.8, 1.3)
RAW = np.broadcast_to(NORMAL, (H, Q))
USUAL = np.where(np.arange(Q) == MEDIAN, 1.0, np.exp(np.log(1.05)))  # factors of a range
NO_TREES = np.full(H, np.nan)
NO_PAST = read_past(
    pd.DataFrame({name: [] for name in ("origin_session", "horizon", "actual", "calibration")})
)


def past_of(actual, network=None, linear=None):
    plain = np.broadcast_to(NORMAL, (*actual.shape, Q))
    without = np.full(actual.shape, np.nan)
    return Past(
        actual, plain if network is None else network, plain if linear is None else linear, without
    )


def normals(n, width=1.0, seed=0):
    return np.random.default_rng(seed).normal(0.0, width, (n, H))


def factors_of(past):
    return learn_factors(past.actual, combine(past.network, past.linear, 0.5), "volume")


def test_factors_are_those_of_a_loop_over_nights_and_horizons():
    actual = normals(40, width=1.7)
    actual[0, :2] = NORMAL[[1, -1]]  # an end of an interval is inside it
    actual[7, 2] = np.nan  # never known
    actual[-3:] = [[0.1, -1.0, np.nan, np.nan, np.nan], [2.5, *[np.nan] * 4], [np.nan] * 5]
    centre = np.random.default_rng(9).normal(1.3, 0.4, (40, H))
    expected = np.zeros((41, Q))  # night 40 is tonight
    for night in range(1, 41):
        expected[night] = expected[night - 1]
        for horizon in range(1, min(H, night) + 1):
            row = night - horizon
            value = actual[row, horizon - 1]
            for low in range(MEDIAN):
                pair = [low, Q - 1 - low]
                lower, upper = NORMAL[pair] * np.exp(expected[row, pair])
                inside = lower <= value <= upper
                step = 0.0 if np.isnan(value) else float(not inside) - 2.0 * QUANTILES[low]
                expected[night, pair] += 0.015 / H * step
    centred = NORMAL + centre[..., None]
    found = factors_of(past_of(actual + centre, centred, centred))
    np.testing.assert_allclose(np.delete(found, MEDIAN), np.exp(np.delete(expected[-1], MEDIAN)))


@pytest.mark.parametrize(("actual", "bound"), [(1e6, 2.5), (3.0, 0.5)])
def test_factors_stay_within_their_bounds(actual, bound):
    found = learn_factors(np.full((600, H), actual), 3.0 + np.tile(SKEWED, (600, H, 1)), "range")
    np.testing.assert_allclose(np.delete(found, MEDIAN), bound)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ([2, 2, 2, 1, 2, 2, 2], [-3, -1, 1, 5, 7, 11, 17]),
        ([0.5, 2, 1, 1, 1, 1, 1], [-1, 3, 3, 5, 6, 8, 11]),  # crossed
    ],
)
def test_widened_quantiles_are_factors_times_as_far_from_the_median_and_ascend(factors, expected):
    issued = np.array([1.0, 2.0, 3.0, 5.0, 6.0, 8.0, 11.0])
    assert widen(issued, np.array(factors)).tolist() == expected


def naive_weight(past, usual):
    """The tenth of least mean loss, forecasts counting half as much after 250 nights, with a pull
    to the usual one."""
    n = len(past.actual)
    recent = [0.5 ** ((n - 1 - row) / 250) for row in range(n)]
    pull = 0.1 * 600 / (600 + sum(recent))
    means = []
    for weight in (tenths / 10 for tenths in range(11)):
        losses = pinball(past.actual, weight * past.network + (1 - weight) * past.linear)
        total = known = 0.0
        for row, horizon in zip(*np.nonzero(~np.isnan(losses)), strict=True):
            total = total + recent[row] * losses[row, horizon]
            known = known + recent[row]
        means.append(total / known * (1 + pull * (weight - usual) ** 2))
    return int(np.argmin(means)) / 10


@pytest.mark.parametrize(
    ("n", "shift", "width"), [(MIN_FORECASTS + 1, 0.5, 1.3), (150, 0.3, 1.1), (300, 0.3, 1.0)]
)
def test_the_weight_is_that_of_a_loop_over_forecasts_and_the_usual_one_of_too_few(n, shift, width):
    """The network is off by twice `shift` at first and by minus `shift` in the end, the linear
    model by a tenth."""
    few = past_of(normals(MIN_FORECASTS - 1, width=3.0))
    assert [learn_weight(few, target) for target in ("volume", "range")] == pytest.approx(
        [1.0, 0.9]
    )
    actual = normals(n, seed=n)
    actual[5, 1:] = np.nan
    drift = np.linspace(2 * shift, -shift, n)[:, None, None]
    past = past_of(
        actual, NORMAL + drift + np.zeros((n, H, 1)), width * NORMAL + 0.1 + np.zeros((n, H, 1))
    )
    weights = [learn_weight(past, target) for target in ("volume", "range")]
    assert weights == pytest.approx([naive_weight(past, usual) for usual in (1.0, 0.9)])


def test_read_past_finds_what_was_issued():
    level = np.array(15.5)
    network, linear = np.sort(np.random.default_rng(2).normal(size=(2, H, Q)))
    trees = np.array([0.5, -0.5, np.nan, 1.0, 2.0])
    issued = issue(network, linear, trees, NO_PAST, level=level, target="volume")
    actual = np.array([0.1, 0.2, 0.3, 0.4, np.nan])
    rows = {
        "origin_session": pd.Timestamp("2024-03-04"),
        "horizon": HORIZONS,
        "actual": np.exp(15.5 + actual),
        "calibration": issued.calibration,
    }
    baseline = pd.DataFrame(rows).assign(calibration="")
    past = read_past(pd.concat([pd.DataFrame(rows).iloc[::-1], baseline]))
    np.testing.assert_allclose(past.actual, [actual])
    for found, expected in ((past.network, network), (past.linear, linear), (past.trees, trees)):
        np.testing.assert_array_equal(found, expected[None])


def test_the_trees_move_the_median_and_no_width_and_leave_what_they_do_not_forecast():
    quantiles = 2.0 + np.tile(SKEWED, (2, 1))
    moved = with_trees(quantiles, np.array([1.0, np.nan]), 0.3)
    np.testing.assert_allclose(moved, [SKEWED + 1.7, SKEWED + 2.0])


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("right", 0.8, 1.0), ("missing", 0.3, 0.3), ("noise", 0.0, 0.0)]
)
def test_the_share_of_the_trees_follows_their_errors_and_may_be_zero(kind, least, most):
    actual = normals(300)
    trees = {
        "right": actual,
        "missing": np.full(actual.shape, np.nan),
        "noise": normals(300, width=3.0, seed=1),
    }[kind]
    past = replace(past_of(actual), trees=trees)
    assert least <= learn_share(past, past.network) <= most


def issued_from(linear, past=None, target="volume"):
    return issue(
        RAW, linear, NO_TREES, NO_PAST if past is None else past, level=LEVEL, target=target
    )


def test_without_past_forecasts_weights_and_factors_are_the_usual_ones():
    issued = issued_from(1.1 * RAW, target="range")
    np.testing.assert_allclose(
        np.log(issued.quantiles) - 15.0, widen((0.9 + 0.1 * 1.1) * RAW, USUAL)
    )
    assert issued.past_forecasts.tolist() == [0] * H
    stored = [json.loads(text) for text in issued.calibration]
    assert [(entry["weight"], entry["factors"]) for entry in stored] == [(0.9, USUAL.tolist())] * H


def test_a_calibrated_forecast_counts_the_past_forecasts_it_uses():
    issued = issued_from(RAW, past_of(normals(MIN_FORECASTS, width=2.0)))
    assert issued.past_forecasts.tolist() == [MIN_FORECASTS] * H
    assert (np.log(issued.quantiles[:, -1]) - 15.0 > RAW[:, -1]).all()
    assert (np.log(issued.quantiles[:, 0]) - 15.0 < RAW[:, 0]).all()


def test_forecasts_before_the_newest_500_change_nothing():
    actual = normals(520)
    altered = np.where(np.arange(520)[:, None] < 20, 9.0, actual)
    issued, expected = (issued_from(RAW, past_of(values)) for values in (altered, actual))
    np.testing.assert_array_equal(issued.quantiles, expected.quantiles)
    assert issued.past_forecasts.tolist() == [500] * H


@pytest.mark.parametrize(
    ("issued_at", "expected"),
    [
        (datetime(2024, 3, 8, 22, 0, tzinfo=UTC), "live"),
        (datetime(2024, 3, 11, 13, 29, 59, tzinfo=UTC), "live"),
        (datetime(2024, 3, 11, 13, 30, tzinfo=UTC), "late"),
        (datetime(2024, 3, 11, 19, 59, 59, tzinfo=UTC), "late"),
        (datetime(2024, 3, 11, 20, 0, tzinfo=UTC), "replay"),
    ],
)
def test_a_forecast_is_live_until_the_open_and_late_until_the_close_of_its_first_target(
    issued_at, expected
):
    assert forecast_kind(issued_at, date(2024, 3, 8), "XNYS") == expected
    after_early_close = datetime(2024, 11, 29, 18, 0, tzinfo=UTC)  # 13:00 in New York
    assert forecast_kind(after_early_close, date(2024, 11, 27), "XNYS") == "replay"
