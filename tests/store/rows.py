"""Rows of the ledger for tests: whole, valid, and the same whenever they are built."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from forecasting.evaluate.scores import ScoreRow
from forecasting.ingest.actions import make_actions
from forecasting.ingest.revisions import Revision
from forecasting.ingest.sources import Request, Response
from forecasting.sessions import next_sessions
from forecasting.store import read, schema, write
from forecasting.store.rows import ModelRow, RunRow
from forecasting.store.schema import FORECAST_KEY
from forecasting.vocabulary import QUANTILE_COLUMNS

SYMBOL = "SBUX"
TARGET = "volume"
SERIES = {"symbol": SYMBOL, "target": TARGET}
NO_ACTIONS = make_actions([])


def at(text: str) -> datetime:
    """The instant of an ISO text, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bar_rows(volumes: dict[str, float], *, version: int = 1) -> pd.DataFrame:
    """Versions of the sessions named, every price 10, 12, 9 and 11."""
    return pd.DataFrame(
        {
            "session": pd.DatetimeIndex(volumes, dtype="datetime64[ns]"),
            "version": version,
            "open": 10.0,
            "high": 12.0,
            "low": 9.0,
            "close": 11.0,
            "volume": volumes.values(),
        }
    )


def revision(
    versions: pd.DataFrame,
    *,
    settled: tuple[str, ...] = (),
    actions: pd.DataFrame = NO_ACTIONS,
    findings: tuple = (),
) -> Revision:
    days = [date.fromisoformat(day) for day in settled]
    return Revision("extended", "for a test", versions, days, actions, list(findings))


def fetched(versions: pd.DataFrame, symbol: str = SYMBOL) -> Response:
    """The response that would have brought the versions."""
    bars = versions.set_index("session").drop(columns="version").assign(adj_close=11.0)
    first = bars.index[0].date()
    last = bars.index[-1].date()
    request = Request("csv:SBUX.csv", symbol, first, last)
    return Response(request, bars, title="Starbucks", library_version="pandas 3")


def store_bars(
    connection: sa.Connection, volumes: dict[str, float], *, seen: str, version: int = 1, **changed
):
    """Write a fetch named after the instant `seen`, with these versions, as a `revision`."""
    versions = bar_rows(volumes, version=version)
    store_fetch(connection, fetched(versions), revision(versions, **changed), seen=seen)


def store_fetch(connection: sa.Connection, response: Response, change: Revision, *, seen: str):
    about = {"fetch_id": seen[:16], "fetched_at": at(seen), "run_id": ""}
    assert write.add_fetch(connection, response, change, **about)


def run_row(id: str, as_of: str, **changed) -> dict[str, Any]:
    row = {
        **SERIES,
        "id": id,
        "as_of": date.fromisoformat(as_of),
        "source": "csv:SBUX.csv",
        "trigger": "run",
        "status": "done",
        "started_at": at(f"{as_of}T22:00"),
        "code_version": "0.1.0",
        "settings": "{}",
    }
    return row | changed


def stored_run(id: str, as_of: str, **changed) -> RunRow:
    """The same as it is read."""
    return RunRow(**run_row(id, as_of, **changed))


def model_row(id: str, name: str = "lstm", **changed) -> dict[str, Any]:
    row = {
        **SERIES,
        "id": id,
        "name": name,
        "version": "1",
        "method": "scratch" if name == "lstm" else "baseline",
        "scope": "symbol",
        "seed": 0,
        "code_version": "0.1.0",
        "created_at": at("2024-03-01T22:00"),
    }
    return row | changed


def stored_model(id: str, **changed) -> ModelRow:
    """The same as it is read."""
    row = model_row(id, **changed)
    return ModelRow(**(dict.fromkeys(ModelRow.__match_args__) | row))


