"""Where the seconds of one night go: each stage, Prefect's share and peak memory, cold and warm.

    python benchmarks/night.py [--source csv:PATH --symbol SBUX --as-of 2024-03-08]

Starts a Prefect server of its own in a temporary folder, then runs three nights in a row as whole processes: the first
from scratch, the next warm. Prints one table; every figure is of this machine and this run.
"""

import argparse
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, date, datetime
from pathlib import Path

from forecasting.sessions import shift

PORT = 42177
STAGES = ("ingest", "preprocess", "train", "predict", "evaluate")


def main() -> None:
    """Run the nights and print the table."""
    asked = arguments()
    with tempfile.TemporaryDirectory() as folder:
        environment = clean_environment(Path(folder))
        server = start_server(environment)
        try:
            command("db", "upgrade", environment=environment)
            last = date.fromisoformat(asked.as_of)
            rows = [one_night(asked, shift(last, by), environment) for by in (-2, -1, 0)]
        finally:
            server.terminate()
            server.wait(timeout=30)
        today = datetime.now(UTC).date()
        print(f"{platform.platform()}, {os.cpu_count()} cores, {today}, {asked.source} {asked.symbol}")
        print_table(rows)
        print_help_time(environment)


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--as-of", default="2018-12-31")
    return parser.parse_args()


def clean_environment(folder: Path) -> dict[str, str]:
    """This process' environment without any configured Prefect or forecasting, pointed at `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "FORECASTING_"))}
    return kept | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{PORT}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "FORECASTING_DATA_DIR": str(folder / "data"),
    }


def start_server(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """A Prefect server on loopback that answers."""
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(PORT)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/api/health", timeout=1)
            return server
        except OSError:
            time.sleep(0.25)
    server.terminate()
    raise SystemExit(f"The Prefect server did not answer on port {PORT} within a minute.")


def command(*words: str, environment: dict[str, str]) -> tuple[float, float]:
    """Run `forecasting` as a process of its own; its wall seconds and peak memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "flows.cli", *words], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"forecasting {' '.join(words)} failed with status {os.waitstatus_to_exitcode(status)}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return time.perf_counter() - started, usage.ru_maxrss / unit


def one_night(asked: argparse.Namespace, session: date, environment: dict[str, str]) -> dict[str, float | str]:
    """Run the night at `session`; its mode, wall seconds, peak memory and the seconds of each stage."""
    wall, peak = command(
        "run", "--source", asked.source, "--symbol", asked.symbol, "--as-of", str(session), environment=environment
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
    """One row a night; `rest` is what is neither stage: the interpreter, imports, Prefect, printing."""
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


def print_help_time(environment: dict[str, str]) -> None:
    """The median of five starts of `forecasting --help`."""
    times = sorted(command("--help", environment=environment)[0] for _ in range(5))
    print(f"forecasting --help: {times[2]:.2f} s (median of 5)")


if __name__ == "__main__":
    main()
