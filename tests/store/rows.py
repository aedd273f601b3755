"""Rows of the ledger for tests: whole, valid, and the same whenever they are built."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from forecasting.ingest.actions import make_actions
from forecasting.ingest.revisions import Revision
from forecasting.ingest.sources import Fetched
from forecasting.sessions import next_sessions
from forecasting.store import read, schema, write
from forecasting.vocabulary import QUANTILE_COLUMNS

SYMBOL = "SBUX"
TARGET = "volume"
NO_ACTIONS = make_actions([])


def at(text: str) -> datetime:
    """The instant of an ISO text, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bar_rows(volumes: dict[str, float], *, version: int = 1) -> pd.DataFrame:
    """Versions of the sessions named, every price 10, 12, 9 and 11."""
    key = {"session": pd.to_datetime(list(volumes)).astype("datetime64[ns]"), "version": version}
    prices = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0}
    return pd.DataFrame(key | prices | {"volume": list(volumes.values())})


def revision(
    versions: pd.DataFrame,
    *,
    settled: tuple[str, ...] = (),
    actions: pd.DataFrame | None = None,
    findings: tuple = (),
) -> Revision:
    return Revision(
        verdict="extended",
        detail="for a test",
        versions=versions,
        settled=[date.fromisoformat(day) for day in settled],
        new_actions=NO_ACTIONS if actions is None else actions,
        findings=list(findings),
    )


def fetched(versions: pd.DataFrame) -> Fetched:
    """The fetch that would have brought the versions."""
    bars = versions.set_index("session").drop(columns="version").assign(adj_close=11.0)
    first = bars.index[0].date()
    last = bars.index[-1].date()
    return Fetched("csv:SBUX.csv", SYMBOL, first, last, bars, NO_ACTIONS, "pandas 3", "Starbucks")


def store_bars(
    connection: sa.Connection,
    volumes: dict[str, float],
    *,
    seen: str,
    version: int = 1,
    settled: tuple[str, ...] = (),
    actions: pd.DataFrame | None = None,
    findings: tuple = (),
):
    """Write a fetch named after the instant `seen`, with these versions."""
    versions = bar_rows(volumes, version=version)
    change = revision(versions, settled=settled, actions=actions, findings=findings)
    assert write.add_fetch(
        connection, fetched(versions), change, fetch_id=seen[:16], fetched_at=at(seen), run_id=""
    )


def run_row(id: str, as_of: str, **changed) -> dict[str, Any]:
    row = {
        "id": id,
        "as_of": date.fromisoformat(as_of),
        "symbol": SYMBOL,
        "target": TARGET,
        "source": "csv:SBUX.csv",
    }
    row |= {"trigger": "run", "status": "done", "started_at": at(f"{as_of}T22:00")}
    return row | {"code_version": "0.1.0", "settings_hash": "abc", "settings": "{}"} | changed


def model_row(id: str, name: str = "lstm", **changed) -> dict[str, Any]:
    method = "scratch" if name == "lstm" else "baseline"
    row = {
        "id": id,
        "name": name,
        "version": "1",
        "method": method,
        "symbol": SYMBOL,
        "target": TARGET,
    }
    row |= {"scope": "symbol", "seed": 0, "settings_hash": "abc", "code_version": "0.1.0"}
    return row | {"created_at": at("2024-03-01T22:00")} | changed


def forecast_row(model_id: str, origin: str, horizon: int = 1, **changed) -> dict[str, Any]:
    """A forecast whose quantiles are 70, 80, ...

    130, issued at ten in the evening of its origin by run `origin`.
    """
    session = date.fromisoformat(origin)
    row = {
        "model_id": model_id,
        "symbol": SYMBOL,
        "target": TARGET,
        "origin_session": session,
        "horizon": horizon,
    }
    row |= {"kind": "live", "target_session": next_sessions(session, horizon)[-1]}
    row |= {name: 70.0 + 10.0 * place for place, name in enumerate(QUANTILE_COLUMNS)}
    row |= {
        "role": "champion",
        "status": "ok",
        "last_value": 95.0,
        "issued_at": at(f"{origin}T22:00"),
    }
    row |= {"data_as_of": at(f"{origin}T21:00"), "fetch_id": "2024-01-02T21:00", "run_id": origin}
    return row | changed


