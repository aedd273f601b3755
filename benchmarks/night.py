"""The time of one night: each stage, Prefect's share and peak memory, cold and warm.

    python benchmarks/night.py [--source csv:PATH --symbol SBUX --as-of 2024-03-08]

Starts its own Prefect server in a temporary folder, then runs three nights in a row, each in its own process: the first
from scratch, the next warm. Prints one table; every figure is of this machine and this run.
"""

import argparse
import ctypes
import os
import platform
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from datetime import UTC, date, datetime
from pathlib import Path

import psutil

from forecasting.sessions import shift

STAGES = ("ingest", "preprocess", "train", "predict", "evaluate")


def main() -> None:
    """Run the nights and print the table."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        environment = clean_environment(Path(folder))
        server = start_server(environment)
        try:
            command("db", "upgrade", environment=environment)
            last = date.fromisoformat(options.as_of)
            rows = [run_night(options, shift(last, by), environment) for by in (-2, -1, 0)]
        finally:
            server.terminate()
            server.wait(timeout=30)
        today = datetime.now(UTC).date()
        print(f"{platform.platform()}, {os.cpu_count()} cores, {today}, {options.source} {options.symbol}")
        print_table(rows)


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--as-of", default="2018-12-31")
    return parser.parse_args()


def clean_environment(folder: Path) -> dict[str, str]:
    """This process' environment without variables of Prefect or forecasting, with all data in `folder`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "FORECASTING_"))}
    with socket.socket() as free:  # a fixed port would answer from the server of another benchmark
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return inherited | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "FORECASTING_DATA_DIR": str(folder / "data"),
    }


def start_server(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """A Prefect server on loopback that responds."""
    address = urllib.parse.urlsplit(environment["PREFECT_API_URL"])
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(address.port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(720):
        try:
            urllib.request.urlopen(f"http://{address.netloc}/api/health", timeout=1)
            return server
        except OSError:
            time.sleep(0.25)
    server.terminate()
    raise SystemExit(f"The Prefect server did not respond on port {address.port} within three minutes.")


def command(*words: str, environment: dict[str, str]) -> tuple[float, float]:
    """Wall seconds of one `forecasting` command in its own process, and peak memory in MiB of its largest one."""
    _inherit_orphans(1)
    before = psutil.Process().children()
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "flows.cli", *words], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall, peak = time.perf_counter() - started, usage.ru_maxrss
    for orphan in {*psutil.Process().children()}.difference(before):  # it ends now; who waits learns of its CPU
        peak = max(peak, os.wait4(orphan.pid, 0)[2].ru_maxrss)
    _inherit_orphans(0)
    if status:
        raise SystemExit(f"forecasting {' '.join(words)} failed with status {os.waitstatus_to_exitcode(status)}")
    return wall, peak / (2**20 if sys.platform == "darwin" else 2**10)


def _inherit_orphans(flag: int) -> None:
    """Whether the children of a command that has ended are this process's, on Linux, where workers are its children's.

    PR_SET_CHILD_SUBREAPER of prctl(2).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, flag)


def run_night(options: argparse.Namespace, session: date, environment: dict[str, str]) -> dict[str, float | str]:
    """Mode, wall seconds, peak memory and seconds of each stage of the night at `session`."""
    wall, peak = command(
        "run", "--source", options.source, "--symbol", options.symbol, "--as-of", str(session), environment=environment
    )
    database = Path(environment["FORECASTING_DATA_DIR"]) / "forecasting.db"
    with sqlite3.connect(database) as connection:
        columns = ", ".join(f"seconds_{stage}" for stage in STAGES)
        mode, *seconds = connection.execute(
            f"SELECT mode, {columns} FROM runs WHERE as_of = ?",  # noqa: S608 - the columns are our own constants
            (str(session),),
        ).fetchone()
    return {"mode": mode, "wall": wall, "peak": peak, **dict(zip(STAGES, seconds, strict=True))}


def print_table(rows: list[dict[str, float | str]]) -> None:
    """One row per night; `rest` is the time outside the stages: interpreter, imports, Prefect, printing."""
    print(
        f"{'night':>8} {'wall s':>7} "
        + " ".join(f"{stage:>10}" for stage in STAGES)
        + f" {'rest s':>7} {'peak MiB':>9}"
    )
    for row in rows:
        stages = [float(row[stage]) for stage in STAGES]
        rest = float(row["wall"]) - sum(stages)
        print(
            f"{row['mode']:>8} {float(row['wall']):7.1f} "
            + " ".join(f"{seconds:10.2f}" for seconds in stages)
            + f" {rest:7.1f} {float(row['peak']):9.0f}"
        )


if __name__ == "__main__":
    main()
