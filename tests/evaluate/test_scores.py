import math
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.evaluate import scores
from forecasting.evaluate.scores import by_line, lines_of
from forecasting.store import schema
from forecasting.vocabulary import PUBLISHED_LINE, QUANTILES

QS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]  # q05 q10 q25 q50 q75 q90 q95
TEXTS = {"model_id", "symbol", "target", "kind", "stage", "role", "model"}
SCORED_AT = datetime(2024, 3, 9, 6, tzinfo=UTC)

finite = st.floats(-1e6, 1e6)
forecast = st.lists(finite, min_size=7, max_size=7).map(sorted)


def naive_pinball(actual, quantiles):
    losses = []
    for level, value in zip(QUANTILES, quantiles, strict=True):
        losses.append(level * (actual - value) if actual >= value else (1 - level) * (value - actual))
    return sum(losses) / len(losses)


def naive_interval_score(actual, quantiles):
    def one(lower, upper, alpha):
        score = upper - lower
        if actual < lower:
            score += 2 / alpha * (lower - actual)
        if actual > upper:
            score += 2 / alpha * (actual - upper)
        return score

    q05, q10, _, q50, _, q90, q95 = quantiles
    total = 0.5 * abs(actual - q50) + 0.1 * one(q10, q90, 0.2) + 0.05 * one(q05, q95, 0.1)
    return total / 2.5


def due_row(**changes):
    row = {
        "model_id": "m1",
        "symbol": "SBUX",
        "target": "volume",
        "origin_session": date(2024, 3, 7),
        "horizon": 1,
        "kind": "live",
        "target_session": date(2024, 3, 8),
        **dict(zip(("q05", "q10", "q25", "q50", "q75", "q90", "q95"), QS, strict=True)),
        "role": "champion",
        "model": "lstm",
        "issued_at": pd.Timestamp("2024-03-08T09:30", tz="UTC"),
        "status": "ok",
        "stage": "first_print",
        "bar_version": 1,
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 11.0,
        "volume": 5.0,
    }
    return {**row, **changes}


def test_errors_too_high_and_too_low_do_not_cancel():
    assert scores.mae([10.0, 10.0], [7.0, 11.0]) == 2.0


def test_a_mean_over_no_forecast_is_refused():
    message = r"^Expected at least one scored forecast to average, found none; drop empty spans first\.$"
    with pytest.raises(ValueError, match=message):
        scores.mae([], [])


def test_pinball_by_hand_at_one_actual():
    # 5 is above q05..q50 by 4 3 2 1, at q75, below q90 and q95 by 1 and 2.
    by_hand = (0.05 * 4 + 0.10 * 3 + 0.25 * 2 + 0.50 * 1 + 0.10 * 1 + 0.05 * 2) / 7
    assert scores.pinball(5.0, QS) == pytest.approx(by_hand)


@given(actual=finite, quantiles=forecast)
def test_pinball_equals_a_naive_computation(actual, quantiles):
    assert scores.pinball(actual, quantiles) == pytest.approx(naive_pinball(actual, quantiles), rel=1e-9, abs=1e-9)


@given(actual=finite, quantiles=forecast)
def test_interval_score_equals_a_naive_computation_and_twice_the_pinball_of_its_levels(actual, quantiles):
    found = float(scores.interval_score(actual, quantiles))
    assert found == pytest.approx(naive_interval_score(actual, quantiles), rel=1e-9, abs=1e-6)
    five = [i for i in range(7) if i not in (2, 4)]
    losses = [max(QUANTILES[i] * (actual - quantiles[i]), (QUANTILES[i] - 1) * (actual - quantiles[i])) for i in five]
    assert found == pytest.approx(2 * sum(losses) / 5, rel=1e-9, abs=1e-6)


def test_interval_score_of_a_hit_is_its_widths_and_of_a_miss_the_distance_too():
    assert scores.interval_score(4.0, QS) == pytest.approx((0.1 * 4 + 0.05 * 6) / 2.5)
    assert scores.interval_score(9.0, QS) == pytest.approx((0.5 * 5 + 0.1 * 4 + 3 + 0.05 * 6 + 2) / 2.5)


def test_scores_keep_any_shape_in_front_of_the_levels():
    actual = np.arange(6.0).reshape(2, 3)
    quantiles = np.broadcast_to(QS, (2, 3, 7))
    for score in (scores.pinball, scores.interval_score):
        found = score(actual, quantiles)
        assert found.shape == (2, 3)
        assert found[1, 2] == score(5.0, QS)


def test_a_nan_actual_scores_nan_and_is_inside_no_interval():
    assert np.isnan(scores.pinball(np.nan, QS))
    assert np.isnan(scores.interval_score(np.nan, QS))
    assert not scores.inside(np.nan, QS, 90)


def test_interval_ends_count_as_inside():
    actual = np.array([1.0, 2.0, 6.0, 7.0, 7.1])
    quantiles = np.broadcast_to(QS, (5, 7))
    assert scores.inside(actual, quantiles, 80).tolist() == [False, True, True, False, False]
    assert scores.inside(actual, quantiles, 90).tolist() == [True, True, True, True, False]