def promotion_row(winner: str | None, session: str, **changed) -> dict[str, Any]:
    """A decision of the night of a session, at ten in the evening, for its challenger unless
    another one is stated."""
    row = {
        "id": session,
        "symbol": SYMBOL,
        "target": TARGET,
        "session": date.fromisoformat(session),
        "origins": 60,
    }
    row |= {
        "champion": None,
        "challenger": winner,
        "winner": winner,
        "reason": f"{winner} on {session}",
    }
    return row | {"trigger": "night", "decided_at": at(f"{session}T22:00")} | changed


def event_frame(session: str, rule: str = "seen", **changed) -> pd.DataFrame:
    """An announcement of the evening before `session`, known from March 2024 on."""
    day = pd.Timestamp(session)
    row = {
        "session": day,
        "kind": "earnings",
        "known_from": pd.Timestamp("2024-03-01"),
        "known_rule": rule,
    }
    return pd.DataFrame(
        [row | {"announced": day - pd.Timedelta(days=1), "timing": "amc"} | changed]
    )


def part_rows(forecast: dict[str, Any], **factors: float) -> list[dict[str, Any]]:
    """The parts of the forecast's median, in this order."""
    key = {column.name: forecast[column.name] for column in schema.forecasts.primary_key}
    return [
        key | {"part": part, "place": place, "factor": factors[part]}
        for place, part in enumerate(factors, 1)
    ]


def score_row(forecast: dict[str, Any], *, stage: str = "first_print", **changed) -> dict[str, Any]:
    """The forecast's score against an actual of 90: ten too high."""
    key = (
        "model_id",
        "symbol",
        "target",
        "origin_session",
        "horizon",
        "kind",
        "target_session",
        "role",
        "issued_at",
    )
    row = {name: forecast[name] for name in key}
    row |= {
        "model": forecast["model_id"].partition(":")[0],
        "stage": stage,
        "bar_version": 1,
        "actual": 90.0,
    }
    row |= {
        "error": 10.0,
        "pinball": 4.0,
        "interval_score": 20.0,
        "inside_80": True,
        "inside_90": True,
    }
    return row | {"scored_at": at("2024-04-01T22:00")} | changed


def total_row(forecast: dict[str, Any], **changed) -> dict[str, Any]:
    """The total up to a forecast's session, with the same quantiles."""
    names = schema.total_forecasts.columns.keys()
    row = {name: forecast[name] for name in names if name in forecast}
    return row | {"factor": 1.0} | changed


def start(
    connection: sa.Connection, *, origins: tuple[str, ...], models: tuple[str, ...] = ("lstm",)
):
    """What forecasts refer to: a fetch, a run for each origin, and models named like their ids up
    to a colon."""
    store_bars(connection, {"2024-01-02": 100.0}, seen="2024-01-02T21:00")
    for origin in origins:
        write.add(connection, "runs", run_row(origin, origin))
    for id in models:
        write.add(connection, "models", model_row(id, id.partition(":")[0]))


def store_scored(
    connection: sa.Connection, *scored: tuple[dict[str, Any], Sequence[dict[str, Any]]]
):
    """Store forecasts with what they refer to, each with its scores, given by what they change."""
    forecasts = [forecast for forecast, _ in scored]
    runs, models = (
        tuple(sorted({row[name] for row in forecasts})) for name in ("run_id", "model_id")
    )
    start(connection, origins=runs, models=models)
    write.add(connection, "forecasts", *forecasts)
    write.add_scores(
        connection, [score_row(row, **changes) for row, scores in scored for changes in scores]
    )


def gather_statistics(connection: sa.Connection):
    """What autovacuum does on Postgres within a minute.

    Without it a join of hundreds of nights compares all pairs.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE fetches, forecasts, models, scores")


def rebuild_standings(connection: sa.Connection):
    """Write all standings from all scores, where some were added without `add_scores` or changed."""
    table = schema.scores
    connection.execute(sa.delete(schema.standings))
    for scope in connection.execute(
        sa.select(table.c.symbol, table.c.target, table.c.kind).distinct()
    ).all():
        write.write_standings(connection, *scope)


def view_rows(
    connection: sa.Connection, view: str, *names: str, by: tuple[str, ...] = ()
) -> list[tuple[Any, ...]]:
    """The columns `names` of the symbol's rows in a view, in the order of `by`, without it of all
    of them."""
    found = read.view(connection, view, {"symbol": SYMBOL}).sort_values(
        list(by or names), ignore_index=True
    )
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in found[list(names)].to_numpy(dtype=object)
    ]
