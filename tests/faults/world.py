"""A simulated world: mornings of a vendor, a machine and an operator, all drawn from one seed.

From the top: what the vendor serves; the world and its mornings; what may go wrong on one; what
must hold of the ledger, computed naively; and a past night made again in a copy of the ledger where
every later value is another one.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock
from zoneinfo import ZoneInfo

import pandas as pd
import sqlalchemy as sa

from flows import clock, nightly
from forecasting.audit.verify import StoredNight, rerun_night, settings_of
from forecasting.errors import ForecastingError, LockedError, UnexpectedError
from forecasting.evaluate import drift
from forecasting.ingest.actions import make_actions
from forecasting.night.night import Night
from forecasting.night.steps.predict import ISSUED_BEFORE
from forecasting.predict import combine, fallback
from forecasting.publish import pages
from forecasting.publish.models import withdraw
from forecasting.sessions import between, last_completed, next_sessions, opens_at, shift
from forecasting.settings import read_settings
from forecasting.store import connect, write
from forecasting.store.rows import RunRow
from forecasting.store.schema import metadata
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS
from tests import yahoo_stand_in
from tests.builders import blank_page, random_bars, set_small_fits
from tests.faults.boundaries import Boundaries, Killed, counted

Row = dict[str, Any]
Key = tuple[Any, ...]
Rows = dict[str, dict[Key, Row]]
"""By table and primary key."""

SYMBOLS = ("AAA", "BBB", "CCC")
ANOTHER = "DDD"
"""Never asked for; its rows may be served in place of another symbol's."""

NEW_YORK = ZoneInfo("America/New_York")
FIRST = date(2022, 1, 4)
"""Worlds begin within the two years after it, so that their mornings fall on different holidays."""

HISTORY = 520
"""Sessions before the first morning: the shortest training window, and what its first row looks
back on."""


