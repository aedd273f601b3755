import math
from dataclasses import asdict
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.evaluate import scores
from forecasting.store import schema
from forecasting.vocabulary import MEDIAN, QUANTILE_COLUMNS, QUANTILES
from tests.builders import random_bars, scaled
from tests.test_losses import naive_pinball

QS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]  # q05 q10 q25 q50 q75 q90 q95
SCORED_AT = datetime(2024, 3, 9, 6, tzinfo=UTC)

finite = st.floats(-1e6, 1e6)
forecast = st.lists(finite, min_size=7, max_size=7).map(sorted)


def naive_interval_score(actual, quantiles):
    def one(lower, upper, alpha):
        score = upper - lower
        if actual < lower:
            score += 2 / alpha * (lower - actual)
        if actual > upper:
            score += 2 / alpha * (actual - upper)
        return score

    q05, q10, _, q50, _, q90, q95 = quantiles
    return (0.5 * abs(actual - q50) + 0.1 * one(q10, q90, 0.2) + 0.05 * one(q05, q95, 0.1)) / 2.5


KEY = {
    "model_id": "m1",
    "symbol": "SBUX",
    "target": "volume",
    "horizon": 1,
    "kind": "live",
    "role": "published",
}
KEY |= {"model": "lstm", "stage": "first_print", "bar_version": 1}
DAYS = {"origin_session": date(2024, 3, 7), "target_session": date(2024, 3, 8)}


def due_row(**changes):
    bar = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0}
    issued = {"issued_at": pd.Timestamp("2024-03-08T09:30", tz="UTC"), "status": "ok"}
    return {
        **KEY,
        **DAYS,
        **dict(zip(QUANTILE_COLUMNS, QS, strict=True)),
        **issued,
        **bar,
        **changes,
    }


@given(actual=finite, quantiles=forecast)
def test_interval_score_equals_a_naive_computation(actual, quantiles):
    found = float(scores.interval_score(actual, quantiles))
    assert found == pytest.approx(naive_interval_score(actual, quantiles), rel=1e-9, abs=1e-6)


def test_interval_ends_count_as_inside_and_a_nan_actual_scores_nan_and_is_inside_none():
    actual = np.array([1.0, 2.0, 6.0, 7.0, 7.1, np.nan])
    quantiles = np.broadcast_to(QS, (6, 7))
    assert scores.inside(actual, quantiles, 80).tolist() == [False, True, True, False, False, False]
    assert scores.inside(actual, quantiles, 90).tolist() == [True, True, True, True, False, False]
    assert np.isnan(scores.interval_score(actual, quantiles)).tolist() == [False] * 5 + [True]


def test_skill_is_positive_when_the_loss_is_lower_than_the_baselines():
    assert scores.skill(0.9, 1.0) == pytest.approx(0.1)
    assert scores.skill(1.1, 1.0) == pytest.approx(-0.1)
    assert math.isnan(scores.skill(1.0, 0.0))
    assert math.isnan(scores.skill(0.0, 0.0))
    # A last value that came again
    assert math.isnan(scores.skill(0.2, abs(math.exp(math.log(3.0)) - 3.0)))


def test_score_rows_carry_exactly_the_columns_of_the_table():
    (row,) = scores.score_rows(pd.DataFrame([due_row()]), target="volume", scored_at=SCORED_AT)
    losses = {"pinball": naive_pinball(5.0, QS), "interval_score": naive_interval_score(5.0, QS)}
    scored = {
        "actual": 5.0,
        "error": -1.0,
        "inside_80": True,
        "inside_90": True,
        "scored_at": SCORED_AT,
    }
    expected = KEY | DAYS | losses | scored | {"issued_at": datetime(2024, 3, 8, 9, 30, tzinfo=UTC)}
    found = asdict(row)
    assert found == expected | {name: pytest.approx(loss) for name, loss in losses.items()}
    assert set(found) == set(schema.scores.columns.keys())


