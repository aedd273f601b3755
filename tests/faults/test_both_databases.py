"""The same random steps on SQLite and PostgreSQL: the same outcomes, and the same rows in every table and view."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.exc import IntegrityError

from forecasting.errors import ForecastingError
from forecasting.evaluate.scores import score_rows
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import check_bars
from forecasting.ingest.revisions import StoredBars, explain
from forecasting.ingest.sources import Fetched
from forecasting.sessions import next_sessions
from forecasting.store import read, views, write
from forecasting.store.connect import reading, transaction
from forecasting.store.schema import metadata
from forecasting.vocabulary import QUANTILE_COLUMNS, short_id
from tests.builders import random_bars
from tests.postgres import fresh_postgres
from tests.store.rows import forecast_row, model_row, rebuild_standings, run_row

SYMBOLS = ("SBUX", "BRK-B")
PRICES = ["open", "high", "low", "close", "adj_close"]

texts = st.text(st.characters(), max_size=20)  # NUL and halves of surrogate pairs too
symbols = st.sampled_from(SYMBOLS)
targets = st.sampled_from(["volume", "close", "range"])
places = st.integers(1, 12)  # sessions back from the newest
counts = st.integers(0, 99)
values = st.floats(0.0, 1e12) | st.sampled_from([0.0, -0.0, 5e-324, 1e300, 1 / 3])


class LedgerPair(NamedTuple):
    """The URLs of two ledgers."""

    sqlite: str
    postgres: str

    def write(self, step: Callable[[sa.Connection], object]) -> object:
        """What a step returns on both, each in a transaction of its own; the name of its error where it was refused."""
        here, there = (_outcome(url, step) for url in self)
        assert here == there
        return here

    def check_tables(self) -> None:
        """Every table has the same rows on both, to the last bit of a float; SQLite has no negative zero."""
        here, there = (_table_rows(url) for url in self)
        for name in metadata.tables:
            assert here[name] == there[name], name

    def check_views(self, symbols: Sequence[str]) -> None:
        """Every view has the same rows on both, of the same types; sums of floats may differ in their last digits."""
        for name in views.VIEWS:
            for symbol in symbols:
                here, there = (_view_rows(url, name, symbol) for url in self)
                pd.testing.assert_frame_equal(here, there, rtol=1e-9, atol=1e-9, obj=name)


def _outcome(url: str, step: Callable[[sa.Connection], object]) -> object:
    try:
        with transaction(url) as connection:
            return step(connection)
    except (IntegrityError, ForecastingError, ValueError) as error:
        return type(error).__name__


def _table_rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    with reading(url) as connection:
        return {
            name: sorted(tuple(map(_exact, row)) for row in connection.execute(sa.select(table)))
            for name, table in metadata.tables.items()
        }


def _exact(value: object) -> str:
    return repr(value + 0.0 if isinstance(value, float) else value)


def _view_rows(url: str, name: str, symbol: str) -> pd.DataFrame:
    """A view's rows of a symbol, in an order that does not depend on floats."""
    with reading(url) as connection:
        rows = read.view(connection, name, symbol)
    exact = [column for column in rows if rows[column].dtype.kind != "f"]
    order = rows[exact].astype(str).sort_values(exact, kind="stable").index
    return rows.loc[order].reset_index(drop=True)


