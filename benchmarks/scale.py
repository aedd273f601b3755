"""A warm night of many symbols: wall and CPU seconds, the share of each step, peak memory; runners compared in one run.

    python benchmarks/scale.py --source parquet:panel.parquet --symbols 95 --variants local,processes:2,dask:2

The file has a column for the symbol. Symbols beyond those it has are its own again, prices and volumes multiplied by
seeded noise, which the first line of the table says. A Prefect server is started in a temporary folder; one night from
scratch fills a ledger; then the night after it runs warm once for each variant RUNNER[:WORKERS[:SHARD_SIZE]], each from
a copy of that ledger. Ratios are to the first variant; every figure is of this machine and this run.
"""

import argparse
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from night import STAGES, clean_environment, command, start_server

from forecasting.sessions import shift

NOISE = 0.003
"""Standard deviation of the log noise on the bars of a symbol that repeats another."""


@dataclass(frozen=True)
class Night:
    """The measured warm night of one variant.

    Attributes:
        variant: RUNNER[:WORKERS[:SHARD_SIZE]].
        wall_s: Seconds from the start of the command to its end.
        cpu_s: CPU seconds of the command and of the processes that it started and waited for.
        server_cpu_s: CPU seconds of Prefect's server meanwhile.
        peak_mib: Memory of the largest process.
        stage_s: Wall seconds of each stage, summed over symbols.
    """

    variant: str
    wall_s: float
    cpu_s: float
    server_cpu_s: float
    peak_mib: float
    stage_s: dict[str, float]


def main() -> None:
    """Run the nights and print the table."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        symbols, own = write_panel(options, folder / "panel.parquet")
        environment = clean_environment(folder) | {"FORECASTING_SYMBOLS": ",".join(symbols)}
        server = start_server(environment)
        try:
            command("db", "upgrade", environment=environment)
            last = date.fromisoformat(options.as_of)
            run_night(options.variants[0], folder / "data", shift(last, -1), environment, server)
            nights = [warm_night(variant, folder, last, environment, server) for variant in options.variants]
        finally:
            server.terminate()
            server.wait(timeout=30)
    repeated = f", {len(symbols) - own} of them repeated with noise" if len(symbols) > own else ""
    today = datetime.now(UTC).date()
    print(f"{platform.platform()}, {os.cpu_count()} cores, {today}: warm night of {len(symbols)} symbols{repeated}")
    print_table(nights, len(symbols))


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, type=lambda text: Path(text.removeprefix("parquet:")))
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--as-of", default="2024-03-08")
    parser.add_argument("--variants", type=lambda text: text.split(","), default=["local"])
    return parser.parse_args()


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


def warm_night(
    variant: str, folder: Path, session: date, environment: dict[str, str], server: "subprocess.Popen[bytes]"
) -> Night:
    """The night at `session` on a copy of the ledger."""
    copy = folder / f"data-{variant.replace(':', '-')}"
    shutil.copytree(folder / "data", copy)
    night = run_night(variant, copy, session, environment, server)
    shutil.rmtree(copy)
    return night


def run_night(
    variant: str, data: Path, session: date, environment: dict[str, str], server: "subprocess.Popen[bytes]"
) -> Night:
    """The night at `session` on the ledger in `data`."""
    own = environment | variables(variant) | {"FORECASTING_DATA_DIR": str(data)}
    source = f"parquet:{data.parent / 'panel.parquet'}"
    children, before = cpu_of_children(), cpu_of(server)
    wall, peak = command("run", "--source", source, "--as-of", str(session), environment=own)
    with sqlite3.connect(data / "forecasting.db") as connection:
        columns = ", ".join(f"sum(seconds_{stage})" for stage in STAGES)
        seconds = connection.execute(
            f"SELECT {columns} FROM runs WHERE as_of = ?",  # noqa: S608 - the columns are our own constants
            (str(session),),
        ).fetchone()
    connection.close()
    stages = dict(zip(STAGES, seconds, strict=True))
    night = Night(variant, wall, cpu_of_children() - children, cpu_of(server) - before, peak, stages)
    print(night, file=sys.stderr, flush=True)
    return night


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


if __name__ == "__main__":
    main()