def forecast_row(model_id: str, origin: str, horizon: int = 1, **changed) -> dict[str, Any]:
    """A forecast whose quantiles are 70, 80, ...

    130, issued at ten in the evening of its origin by run `origin`.
    """
    session = date.fromisoformat(origin)
    row = {
        **SERIES,
        "model_id": model_id,
        "origin_session": session,
        "horizon": horizon,
        "kind": "live",
        "target_session": next_sessions(session, horizon)[-1],
        **{name: 70.0 + 10.0 * place for place, name in enumerate(QUANTILE_COLUMNS)},
        "role": "published",
        "status": "ok",
        "last_value": 95.0,
        "issued_at": at(f"{origin}T22:00"),
        "data_as_of": at(f"{origin}T21:00"),
        "fetch_id": "2024-01-02T21:00",
        "run_id": origin,
    }
    return row | changed


def event_frame(session: str, rule: str = "seen", **changed) -> pd.DataFrame:
    """An announcement of the evening before `session`, known from March 2024 on."""
    day = pd.Timestamp(session)
    row = {
        "session": day,
        "kind": "earnings",
        "known_from": pd.Timestamp("2024-03-01"),
        "known_rule": rule,
        "announced": day - pd.Timedelta(days=1),
        "timing": "amc",
        "source": "yahoo",
    }
    return pd.DataFrame([row | changed])


def part_rows(forecast: dict[str, Any], **factors: float) -> list[dict[str, Any]]:
    """The parts of the forecast's median, in this order."""
    key = {name: forecast[name] for name in FORECAST_KEY}
    return [
        key | {"part": part, "place": place, "factor": factors[part]}
        for place, part in enumerate(factors, 1)
    ]


def score_row(forecast: dict[str, Any], **changed) -> ScoreRow:
    """The forecast's score against an actual of 90: ten too high."""
    row = {
        **{name: forecast[name] for name in (*FORECAST_KEY, "target_session", "role", "issued_at")},
        "model": forecast["model_id"].partition(":")[0],
        "stage": "first_print",
        "bar_version": 1,
        "actual": 90.0,
        "error": 10.0,
        "pinball": 4.0,
        "interval_score": 20.0,
        "inside_80": True,
        "inside_90": True,
        "scored_at": at("2024-04-01T22:00"),
    }
    return ScoreRow(**(row | changed))


def total_row(forecast: dict[str, Any], **changed) -> dict[str, Any]:
    """The total up to a forecast's session, with the same quantiles."""
    names = schema.total_forecasts.columns.keys()
    row = {name: forecast[name] for name in names if name in forecast}
    return row | {"factor": 1.0} | changed


def start(connection: sa.Connection, *, origins: Sequence[str], models: Sequence[str] = ("lstm",)):
    """What forecasts refer to: a fetch, a run for each origin, and models named like their ids up
    to a colon."""
    store_bars(connection, {"2024-01-02": 100.0}, seen="2024-01-02T21:00")
    write.add(connection, "runs", *(run_row(origin, origin) for origin in origins))
    write.add(connection, "models", *(model_row(id, id.partition(":")[0]) for id in models))


def store_forecasts(connection: sa.Connection, *forecasts: dict[str, Any]):
    """Store forecasts with what they refer to."""
    runs, models = (sorted({row[name] for row in forecasts}) for name in ("run_id", "model_id"))
    start(connection, origins=runs, models=models)
    write.add(connection, "forecasts", *forecasts)


def store_scored(
    connection: sa.Connection, *scored: tuple[dict[str, Any], Sequence[dict[str, Any]]]
):
    """Store forecasts, each with its scores, given by what they change."""
    store_forecasts(connection, *(forecast for forecast, _ in scored))
    add_scores(
        connection, [score_row(row, **changes) for row, scores in scored for changes in scores]
    )


def add_scores(connection: sa.Connection, scores: Sequence[ScoreRow]) -> int:
    """The number of scores added, as by a run that ends with them."""
    added = write.add_scores(connection, scores)
    for symbol, target in {(score.symbol, score.target) for score in scores}:
        write.sum_standings(connection, symbol, target)
    return added


def gather_statistics(connection: sa.Connection):
    """What autovacuum does on Postgres within a minute.

    Without it a join of hundreds of nights compares all pairs.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE fetches, forecasts, models, scores")


def all_rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    """The rows of a table, by primary key."""
    ordered = sa.select(table).order_by(*table.primary_key)
    return [dict(row) for row in connection.execute(ordered).mappings()]


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
