from dataclasses import replace
from datetime import date

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
SESSIONS = [date(2024, 3, day) for day in (11, 12, 13, 14, 15)]
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
    found = candidates.network_candidate("m1", checkpoint, windows, NO_PAST, linear)
    raw, _ = member_quantiles(checkpoint, windows, np.arange(len(windows)))
    level = windows.level[-1]
    parts = (raw[-1], to_model(linear.quantiles, level), tree_medians(windows), NO_PAST)
    issued = issue(*parts, level=level, target=target).quantiles
    np.testing.assert_allclose(found.quantiles, issued, rtol=1e-6)
    np.testing.assert_allclose(found.factors["usual"], np.median(values[-21:-1]))
    product = np.prod([*found.factors.values()], axis=0)
    np.testing.assert_allclose(product, issued[:, MEDIAN], rtol=1e-6)


def test_the_parts_of_the_published_are_rows_by_horizon_in_their_order():
    by_horizon = 1.0 + np.arange(H)
    factors = {"usual": 10.0 * by_horizon, "recent": 1.0 / by_horizon}
    about = dict.fromkeys(("symbol", "target", "origin_session", "kind"), "")
    made = [RIDGE, replace(NETWORK, factors=factors, role="published")]
    shared = about | {"model_id": "m1"}
    expected = []
    for h in HORIZONS:
        of_horizon = shared | {"horizon": h}
        expected.append(of_horizon | {"part": "usual", "place": 1, "factor": 10.0 * h})
        expected.append(of_horizon | {"part": "recent", "place": 2, "factor": 1.0 / h})
    assert candidates.factor_rows(made, about | {"issued_at": ""}) == expected


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


def test_a_row_has_its_horizons_columns_and_only_the_published_ones_the_status_and_reason_of_the_fallback():
    made = candidates.assign_roles([RIDGE, HAR, NETWORK], RIDGE_IS_PUBLISHED)
    special = ["", "", "", "", "triple witching"]
    rows = candidates.forecast_rows(
        made, RIDGE_IS_PUBLISHED, about={"kind": "live"}, sessions=SESSIONS, calendar=special
    )
    assert len(rows) == 3 * H
    assert {(row["model_id"], row["role"], row["status"], row["reason"]) for row in rows} == {
        (
            "b1",
            "published",
            "fallback",
            "there is no fitted network yet; ridge is published instead",
        ),
        ("b2", "baseline", "ok", ""),
        ("m1", "network", "ok", ""),
    }
    last = {
        "horizon": 5,
        "target_session": SESSIONS[4],
        "calendar": "triple witching",
        "q05": 50.0,
        "q95": 56.0,
    }
    assert (
        rows[4].items() >= (last | {"kind": "live", "past_forecasts": 0, "calibration": ""}).items()
    )


def test_totals_are_of_the_published_with_its_factor_and_of_the_reference_without():
    made = [replace(NETWORK, role="published"), RIDGE, HAR]
    about = dict.fromkeys(("symbol", "origin_session", "kind", "issued_at"), "") | {
        "target": "volume"
    }
    rows = candidates.total_rows(made, about, sessions=SESSIONS, factor=1.5)
    found = [(row["model_id"], row["role"], row["factor"], row["horizon"]) for row in rows]
    expected = [("m1", "published", 1.5), ("b1", "baseline", 1.0)]
    assert found == [(*one, horizon) for one in expected for horizon in HORIZONS[1:]]