def test_an_unknown_actual_makes_no_row_and_each_target_has_its_own_unit():
    other = due_row(model_id="m2", horizon=2, origin_session=pd.Timestamp("2024-03-06"))
    due = pd.DataFrame(
        [due_row(), due_row(volume=None, horizon=4), due_row(volume=math.nan, horizon=5), other]
    )
    rows = scores.score_rows(due, target="volume", scored_at=SCORED_AT)
    found = [(row.model_id, row.horizon, row.origin_session) for row in rows]
    assert found == [("m1", 1, date(2024, 3, 7)), ("m2", 2, date(2024, 3, 6))]
    (row,) = scores.score_rows(due[1:2], target="range", scored_at=SCORED_AT)
    assert row.actual == pytest.approx(math.log(12.0 / 9.0))


@pytest.mark.parametrize(
    ("ratio", "level"), [(1, 0.5), (3, 0.25), (9, 0.1), (19, 0.05), (1 / 3, 0.75), (2, 1 / 3)]
)
def test_the_level_is_that_of_the_newsvendor(ratio, level):
    assert scores.optimal_level(ratio) == scores.nearest_level(ratio) == pytest.approx(level)
    assert [scores.optimal_level(ratio) for ratio in scores.RATIOS] == [
        QUANTILES[place] for place in (MEDIAN, 2, 1, 0)
    ]
    assert [scores.nearest_level(outside) for outside in (20.0, 1e6, 0.01)] == [0.05, 0.05, 0.95]


def test_a_quantile_is_as_issued_at_its_level_and_between_two_on_the_line_between_them():
    issued = np.array([QS, [10.1, 10.2, 10.7, 11.3, 12.0, 12.1, 13.9]])
    for place, level in enumerate(QUANTILES):
        assert scores.quantile_at(issued, level).tolist() == issued[:, place].tolist()
    np.testing.assert_allclose(scores.quantile_at(issued, 0.2), issued[:, 1:3] @ [1 / 3, 2 / 3])


BARS = random_bars(days=60, seed=3)
SESSIONS = BARS.index.to_numpy().astype("datetime64[D]")
ORIGINS = SESSIONS[10:50]
TARGETS = np.stack([SESSIONS[11:51], SESSIONS[12:52]], axis=1)
SHARES = np.random.default_rng(4).lognormal(np.log(BARS["volume"].median()), 0.3, TARGETS.shape)


def naive_r2(bars, shares):
    """The formula by a loop over origins, the same weight for each horizon."""
    dollars = bars["close"] * bars["volume"]
    logs = np.log(dollars.where(dollars > 0.0))
    ours = []
    means = []
    for h in (0, 1):
        pairs = []
        for at in range(10, 50):
            past = logs.iloc[: at + 1].dropna()
            close = bars["close"][past.index[-1]]
            actual = logs.iloc[at + 1 + h]
            if not np.isnan(actual):
                forecast = np.log(shares[at - 10, h] * close)
                pairs.append([(actual - forecast) ** 2, (actual - past[-5:].mean()) ** 2])
        of_horizon = np.mean(pairs, axis=0)
        ours.append(of_horizon[0])
        means.append(of_horizon[1])
    return 1 - sum(ours) / sum(means)


@pytest.mark.parametrize(("unknown", "free"), [([], []), ([20, 22, 45, 46, 51], [30])])
def test_r2_equals_a_loop_over_origins(unknown, free):
    bars = scaled(scaled(BARS, np.nan, unknown, "volume"), 0.0, free, "close")
    bars.iloc[unknown[:1], bars.columns.get_loc("volume")] = 0.0
    found = scores.dollar_volume_r2(scores.dollar_volumes(bars, ORIGINS, TARGETS), SHARES)
    assert found == pytest.approx(naive_r2(bars, SHARES))


def test_r2_is_one_for_exact_forecasts_zero_for_the_mean_and_negative_for_worse():
    volumes = scores.dollar_volumes(BARS, ORIGINS, TARGETS)
    price = np.log(volumes.close)[:, None]
    mean = volumes.mean[:, None] - price + np.zeros(TARGETS.shape)
    worse = volumes.actual - price + 2.0 * (volumes.mean[:, None] - volumes.actual)
    found = [
        scores.dollar_volume_r2(volumes, np.exp(logs))
        for logs in (volumes.actual - price, mean, worse)
    ]
    assert found == [pytest.approx(1.0), pytest.approx(0.0), pytest.approx(-3.0)]
