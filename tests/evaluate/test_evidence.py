from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from forecasting.evaluate.evidence import SCORE_COLUMNS, forecaster_losses

ORIGIN, TARGET = date(2024, 3, 7), date(2024, 3, 8)
COUNTED = {"pinball": 1.0, "inside_80": True}


def score(**changes: object) -> dict[str, object]:
    """One row of table scores: the champion's live forecast against the first print; its pinball does not count."""
    row = dict.fromkeys(SCORE_COLUMNS) | {
        "origin_session": ORIGIN,
        "horizon": 1,
        "target_session": TARGET,
        "kind": "live",
        "stage": "first_print",
        "bar_version": 1,
        "issued_at": datetime(2024, 3, 7, 22, tzinfo=UTC),
        "model_id": "m1",
        "role": "champion",
        "model": "lstm",
        "pinball": 9.0,
        "inside_80": False,
    }
    return row | changes


def losses(*rows: dict[str, object], origins: int = 10) -> list[tuple[object, ...]]:
    frame = forecaster_losses(pd.DataFrame(list(rows)), origins=origins)
    assert list(frame) == ["origin_session", "horizon", "target_session", "forecaster", "pinball", "inside_80"]
    assert frame.index.tolist() == list(range(len(frame)))
    return [tuple(row) for row in frame.itertuples(index=False)]


def later(hour: int) -> datetime:
    return datetime(2024, 3, 7, hour, tzinfo=UTC)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("counted", "other"),
    [
        ({"kind": "live"}, {"kind": "late", "stage": "settled", "bar_version": 2}),
        ({"kind": "late"}, {"kind": "replay", "stage": "settled", "bar_version": 2}),
        ({"stage": "settled", "bar_version": 1}, {"stage": "first_print", "bar_version": 2}),
        ({"bar_version": 2, "issued_at": later(21)}, {"bar_version": 1, "issued_at": later(23)}),
        ({"issued_at": later(23), "model_id": "m2"}, {"issued_at": later(21), "model_id": "m1"}),
        ({"model_id": "m1"}, {"model_id": "m2"}),
    ],
    ids=["live before late", "late before replay", "settled", "bar version", "newest forecast", "model id"],
)
def test_of_two_scores_of_one_forecaster_one_counts_in_any_order(
    counted: dict[str, object], other: dict[str, object], reverse: bool
) -> None:
    rows = [score(**counted, **COUNTED), score(**other)]
    assert losses(*(rows[::-1] if reverse else rows)) == [(ORIGIN, 1, TARGET, "champion", 1.0, 1.0)]


def test_champion_challenger_and_each_baseline_are_forecasters() -> None:
    rows = [
        score(pinball=1.0),
        score(role="challenger", model_id="m2", pinball=2.0),
        score(role="baseline", model="ridge", model_id="b1", pinball=3.0),
        score(role="baseline", model="har", model_id="b2", pinball=4.0),
    ]
    assert [(row[3], row[4]) for row in losses(*rows)] == [
        ("challenger", 2.0),
        ("champion", 1.0),
        ("har", 4.0),
        ("ridge", 3.0),
    ]


def test_a_published_baseline_counts_as_itself_and_the_silenced_champion_as_champion() -> None:
    rows = [score(role="champion", model="ridge", model_id="b1", pinball=3.0), score(role="silenced", pinball=1.0)]
    assert [(row[3], row[4]) for row in losses(*rows)] == [("champion", 1.0), ("ridge", 3.0)]


def test_each_origin_and_horizon_keeps_its_own_loss_in_ascending_order() -> None:
    before = date(2024, 3, 6)
    rows = [
        score(pinball=1.0),
        score(horizon=2, target_session=date(2024, 3, 11), pinball=2.0),
        score(origin_session=before, horizon=2, pinball=3.0, inside_80=True),
    ]
    assert losses(*rows) == [
        (before, 2, TARGET, "champion", 3.0, 1.0),
        (ORIGIN, 1, TARGET, "champion", 1.0, 0.0),
        (ORIGIN, 2, date(2024, 3, 11), "champion", 2.0, 0.0),
    ]


def test_only_the_newest_scored_origins_are_used() -> None:
    days = [date(2024, 3, day) for day in (4, 5, 6, 7)]
    rows = [score(origin_session=day, target_session=TARGET) for day in days]
    rows.append(score(origin_session=days[0], role="baseline", model="ridge", model_id="b1"))
    assert [row[0] for row in losses(*rows, origins=3)] == days[1:]
    assert [row[0] for row in losses(*rows, origins=9)] == [days[0], *days]


def test_no_scores_give_no_losses() -> None:
    assert forecaster_losses(pd.DataFrame({name: [] for name in SCORE_COLUMNS}), origins=10).empty
