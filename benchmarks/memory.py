"""Memory of all processes that a benchmark's block starts, together: shared pages are divided among who shares them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def watched_memory(every_s: float = 0.5) -> Iterator[list[float]]:
    """Within the block, what the processes that it starts hold, in MiB, twice a second; 0 where /proc lacks it."""
    before, done, seen = set(psutil.Process().children(recursive=True)), threading.Event(), list[float]()

    def watch() -> None:
        while not done.wait(every_s):
            started = set(psutil.Process().children(recursive=True)) - before
            seen.append(sum(_held(process) for process in started))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        done.set()
        watching.join()


def _held(process: psutil.Process) -> float:
    """Its proportional set size in MiB, as in proc(5); 0 once it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 2**10
    return 0.0
