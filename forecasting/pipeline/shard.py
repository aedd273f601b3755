"""A shard: nights that a step runs together, with an outcome for each; one night's failure is never another's.

A pipeline step is a chain of these: `given` its nights, `read_each` from the store, `compute_each` without it,
`write_each` back. A night that has failed passes through the rest of the chain as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, cast

from forecasting.errors import ForecastingError
from forecasting.pipeline.night_run import NightRun
from forecasting.store import database
from forecasting.store.database import Connection

Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What a step came to for one night: its value, or the error that stopped it."""

    run: NightRun
    value: Value | None = None
    error: Exception | None = None

    def get(self) -> Value:
        """The value.

        Raises:
            Exception: The error that stopped the night.
        """
        if self.error is not None:
            raise self.error
        return cast(Value, self.value)


def given(runs: Sequence[NightRun], values: Iterable[Value]) -> list[Outcome[Value]]:
    """Each night with the value that a step starts from; as many values as nights."""
    return [Outcome(run, value) for run, value in zip(runs, values, strict=True)]


def attempt(run: NightRun, work: Callable[[], Result]) -> Outcome[Result]:
    """The outcome of one computation."""
    try:
        return Outcome(run, work())
    except Exception as error:  # whatever it is, it is this night's; `Outcome.get` raises it again
        return Outcome(run, error=error)


def compute_each(nights: Sequence[Outcome[Value]], work: Callable[[NightRun, Value], Result]) -> list[Outcome[Result]]:
    """The outcome of `work` on each night's value, without the store."""
    return [_failed(one) or attempt(one.run, partial(work, one.run, one.get())) for one in nights]


def read_each(
    nights: Sequence[Outcome[Value]], read: Callable[[Connection, NightRun, Value], Result]
) -> list[Outcome[Result]]:
    """The outcome of `read` on each night's value, all from one state of the database.

    Raises:
        StoreError: The database itself cannot be read, which is every night's failure.
    """
    return _in_database(nights, read, database.reading, nullcontext)


def write_each(
    nights: Sequence[Outcome[Value]], write: Callable[[Connection, NightRun, Value], Result]
) -> list[Outcome[Result]]:
    """The outcome of `write` on each night's value, in one transaction; what fails is undone for its own night alone.

    Raises:
        StoreError: The database itself cannot be written, which is every night's failure.
    """
    return _in_database(nights, write, database.transaction, database.savepoint)


def pass_on(
    nights: Sequence[Outcome[Value]], work: Callable[[list[NightRun], list[Value]], list[Outcome[Result]]]
) -> list[Outcome[Result]]:
    """The outcomes of `work`, given all nights that have not failed at once; the others as they are."""
    left = [one for one in nights if one.error is None]
    done = iter(work([one.run for one in left], [one.get() for one in left]) if left else [])
    return [_failed(one) or next(done) for one in nights]


def only(outcomes: Sequence[Outcome[Value]]) -> Value:
    """The value of a shard of one.

    Raises:
        Exception: The error that stopped the night.
    """
    (outcome,) = outcomes
    return outcome.get()


def _failed(night: Outcome[Value]) -> Outcome[Result] | None:
    return Outcome(night.run, error=night.error) if night.error is not None else None


def _in_database(
    nights: Sequence[Outcome[Value]],
    work: Callable[[Connection, NightRun, Value], Result],
    opened: Callable[[str], AbstractContextManager[Connection]],
    guarded: Callable[[Connection], AbstractContextManager[object]],
) -> list[Outcome[Result]]:
    """The outcome of `work` on each night's value, all through one connection, each night in a guard of its own."""
    if all(one.error for one in nights):
        return [Outcome(one.run, error=one.error) for one in nights]
    with opened(nights[0].run.settings.url) as connection:
        return [_failed(one) or _worked(one, work, connection, guarded) for one in nights]


def _worked(
    night: Outcome[Value],
    work: Callable[[Connection, NightRun, Value], Result],
    connection: Connection,
    guarded: Callable[[Connection], AbstractContextManager[object]],
) -> Outcome[Result]:
    try:
        with guarded(connection):
            return Outcome(night.run, work(connection, night.run, night.get()))
    except (ForecastingError, ValueError) as error:  # of the database's own errors `database` makes a StoreError
        return Outcome(night.run, error=error)
