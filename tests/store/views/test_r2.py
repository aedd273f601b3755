from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.sessions import between
from forecasting.store import read, schema, write
from forecasting.store.connect import Connection, reading, transaction
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.store.rows import SYMBOL, at, bar_rows, fetched, forecast_row, model_row, revision, run_row, score_row

SESSIONS = between(date(2024, 1, 3), date(2024, 3, 28))
RESTATED, SPLIT = 30, 45
"""Sessions, counted from the first, after which one earlier bar is restated, and all are on another share basis."""

Versions = dict[int, list[tuple[float, float]]]
"""Volume and close of each version of a session."""


def ledger(url: str, seed: int) -> None:
    """Bars of every session, one restated after it was used, a split; forecasts of all nights from the ninth on."""
    rng = np.random.default_rng(seed)
    versions: Versions = {}
    with transaction(url) as connection:
        for model in ("lstm", "lstm:2", "ridge"):
            write.add(connection, "models", model_row(model, model.partition(":")[0]))
        for place, session in enumerate(SESSIONS):
            basis = 2.0 if place >= SPLIT else 1.0
            changed = {place: (rng.lognormal(4.6, 0.4) * basis, rng.lognormal(2.3, 0.1) / basis)}
            if place == RESTATED:
                changed[place - 3] = (versions[place - 3][-1][0] * 1.7, versions[place - 3][-1][1])
            if place == SPLIT:
                changed |= {known: (one[-1][0] * 2, one[-1][1] / 2) for known, one in versions.items()}
            store(connection, versions, changed, seen=f"{session}T21:00")
            write.add(connection, "runs", run_row(str(session), str(session)))
            if place >= 8:
                write.add_forecasts(connection, night(place, basis, rng))
        stored = pd.DataFrame(connection.execute(sa.select(schema.forecasts)).mappings().all())
        write.add_scores(connection, [row for one in stored.to_dict("records") for row in scores_of(one, versions)])


def store(connection: Connection, versions: Versions, changed: dict[int, tuple[float, float]], *, seen: str) -> None:
    bars = []
    for place, (volume, close) in sorted(changed.items()):
        versions.setdefault(place, []).append((float(round(volume)), close))
        one = bar_rows({str(SESSIONS[place]): float(round(volume))}, version=len(versions[place]))
        bars.append(one.assign(close=close))
    added = pd.concat(bars, ignore_index=True)
    assert write.add_fetch(
        connection, fetched(added), revision(added), fetch_id=seen[:16], fetched_at=at(seen), run_id=None
    )


def night(place: int, basis: float, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Two horizons of the published forecast, a baseline's own and, one night in five, a later one in its place."""
    origin = str(SESSIONS[place])
    roles = {"lstm": ("champion", "22:00"), "ridge": ("baseline", "22:00"), "lstm:2": ("champion", "23:00")}
    rows = []
    for model, (role, hour) in roles.items():
        for horizon in (1, 2) if model != "lstm:2" or place % 5 == 0 else ():
            median = basis * rng.lognormal(4.6, 0.3)
            quantiles = {name: median * (0.7 + 0.1 * level) for level, name in enumerate(QUANTILE_COLUMNS)}
            row = forecast_row(model, origin, horizon, role=role, issued_at=at(f"{origin}T{hour}"), **quantiles)
            rows.append(row | {"fetch_id": f"{origin}T21:00"[:16]})
    return rows


def scores_of(forecast: dict[str, Any], versions: Versions) -> list[dict[str, Any]]:
    """A score against every version of the bar; against the first also as the first print."""
    place = SESSIONS.index(forecast["target_session"]) if forecast["target_session"] in SESSIONS else None
    if place is None:
        return []
    settled = [score_row(forecast, stage="settled", bar_version=k + 1) for k in range(len(versions[place]))]
    return [score_row(forecast), *settled]


def naive_errors(connection: Connection, horizon: int) -> dict[date, tuple[float, float]]:
    """Squared errors of forecast and mean by a loop over nights: the newest forecast of each, the newest bar."""
    squares = {}
    newest = read.bars(connection, SYMBOL)
    table = schema.forecasts
    published = sa.select(table).where(table.c.horizon == horizon, table.c.role == "champion")
    forecasts = pd.DataFrame(connection.execute(published.order_by(table.c.issued_at)).mappings().all())
    for origin in SESSIONS[8:-horizon]:
        forecast = forecasts[forecasts["origin_session"] == origin].iloc[-1]
        known = read.bars(connection, SYMBOL, last=origin, known_at=forecast["data_as_of"])
        bar = newest.loc[pd.Timestamp(forecast["target_session"])]
        actual = np.log(bar["volume"] * bar["close"])
        error = actual - np.log(forecast["q50"] * known["close"].iloc[-1])
        squares[origin] = (error**2, (actual - np.log(known["volume"] * known["close"]).tail(5).mean()) ** 2)
    return squares


@pytest.mark.parametrize(("database_url", "seed"), [("sqlite", 0), ("postgres", 1)], indirect=["database_url"])
def test_live_r2_equals_a_loop_over_nights_also_across_a_restatement_and_a_split(database_url, seed):
    ledger(database_url, seed)
    with reading(database_url) as connection:
        found = read.view(connection, "live_r2", SYMBOL)
        squares = {horizon: naive_errors(connection, horizon) for horizon in (1, 2)}
        assert len(found) == 6
        for row in found.to_dict("records"):
            scored = SESSIONS[8 : -row["horizon"]][-row["window_sessions"] :]
            ends = (row["first_origin"].date(), row["last_origin"].date())
            assert (row["kind"], row["n"], *ends) == ("live", len(scored), scored[0], scored[-1])
            ours, means = np.sum([squares[row["horizon"]][origin] for origin in scored], axis=0)
            assert row["r2"] == pytest.approx(1 - ours / means, rel=1e-9)
