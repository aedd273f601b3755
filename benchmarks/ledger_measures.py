"""The time of reading a ledger of years and of writing one more night, by the library's own statements."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from ledger_rows import SOURCE, TARGET, Market, next_night, window_of

from forecasting.evaluate.drift import DRIFT_ORIGINS
from forecasting.evaluate.scores import score_rows
from forecasting.ingest.actions import make_actions
from forecasting.ingest.revisions import Revision
from forecasting.ingest.sources import Fetched
from forecasting.pipeline.publish import report_data
from forecasting.predict.calibration import MAX_FORECASTS
from forecasting.predict.fallback import SCORED_ORIGINS
from forecasting.settings import Settings
from forecasting.store import database, read, tables, writes
from forecasting.store.read import unscored_forecasts

Read = Callable[[sa.Connection, str], object]
Pair = tuple[float, float]

MEASURED_SYMBOLS = 7
"""Symbols, evenly spaced over all, that each query is run for once."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: Name of the measurement.
        times: Wall and CPU seconds of this process, one pair per call.
        aim: Wall seconds; None without one.
    """

    what: str
    times: list[Pair]
    aim: float | None = None

    @property
    def medians(self) -> Pair:
        """Median wall and CPU seconds."""
        return median(wall for wall, _ in self.times), median(busy for _, busy in self.times)


def queries(last: date) -> list[tuple[str, float | None, Read]]:
    """The queries of commands, pages and nights for one symbol, each with its aim in seconds."""

    def view(name: str) -> Read:
        return lambda connection, symbol: read.view(connection, name, symbol, TARGET)

    def losses(origins: int) -> Read:
        return lambda connection, symbol: read.losses(connection, symbol, TARGET, last=last, origins=origins)

    return [
        ("view latest_forecasts", 0.010, view("latest_forecasts")),
        ("view live_skill", 0.050, view("live_skill")),
        ("view live_r2", 0.250, view("live_r2")),
        ("view night_log, all nights", None, view("night_log")),
        ("view forecast_vs_actual, all rows", None, view("forecast_vs_actual")),
        ("forecasting show: report_data", 1.0, lambda c, symbol: report_data(c, symbol, TARGET, exchange="XNYS")),
        ("forecasting models list: models", 1.0, lambda c, symbol: read.models(c, symbol, TARGET)),
        ("forecasting check: newest_live_origin", 1.0, lambda c, s: read.newest_live_origin(c, s, TARGET)),
        ("forecasting models show: lineage", 1.0, lambda c, s: read.lineage(c, read.models(c, s, TARGET)[0]["id"])),
        ("a night checks whether its forecasts are stored", None, lambda c, s: read.has_forecasts(c, newest_run(c, s))),
        ("a night reads its own model", None, lambda c, s: read.model_of_run(c, newest_run(c, s))),
        ("a night reads bars", None, lambda c, symbol: read.bars(c, symbol)),
        ("a night reads newest_finished", None, lambda c, symbol: read.newest_finished(c, symbol, TARGET)),
        (
            "a night reads past_forecasts",
            None,
            lambda c, symbol: read.past_forecasts(c, symbol, TARGET, origin=last, limit=MAX_FORECASTS),
        ),
        (
            "a night reads unscored_forecasts, none unscored",
            None,
            lambda c, s: unscored_forecasts(c, s, TARGET, last=last),
        ),
        (f"a night reads the losses, {SCORED_ORIGINS} origins", None, losses(SCORED_ORIGINS)),
        (f"a night reads the losses, {DRIFT_ORIGINS} origins", None, losses(DRIFT_ORIGINS)),
    ]


def newest_run(connection: sa.Connection, symbol: str) -> str:
    """The id of a symbol's newest run."""
    run = tables.runs
    return str(connection.scalar(sa.select(run.c.id).where(run.c.symbol == symbol).order_by(run.c.as_of.desc())))


