"""The one runner: nights through their five steps, whoever calls it."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from joblib import cpu_count
from joblib.externals.loky import get_reusable_executor

from forecasting.errors import ForecastingError, NoBarError, UsageError, explained
from forecasting.night.night import Night, grouped, in_turn, received, sent
from forecasting.night.steps.evaluate import evaluate, unpublished
from forecasting.night.steps.ingest import fetch_market, ingest
from forecasting.night.steps.predict import write_forecasts
from forecasting.night.steps.preprocess import write_windows
from forecasting.settings import Settings, read_settings
from forecasting.store import connect
from forecasting.store.frames import python_strings
from forecasting.vocabulary import Clock

logger = logging.getLogger("forecasting.night")

# Symbols whose bars are requested one after the other before the first of their nights goes on.
BATCH = 25
# Most symbols of an automatic shard: a kill repeats a shard's work, and a shard's pages are in
# memory
LARGEST = 50
SHARDS_A_WORKER = 3  # Several, so that no worker waits long for the last one
LONGEST_S = 12 * 3600.0  # That a run waits for a worker's shard, of years of nights perhaps
DASK_CONNECT_S = 30.0
DASK_WORKER_S = 300.0
"""Seconds until a Dask scheduler must respond, and until it must have its first worker: machines
take minutes."""


Step = Literal["ingest", "preprocess", "train", "predict", "evaluate"]


def call_step(step: Step, nights: Sequence[Night], *more: Any) -> list[Night]:  # noqa: ANN401 - of each step
    """The nights after one of the five steps, called with its further arguments."""
    if step == "ingest":
        return ingest(nights, *more)
    if step == "evaluate":
        return evaluate(nights, *more)
    # Takes torch, which a run with nothing to do needs none of
    from forecasting.night.steps.train import fit_network

    works = {"preprocess": write_windows, "train": fit_network, "predict": write_forecasts}
    return [night.then(step, works[step]) for night in nights]


@dataclass(frozen=True)
class Caller:
    """Who has nights run, and how: by default as plain functions, in silence."""

    call: Callable[..., list[Night]] = call_step  # takes what `call_step` does
    publish: Callable[[Night], Night] = unpublished  # of evaluate, once a night is scored
    # What follows once some nights have ended
    after: Callable[[Sequence[Night]], object] = lambda nights: None


PLAINLY = Caller()


def run_nights(
    nights: Sequence[Night],
    settings: Settings,
    caller: Caller = PLAINLY,
    *,
    switch_source: bool = False,
) -> list[Night]:
    """The nights of a plan as they ended.

    The bars of each batch of symbols are requested, then its shards take the other steps. A night
    whose bar is not there ends with its error: the next run finds it again.

    The caller holds the lock of the nights.
    """
    begun = [night for night in nights if night.error is None]
    done = [night for night in nights if night.error is not None]
    fetch_market(begun, switch_source=switch_source)
    with opened_workers(settings, caller) as workers:
        for batch in cut(begun, BATCH):
            fetched = caller.call(
                "ingest",
                batch,
                settings.targets,
                switch_source,
            )
            for shard in shards([night for night in fetched if night.error is None], settings):
                workers.submit(shard)
            done += run_shard([night for night in fetched if night.error is not None], caller)
        return done + workers.results()


def run_shard(nights: Sequence[Night], caller: Caller = PLAINLY) -> list[Night]:
    """The nights of some symbols whose bars are stored, as they ended.

    The first of each symbol, then the second.
    """
    done = []
    for turn in in_turn(nights):
        for step in ("preprocess", "train", "predict"):
            turn = caller.call(step, turn)
        turn = caller.call("evaluate", turn, caller.publish)
        caller.after(turn)
        done += [replace(night, report=None) for night in turn]  # it is large
    return done


def shards(nights: Sequence[Night], settings: Settings) -> Iterator[list[Night]]:
    """The nights cut into shards of so many symbols.

    FORECASTING_SHARD_SIZE, else several for each worker.
    """
    workers = workers_of(settings)
    count = workers * SHARDS_A_WORKER if workers > 1 else 1
    size = settings.shard_size or max(1, min(LARGEST, math.ceil(len(settings.symbols) / count)))
    return cut(nights, size)


def cut(nights: Sequence[Night], size: int) -> Iterator[list[Night]]:
    """The nights of `size` symbols at a time."""
    symbols = grouped(nights, "symbol")
    for start in range(0, len(symbols), size):
        yield list(chain.from_iterable(symbols[start : start + size]))


def workers_of(settings: Settings) -> int:
    """How many workers run shards at the same time."""
    if settings.runner == "local":
        return 1
    return min(settings.workers or cpu_count(), len(settings.symbols))


class Workers:
    """What runs the shards of a caller's nights: processes, Dask's workers, or this process."""

    def __init__(self, caller: Caller, executor: Callable[[], Executor] | None = None) -> None:
        """`executor` is called for each shard: joblib makes a new one after a killed process.

        None: this process.
        """
        self._caller = caller
        self._executor = executor
        self._ended: list[Night] = []
        self._submitted: list[tuple[list[Night], Future[list[dict[str, Any]]]]] = []

    def submit(self, shard: list[Night]) -> None:
        """Let a worker run the shard, while the caller requests the bars of others.

        Without one, run it.
        """
        if self._executor is None:
            self._ended += run_shard(shard, self._caller)
            return
        future = self._executor().submit(
            run_sent,
            [sent(night) for night in shard],
            shard[0].now,
            connect.lock_of(shard[0].url),
            self._caller.publish,
        )
        self._submitted.append((shard, future))

    def results(self) -> list[Night]:
        """The nights that have ended since the last call, of all shards.

        Raises:
            ForecastingError: A worker has not returned a shard for LONGEST_S. Its nights may still
                go on.
        """
        while self._submitted:
            self._ended += self._result(*self._submitted.pop(0))
        ended = self._ended
        self._ended = []
        return ended

    def _result(self, shard: list[Night], future: Future[list[dict[str, Any]]]) -> list[Night]:
        """The nights of a shard; of a worker that was lost, run once more in this process."""
        wait([future], timeout=LONGEST_S)
        if not future.done():
            raise ForecastingError(
                f"Expected the {len(shard)} nights of a shard from a worker within "
                f"{LONGEST_S / 3600:.0f} hours; it is still at work. Look at that process, end it, "
                "then run again."
            )
        try:
            values = future.result()
        except Exception as error:  # a night's own is among its values
            logger.warning(
                "the worker of %d nights was lost, killed for memory perhaps: %r", len(shard), error
            )
            return run_shard(shard, self._caller)
        nights = [replace(night, **found) for night, found in zip(shard, values, strict=True)]
        self._caller.after(nights)
        return nights


def run_sent(
    shard: Sequence[dict[str, Any]],
    now: Clock,
    session: int | None = None,
    publish: Callable[[Night], Night] = unpublished,
) -> list[dict[str, Any]]:
    """How each night of a shard ended, run in a worker's process under its own settings.

    The session is that with the lock of the run.
    """
    try:
        settings = read_settings()
        with ledger(settings), connect.written_under(settings.url, session):
            begun = [received(values, settings, now=now) for values in shard]
            nights = run_shard(begun, Caller(publish=publish))
    except Exception as error:  # as a database that cannot be reached
        ours = explained(error)
        return [{"error": ours} for _ in shard]
    ended = {night.id: {"error": night.error, "is_done": night.is_done} for night in nights}
    return [ended[values["id"]] for values in shard]  # in the order in which they came


@contextmanager
def opened_workers(settings: Settings, caller: Caller) -> Iterator[Workers]:
    """What runs the shards of the caller's nights within the block."""
    count = workers_of(settings)
    if count <= 1:
        yield Workers(caller)
    elif settings.runner == "dask":
        with dask_client(settings) as client:
            # Not pure: the same shard of a later run is no cached result.
            yield Workers(caller, partial(client.get_executor, pure=False))
    else:
        processes = partial(get_reusable_executor, max_workers=count)
        try:
            yield Workers(caller, processes)
        except BaseException:
            # One that hangs would keep this process from its end
            processes().shutdown(kill_workers=True)
            raise


