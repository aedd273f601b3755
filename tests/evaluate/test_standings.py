from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from forecasting.evaluate.standings import WINDOWS, standings


def scores(errors: dict[str, list[float | None]]) -> pd.DataFrame:
    """A score per line and session from 2024-01-01 on; None leaves a session out; pinball is half of the error."""
    days = pd.date_range("2024-01-01", periods=max(len(line) for line in errors.values()))
    rows = [
        (day, "champion" if name == "lstm" else "baseline", name, error, abs(error) / 2, abs(error) < 3, abs(error) < 5)
        for name, line in errors.items()
        for day, error in zip(days, line, strict=False)
        if error is not None
    ]
    names = ["target_session", "role", "model", "error", "pinball", "inside_80", "inside_90"]
    return pd.DataFrame(rows, columns=names)


def naive(rows: pd.DataFrame, window: int) -> dict[str, object]:
    """The same by loops over dicts."""
    judged: dict[str, dict[pd.Timestamp, tuple[float, float]]] = {}
    for row in rows.itertuples():
        line = judged.setdefault("champion" if row.role == "champion" else row.model, {})
        line.setdefault(row.target_session, (abs(row.error), row.pinball))
    days = sorted({day for line in judged.values() for day in line})[-window:]
    ours = {day: loss for day, loss in judged.pop("champion").items() if day in days}
    rivals = []
    for name, line in judged.items():
        shared = [day for day in ours if day in line]
        if 10 * len(shared) >= 9 * len(ours):
            theirs = [sum(line[day][k] for day in shared) for k in (0, 1)]
            skills = [1 - sum(ours[day][k] for day in shared) / theirs[k] for k in (0, 1)]
            rivals.append((skills[0], name, theirs[0] / len(shared), skills[1]))
    return {
        "n": len(ours),
        "mae": sum(error for error, _ in ours.values()) / len(ours),
        "best_baseline": min(rivals)[1] if rivals else None,
        "baseline_mae": min(rivals)[2] if rivals else None,
        "skill": min(rivals)[0] if rivals else None,
        "pinball_skill": min(rival[3] for rival in rivals) if rivals else None,
    }


@pytest.mark.parametrize("seed", range(4))
def test_standings_equal_their_naive_twin(seed):
    rng = np.random.default_rng(seed)
    lines = {
        name: [float(rng.normal(0, 3)) if rng.random() < share else None for _ in range(300)]
        for name, share in (("lstm", 0.99), ("ridge", 0.97), ("seasonal", 0.95), ("last_value", 0.7))
    }
    drawn = scores(lines)
    twice = pd.concat([drawn.sample(frac=1.0, random_state=seed), drawn.assign(error=99.0)])
    found = standings(twice)
    assert [row["window_sessions"] for row in found] == list(WINDOWS)
    for row in found:
        expected = naive(twice, row["window_sessions"])
        assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_skill_is_positive_when_the_champion_is_better_than_the_best_baseline():
    (row, *_) = standings(scores({"lstm": [1.0] * 5, "ridge": [-2.0] * 5, "seasonal": [4.0] * 5}))
    assert (row["best_baseline"], row["skill"], row["pinball_skill"]) == ("ridge", 0.5, 0.5)
    (row, *_) = standings(scores({"lstm": [4.0] * 5, "ridge": [-2.0] * 5}))
    assert row["skill"] == -1.0


def test_a_baseline_without_an_error_is_the_best_and_leaves_no_skill():
    (row, *_) = standings(scores({"lstm": [1.0] * 5, "ridge": [0.0] * 5}))
    assert (row["best_baseline"], row["baseline_mae"]) == ("ridge", 0.0)
    assert math.isnan(row["skill"])


def test_nothing_is_said_where_no_champion_was_scored():
    assert standings(scores({"ridge": [1.0] * 5})) == []
    assert standings(scores({"ridge": [1.0]}).iloc[:0]) == []