def measure_reads(url: str, symbols: list[str], last: date) -> list[Figure]:
    """Each query for MEASURED_SYMBOLS symbols on an open connection, after one that is not counted."""
    measured = [symbols[i] for i in np.linspace(0, len(symbols) - 1, min(MEASURED_SYMBOLS, len(symbols)), dtype=int)]
    figures = []
    with database.reading(url) as connection:
        for what, aim, read in queries(last):
            read(connection, symbols[len(symbols) // 3])
            times: list[Pair] = []
            for symbol in measured:
                with _timed(times):
                    read(connection, symbol)
            figures.append(Figure(what, times, aim))
    return figures


def plans(url: str, symbol: str, last: date) -> Iterator[str]:
    """Every statement of the queries, with the database's plan."""
    with database.reading(url) as connection:
        sent: list[tuple[str, Any]] = []
        listener = (connection.engine, "before_cursor_execute", lambda *event: sent.append((event[2], event[3])))
        sa.event.listen(*listener)
        for what, _, read in queries(last):
            sent.clear()
            read(connection, symbol)
            for statement, parameters in list(sent):
                yield f"\n## {what}\n{statement}\n"
                explain = (
                    "EXPLAIN (ANALYZE, BUFFERS)" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
                )
                for row in connection.exec_driver_sql(f"{explain} {statement}", parameters):
                    yield str(row[-1])
        sa.event.remove(*listener)


def measure_writes(url: str, market: Market, night: int, settings: Settings) -> list[Figure]:
    """The writes of one more night of every symbol, in the four transactions that a night of a symbol has."""
    with database.reading(url) as connection:
        champions = np.array([champion_id(connection, symbol) for symbol in market.symbols], dtype=object)
    rows = next_night(market, night, settings, champions=champions)
    spent: dict[str, list[Pair]] = {"fetch": [], "model": [], "forecasts": [], "scores": []}
    gc.freeze()  # the rows of all symbols, which no real night holds, would slow the garbage collector
    with database.kept_open(url):  # as a run does
        for place, symbol in enumerate(market.symbols):
            write_night(url, rows[symbol], fetch_of(market, place, night, rows[symbol]["bar_versions"]), spent)
    parts = [Figure(f"of it {name}", [_sum(times)]) for name, times in spent.items()]
    total = _sum([pair for times in spent.values() for pair in times])
    return [Figure(f"a night's writes, {len(market.symbols)} symbols", [total], 10.0), *parts, first_fetch(url, market)]


def write_night(
    url: str, rows: dict[str, list[dict[str, Any]]], fetched: tuple[Fetched, Revision], spent: dict[str, list[Pair]]
) -> None:
    """Write one symbol's night, adding the seconds of each transaction to `spent`; reads are not counted."""
    (run,), (fetch,), (promotion,) = rows["runs"], rows["fetches"], rows["promotions"]
    keys = {"fetch_id": fetch["id"], "fetched_at": fetch["fetched_at"], "run_id": fetch["run_id"]}
    with _timed(spent["fetch"]), database.transaction(url) as connection:
        writes.start_run(connection, run)
        writes.add_fetch(connection, *fetched, **keys)
    with _timed(spent["model"]), database.transaction(url) as connection:
        writes.add_model(connection, rows["models"][0])
    with _timed(spent["forecasts"]), database.transaction(url) as connection:
        writes.add_forecasts(connection, rows["forecasts"])
    with database.reading(url) as connection:
        due = unscored_forecasts(connection, run["symbol"], TARGET, last=run["as_of"].date())
    scores = score_rows(due, target=TARGET, scored_at=fetch["fetched_at"])
    with _timed(spent["scores"]), database.transaction(url) as connection:
        added = writes.add_scores(connection, scores)
        writes.add_promotion(connection, promotion)
    if not added or added != len(scores):
        raise SystemExit(f"{run['symbol']}: {added} of {len(scores)} scores are new; the night is already stored.")


def fetch_of(market: Market, place: int, night: int, versions: list[dict[str, Any]]) -> tuple[Fetched, Revision]:
    """The fetch of a symbol's night over its whole window, and the revision it makes."""
    bars = window_of(market, place, night)
    first, last = bars.index[0].date(), bars.index[-1].date()
    fetched = Fetched(
        SOURCE, market.symbols[place], first, last, bars, make_actions([]), "yfinance 1.7.0", "made up", True
    )
    changed = pd.DataFrame(versions)[["session", "version", "open", "high", "low", "close", "volume"]]
    return fetched, Revision("extended", "1 new session", changed, [market.day(night - 1)], make_actions([]), [])


def champion_id(connection: sa.Connection, symbol: str) -> str:
    """The id of the symbol's champion; empty without one."""
    found = read.champion(connection, symbol, TARGET)
    return str(found["id"]) if found else ""


def first_fetch(url: str, market: Market) -> Figure:
    """The write of the bars of a new symbol, rolled back."""
    bars = window_of(market, 0, market.first_night)
    fetched = Fetched(SOURCE, "FIRST", bars.index[0].date(), bars.index[-1].date(), bars, make_actions([]), "y", "f")
    versions = bars.drop(columns="adj_close").reset_index().assign(version=1)
    revision = Revision("first", "", versions, [], make_actions([]), [])
    times: list[Pair] = []
    at = datetime.now(UTC)
    for _ in range(5):
        with database.transaction(url) as connection:
            with _timed(times):
                writes.add_fetch(connection, fetched, revision, fetch_id="first", fetched_at=at, run_id=None)
            connection.rollback()
    return Figure(f"a first fetch, {len(bars)} bar versions", times)


def sizes(url: str) -> Iterator[tuple[str, float]]:
    """GiB on disk of the database and, on Postgres, of each large table with its indexes."""
    with database.reading(url) as connection:
        if connection.dialect.name == "sqlite":
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            yield "whole database", pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one() / 2**30
            return
        yield (
            "whole database",
            connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one() / 2**30,
        )
        for name in ("forecasts", "scores", "bar_versions", "models", "runs", "fetches", "promotions", "standings"):
            size = connection.execute(sa.text("SELECT pg_total_relation_size(:name)"), {"name": name}).scalar_one()
            yield f"of it {name}", size / 2**30


def counts(url: str) -> dict[str, int]:
    """Rows of the large tables."""
    with database.reading(url) as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (tables.forecasts, tables.scores, tables.runs)
        }


def _sum(times: list[Pair]) -> Pair:
    return sum(wall for wall, _ in times), sum(busy for _, busy in times)


@contextmanager
def _timed(times: list[Pair]) -> Iterator[None]:
    started, busy = time.perf_counter(), time.process_time()
    yield
    times.append((time.perf_counter() - started, time.process_time() - busy))