@contextmanager
def dask_client(settings: Settings) -> Iterator[Any]:
    """A client of the configured scheduler, else of a cluster of its own, with a worker."""
    if find_spec("distributed") is None:
        raise UsageError(
            "FORECASTING_RUNNER=dask needs Dask, which is not installed here. Run: pip install "
            "'forecasting[dask]'"
        )
    # Not at the top: it changes how exceptions are pickled
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.WARNING)
    address = settings.dask_address
    with ExitStack() as opened:
        try:
            cluster = address or opened.enter_context(
                LocalCluster(**own_cluster(workers_of(settings), settings.data_dir))  # type: ignore[no-untyped-call]
            )
            client = opened.enter_context(
                Client(cluster, timeout=DASK_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
            )
            client.wait_for_workers(1, timeout=DASK_WORKER_S)
        except (OSError, ValueError, TimeoutError) as error:
            where = f"at FORECASTING_DASK_ADDRESS {address}" if address else "of its own"
            raise ForecastingError(
                f"Expected a Dask scheduler with a worker {where}; found: {error}. Start both "
                "(docs/operator.md), or correct the address; then run again: the bars are stored."
            ) from error
        yield client


def own_cluster(workers: int, folder: Path) -> dict[str, object]:
    """The arguments of a `LocalCluster` that no other user of this machine can use.

    Its scratch files lie in `folder`.

    Dask asks for no password and runs what it is sent: each connection needs the certificate that
    this cluster makes for itself. Its HTTP server, which needs none, has no dashboard and listens
    to this machine alone. Modules are imported from its scratch folder, by default one in the
    temporary folder that another user could have made.
    """
    own = {"local_directory": str(folder)}
    scheduler = own | {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    return own | {
        "n_workers": workers,
        "threads_per_worker": 1,
        "security": True,
        "scheduler_kwargs": scheduler,
    }


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