class SameSteps(RuleBasedStateMachine):
    """A vendor of two symbols, and nights that write what it serves; each step runs on both ledgers."""

    pairs: Callable[[], Any]
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self._opened = type(self).pairs()
        self.ledgers: LedgerPair = self._opened.__enter__()
        self.clock = datetime(2024, 3, 8, 21, tzinfo=UTC)
        self.last: Callable[[sa.Connection], object] = lambda connection: 0
        self.runs: list[dict[str, Any]] = []

    @initialize(seed=st.integers(0, 99))
    def open(self, seed: int) -> None:
        self.bars = {symbol: random_bars(30, seed=seed + place) for place, symbol in enumerate(SYMBOLS)}
        self.actions = {symbol: make_actions([]) for symbol in SYMBOLS}
        for symbol in SYMBOLS:
            self.fetch(symbol, 30)

    def write(self, step: Callable[[sa.Connection], object]) -> object:
        self.last = step
        done = self.ledgers.write(step)
        self.ledgers.check_tables()
        return done

    def now(self) -> datetime:
        self.clock += timedelta(hours=1, microseconds=123457)
        return self.clock

    @invariant()
    def count(self) -> None:
        type(self).steps += 1

    # What the vendor does.

    @rule(symbol=symbols, seed=st.integers(0, 99))
    def close_session(self, symbol: str, seed: int) -> None:
        bars = self.bars[symbol]
        session = next_sessions(bars.index[-1].date(), 1)[0]
        change = np.exp(np.random.default_rng(seed).normal(0.0, 0.02))
        new = bars.iloc[-1:].set_axis(pd.DatetimeIndex([session], name="session"))
        volume = np.round(new["volume"].fillna(1e6) * change)
        self.bars[symbol] = pd.concat([bars, (new * change).assign(volume=volume)])

    @rule(symbol=symbols, back=places, factor=st.sampled_from([1.0003, 0.9, 1.2, float("nan")]))
    def restate_volume(self, symbol: str, back: int, factor: float) -> None:
        place = self.bars[symbol].columns.get_loc("volume")
        self.bars[symbol].iloc[-back, place] = np.round(self.bars[symbol].iloc[-back, place] * factor)

    @rule(symbol=symbols, ratio=st.sampled_from([2.0, 3.0, 0.5, 1.5]), named=st.booleans(), back=st.integers(0, 3))
    def split(self, symbol: str, ratio: float, named: bool, back: int) -> None:
        bars = self.bars[symbol]
        session = bars.index[-1 - back]
        earlier = bars.index < session
        bars.loc[earlier, PRICES] /= ratio
        bars.loc[earlier, "volume"] = (bars.loc[earlier, "volume"] * ratio).round()
        if named:
            self.actions[symbol] = pd.concat([self.actions[symbol], make_actions([(session, "split", ratio)])])

    # What a night writes.

    @rule(symbol=symbols, days=st.integers(1, 40), title=texts)
    def fetch(self, symbol: str, days: int, title: str = "Starbucks") -> None:
        bars = self.bars[symbol].iloc[-days:].copy()
        actions = self.actions[symbol].drop_duplicates(["session", "kind"], keep="last")
        actions = actions.sort_values(["session", "kind"], ignore_index=True)
        span = bars.index[0].date(), bars.index[-1].date()
        fetched = Fetched("test", symbol, *span, bars, actions, "1", title, live=True)
        at = self.now()

        def step(connection: sa.Connection) -> object:
            known, newest = read.bars(connection, symbol), read.newest_fetch(connection, symbol)
            kept, found = check_bars(fetched, exchange="XNYS", known=known)
            adjusted = (newest["adjustment_session"], newest["adjustment"]) if newest and newest["adjustment"] else None
            stored = read.actions(connection, symbol)
            revision = explain(StoredBars(known, stored, adjusted), kept, actions=actions)
            revision.findings[:0] = found
            id = short_id(symbol, at.isoformat())
            return write.add_fetch(connection, fetched, revision, fetch_id=id, fetched_at=at, run_id=None)

        self.write(step)

    @rule(
        symbol=symbols,
        of=targets,
        kind=st.sampled_from(["live", "late", "replay"]),
        back=st.integers(0, 4),
        published=st.sampled_from(["lstm", "lstm", "ridge", ""]),
        text=texts,
        spread=values,
        exact=st.booleans(),
    )
    def forecast(self, symbol: str, of: str, kind: str, back: int, **drawn: Any) -> None:
        """A night of network and two baselines; exact ones have losses of 0, by which views must not divide."""
        bars, at = self.bars[symbol], self.now()
        origin = bars.index[-1 - back].date()
        run = short_id(symbol, of, at.isoformat())
        level = float(bars[{"volume": "volume", "close": "close", "range": "high"}[of]].iloc[-back or -1])
        level = 1e6 if np.isnan(level) else level
        step_size = 0.0 if drawn["exact"] else drawn["spread"]
        quantiles = {name: level + (place - 3) * step_size for place, name in enumerate(QUANTILE_COLUMNS)}
        roles = {"lstm": "silenced", "ridge": "baseline", "har": "baseline", drawn["published"]: "champion"}
        models = {name: f"{name}-{run}"[:16] for name in roles if name}
        common = {"symbol": symbol, "target": of}
        row = run_row(run, origin.isoformat(), **common, note=drawn["text"], settings=drawn["text"], started_at=at)

        def step(connection: sa.Connection) -> object:
            newest = read.newest_fetch(connection, symbol)
            assert newest is not None
            made = [write.add(connection, "runs", row)]
            for name, id in models.items():
                path = None if name != "lstm" else f"artifacts/{id}"
                made.append(write.add(connection, "models", model_row(id, name, **common, artifact_path=path)))
            rows = [
                forecast_row(id, origin.isoformat(), horizon, **common, **quantiles, kind=kind, role=roles[name])
                | {"run_id": run, "fetch_id": newest["id"], "issued_at": at, "data_as_of": at, "reason": drawn["text"]}
                for name, id in models.items()
                for horizon in (1, 2, 5)
            ]
            return [*made, write.add(connection, "forecasts", *rows)]

        self.write(step)
        self.runs.append(row | {"models": models})

    @rule(symbol=symbols, of=targets)
    def score(self, symbol: str, of: Any) -> None:
        at = self.now()

        def step(connection: sa.Connection) -> object:
            last = read.newest(connection, "bar_versions", "session", {"symbol": symbol}) or date.min
            due = read.unscored_forecasts(connection, symbol, of, last=last)
            return write.add_scores(connection, score_rows(due, target=of, scored_at=at))

        self.write(step)

    @precondition(lambda self: self.runs)
    @rule(which=counts, status=st.sampled_from(["done", "failed", "late"]), text=texts, seconds=values | st.none())
    def close_run(self, which: int, status: str, text: str, seconds: float | None) -> None:
        run = self.runs[which % len(self.runs)]
        closed = {
            "status": status,
            "error": text,
            "note": text * 2,
            "seconds_train": seconds,
            "finished_at": self.now(),
        }
        self.write(lambda connection: write.update_run(connection, run["id"], closed))

    @precondition(lambda self: self.runs)
    @rule(which=counts, losses=st.tuples(values | st.none(), values), trigger=st.sampled_from(["night", "promote"]))
    def decide(self, which: int, losses: tuple[float | None, float], trigger: str) -> None:
        run = self.runs[which % len(self.runs)]
        winner, at = run["models"]["lstm"], self.now()
        row = {"id": short_id(winner, at.isoformat()), "symbol": run["symbol"], "target": run["target"]}
        row |= {"session": run["as_of"], "challenger": winner, "winner": winner, "champion_pinball": losses[0]}
        row |= {"challenger_pinball": losses[1], "origins": 3, "reason": "drawn", "trigger": trigger, "decided_at": at}
        self.write(lambda connection: write.add(connection, "promotions", row))

    @precondition(lambda self: self.runs)
    @rule(which=counts, value=values)
    def prune_and_measure(self, which: int, value: float) -> None:
        run = self.runs[which % len(self.runs)]
        id = run["models"]["lstm"]
        row = {"model_id": id, "symbol": run["symbol"], "target": run["target"], "horizon": 0, "metric": "mae", "n": 1}
        row |= {"scope": "backtest", "window_from": date(2024, 1, 2), "window_to": run["as_of"], "value": value}
        row |= {"run_id": run["id"]}
        self.write(
            lambda connection: (write.clear_artifact_path(connection, id), write.add(connection, "metrics", row))
        )

    @rule(symbol=symbols, place=st.integers(1, 3), timing=st.sampled_from(["amc", "bmo", ""]))
    def read_events(self, symbol: str, place: int, timing: str) -> None:
        at = self.now()
        days = pd.to_datetime([f"2024-0{place}-15", f"2024-06-{place:02}"])
        frame = pd.DataFrame({"session": days, "kind": "earnings", "known_from": days - pd.Timedelta(days=30)})
        frame = frame.assign(announced=days, timing=timing, known_rule="30 days")
        self.write(lambda connection: write.add_events(connection, symbol, frame, source="csv", first_seen_at=at))

    # What goes wrong, and what an operator does.

    @rule()
    def write_again(self) -> None:
        self.write(self.last)

    @precondition(lambda self: self.runs)
    @rule(which=counts, broken=st.sampled_from(["q05", "target_session", "run_id", "model_id"]))
    def write_a_row_that_is_refused(self, which: int, broken: str) -> None:
        """In the middle of a night, of which nothing is kept."""
        run = self.runs[which % len(self.runs)]
        wrong = {"q05": 1e9, "target_session": date(2000, 1, 3), "run_id": "none", "model_id": "none"}[broken]
        row = forecast_row(
            run["models"]["lstm"], run["as_of"].isoformat(), 3, symbol=run["symbol"], target=run["target"]
        )
        at = self.now()

        def step(connection: sa.Connection) -> object:
            newest = read.newest_fetch(connection, run["symbol"])
            assert newest is not None
            refused = row | {"run_id": run["id"], "fetch_id": newest["id"], "issued_at": at, broken: wrong}
            write.update_run(connection, run["id"], {"flow_run_id": f"{at:%H:%M:%S.%f}"})
            return write.add(connection, "forecasts", refused)

        assert self.write(step) == "IntegrityError"

    @rule()
    def rebuild_standings(self) -> None:
        self.write(rebuild_standings)

    def teardown(self) -> None:
        try:
            if self.runs:
                self.ledgers.check_views(SYMBOLS)
        finally:
            self._opened.__exit__(None, None, None)


