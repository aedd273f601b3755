from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from forecasting.store import schema, write
from forecasting.store.connect import Connection, reading, transaction
from forecasting.store.score_views import WINDOWS
from tests.store.mixed_nights import mixed_scores, naive_lines
from tests.store.rows import SYMBOL, TARGET, forecast_row, rebuild_standings, score_row, start


def written(connection: Connection) -> list[tuple[object, ...]]:
    """Rows of table standings with n > 0, by primary key."""
    table = schema.standings
    found = connection.execute(sa.select(table).where(table.c.n > 0).order_by(*table.primary_key.columns))
    return [tuple(row) for row in found]


def naive(connection: Connection) -> list[tuple[object, ...]]:
    """The same rows, computed by loops over all scores."""
    found: list[tuple[object, ...]] = []
    for (kind, horizon), scores in naive_lines(connection).groupby(["kind", "horizon"]):
        rows = {(row["line"], row["origin_session"]): row for row in scores.to_dict("records")}
        ours = {origin: row for (line, origin), row in rows.items() if line == ""}
        for window in WINDOWS if ours else ():
            first = sorted(ours)[-window:][0]
            for line in sorted({line for line, _ in rows}):
                shared = [origin for origin in sorted(ours) if origin >= first and (line, origin) in rows]
                if shared:
                    mine = [rows[line, origin] for origin in shared]
                    sums: list[float] = [loss(mine, "error"), loss(mine, "pinball")]
                    sums += [sum(bool(row[name]) for row in mine) for name in ("inside_80", "inside_90")]
                    sums += [loss([ours[origin] for origin in shared], name) for name in ("error", "pinball")]
                    found.append((SYMBOL, TARGET, kind, horizon, window, line, first, max(ours), len(shared), *sums))
    return found


def loss(rows: list[dict[Any, Any]], name: str) -> float:
    return sum(round(abs(row[name]) * 1024) / 1024 for row in rows)


@pytest.mark.parametrize(
    ("database_url", "seed"), [("sqlite", 0), ("sqlite", 1), ("postgres", 2)], indirect=["database_url"]
)
def test_standings_updated_in_any_order_equal_those_rebuilt_from_all_scores(database_url, seed):
    scores = mixed_scores(database_url, seed=seed)
    order = np.random.default_rng(seed)
    if seed:  # seed 0 keeps the order of the nights
        order.shuffle(scores)
    cuts = np.sort(order.choice(len(scores), 25, replace=False))
    for some in np.split(np.array(scores, dtype=object), cuts):
        with transaction(database_url) as connection:
            write.add_scores(connection, some.tolist())
    with reading(database_url) as connection:
        updated = written(connection)
        assert updated == naive(connection)
    with transaction(database_url) as connection:
        rebuild_standings(connection)
        assert written(connection) == updated


def test_a_score_that_is_stored_already_is_not_overwritten(database_url):
    scores = mixed_scores(database_url, seed=6, days=30)
    early, late = scores[: len(scores) // 2], scores[len(scores) // 2 :]
    for some in (early, [row | {"error": 9e9, "pinball": 9e9} for row in early] + late):
        with transaction(database_url) as connection:
            write.add_scores(connection, some)
    with reading(database_url) as connection:
        assert written(connection) == naive(connection)


def test_a_published_baseline_and_the_network_it_replaced_count_by_name(database_url):
    roles = {"ridge": "champion", "lstm": "silenced", "har": "baseline", "lstm:2": "challenger"}
    errors = {"ridge": 2.0, "lstm": 8.0, "har": 4.0, "lstm:2": 1.0}
    with transaction(database_url) as connection:
        start(connection, origins=("2024-01-03",), models=tuple(roles))
        rows = [forecast_row(model, "2024-01-03", role=role) for model, role in roles.items()]
        write.add_forecasts(connection, rows)
        write.add_scores(connection, [score_row(row, error=errors[row["model_id"]]) for row in rows])
        table = schema.standings
        found = connection.execute(sa.select(table.c.line, table.c.error).where(table.c.window_sessions == 20)).all()
    assert sorted(tuple(row) for row in found) == [("", 2.0), ("har", 4.0), ("lstm", 8.0), ("ridge", 2.0)]


def test_without_a_scored_champion_there_are_no_standings(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-01-03",), models=("ridge",))
        row = forecast_row("ridge", "2024-01-03", role="baseline", run_id="2024-01-03")
        write.add_forecasts(connection, [row])
        write.add_scores(connection, [score_row(row)])
        assert written(connection) == []
        assert row["target"] == TARGET