class Vendor(yahoo_stand_in.StandIn):
    """The symbols' true bars with their splits and dividends, served with faults."""

    def __init__(self, sessions: Sequence[date], draw: random.Random):
        self.faults = {}  # an edit of the rows, by symbol and the day as of which they are served
        days = HISTORY + len(sessions)
        bars = {
            symbol: random_bars(days, seed=draw.randrange(10**6), last=sessions[-1])
            for symbol in (*SYMBOLS, ANOTHER)
        }
        super().__init__(bars[ANOTHER], symbol=ANOTHER)
        for symbol in SYMBOLS:
            self.add(symbol, bars[symbol], make_actions(self.drawn_actions(symbol, sessions, draw)))

    def drawn_actions(
        self, symbol: str, sessions: Sequence[date], draw: random.Random
    ) -> Iterator[tuple[pd.Timestamp, str, float]]:
        """The dividends and splits of a symbol; a split may reach the history days late."""
        for at, session in enumerate(sessions):
            kind = draw.choices(["none", "dividend", "split"], [18, 1, 1])[0]
            if kind == "dividend":
                yield pd.Timestamp(session), kind, round(draw.uniform(0.05, 0.9), 2)
            if kind == "split":
                ratio = draw.choice([2.0, 3.0, 1.5, 0.5, 0.1])
                yield pd.Timestamp(session), kind, ratio
                for day in sessions[at : at + draw.choice([0, 0, 1, 2])]:
                    self.faults[symbol, day] = yahoo_stand_in.late_split(session, ratio)

    def told(self, symbol: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
        rows, actions = super().told(symbol)
        edit = self.faults.get((symbol, self.today))
        return edit(rows) if edit else rows, actions


class World:
    """Mornings, each with the scheduled night."""

    def __init__(self, seed: int, folder: Path, url: str, *, nights: int):
        """In a new folder, on a ledger without a row."""
        self.draw = random.Random(seed)  # the only source of chance
        self.folder = folder
        self.url = url
        self.today = shift(next_sessions(FIRST, 1)[0], self.draw.randint(0, 500))
        sessions = between(self.today, shift(self.today, nights + 60))
        self.vendor = Vendor(sessions, self.draw)
        self.rows = {name: {} for name in metadata.tables}  # after the newest morning
        self.reached = Counter()  # how nights ended, and what came of mishaps
        self.boundaries = Boundaries(folder / "data")
        self.next_day()

    def next_day(self):
        """Go on to the next morning of the schedule, Tuesday to Saturday at half past five."""
        self.today += timedelta(days=1)
        while self.today.weekday() not in (1, 2, 3, 4, 5):
            self.today += timedelta(days=1)
        self.instant = datetime.combine(self.today, time(5, 30), tzinfo=NEW_YORK)
        self.newest = last_completed(self.instant.astimezone(UTC))
        self.vendor.today = self.newest
        self.vendor.market_fault = None
        self.vendor.fail()
        self.bar_comes = self.instant
        self.clock_error = timedelta()
        self.cannot_write = False

    def now(self) -> datetime:
        """The machine's clock, which goes on by a second with each look at it."""
        self.instant += timedelta(seconds=1)
        return (self.instant + self.clock_error).astimezone(UTC)

    def next_hour(self):
        """Let the time pass until the next run of the schedule."""
        self.instant += timedelta(hours=1)
        if self.instant >= self.bar_comes:
            self.vendor.today = self.newest

    def some_boundary(self) -> int:
        """A boundary that a night like the newest one passes."""
        return self.draw.randint(1, max(20, self.boundaries.passed or 150))

    def drawn_mornings(self, nights: int) -> Iterator[Sequence[Mishap]]:
        """The mishaps of each morning; some mornings are slept through."""
        for _ in range(nights):
            if self.draw.random() < 0.06:
                for _ in range(self.draw.randint(1, 4)):
                    self.next_day()
            yield self.draw.sample(MISHAPS, self.draw.choice([0, 1, 1, 2, 3]))

    def live_through(self, mornings: Iterable[Sequence[Mishap]]) -> Counter[str]:
        """What was reached by a calm morning, those given by their mishaps, and two calm ones."""
        self.morning([])
        for mishaps in mornings:
            self.morning(mishaps)
        for _ in range(2):
            self.morning([])
        check_end(self)
        return self.reached + paths_taken(self.rows)

    def morning(self, mishaps: Sequence[Mishap]):
        """One scheduled night with some mishaps, perhaps run again after a kill."""
        self.next_day()
        with ExitStack() as self.ends:  # what ends a mishap
            # A real page takes a quarter of a night, and no row depends on it
            if self.draw.random() < 0.85:
                self.ends.enter_context(mock.patch.object(pages, "render_page", blank_page))
            for mishap in mishaps:
                mishap(self)
            ended = self.run()
            while ended in ("killed", "DataLateError") and self.draw.random() < 0.7:
                self.next_hour()
                if self.draw.random() < 0.4:
                    kill(self)
                ended = self.run()
        check_morning(self, ended)

    def run(self) -> str:
        """How the scheduled night ended: done, killed, or the name of its error."""
        ended = "done"
        try:
            with self.boundaries.process():
                nightly.nightly()
        except Killed:
            ended = "killed"
        except ForecastingError as error:
            if isinstance(error, UnexpectedError) and not self.cannot_write:
                raise
            ended = type(error).__name__
        self.reached[f"ended {ended}"] += 1
        return ended


def set_variable(name: str, value: str):
    """Set a variable of the nights from now on; empty is the default."""
    os.environ[f"FORECASTING_{name}"] = value


@contextmanager
def opened(world: World, setattr_: Callable[[Any, str, Any], None]) -> Iterator[World]:
    """Within the block the nights of this process, small ones, are the world's.

    Flows are plain functions already.
    """
    data = world.folder / "data"
    data.mkdir(parents=True)
    symbols = world.draw.sample(SYMBOLS, world.draw.choice([1, 1, 2]))
    variables = {
        "DATA_DIR": str(data),
        "DATABASE_URL": world.url,
        "SYMBOLS": ",".join(symbols),
        "SOURCE": "yahoo",
        "MARKET": "none",
    }
    with (
        mock.patch.dict(os.environ),
        yahoo_stand_in.asked_here(world.vendor, setattr_),
        mock.patch.object(clock, "now", world.now),
        mock.patch.object(connect, "BUSY_TIMEOUT_S", 0),
        counted(data) as world.boundaries,
    ):
        for name, value in variables.items():
            set_variable(name, value)
        set_small_fits(setattr_, 300)
        yield world


EARLY = (
    (write, "WEIGHTS_KEPT", 6),  # of as many past nights as are made again
    (combine, "MIN_FORECASTS", 5),
    (combine, "_PRIOR", 5.0),
    (fallback, "MIN_ORIGINS", 6),  # the fewest that a Diebold-Mariano test of five horizons takes
    (fallback, "ENTER", 0.3),
    (fallback, "LEAVE", 0.1),
    (fallback, "TOLERANCE", 0.0),
    (drift, "MIN_REFERENCE", 4),
    (drift, "_LAG", 3),
    (drift, "MIN_WATCHED", 3),
    (drift, "LIMIT", 1.5),
)


@contextmanager
def early_evidence() -> Iterator[None]:
    """Within the block, nights decide on a handful of scored ones what takes sixty and more."""
    with ExitStack() as stack:
        for module, name, value in EARLY:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


# What can go wrong, or change, on a morning; each draws its own details. `world.ends` undoes after
# the night what does not end with the day.

Mishap = Callable[[World], None]

ANSWERS = (*yahoo_stand_in.BROKEN, "404", "dropped", *yahoo_stand_in.PAYLOADS)
"""Faults of a whole answer."""


def failing(world: World):
    """The next chart requests, or all of this morning, end in a fault."""
    fault = world.draw.choice(ANSWERS)
    world.vendor.market_fault = world.draw.choice([None, fault])
    if world.draw.random() < 0.4:
        world.vendor.fail_always(fault)
    else:
        world.vendor.fail(*[fault] * world.draw.randint(1, 3))


def late(world: World):
    """The newest bar comes within the morning or not at all; or the response is sessions old."""
    sessions = world.draw.choice([1, 1, 1, 3])
    hours = world.draw.choice([0.2, 0.8, 24.0]) if sessions == 1 else 24.0
    world.vendor.today = shift(world.newest, -sessions)
    world.bar_comes = world.instant + timedelta(hours=hours)


def faulty_rows(world: World):
    """A fault of rows, of one symbol on one morning."""
    known = {row["symbol"] for row in world.rows["forecasts"].values()}
    if not known:  # a first response has nothing to be compared with
        return
    day = shift(world.newest, -world.draw.randint(0, 6))
    share = world.draw.uniform(0.02, 0.3)
    edits: tuple[yahoo_stand_in.Edit, ...] = (
        yahoo_stand_in.scaled(share, world.newest, column="volume"),
        yahoo_stand_in.scaled(100.0, day),  # in pence
        yahoo_stand_in.missing_row(day),
        yahoo_stand_in.null_row(day),
        yahoo_stand_in.null_volume(day),
        yahoo_stand_in.live_bar(next_sessions(world.newest, 1)[0]),
        lambda rows: rows.assign(volume=(rows["volume"] / 1000.0).round()),
        lambda rows: world.vendor.told(ANOTHER)[0],
    )
    symbol = world.draw.choice(sorted(known))
    world.vendor.faults[symbol, world.newest] = world.draw.choice(edits)


def restatement(world: World):
    """A recent volume is restated for good."""
    symbol = world.draw.choice(read_settings().symbols)
    day = pd.Timestamp(shift(world.newest, -world.draw.randint(0, 12)))
    bars, actions = world.vendor.series[symbol]
    bars = bars.copy()
    bars.loc[day, "volume"] = round(bars.loc[day, "volume"] * world.draw.choice([0.8, 1.001, 1.3]))
    world.vendor.series[symbol] = (bars, actions)


def earnings_move(world: World):
    """The list of earnings dates changes: a date comes, moves or goes."""
    day = world.newest + timedelta(days=world.draw.randint(1, 45))
    timing = world.draw.choice(["AMC", "BMO", "TNS"])
    past = world.vendor.calendar[: world.draw.randint(0, len(world.vendor.calendar))]
    symbol = read_settings().symbols[0]
    world.vendor.calendar = [*past, (symbol, f"{day}T20:00:00.000Z", timing)]


def kill(world: World):
    """The process ends at a boundary."""
    world.boundaries.plan(world.some_boundary(), world.boundaries.kill)


def disk_full(world: World):
    """No file grows past a limit: the ledger, its log, weights, windows or pages."""
    limit = world.draw.choice([1_000, 20_000, 150_000, 400_000, 1_000_000])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    world.cannot_write = True
    world.ends.callback(resource.setrlimit, resource.RLIMIT_FSIZE, (soft, hard))
    world.boundaries.plan(
        world.some_boundary(), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    )


def locked(world: World):
    """Another program, which waits for no lock, keeps the database locked from some boundary on."""
    statement = "LOCK TABLE runs, scores IN ACCESS EXCLUSIVE MODE NOWAIT"
    arguments = {}
    if world.url.startswith("sqlite"):
        statement = "UPDATE runs SET note = note WHERE id = ''"  # takes the write lock
        arguments = {"timeout": 0.0}
    engine = sa.create_engine(world.url, poolclass=sa.pool.NullPool, connect_args=arguments)
    program = engine.connect()
    world.ends.callback(program.close)
    world.cannot_write = True

    def lock():
        try:
            program.execute(sa.text(statement))
        except sa.exc.OperationalError:  # the night itself holds it just now
            program.rollback()
            world.boundaries.plan(world.boundaries.passed + 1, lock)

    world.boundaries.plan(world.some_boundary(), lock)


def second_run(world: World):
    """Another run starts while the night works."""

    def start():
        try:
            nightly.nightly()
        except LockedError:
            world.reached["a second run refused by the lock"] += 1
        except ForecastingError:  # of a bar that is late
            world.reached["a second run that failed"] += 1

    world.boundaries.plan(world.some_boundary(), start)


def clock_wrong(world: World):
    """Set the machine's clock ahead by hours, or behind by hours to days."""
    world.clock_error = timedelta(hours=world.draw.choice([-72, -26, -3, 5, 26]))


CHOICES = {
    "SYMBOLS": ["AAA", "BBB", "CCC", "AAA,BBB", "BBB,CCC"],
    "TARGETS": ["volume", "range"],
    "MARKET": ["none", ""],
}


def settings_changed(world: World):
    """The operator changes a setting: symbols come, go and come back."""
    name = world.draw.choice(list(CHOICES))
    set_variable(name, world.draw.choice(CHOICES[name]))


def fit_withdrawn(world: World):
    """The operator withdraws a model."""
    models = sorted(row["id"] for row in world.rows["models"].values() if row["name"] == "lstm")
    if models:
        withdraw(world.draw.choice(models), read_settings(), now=world.now)
        world.reached["a fit withdrawn"] += 1


def span_again(world: World):
    """The operator catches up a span of past sessions before the night."""
    last = shift(world.newest, -world.draw.randint(0, 2))
    first = shift(last, -world.draw.randint(0, 2))
    with suppress(ForecastingError):
        nightly.nightly(first=first, last=last, refit_every=world.draw.choice([1, 2]))
        world.reached["a span caught up"] += 1


OF_VENDOR_AND_OPERATOR: tuple[Mishap, ...] = (
    late, faulty_rows, restatement, earnings_move, settings_changed,
)  # fmt: skip
MISHAPS = (
    *OF_VENDOR_AND_OPERATOR, failing, kill, disk_full, locked, second_run, clock_wrong,
    fit_withdrawn, span_again,
)  # fmt: skip


# What must hold of the ledger, whatever went wrong: after every morning that no row was lost or
# changed and that the newest nights have ended; at the end all that can be computed from its rows.


def check_morning(world: World, ended: str):
    """Check and keep the ledger after a morning whose run ended so."""
    now = read_all(world.url)
    check_kept(world.rows, now)
    world.rows = now
    is_stopped = world.cannot_write or ended in ("killed", "StoreError", "LockedError")
    if world.clock_error or (is_stopped and ended != "done"):
        return
    for run in newest_runs(world):
        assert run["status"] in ("done", "late", "failed", "closed"), run


def read_all(url: str) -> Rows:
    """Every row of every table, by its primary key."""
    found = {}
    with connect.reading(url) as connection:
        for name, table in metadata.tables.items():
            key = [column.name for column in table.primary_key]
            rows = connection.execute(table.select()).mappings()
            found[name] = {tuple(row[column] for column in key): dict(row) for row in rows}
    return found


FILLED_ONCE = {
    "bar_versions": ("superseded_at", "settled_at"),
    "findings": ("cleared_at",),
    "models": ("withdrawn_at",),
}
"""Columns of rows that never change otherwise: NULL until they are filled in."""

OF_A_RUN = {
    "as_of", "symbol", "target", "source", "started_at", "settings", "code_version",
}  # fmt: skip
"""The columns of a run that stay while it is not done."""


def may_change(table: str, row: Row, later: Row) -> set[str]:
    """The columns of a stored row that another night may change."""
    if table == "runs":
        return row.keys() - OF_A_RUN if row["status"] != "done" else set()
    return {column for column in FILLED_ONCE.get(table, ()) if row[column] is None}


def check_kept(before: Rows, now: Rows):
    """No row was lost, and none has changed but in what may."""
    for name in before.keys() - {"standings", "metrics", "weights"}:  # made anew, pruned
        for key, row in before[name].items():
            assert key in now[name], f"{name} lost {row}"
            later = now[name][key]
            changed = {column for column in row if row[column] != later[column]}
            assert changed <= may_change(name, row, later), (name, row, later)


def newest_runs(world: World) -> list[Row]:
    """The newest night of each symbol under the settings: each has a row."""
    settings = read_settings()
    session = last_completed(world.now())
    nights = [Night(session, settings.for_symbol(symbol), world.now) for symbol in settings.symbols]
    return [world.rows["runs"][night.id,] for night in nights]


def check_end(world: World):
    """Check the whole ledger once nothing has gone wrong for two mornings."""
    check_bars(world.rows)
    check_forecasts(world.rows)
    check_scores(world.rows)
    check_runs(world.rows)
    check_complete(world)


def versions_of(rows: Rows) -> dict[tuple[str, date], list[Row]]:
    """The versions of each bar, oldest first; an empty list for one that is not stored."""
    found = defaultdict(list)
    for _, row in sorted(rows["bar_versions"].items()):
        found[row["symbol"], row["session"]].append(row)
    return found


def check_bars(rows: Rows):
    """Each bar has versions 1, 2, ...; each ends when the next begins, and the newest is current."""
    for versions in versions_of(rows).values():
        assert [row["version"] for row in versions] == list(range(1, len(versions) + 1)), versions
        assert versions[-1]["superseded_at"] is None, versions
        for one, following in pairwise(versions):
            assert one["first_seen_at"] < one["superseded_at"], versions
            assert one["superseded_at"] == following["first_seen_at"], versions


def check_forecasts(rows: Rows):
    """A forecast used no fetch and no weights of after its origin; it is live before the next open."""
    for row in rows["forecasts"].values():
        fetch = rows["fetches"][row["fetch_id"],]
        model = rows["models"][row["model_id"],]
        origin = row["origin_session"]
        assert fetch["fetched_at"] == row["data_as_of"], (row, fetch)
        assert fetch["last_received"] >= origin == rows["runs"][row["run_id"],]["as_of"], row
        assert model["trained_to"] is None or model["trained_to"] <= origin, (row, model)
        assert row["target_session"] == shift(origin, row["horizon"]), row
        assert (row["kind"] == "live") == (row["issued_at"] < opens_at(shift(origin, 1))), row
        assert row["status"] == "ok" or row["reason"], row


def actual_of(bar: Row, target: str, factor: float) -> float:
    """The target's value of a bar, on the basis of `factor` fewer shares."""
    if target == "volume":
        return float(bar["volume"] / factor)
    return math.log(bar["high"] / bar["low"])


def basis_at(actions: Iterable[Row], symbol: str, instant: datetime) -> float:
    """The product of the splits known at an instant.

    Of rows of one session the newest is of all its splits.
    """
    splits = [row for row in actions if row["symbol"] == symbol and row["kind"] == "split"]
    known = [row for row in splits if row["first_seen_at"] <= instant]
    known.sort(key=lambda row: row["first_seen_at"])
    return math.prod({row["session"]: row["value"] for row in known}.values())


def score_key(row: Row) -> Key:
    """The key of a forecast, or of that of a score."""
    return tuple(
        row[name] for name in ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
    )


def check_scores(rows: Rows):
    """A score is of its forecast and its version of the bar, on the forecast's share basis."""
    bars = versions_of(rows)
    actions = rows["corporate_actions"].values()
    for row in rows["scores"].values():
        forecast = rows["forecasts"][score_key(row)]
        bar = bars[row["symbol"], row["target_session"]][row["bar_version"] - 1]
        basis = basis_at(actions, row["symbol"], bar["first_seen_at"])
        factor = basis / basis_at(actions, row["symbol"], forecast["data_as_of"])
        actual = actual_of(bar, row["target"], factor)
        for name in ("target_session", "role", "issued_at"):
            assert row[name] == forecast[name], (row, forecast)
        assert row["stage"] == "first_print" or bar["settled_at"] is not None, (row, bar)
        assert math.isclose(row["actual"], actual, rel_tol=1e-9, abs_tol=1e-12), (row, actual)
        assert math.isclose(row["error"], forecast["q50"] - actual, abs_tol=1e-6), (row, forecast)


def check_runs(rows: Rows):
    """A finished night has its forecasts, any other says why it has none, and none is running."""
    issued = [row for row in rows["forecasts"].values() if row["role"] == "published"]
    published = Counter(row["run_id"] for row in issued)
    bars = versions_of(rows)
    for run in rows["runs"].values():
        is_issued_before = ISSUED_BEFORE in run["note"]  # by a run under other settings
        expected = 0 if is_issued_before else len(HORIZONS)
        if run["status"] == "done":
            assert published[run["id"]] == expected, run
            assert run["finished_at"] and run["mode"] and run["error"] is None, run
        elif run["status"] == "closed":
            stored = [row["first_seen_at"] for row in bars[run["symbol"], run["as_of"]]]
            assert all(instant > run["started_at"] for instant in stored), run
            assert published[run["id"]] == 0, run
        else:
            assert run["status"] in ("late", "failed"), run
            assert published[run["id"]] in (0, expected), run
            assert run["error"] or run["note"], run


NEEDED = {"volume": ["volume"], "range": ["high", "low"]}


def check_complete(world: World):
    """A done night has scored every forecast whose bar was known to it."""
    rows = world.rows
    scored = {
        (*score_key(row), row["stage"], row["bar_version"]) for row in rows["scores"].values()
    }
    known_at = {row["run_id"]: row["data_as_of"] for row in rows["forecasts"].values()}
    bars = versions_of(rows)
    for run in newest_runs(world):
        if run["status"] != "done" or run["id"] not in known_at:
            continue
        for row in rows["forecasts"].values():
            if (row["symbol"], row["target"]) == (run["symbol"], run["target"]):
                versions = bars[row["symbol"], row["target_session"]]
                expected = expected_scores(versions, row["target"], known_at[run["id"]])
                assert {(*score_key(row), *each) for each in expected} <= scored, (row, expected)


def expected_scores(versions: list[Row], target: str, known_at: datetime) -> list[tuple[str, int]]:
    """The stages and versions of a bar against which a night that knows it scores a forecast."""
    known = [row for row in versions if row["first_seen_at"] <= known_at]
    usable = [row for row in known if has_value(row, target)]
    found = [("first_print", row["version"]) for row in usable[:1]]
    if len(usable) > 1 and usable[-1] is known[-1]:
        settled_at = known[-1]["settled_at"]
        if settled_at is not None and settled_at <= known_at:
            found.append(("settled", known[-1]["version"]))
    return found


def has_value(bar: Row, target: str) -> bool:
    """Whether a bar has what the target's value is made of."""
    return all(bar[name] is not None for name in NEEDED[target])


def paths_taken(rows: Rows) -> Counter[str]:
    """How often nights have decided, published and scored what, as their rows have it."""
    found = Counter[str]()
    for table, column in (
        ("fetches", "verdict"),
        ("forecasts", "status"),
        ("runs", "mode_kind"),
        ("runs", "status"),
        ("runs", "target"),
        ("scores", "bar_version"),
        ("scores", "stage"),
    ):
        found.update(f"{table} {column} {row[column]}" for row in rows[table].values())
    for row in rows["forecasts"].values():
        found["the network is behind"] += "the network is behind" in row["reason"]
        if row["calibration"]:
            weight = json.loads(row["calibration"])["weight"]
            is_learned = weight not in (None, TARGETS[row["target"]].network_weight)
            found["a weight other than the usual one"] += is_learned
    return +found


# A past night, made again in a copy of the ledger (SQLite) where every value after its origin is
# another one.

_QUANTILES = ", ".join(f"{name} = {name} * 1.5" for name in QUANTILE_COLUMNS)
_SUMS = ("error", "pinball", "published_error", "published_pinball")

OWN = (
    "DELETE FROM weights WHERE model_id IN (SELECT id FROM models WHERE run_id = :run)",
    *(
        f"DELETE FROM {name} WHERE (symbol, target, origin_session) = (:symbol, :target, :origin)"
        for name in ("scores", "total_scores", "forecast_parts", "total_forecasts")
    ),
    *(f"DELETE FROM {name} WHERE run_id = :run" for name in ("forecasts", "models")),
    "DELETE FROM runs WHERE id = :run",
    # Of earlier forecasts, by this night or later
    "DELETE FROM scores WHERE target_session <= :origin AND scored_at >= :issued_at",
    "DELETE FROM total_scores WHERE target_session <= :origin AND scored_at >= :issued_at",
)
"""The rows of a night, which it makes again."""

AFTER = (
    """UPDATE bar_versions SET open = open * 1.7, high = high * 2.1, low = low * 1.3, close = close * 1.7,
        volume = volume * 3 + 7 WHERE session > :origin OR first_seen_at > :known_at""",
    "UPDATE bar_versions SET settled_at = NULL WHERE settled_at > :known_at",
    "UPDATE bar_versions SET superseded_at = NULL WHERE superseded_at > :known_at",
    "UPDATE corporate_actions SET value = value * 1.5 WHERE first_seen_at > :known_at",
    """INSERT OR REPLACE INTO corporate_actions (symbol, session, kind, first_seen_at, value, fetch_id)
        SELECT symbol, :next, 'split', :later, 4.0, min(id) FROM fetches GROUP BY symbol""",
    """UPDATE events SET timing = 'amc', known_rule = 'withdrawn', known_from = :origin
        WHERE first_seen_at > :known_at""",
    """INSERT OR IGNORE INTO events
        (symbol, session, kind, first_seen_at, known_from, known_rule, announced, timing, source)
        SELECT DISTINCT symbol, :next, 'earnings', :later, :origin, 'seen', :next, 'bmo', 'x' FROM fetches""",
    "UPDATE fetches SET adjustment = 0.5, row_count = 1, detail = 'x' WHERE fetched_at > :known_at",
    """UPDATE findings SET severity = 'reject', cleared_at = NULL
        WHERE fetch_id IN (SELECT id FROM fetches WHERE fetched_at > :known_at)""",
    """UPDATE models SET refused = 'x', chain_epochs = 999, artifact_hash = 'x', trained_to = :next
        WHERE run_id IN (SELECT id FROM runs WHERE as_of > :origin)""",
    f"""UPDATE forecasts SET {_QUANTILES}, role = 'network', status = 'fallback', calibration = ''
        WHERE origin_session > :origin""",
    f"UPDATE total_forecasts SET {_QUANTILES} WHERE origin_session > :origin",
    "UPDATE total_scores SET actual = actual * 2, inside_80 = 0 WHERE target_session > :origin",
    """UPDATE scores SET actual = actual * 2, error = -3 * error, pinball = 5 * pinball, inside_80 = 0
        WHERE target_session > :origin""",
    f"UPDATE standings SET n = n + 5, {', '.join(f'{name} = 3 * {name} + 1' for name in _SUMS)}",
    "UPDATE runs SET status = 'failed', mode = 'skip', note = 'x', market_fetch = '' WHERE as_of > "
    ":origin",
)


def finished_nights(rows: Rows) -> list[Row]:
    """The runs that have issued forecasts, oldest first, with what they knew and when."""
    issued = {row["run_id"]: row for row in rows["forecasts"].values()}
    found = [
        {
            **run,
            "fetch_id": issued[run["id"]]["fetch_id"],
            "known_at": issued[run["id"]]["data_as_of"],
            "issued_at": issued[run["id"]]["issued_at"],
        }
        for run in rows["runs"].values()
        if run["status"] == "done" and run["id"] in issued
    ]
    return sorted(found, key=lambda run: (run["as_of"], run["id"]))


def is_moved(world: World, run: Row) -> bool:
    """Whether a night forecasts anything else where every value after its origin is another one."""
    folder = world.folder / "altered"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    alter(Path(world.url.removeprefix("sqlite:///")), folder / "forecasting.db", run)
    there = read_settings().model_copy(update={"data_dir": folder, "database_url": None})
    of_run = RunRow(**{name: run[name] for name in RunRow.__match_args__})
    night = StoredNight(run["as_of"], of_run, run["issued_at"], None, run["fetch_id"])
    rerun_night(night, settings_of(of_run, there))
    again = read_all(there.url)
    return any(
        issued(again[name], run) != issued(world.rows[name], run)
        for name in ("forecasts", "total_forecasts")
    )


def issued(forecasts: dict[Key, Row], run: Row) -> dict[Key, list[Any]]:
    """What a night has forecast, by horizon and model."""
    compared = ("role", *QUANTILE_COLUMNS)
    return {
        (row["horizon"], row["model_id"]): [row[name] for name in compared]
        for row in forecasts.values()
        if all(row[name] == run[name] for name in ("symbol", "target"))
        and row["origin_session"] == run["as_of"]
    }


def alter(ledger: Path, copy: Path, run: Row):
    """Copy a ledger without the rows of one night, and with other values after its origin."""
    values = {
        "symbol": run["symbol"],
        "target": run["target"],
        "run": run["id"],
        "origin": str(run["as_of"]),
        "next": str(next_sessions(run["as_of"], 2)[1]),
        "known_at": stored(run["known_at"]),
        "issued_at": stored(run["issued_at"]),
        "later": stored(run["known_at"] + timedelta(days=2)),
    }
    with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as altered:
        source.backup(altered)
        for statement in (*OWN, *AFTER):
            altered.execute(statement, values)
        altered.commit()


def stored(instant: datetime) -> str:
    """An instant as SQLite has it."""
    return f"{instant:%Y-%m-%d %H:%M:%S.%f}"