@pytest.fixture
def pairs(postgres_server: sa.Engine, migrated_postgres: str, migrated_sqlite_file: Path, tmp_path: Path):
    """A function that opens a new pair of migrated ledgers."""

    @contextmanager
    def opened() -> Iterator[LedgerPair]:
        path = tmp_path / "ledger.db"
        shutil.copy(migrated_sqlite_file, path)
        with fresh_postgres(postgres_server, template=migrated_postgres) as url:
            yield LedgerPair(f"sqlite:///{path}", url)

    return opened


def run(machine: type[SameSteps], pairs: Callable[[], Any], *, sequences: int, steps: int, same: bool) -> None:
    # Looked up on the class: run_state_machine_as_test makes each machine without arguments.
    machine.pairs = staticmethod(pairs)
    options = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        derandomize=same,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=options)


def test_the_same_steps_leave_the_same_rows_on_sqlite_and_postgres(pairs: Callable[[], Any]) -> None:
    run(SameSteps, pairs, sequences=3, steps=15, same=True)


@pytest.mark.campaign
def test_thousands_of_steps_leave_the_same_rows_on_sqlite_and_postgres(pairs: Callable[[], Any]) -> None:
    """BOTH_SEQUENCES=100 of 50 steps each, other ones each time."""
    run(SameSteps, pairs, sequences=int(os.environ.get("BOTH_SEQUENCES", "100")), steps=50, same=False)
    sys.stdout.write(f"\n{SameSteps.steps} steps\n")
