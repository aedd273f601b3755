"""Which symbols a worker runs together, and what it returns of them: small enough to travel between machines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from forecasting import __version__
from forecasting.backtest.workers import count_of, worker_context
from forecasting.errors import ForecastingError, UsageError
from forecasting.pipeline.night_run import NightRun, NightSpec, night_run
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.symbol_list import joined
from forecasting.pipeline.unexpected import explained
from forecasting.settings import Settings
from forecasting.vocabulary import Clock

Item = TypeVar("Item")

INGEST_SIZE = 25
"""Symbols whose bars are fetched, then written in one transaction, whatever the size of shards: what is stored of a
companion that is a symbol too depends on which symbols were fetched with it."""

LARGEST = 50
"""Most symbols of an automatic shard: a kill repeats a shard's work, and a shard's bars and pages are in memory."""

SHARDS_A_WORKER = 3
"""Several, so that no worker waits long for the last one."""


@dataclass(frozen=True)
class Shard:
    """The nights that a worker runs, and the settings under which it must.

    Attributes:
        nights: Of each symbol, oldest first.
        ids: The runs' ids, in which a worker under other settings would differ.
        symbols: How many the run has, in other shards and at other times too.
        release: The release of the flow; a worker of another one would mix two codes in a night.
    """

    nights: tuple[tuple[NightSpec, ...], ...]
    ids: tuple[tuple[str, ...], ...]
    symbols: int
    release: str

    @property
    def name(self) -> str:
        """`SBUX-2024-03-08`, or `AAPL+24-others-2024-03-08` for many."""
        return name_of([of_symbol[-1] for of_symbol in self.nights])


@dataclass(frozen=True)
class Finished:
    """A night that a worker has run: its run's id, and the error that stopped it.

    Attributes:
        noted: Whether the worker could write the error to the night's row.
    """

    night: NightSpec
    run_id: str
    error: ForecastingError | None
    noted: bool = True


def name_of(nights: Sequence[NightSpec]) -> str:
    """The name of a shard of nights in Prefect's list of tasks: symbols and session."""
    return f"{joined([night.symbol for night in nights])}-{nights[0].session}"


def shards_of(runs: Iterable[Sequence[NightRun]], settings: Settings, *, size: int) -> Iterator[Shard]:
    """The nights of each symbol cut into shards of so many symbols, in their order; taken as a shard is asked for."""
    symbols = iter(runs)
    while some := list(islice(symbols, size)):
        yield Shard(
            tuple(tuple(run.spec for run in of_symbol) for of_symbol in some),
            tuple(tuple(run.id for run in of_symbol) for of_symbol in some),
            len(settings.symbols),
            __version__,
        )


def in_batches(items: Sequence[Item], key: Callable[[Item], object], size: int) -> Iterator[list[Item]]:
    """The items that have the same key, at most `size` at once, in their order."""
    of_key: dict[object, list[Item]] = {}
    for item in items:
        of_key.setdefault(key(item), []).append(item)
    for some in of_key.values():
        yield from (some[start : start + size] for start in range(0, len(some), size))


def in_turn(nights: Sequence[Sequence[Item]]) -> list[list[Item]]:
    """The nights in the order in which a shard runs them: the first of each symbol, then the second, and so on.

    Args:
        nights: Of each symbol, oldest first.
    """
    places = range(max((len(of_symbol) for of_symbol in nights), default=0))
    return [[of_symbol[place] for of_symbol in nights if place < len(of_symbol)] for place in places]


def size_of(symbols: int, settings: Settings) -> int:
    """Symbols of a shard of a run of so many."""
    return settings.shard_size or automatic_size(symbols, workers_of(settings))


def automatic_size(symbols: int, workers: int) -> int:
    """Symbols of a shard: one shard for one worker, else `SHARDS_A_WORKER` for each; at most `LARGEST`."""
    shards = workers * SHARDS_A_WORKER if workers > 1 else 1
    return max(1, min(LARGEST, math.ceil(symbols / shards)))


def workers_of(settings: Settings) -> int:
    """How many workers run shards at the same time."""
    if settings.runner == "local":
        return 1
    return count_of(settings.workers)


def import_for_workers(settings: Settings, imported: Sequence[str]) -> None:
    """Let the modules be imported in the process of which workers are forks, if the nights will have some.

    That takes seconds, in which this process makes its own imports and fetches bars.
    """
    if settings.runner == "processes" and min(len(settings.symbols), workers_of(settings)) > 1:
        worker_context(imported)


def runs_of(shard: Shard, settings: Settings, *, now: Clock, flow_run_id: str | None) -> list[list[NightRun]]:
    """The shard's nights under a worker's settings.

    Raises:
        UsageError: The worker has another release than the flow, or settings that differ in what changes a forecast.
    """
    if shard.release != __version__:
        raise UsageError(
            f"Expected on this worker forecasting {shard.release}, the release of the flow that submitted the nights "
            f"of {shard.name}; found {__version__}. Install one release on all machines, then run again."
        )
    runs = [
        [night_run(night, settings, now=now, flow_run_id=flow_run_id) for night in of_symbol]
        for of_symbol in shard.nights
    ]
    if tuple(tuple(run.id for run in of_symbol) for of_symbol in runs) != shard.ids:
        raise UsageError(
            f"Expected on this worker the settings of the flow that submitted the nights of {shard.name}; found others "
            "(target, train_sessions, seed, members, exchange or companions). Set the same FORECASTING_ variables."
        )
    return runs


def finished(outcomes: Iterable[Outcome[str]], *, now: Clock) -> list[Finished]:
    """The outcomes without settings, which may contain a password; their errors are ours, and so can be pickled."""
    return [
        Finished(
            one.run.spec,
            one.run.id,
            None if one.error is None else explained(one.error, now=now, settings=one.run.settings),
        )
        for one in outcomes
    ]


def lost_twice(shard: Shard) -> ForecastingError:
    """The error of a shard whose worker ended before it did, twice."""
    return ForecastingError(
        f"Expected a worker that runs the shard {shard.name} to its end; two were lost, killed for memory perhaps. Set "
        "fewer FORECASTING_WORKERS or a smaller FORECASTING_SHARD_SIZE, then run again: what is stored is complete."
    )


def every_night_failed(shard: Shard, error: ForecastingError) -> list[Finished]:
    """Every night of the shard, stopped by one error, which no row has yet."""
    return [
        Finished(night, run_id, error, noted=False)
        for nights, ids in zip(shard.nights, shard.ids, strict=True)
        for night, run_id in zip(nights, ids, strict=True)
    ]
