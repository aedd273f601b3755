from dataclasses import replace

import numpy as np
import pytest

from forecasting.predict import candidates
from forecasting.predict.combine import issue
from forecasting.predict.fallback import Published
from forecasting.preprocess.windows import to_model
from forecasting.train.baselines import baseline_quantiles
from forecasting.train.linear import linear_forecast
from forecasting.train.prepare import member_quantiles
from forecasting.train.pretrained import pretrained_for
from forecasting.train.trees import tree_medians
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES
from tests.predict.test_combine import NO_PAST
from tests.train.windows import some_windows

H = len(HORIZONS)
Q = len(QUANTILES)
BY_HAND = np.array([[10.0 * horizon + level for level in range(Q)] for horizon in HORIZONS])
NETWORK_IS_PUBLISHED = Published("network", "ok", "")
RIDGE_IS_PUBLISHED = Published(
    "ridge", "fallback", "there is no fitted network yet; ridge is published instead"
)


def candidate(model_id, forecaster, role, quantiles=BY_HAND):
    return candidates.Candidate(model_id, forecaster, role, quantiles)


def with_one(value):
    quantiles = BY_HAND.copy()
    quantiles[2, 3] = value
    return quantiles


NETWORK = candidate("m1", "lstm", "network")
RIDGE = candidate("b1", "ridge", "baseline")
HAR = candidate("b2", "har", "baseline")


def test_each_baseline_of_the_target_is_a_candidate_with_an_id_of_its_own_rule():
    windows = some_windows("volume")
    found = candidates.baseline_candidates(windows, symbol="SBUX", settings="0a1b")
    ids = {
        "last_value": "a54f76e9b27b",
        "seasonal": "67d9e08c2cf5",
        "rolling_median": "61271ee839cc",
    }
    assert {one.forecaster: one.model_id for one in found} == ids | {
        "har": "e282ab09b522",
        "ridge": "316a13440b59",
    }
    for one in found:
        np.testing.assert_array_equal(one.quantiles, baseline_quantiles(one.forecaster, windows))


@pytest.mark.parametrize("target", ["volume", "range"])
def test_a_network_is_issued_with_parts_that_multiply_up_to_its_median(target):
    windows = some_windows(target)
    values = np.append(windows.values[:-1], np.nan)
    windows = replace(windows, values=values)
    checkpoint = pretrained_for(windows)
    linear = linear_forecast(windows)
    found = candidates.network_candidate("m1", checkpoint, windows, NO_PAST)
    raw, _ = member_quantiles(checkpoint, windows, np.arange(len(windows)))
    level = windows.level[-1]
    parts = (raw[-1], to_model(linear.quantiles, level), tree_medians(windows), NO_PAST)
    issued = issue(*parts, level=level, target=target).quantiles
    np.testing.assert_allclose(found.quantiles, issued, rtol=1e-6)
    np.testing.assert_allclose(found.factors["usual"], np.median(values[-21:-1]))
    product = np.prod([*found.factors.values()], axis=0)
    np.testing.assert_allclose(product, issued[:, MEDIAN], rtol=1e-6)


def test_baselines_that_are_not_finite_are_left_out(monkeypatch):
    def broken(name, windows):
        return with_one(1.0 if name == "har" else np.inf)

    monkeypatch.setattr(candidates, "baseline_quantiles", broken)
    found = candidates.baseline_candidates(some_windows("volume"), symbol="SBUX", settings="0a1b")
    assert [one.forecaster for one in found] == ["har"]


BROKEN = candidate("m1", "lstm", "network", with_one(np.nan))
INFINITE = candidate("m1", "lstm", "network", with_one(np.inf))


@pytest.mark.parametrize(
    ("made", "published", "expected"),
    [
        ([RIDGE, NETWORK], NETWORK_IS_PUBLISHED, {"b1": "baseline", "m1": "published"}),
        ([RIDGE, HAR], RIDGE_IS_PUBLISHED, {"b1": "published", "b2": "baseline"}),
        ([RIDGE, NETWORK], RIDGE_IS_PUBLISHED, {"b1": "published", "m1": "network"}),
        ([RIDGE, HAR, BROKEN], RIDGE_IS_PUBLISHED, {"b1": "published", "b2": "baseline"}),
        ([RIDGE, HAR, INFINITE], RIDGE_IS_PUBLISHED, {"b1": "published", "b2": "baseline"}),
    ],
)
def test_one_candidate_is_published_and_none_that_is_not_finite_stays(made, published, expected):
    assert {one.model_id: one.role for one in candidates.assign_roles(made, published)} == expected
