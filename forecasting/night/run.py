"""The one runner: nights through their five steps, a batch of symbols at a time."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Literal

from joblib import Parallel, cpu_count, delayed

from forecasting.errors import ForecastingError, NoBarError, explained
from forecasting.night.night import Night, grouped, in_turn
from forecasting.night.plan import not_done
from forecasting.night.run_log import mark_stopped
from forecasting.night.steps.evaluate import evaluate
from forecasting.night.steps.ingest import fetch_market, ingest
from forecasting.night.steps.predict import write_forecasts
from forecasting.night.steps.preprocess import make_features
from forecasting.settings import Settings
from forecasting.store import connect
from forecasting.store.frames import python_strings

logger = logging.getLogger("forecasting.night")

LARGEST = 25  # symbols of a batch: a kill repeats its work, and its pages are in memory
BATCHES_A_WORKER = 3  # several, so that no worker waits long for the last one
MANY = 50  # nights, from which a second process saves more than its start takes

Step = Literal["ingest", "preprocess", "train", "predict", "evaluate"]
Call = Callable[[Step, list[Night]], list[Night]]
"""What takes nights through a step."""


def call_step(step: Step, nights: list[Night]) -> list[Night]:
    """The nights after one of the five steps."""
    if step == "ingest":
        return ingest(nights)
    if step == "evaluate":
        return evaluate(nights)
    # Takes torch, which a run with nothing to do needs none of
    from forecasting.night.steps.train import fit_network

    works = {"preprocess": make_features, "train": fit_network, "predict": write_forecasts}
    return [night.then(step, works[step]) for night in nights]


def begun_nights(nights: Sequence[Night]) -> list[Night]:
    """The nights of a plan that can begin, once the market series that they share is requested."""
    begun = [night for night in nights if night.error is None]
    fetch_market([night for night in begun if not night.is_for_rivals])
    return begun


def run_nights(nights: Sequence[Night], settings: Settings, call: Call = call_step) -> list[Night]:
    """The nights of a plan as they ended, without Prefect, in one process or several.

    The caller holds the lock of the nights.

    Args:
        nights: As `planned_nights` returns them.
        settings: Of the run: how many processes.
        call: What takes nights through each step.
    """
    begun = begun_nights(nights)
    session = connect.lock_of(settings.url)
    workers = workers_of(settings, begun)
    tasks = (delayed(run_batch)(batch, call, session) for batch in batches(begun, workers))
    done: list[Night] = []
    try:
        for batch in Parallel(n_jobs=workers, return_as="generator_unordered")(tasks):
            done += batch
    except Exception as error:  # a night's own is with it: a process was killed
        ids = {night.id for night in done}
        done += lost([night for night in begun if night.id not in ids], error)
    return done + [night for night in nights if night.error is not None]


def run_batch(
    nights: list[Night], call: Call = call_step, session: int | None = None
) -> list[Night]:
    """The nights of some symbols as they ended, maybe in a process of their own.

    Those that are for rivals alone, which were done before, come first and are not among them: a
    rival may be in time for the session that is about to open.

    Args:
        nights: They share nothing with those of other batches.
        call: What takes nights through each step.
        session: On Postgres that with the lock of the run; without it nothing is written.
    """
    url = nights[0].url
    try:
        with ledger(nights[0].settings), connect.written_under(url, session):
            for turn in in_turn([night for night in nights if night.is_for_rivals]):
                call("predict", call("preprocess", turn))
            left = [night for night in nights if not night.is_for_rivals]
            return work_off(call("ingest", left), call) if left else []
    except Exception as error:  # as a database that cannot be reached
        ours = explained(error)
        return [replace(night, error=night.error or ours) for night in nights]


def work_off(nights: Sequence[Night], call: Call = call_step) -> list[Night]:
    """The nights whose bars are stored as they ended: the oldest session first."""
    done = []
    steps: tuple[Step, ...] = ("preprocess", "train", "predict", "evaluate")
    for turn in in_turn(nights):
        for step in steps:
            turn = call(step, turn)
        # They are large
        done += [replace(night, report=None, bars=None, windows=None) for night in turn]
    return done


def lost(nights: Sequence[Night], error: Exception) -> list[Night]:
    """The nights of a process that was lost: those that it has done, and others with an error."""
    logger.warning("the process of %d nights was lost: %r", len(nights), error)
    left = {night.id for night in not_done(nights)}
    stopped = ForecastingError(
        f"The process of this night ended early, killed for memory perhaps ({type(error).__name__})"
        ". The next run makes it."
    )
    ended = [replace(night, error=stopped if night.id in left else None) for night in nights]
    for night in ended:
        if night.error is not None:
            mark_stopped(night)
    return [replace(night, is_done=night.error is None) for night in ended]


def batches(nights: Sequence[Night], workers: int) -> Iterator[list[Night]]:
    """The nights cut into batches of some symbols, several for each worker."""
    symbols = grouped(nights, "symbol")
    count = workers * BATCHES_A_WORKER if workers > 1 else 1
    size = max(1, min(LARGEST, math.ceil(len(symbols) / count)))
    for start in range(0, len(symbols), size):
        yield list(chain.from_iterable(symbols[start : start + size]))


def workers_of(settings: Settings, nights: Sequence[Night]) -> int:
    """How many workers run batches of these nights at the same time."""
    is_local = settings.runner == "local"
    if settings.runner is None:
        is_local = len(nights) < MANY
    if is_local or not nights:
        return 1
    return min(settings.workers or cpu_count(), len(grouped(nights, "symbol")))


@contextmanager
def ledger(settings: Settings) -> Iterator[None]:
    """A block in which nights share one connection and pandas uses Python's strings."""
    with connect.kept_open(settings.url), python_strings():
        yield


def outcome_of(
    nights: Sequence[Night], settings: Settings
) -> tuple[list[str], dict[str, ForecastingError]]:
    """What became of a run: ids of done nights, and errors by `series_name`."""
    failed: dict[str, ForecastingError] = {}
    for night in sorted(nights, key=lambda night: night.session):
        if not isinstance(night.error, NoBarError | None):
            failed.setdefault(settings.series_name(*night.key), night.error)
    return [night.id for night in nights if night.is_done], failed
