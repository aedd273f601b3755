from __future__ import annotations

from datetime import date

import numpy as np
import pytest
import sqlalchemy as sa

from forecasting.evaluate.standings import WINDOWS, rounded
from forecasting.sessions import between
from forecasting.store import standings, tables, writes
from forecasting.store.database import Connection, reading, transaction
from tests.store.rows import TARGET, at, forecast_row, score_row, start

LINES = {"lstm": "champion", "lstm:2": "champion", "lstm:3": "challenger", "ridge": "baseline", "har": "baseline"}
"""Model and role of the generated forecasts; two models are issued as champion, the second one later."""

Rows = list[dict[str, object]]


def random_scores(url: str, *, seed: int, days: int = 290) -> Rows:
    """Scores of `days` nights whose forecasts are stored: gaps, two stages, restated bars, three kinds."""
    rng = np.random.default_rng(seed)
    forecasts, scores = [], []
    nights = between(date(2023, 1, 3), date(2024, 12, 31))[:days]
    for origin in nights:
        for model, role in LINES.items():
            for horizon in (1, 2):
                kind = str(rng.choice(["live", "live", "live", "late", "replay"]))
                issued = at(f"{origin}T{22 if model == 'lstm:2' else 21}:00")
                if rng.random() < (0.1 if model == "lstm:2" else 0.95):
                    row = forecast_row(model, origin.isoformat(), horizon, role=role, kind=kind)
                    row |= {"issued_at": issued}
                    forecasts.append(row)
                    scores += scores_of(row, rng)
    with transaction(url) as connection:
        start(connection, origins=tuple(map(str, nights)), models=tuple(LINES))
        writes.add_forecasts(connection, forecasts)
    return scores


def scores_of(forecast: dict[str, object], rng: np.random.Generator) -> Rows:
    """A first-print score, usually a settled one, sometimes one of a restated bar."""
    stages = [("first_print", 1), ("settled", 1), ("settled", 2)][: int(rng.choice([1, 2, 2, 2, 3]))]
    rows = []
    for stage, version in stages:
        error = float(rng.normal(0, 2e6))
        values = {"error": error, "pinball": abs(error) / 3}
        values |= {"inside_80": abs(error) < 2e6, "inside_90": abs(error) < 3e6}
        rows.append(score_row(forecast, stage=stage, bar_version=version, **values))
    return rows


def written(connection: Connection) -> list[tuple[object, ...]]:
    """Rows of table standings with n > 0, by primary key."""
    table = tables.standings
    found = connection.execute(sa.select(table).where(table.c.n > 0).order_by(*table.primary_key.columns))
    return [tuple(row) for row in found]


def naive(connection: Connection, scores: Rows) -> list[tuple[object, ...]]:
    """The same rows, computed by loops over all scores."""
    origins = list(connection.scalars(sa.select(tables.runs.c.as_of).order_by(tables.runs.c.as_of)))
    counting: dict[tuple, dict] = {}
    for row in scores:
        if row["role"] == "challenger":
            continue
        line = "" if row["role"] == "champion" else str(row["model"])
        slot = (row["symbol"], row["target"], row["kind"], row["horizon"], row["origin_session"], line)
        if slot not in counting or rank(row) > rank(counting[slot]):
            counting[slot] = row
    found = []
    for scope in sorted({slot[:4] for slot in counting if slot[5] == ""}):
        ours = {slot[4]: row for slot, row in counting.items() if slot[:4] == scope and slot[5] == ""}
        for window in WINDOWS:
            upto = [origin for origin in origins if origin <= max(ours)]
            first = upto[-window:][0]
            for line in sorted({slot[5] for slot in counting if slot[:4] == scope}):
                shared = [o for o in ours if o >= first and (*scope, o, line) in counting]
                if shared:
                    mine = [counting[*scope, o, line] for o in shared]
                    sums = [loss(mine, "error"), loss(mine, "pinball")]
                    sums += [sum(bool(row[name]) for row in mine) for name in ("inside_80", "inside_90")]
                    sums += [loss([ours[o] for o in shared], name) for name in ("error", "pinball")]
                    found.append((*scope, window, line, first, max(ours), len(shared), *sums))
    return found


def loss(rows: Rows, name: str) -> float:
    return sum(rounded(abs(float(str(row[name]))), "volume") for row in rows)


def rank(row: dict[str, object]) -> tuple[object, ...]:
    return (row["issued_at"], row["stage"], row["bar_version"])


@pytest.mark.parametrize("seed", range(3))
def test_standings_updated_in_any_order_equal_those_rebuilt_from_all_scores(database_url, seed):
    scores = random_scores(database_url, seed=seed)
    order = np.random.default_rng(seed)
    if seed:  # seed 0 keeps the order of the nights
        order.shuffle(scores)
    cuts = np.sort(order.choice(len(scores), 25, replace=False))
    for some in np.split(np.array(scores, dtype=object), cuts):
        with transaction(database_url) as connection:
            writes.add_scores(connection, some.tolist())
    with reading(database_url) as connection:
        updated = written(connection)
        assert updated == naive(connection, scores)
    with transaction(database_url) as connection:
        standings.rebuild(connection)
        assert written(connection) == updated


def test_scores_written_twice_count_once(database_url):
    scores = random_scores(database_url, seed=5, days=30)
    for _ in range(2):
        with transaction(database_url) as connection:
            writes.add_scores(connection, scores)
    with reading(database_url) as connection:
        assert written(connection) == naive(connection, scores)


def test_a_score_that_is_stored_already_is_not_overwritten(database_url):
    scores = random_scores(database_url, seed=6, days=30)
    early, late = scores[: len(scores) // 2], scores[len(scores) // 2 :]
    for some in (early, [row | {"error": 9e9, "pinball": 9e9} for row in early] + late):
        with transaction(database_url) as connection:
            writes.add_scores(connection, some)
    with reading(database_url) as connection:
        assert written(connection) == naive(connection, scores)


def test_without_a_scored_champion_there_are_no_standings(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-01-03",), models=("ridge",))
        row = forecast_row("ridge", "2024-01-03", role="baseline", run_id="2024-01-03")
        writes.add_forecasts(connection, [row])
        writes.add_scores(connection, [score_row(row)])
        assert written(connection) == []
        assert row["target"] == TARGET
