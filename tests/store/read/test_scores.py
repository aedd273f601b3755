from __future__ import annotations

from datetime import date

import numpy as np
import pytest
import sqlalchemy as sa

from forecasting.evaluate.evidence import forecaster_losses
from forecasting.sessions import between
from forecasting.store import read, tables, writes
from forecasting.store.database import reading, transaction
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, score_row, start

ORIGINS = [day.isoformat() for day in between(date(2024, 1, 3), date(2024, 3, 28))]
ROLES = {"lstm": "champion", "lstm:2": "challenger", "ridge": "baseline", "seasonal": "baseline"}


def store_random_scores(url: str, *, seed: int) -> None:
    """Nights of four models, some late or replayed too, some with a published baseline; scored up to three times."""
    rng = np.random.default_rng(seed)
    forecasts, scores = [], []
    for place, origin in enumerate(ORIGINS):
        for model, role in ROLES.items():
            actual_role = {"ridge": "champion", "lstm": "challenger"}.get(model, role) if place % 7 == 0 else role
            for horizon in (1, 5):
                for kind in ("live", "late", "replay")[: rng.integers(1, 4)]:
                    row = forecast_row(model, origin, horizon, kind=kind, role=actual_role)
                    forecasts.append(row | {"issued_at": at(f"{origin}T{rng.integers(10, 24)}:00")})
                    for stage, version in (("first_print", 1), ("settled", 1), ("settled", 2))[: rng.integers(0, 4)]:
                        losses = {"pinball": float(rng.random()), "inside_80": bool(rng.random() < 0.8)}
                        scores.append(score_row(forecasts[-1], stage=stage, bar_version=version, **losses))
    with transaction(url) as connection:
        start(connection, origins=tuple(ORIGINS), models=tuple(ROLES))
        writes.add_forecasts(connection, forecasts)
        writes.add_scores(connection, scores)


def naive_losses(connection: sa.Connection, *, last: date, origins: int) -> dict[tuple[date, int, str], float]:
    """Origin, horizon and forecaster -> pinball, by a loop over every score joined to its forecast and model."""
    key = ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
    forecast_of = {
        tuple(row[name] for name in key): row for row in connection.execute(sa.select(tables.forecasts)).mappings()
    }
    name_of = {row.id: row.name for row in connection.execute(sa.select(tables.models))}
    scores = [row for row in connection.execute(sa.select(tables.scores)).mappings() if row["target_session"] <= last]
    newest = sorted({row["origin_session"] for row in scores})[-origins:]
    best: dict[tuple[date, int, str], tuple[tuple[object, ...], float]] = {}
    for row in scores:
        forecast, name = forecast_of[tuple(row[part] for part in key)], name_of[row["model_id"]]
        line = (row["origin_session"], row["horizon"], forecast["role"] if name == "lstm" else name)
        rank = (
            -("live", "late", "replay").index(row["kind"]),
            row["stage"] == "settled",
            row["bar_version"],
            forecast["issued_at"],
        )
        if row["origin_session"] in newest and (line not in best or rank > best[line][0]):
            best[line] = (rank, row["pinball"])
    return {line: loss for line, (_, loss) in best.items()}


@pytest.mark.parametrize("origins", [1, 20, 400])
def test_losses_of_the_newest_scores_equal_a_naive_loop(database_url, origins):
    store_random_scores(database_url, seed=origins)
    last = date(2024, 3, 20)
    with reading(database_url) as connection:
        found = forecaster_losses(
            read.newest_scores(connection, SYMBOL, TARGET, last=last, origins=origins), origins=origins
        )
        expected = naive_losses(connection, last=last, origins=origins)
    losses = {(row.origin_session.date(), row.horizon, row.forecaster): row.pinball for row in found.itertuples()}
    assert losses == expected
    assert len(found) == len(expected)


def test_scored_returns_the_newest_scored_origins_alone(database_url):
    store_random_scores(database_url, seed=0)
    with reading(database_url) as connection:
        all_rows = read.scored(connection, SYMBOL, TARGET, origins=1000)
        newest = read.scored(connection, SYMBOL, TARGET, origins=5)
    origins = sorted(all_rows["origin_session"].unique())[-5:]
    kept = all_rows[all_rows["origin_session"].isin(origins)].reset_index(drop=True)
    assert newest.equals(kept)
    assert not newest.empty


def test_past_forecasts_are_the_newest_of_each_horizon(database_url):
    store_random_scores(database_url, seed=0)
    with reading(database_url) as connection:
        all_rows = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 20), limit=1000)
        newest = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 20), limit=7)
    kept = all_rows.groupby("horizon").tail(7).reset_index(drop=True)
    assert newest.equals(kept)
    assert newest.groupby("horizon").size().to_dict() == {1: 7, 5: 7}
