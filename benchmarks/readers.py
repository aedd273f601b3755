"""Readers beside a night on Postgres: processes that ask the questions of docs/sql.md, and a watch on the locks.

Each reader is a process with a connection of its own. Four in five ask one question of a random symbol after the other,
each a transaction of its own; every fifth asks all of them at one state of the ledger, in a transaction that it keeps
open meanwhile, as a notebook does. A reader's first error ends it.
"""

from __future__ import annotations

import multiprocessing
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from statistics import median
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from multiprocessing import Queue

COOKBOOK = Path(__file__).parents[1] / "docs" / "sql.md"
PAUSE_S = 2.0
"""Mean of a reader's pauses between two questions; without them ten readers are all that two cores do."""

WATCH_S = 0.2
"""Seconds between two looks at the locks that somebody waits for."""

Answer = tuple[list[tuple[float, str]], list[str]]
"""What a reader puts at its end: seconds and title of each question, and errors."""


@dataclass
class Seen:
    """What the readers and the watch saw.

    Attributes:
        seconds: Wall seconds and title of each question, with its answer fetched.
        errors: Texts of the errors that ended readers.
        waits: The longest wait in seconds of each waiting program for each holder of a lock.
        deadlocks: Deadlocks of this database that the server counted meanwhile.
    """

    seconds: list[tuple[float, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    waits: dict[tuple[str, str], float] = field(default_factory=dict)
    deadlocks: int = 0


def questions() -> dict[str, str]:
    """The queries of the cookbook by title, with {symbol} in place of the document's symbol."""
    text = COOKBOOK.read_text(encoding="utf-8")
    found = re.findall(r"^## \d+\. (.+?)\n.*?```sql\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    return {title: query.replace("'^GSPC'", "'{symbol}'") for title, query in found}


@contextmanager
def readers(url: str, symbols: Sequence[str], count: int) -> Iterator[Seen]:
    """A block beside which `count` readers ask; what they saw is complete after it."""
    url = re.sub(r"^postgresql\+\w+", "postgresql", url)
    context = multiprocessing.get_context("spawn")
    stop, answers = context.Event(), context.Queue()
    seen, before = Seen(), deadlocks(url)
    asking = [context.Process(target=ask, args=(url, symbols, number, stop, answers)) for number in range(count)]
    watching = threading.Thread(target=watch, args=(url, stop, seen))
    for started in (*asking, watching):
        started.start()
    try:
        yield seen
    finally:
        stop.set()
        for _ in asking:
            try:
                seconds, errors = answers.get(timeout=300)
            except Empty:
                seconds, errors = [], ["A reader did not end."]
            seen.seconds += seconds
            seen.errors += errors
        for started in (*asking, watching):
            started.join()
        seen.deadlocks = deadlocks(url) - before


def ask(url: str, symbols: Sequence[str], number: int, stop: Event, answers: Queue[Answer]) -> None:
    """Ask questions until `stop`, then put what they took."""
    draw, asked = random.Random(number), questions()  # noqa: S311 - which question comes next is no secret
    seconds: list[tuple[float, str]] = []
    errors: list[str] = []
    try:
        with psycopg.connect(url, application_name="reader", autocommit=True) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            while not stop.is_set():
                titles = draw.sample(list(asked), len(asked))
                with connection.transaction() if number % 5 == 0 else nullcontext():
                    for title in titles:
                        if stop.wait(draw.expovariate(1 / PAUSE_S)):
                            break
                        started = time.perf_counter()
                        query = asked[title].replace("{symbol}", draw.choice(symbols))
                        connection.execute(query.encode()).fetchall()
                        seconds.append((time.perf_counter() - started, title))
    except psycopg.Error as error:
        errors.append(str(error))
    answers.put((seconds, errors))


def watch(url: str, stop: Event, seen: Seen) -> None:
    """Write down who waits for whom, and how long, until `stop`."""
    with psycopg.connect(url, application_name="watch", autocommit=True) as connection:
        while not stop.wait(WATCH_S):
            for waiting, holder, seconds in connection.execute(_WAITS):
                pair = (waiting, holder)
                seen.waits[pair] = max(seen.waits.get(pair, 0.0), seconds)


def deadlocks(url: str) -> int:
    """Deadlocks of this database since its statistics began."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return int(row[0]) if row else 0


def print_seen(seen: Seen, count: int) -> None:
    """One line on the questions, one on the locks."""
    seconds = sorted(seen.seconds)
    times = [one for one, _ in seconds] or [0.0]
    longest = f"{times[-1]:.2f} s ({seconds[-1][1]})" if seconds else "none"
    print(
        f"{count} readers: {len(seconds)} questions, {len(seen.errors)} errors, median {1000 * median(times):.0f} ms, "
        f"99 % within {1000 * times[int(0.99 * (len(times) - 1))]:.0f} ms, longest {longest}"
    )
    waits = "; ".join(f"{one} for {other} {seconds:.2f} s" for (one, other), seconds in sorted(seen.waits.items()))
    print(f"waits for locks: {waits or 'none seen'}; deadlocks: {seen.deadlocks}")
    for error in sorted(set(seen.errors))[:10]:
        print(f"error of a reader: {error}")


_NAME = "split_part(coalesce(nullif({0}.application_name, ''), {0}.backend_type), ',', 1)"
_WAITS = f"""
SELECT {_NAME.format("waiting")}, {_NAME.format("holder")},
    coalesce(extract(epoch FROM clock_timestamp() - locks.waitstart), 0)::float8
FROM pg_locks locks JOIN pg_stat_activity waiting ON waiting.pid = locks.pid
CROSS JOIN LATERAL unnest(pg_blocking_pids(locks.pid)) AS blocking(pid)
JOIN pg_stat_activity holder ON holder.pid = blocking.pid
WHERE NOT locks.granted AND waiting.datname = current_database()
"""  # noqa: S608 - names of our own
