"""The time of one night: each stage, Prefect's share and peak memory, cold and warm.

    python benchmarks/night.py [--source csv:PATH --symbol SBUX --as-of 2024-03-08]

Starts its own Prefect server in a temporary folder, then runs three nights in a row, each in its
own process: the first from scratch, the next warm. `rest` is the time outside the stages:
interpreter, imports, Prefect, printing. Every figure is of this machine and this run.
"""

import argparse
import ctypes
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import psutil
import sqlalchemy as sa

from forecasting.sessions import shift
from forecasting.store import connect
from forecasting.store.schema import metadata

STAGES = ("ingest", "preprocess", "train", "predict", "evaluate")


def main() -> None:
    """Run the nights and print the table."""
    options = arguments()
    last = date.fromisoformat(options.as_of)
    nights = []
    with tempfile.TemporaryDirectory() as name, prefect_server(Path(name)) as environment:
        url = f"sqlite:///{name}/data/forecasting.db"
        environment |= {"FORECASTING_DATA_DIR": f"{name}/data"}
        command("db", "upgrade", environment=environment)
        words = ("run", "--source", options.source, "--symbol", options.symbol, "--as-of")
        for session in (shift(last, by) for by in (-2, -1, 0)):
            wall, peak = command(*words, str(session), environment=environment)
            night = runs_of(url, session)
            rest = wall - night[list(STAGES)].sum(axis=1)
            nights.append(night.assign(wall=wall, rest=rest, peak_mib=round(peak)))
    today = datetime.now(UTC).date()
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, {today}, {options.source} "
        f"{options.symbol}, seconds"
    )
    print(pd.concat(nights).round(2).to_string(index=False))


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--as-of", default="2018-12-31")
    return parser.parse_args()


@contextmanager
def prefect_server(folder: Path) -> Iterator[dict[str, str]]:
    """The variables of commands beside a Prefect server on loopback, which has its data in `folder` and is stopped."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "FORECASTING_"))
    }
    with socket.socket() as free:  # a fixed port would answer from the server of another benchmark
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = inherited | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }

    def server(*words: str) -> None:
        words = (sys.executable, "-m", "prefect", "server", *words)
        subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)

    server("start", "--background", "--host", "127.0.0.1", "--port", str(port))
    try:
        server("status", "--wait", "--timeout", "180")
        yield environment
    finally:
        server("stop")


def command(*words: str, environment: dict[str, str]) -> tuple[float, float]:
    """Wall seconds of one `forecasting` command in its own process, and peak memory in MiB of its largest one."""
    _inherit_orphans(1)
    before = psutil.Process().children()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    peak = usage.ru_maxrss
    # It ends now; who waits learns of its CPU
    for orphan in {*psutil.Process().children()}.difference(before):
        peak = max(peak, os.wait4(orphan.pid, 0)[2].ru_maxrss)
    _inherit_orphans(0)
    if status:
        raise SystemExit(
            f"forecasting {' '.join(words)} failed with status {os.waitstatus_to_exitcode(status)}"
        )
    return wall, peak / (2**20 if sys.platform == "darwin" else 2**10)


def _inherit_orphans(flag: int) -> None:
    """Whether the children of a command that has ended are this process's, on Linux, where workers are its children's.

    PR_SET_CHILD_SUBREAPER of prctl(2).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, flag)


def runs_of(url: str, session: date) -> pd.DataFrame:
    """Mode and wall seconds of each stage of the runs of the night at `session`."""
    runs = metadata.tables["runs"]
    columns = [runs.c[f"seconds_{stage}"].label(stage) for stage in STAGES]
    with connect.reading(url) as connection:
        return pd.read_sql(
            sa.select(runs.c.mode, *columns).where(runs.c.as_of == session), connection
        )


if __name__ == "__main__":
    main()
