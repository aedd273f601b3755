"""What the nights, backtests and pages of one symbol take, in this checkout and in others.

    python benchmarks/night.py --bars SBUX.csv --market VIX.csv --trees /tmp/before,. --rounds 3

Each checkout in turn works in processes of its own, on a ledger of its own. CPU seconds, medians of
the rounds, of nights by hand with their imports; and how the ledger grows.
"""

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import psutil

SYMBOL = "SBUX"
FIT_EVERY = 21
PAST = 250  # nights of an old ledger
BY_HAND = 5
YOUNG = slice(1, FIT_EVERY)  # nights between the first two fits
OLD = slice(12 * FIT_EVERY + 1, 13 * FIT_EVERY)  # and after 250


def main() -> None:
    """Work in each checkout, round after round, and print the table."""
    options = arguments()
    if options.inside:
        print(json.dumps(measured(options)))
        return
    rounds = [
        pd.DataFrame({tree: measured_in(tree, options) for tree in options.trees})
        for _ in range(options.rounds)
    ]
    print_table(pd.concat(rounds).groupby(level=0, sort=False).median(), options.rounds)


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bars", type=Path, required=True, help="a CSV file of SBUX")
    parser.add_argument("--market", type=Path, required=True, help="a CSV file of the VIX")
    parser.add_argument("--trees", type=lambda text: text.split(","), default=["."])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measured_in(tree: str, options: argparse.Namespace) -> dict[str, float]:
    """The figures of one checkout, whose ledger is deleted."""
    with TemporaryDirectory() as folder:
        environment = environment_of(tree, Path(folder)) | inputs(options)
        words = [__file__, "--inside", "--bars", options.bars, "--market", options.market]
        inside = subprocess.run(
            [sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        figures: dict[str, float] = json.loads(inside.stdout.splitlines()[-1])
        nights = [
            command("run", "--as-of", day, environment=environment)
            for day in days_of(options.bars)[-BY_HAND:]
        ]
    by_hand = {
        "a night by hand": median(cpu for _, cpu, _ in nights),
        "its peak memory, MiB": max(peak for _, _, peak in nights),
    }
    return figures | by_hand


def inputs(options: argparse.Namespace) -> dict[str, str]:
    """The settings that name the inputs of the nights."""
    return {
        "FORECASTING_SYMBOLS": SYMBOL,
        "FORECASTING_SOURCE": f"csv:{options.bars.absolute()}",
        "FORECASTING_MARKET": f"csv:{options.market.absolute()}",
    }


def measured(options: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of this process by row, and the MB that its ledger grows in a year."""
    from forecasting.audit import run_backtest

    days = days_of(options.bars)
    given = run_backtest.backtest
    ends: list[float] = []

    def noted(*args: object, **named: object) -> object:
        ends[:] = [time.process_time()]
        named["progress"] = lambda *_: ends.append(time.process_time())
        return given(*args, **named)

    setattr(run_backtest, "backtest", noted)  # noqa: B010 - whose progress no command gives
    in_all = cpu_of("backtest", "--from", days[-517], "--to", days[-2])
    nights = np.diff(ends)

    first, *_, last = past = days[-PAST - BY_HAND : -BY_HAND]
    cpu_of("catch-up", "--from", first, "--to", first)
    ledger = Path(os.environ["FORECASTING_DATA_DIR"]) / "forecasting.db"
    size = ledger.stat().st_size
    caught_up = cpu_of("catch-up", "--from", past[1], "--to", last)
    grown = ledger.stat().st_size - size
    return {
        "night between fits, young ledger": median(nights[YOUNG]),
        "night between fits, after 250 nights": median(nights[OLD]),
        "backtest of 516 nights": in_all,
        "its first 250 nights": nights[:PAST].sum(),
        "catching up, a night": caught_up / (PAST - 1),
        "ledger, MB a year": grown / (PAST - 1) * 252 / 1e6,
        "page of 250 nights": median(cpu_of("report") for _ in range(BY_HAND)),
    }


def days_of(bars: Path) -> list[str]:
    """The days of a file of bars, oldest first."""
    days: list[str] = pd.read_csv(bars)["Date"].tolist()
    return days


def cpu_of(*words: str) -> float:
    """CPU seconds of a `forecasting` command in this process."""
    from flows import cli

    sys.argv = ["forecasting", *words]
    started = time.process_time()
    try:
        cli.main()
    except SystemExit as ended:
        if ended.code:
            raise
    return time.process_time() - started


def environment_of(tree: str, folder: Path) -> dict[str, str]:
    """The variables of processes with the code of a checkout and a ledger in the folder."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "FORECASTING_"))
    }
    own = {
        "PYTHONPATH": str(Path(tree).absolute()),
        "PYTHONSAFEPATH": "1",  # `-m` would take the code of the working directory
        "FORECASTING_DATA_DIR": str(folder / "data"),
    }
    return inherited | own


def command(*words: str, environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall and CPU seconds of a `forecasting` command, and the MiB of its largest process."""
    _inherit_orphans(1)
    before = psutil.Process().children()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    # They end now; who waits learns of their CPU
    orphans = {*psutil.Process().children()}.difference(before)
    usages = [used, *(os.wait4(orphan.pid, 0)[2] for orphan in orphans)]
    _inherit_orphans(0)
    if status:
        raise SystemExit(f"forecasting {' '.join(words)} ended with status {status}")
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return wall, cpu, max(usage.ru_maxrss for usage in usages) / 2**10


def _inherit_orphans(flag: int) -> None:
    """Whether the children of a command that has ended are this process's, on Linux, where workers are its children's.

    PR_SET_CHILD_SUBREAPER of prctl(2).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, flag)


def print_table(figures: pd.DataFrame, rounds: int) -> None:
    """Print the figures of the checkouts, and the last one's ratio to the first."""
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, "
        f"{datetime.now(UTC).date()}, rounds: {rounds}"
    )
    ratio = figures.iloc[:, -1] / figures.iloc[:, 0]
    print(figures.assign(ratio=ratio).round(3).to_string())


if __name__ == "__main__":
    main()