def test_scores_of_single_precision_are_computed_in_double():
    quantiles = (np.array(QS) / 3).astype(np.float32)
    wide = quantiles.astype(float)
    for actual in (0.1, 4 / 3, 9.0):
        assert scores.interval_score(actual, quantiles) == scores.interval_score(actual, wide)


def test_skill_is_positive_when_the_loss_is_lower_than_the_baselines():
    assert scores.skill(0.9, 1.0) == pytest.approx(0.1)
    assert scores.skill(1.1, 1.0) == pytest.approx(-0.1)
    assert math.isnan(scores.skill(1.0, 0.0))
    assert math.isnan(scores.skill(0.0, 0.0))
    assert math.isnan(scores.skill(0.2, abs(math.exp(math.log(3.0)) - 3.0)))  # a last value that came again


def test_score_rows_carry_exactly_the_columns_of_the_table_as_plain_values():
    rows = scores.score_rows(pd.DataFrame([due_row()]), target="volume", scored_at=SCORED_AT)
    assert rows == [
        {
            "model_id": "m1",
            "symbol": "SBUX",
            "target": "volume",
            "origin_session": date(2024, 3, 7),
            "horizon": 1,
            "kind": "live",
            "stage": "first_print",
            "bar_version": 1,
            "target_session": date(2024, 3, 8),
            "actual": 5.0,
            "error": -1.0,
            "pinball": pytest.approx(naive_pinball(5.0, QS)),
            "interval_score": pytest.approx(naive_interval_score(5.0, QS)),
            "inside_80": True,
            "inside_90": True,
            "scored_at": SCORED_AT,
            "role": "champion",
            "model": "lstm",
            "issued_at": datetime(2024, 3, 8, 9, 30, tzinfo=UTC),
        }
    ]
    assert set(rows[0]) == set(schema.scores.columns.keys())
    floats = {"actual", "error", "pinball", "interval_score"}
    expected = dict.fromkeys(("horizon", "bar_version"), int) | dict.fromkeys(floats, float)
    expected |= dict.fromkeys(("origin_session", "target_session"), date)
    expected |= dict.fromkeys(("inside_80", "inside_90"), bool) | dict.fromkeys(("scored_at", "issued_at"), datetime)
    assert {name: type(value) for name, value in rows[0].items() if name not in TEXTS} == expected
    assert {type(rows[0][name]) for name in TEXTS} == {str}


def test_several_forecasts_of_one_session_are_each_scored():
    due = pd.DataFrame([due_row(), due_row(model_id="m2", horizon=2, origin_session=pd.Timestamp("2024-03-06"))])
    rows = scores.score_rows(due, target="volume", scored_at=SCORED_AT)
    assert [(row["model_id"], row["horizon"], row["origin_session"]) for row in rows] == [
        ("m1", 1, date(2024, 3, 7)),
        ("m2", 2, date(2024, 3, 6)),
    ]


def test_an_unknown_actual_makes_no_row():
    due = pd.DataFrame([due_row(volume=None), due_row(volume=math.nan, horizon=2), due_row(horizon=3)])
    assert [row["horizon"] for row in scores.score_rows(due, target="volume", scored_at=SCORED_AT)] == [3]


def test_close_and_range_are_scored_in_their_own_unit():
    due = pd.DataFrame([due_row(volume=None)])
    (close,) = scores.score_rows(due, target="close", scored_at=SCORED_AT)
    (spread,) = scores.score_rows(due, target="range", scored_at=SCORED_AT)
    assert close["actual"] == 11.0
    assert spread["actual"] == pytest.approx(math.log(12.0 / 9.0))


def test_no_forecast_due_gives_no_rows():
    assert scores.score_rows(pd.DataFrame(), target="volume", scored_at=SCORED_AT) == []


@pytest.mark.parametrize(
    ("role", "model", "lines"),
    [
        ("champion", "lstm", (PUBLISHED_LINE, "lstm")),
        ("champion", "ridge", (PUBLISHED_LINE, "ridge")),
        ("baseline", "ridge", ("ridge",)),
        ("silenced", "lstm", ("lstm",)),
        ("challenger", "lstm", ("challenger",)),
    ],
)
def test_a_published_forecast_is_in_two_lines_and_any_other_in_one(role: str, model: str, lines: tuple[str, ...]):
    assert lines_of(role, model) == lines


def test_a_row_is_there_once_for_each_of_its_lines():
    columns = {"role": ["champion", "baseline"], "name": ["ridge", "har"], "pinball": [1.0, 2.0]}
    rows = pd.DataFrame(columns, index=[7, 9])
    found = by_line(rows, model="name")
    assert found[["line", "pinball"]].to_numpy().tolist() == [[PUBLISHED_LINE, 1.0], ["ridge", 1.0], ["har", 2.0]]
    assert found.index.tolist() == [0, 1, 2]
    assert [*found] == [*columns, "line"]
    assert found["line"].dtype == object
