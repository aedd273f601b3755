"""The nights of a run without a scheduler: the same five steps as in `flows/nightly.py`, in the same order."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from joblib import cpu_count
from joblib.externals.loky import get_reusable_executor

from forecasting.errors import ForecastingError, NoBarError, UnavailableError, UsageError
from forecasting.ingest.earnings import check_events
from forecasting.pipeline import messages, plan
from forecasting.pipeline.ingest import fetch_and_store, ingest
from forecasting.pipeline.night import Night, by_symbol, in_turn, make_night, received, sent
from forecasting.pipeline.preprocess import first_session
from forecasting.pipeline.publish import update_index
from forecasting.pipeline.rounds import INTERACTIVE, Rounds
from forecasting.pipeline.run_log import mark_cut_off
from forecasting.pipeline.symbols import Outcomes, combined, each_symbol, explained
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, lock, migrate, read
from forecasting.store.frames import Row, python_strings
from forecasting.vocabulary import Clock, Mode

logger = logging.getLogger("forecasting.night")

Shown = Callable[[Sequence[Night], str], object]  # Shows that a step begins with some nights: the progress bar
LARGEST = 50  # Most symbols of an automatic shard: a kill repeats a shard's work, and a shard's pages are in memory
SHARDS_A_WORKER = 3  # Several, so that no worker waits long for the last one
LONGEST_S = 12 * 3600.0  # That a run waits for a worker's shard, of years of nights perhaps
DASK_CONNECT_S, DASK_WORKER_S = 30.0, 300.0
"""Seconds until a Dask scheduler must respond, and until it must have its first worker: machines take minutes."""


def run_nights(
    nights: Sequence[Night],
    settings: Settings,
    *,
    now: Clock,
    wait: Callable[[datetime], object] = lambda until: None,
    switch_source: bool = False,
    shown: Shown = lambda nights, step: None,
) -> list[Night]:
    """The nights of a plan, each as it ended; the caller holds their lock. `shown` is called before each step."""
    shown(nights, "plan")
    rounds = Rounds(nights, settings, due=None, now=now, wait=lambda until, why: wait(until))
    done = list[Night]()
    with opened_workers(settings) as workers:
        for due in rounds:
            shown(due, "ingest")
            fetched = ingest(due, switch_source=switch_source, refusals=rounds.refusals)
            for shard in shards(rounds.take(fetched), settings):
                if workers is not None:
                    workers.submit(shard)
                else:
                    done += run_shard(shard, shown)
        for nights_of_shard in workers.results() if workers is not None else ():
            done += nights_of_shard
            shown(done, "done")
    update_index(settings, rounds.ended, now=now)
    return done + rounds.ended


def run_missed(settings: Settings, *, as_of: date | None, mode: Mode, now: Clock) -> list[str]:
    """The ids of the symbol's nights, done: of the session `as_of`, or all that are missing, oldest first."""
    missed = plan.check_nights(settings, as_of=as_of, mode=mode, now=now)
    with nights_here(settings, now=now):
        planned = plan.planned_nights(settings, as_of=as_of, mode=mode, now=now)
        nights = run_nights(planned, settings, now=now)
    concluded(nights, settings, now=now)
    left = plan.not_done(missed)
    return [night.id for night in missed if night not in left]


def ingest_only(
    settings: Settings,
    *,
    as_of: date | None,
    switch_source: bool,
    now: Clock,
    wait: Callable[[datetime], object] = lambda until: None,
) -> Outcomes[Row]:
    """The row of the fetch that brought each symbol's bars up to `as_of`, or to its newest session, without a night.

    After no response or a broken one it is requested once more, as in a run by hand.
    """
    migrate.check_ready(settings.url)

    def fetch(own: Settings) -> Row:
        check_events(settings.events, settings.symbols)
        session = as_of or plan.newest_session(own, now=now)
        plan.check_session(session, own.exchange, now=now)
        night = make_night(own.symbols[0], session, settings, now=now, trigger="ingest")
        spans = [(night, first_session(session, own))]
        with lock.night_lock(own.url, "night"):
            (done,) = fetch_and_store(spans, {}, switch_source=switch_source)
            if isinstance(done.error, UnavailableError):
                wait(now() + INTERACTIVE)
                (done,) = fetch_and_store(spans, {}, switch_source=switch_source)
        if done.error is not None:
            raise done.error
        with connect.reading(own.url) as connection:
            return read.row(connection, "fetches", {"id": done.fetch_id}) or {}

    return each_symbol(settings, fetch, now=now)


def concluded(nights: Sequence[Night], settings: Settings, *, now: Clock) -> list[str]:
    """The ids of the nights that are done; the digest of the run is sent, its failures are raised as one."""
    done, failed, _ = outcome_of(nights)
    messages.send_digest(settings, nights, now=now)
    if failed:
        raise combined(failed, of=len(settings.symbols))
    return done


def run_shard(nights: Sequence[Night], shown: Shown = lambda nights, step: None) -> list[Night]:
    """The nights of some symbols whose bars are stored, as they ended: the first of each symbol, then the second."""
    from forecasting.pipeline.evaluate import evaluate
    from forecasting.pipeline.predict import predict
    from forecasting.pipeline.preprocess import preprocess
    from forecasting.pipeline.train import train  # takes torch: a process that waits for nights needs none

    done: list[Night] = []
    for some in in_turn(nights):
        for step in (preprocess, train, predict, evaluate):
            shown(some, step.__name__)
            some = step(some)
        done += [replace(night, report=None) for night in some]  # it is large
    return done


def shards(nights: Sequence[Night], settings: Settings) -> Iterator[list[Night]]:
    """The nights cut into shards of so many symbols: FORECASTING_SHARD_SIZE, else several for each worker."""
    workers, symbols = workers_of(settings), by_symbol(nights)
    count = workers * SHARDS_A_WORKER if workers > 1 else 1
    size = settings.shard_size or max(1, min(LARGEST, math.ceil(len(settings.symbols) / count)))
    for start in range(0, len(symbols), size):
        yield list(chain.from_iterable(symbols[start : start + size]))


def workers_of(settings: Settings) -> int:
    """How many workers run shards at the same time."""
    return 1 if settings.runner == "local" else min(settings.workers or cpu_count(), len(settings.symbols))


class Workers:
    """Shards run by an executor: processes of this machine, or Dask's workers."""

    def __init__(self, executor: Callable[[], Executor]) -> None:
        """`executor` is called for each shard: after a killed process joblib makes a new one."""
        self._executor = executor
        self._submitted: list[tuple[list[Night], Future[list[dict[str, Any]]]]] = []

    def submit(self, shard: list[Night]) -> None:
        """Let a worker run the shard, while the caller requests the bars of others."""
        values = [sent(night) for night in shard]
        future = self._executor().submit(run_sent, values, shard[0].now)
        self._submitted.append((shard, future))

    def results(self) -> Iterator[list[Night]]:
        """The nights of each shard as they ended; of a worker that was lost, run once more in this process.

        Raises:
            ForecastingError: A worker has not returned a shard for LONGEST_S. Its nights may still go on.
        """
        while self._submitted:
            shard, future = self._submitted.pop(0)
            wait([future], timeout=LONGEST_S)
            if not future.done():
                raise ForecastingError(
                    f"Expected the {len(shard)} nights of a shard from a worker within {LONGEST_S / 3600:.0f} hours; "
                    "it is still at work. Look at that process, end it, then run again."
                )
            try:
                ended = future.result()
            except Exception as error:  # a night's own is among its values
                logger.warning("the worker of %d nights was lost, killed for memory perhaps: %r", len(shard), error)
                yield run_shard(shard)
            else:
                yield [replace(night, **values) for night, values in zip(shard, ended, strict=True)]


def run_sent(shard: Sequence[dict[str, Any]], now: Clock) -> list[dict[str, Any]]:
    """How each night of a shard ended, run in a worker's process under the settings that it finds there; see `sent`."""
    try:
        settings = read_settings()
        with ledger(settings):
            nights = run_shard([received(values, settings, now=now) for values in shard])
    except Exception as error:  # as a database that cannot be reached
        ours = explained(error, now=now)
        return [{"error": ours} for _ in shard]
    ended = {night.id: {"error": night.error, "is_done": night.is_done} for night in nights}
    return [ended[values["id"]] for values in shard]  # in the order in which they came


@contextmanager
def opened_workers(settings: Settings) -> Iterator[Workers | None]:
    """Workers that run shards within the block; None where this process does."""
    count = workers_of(settings)
    if count <= 1:
        yield None
    elif settings.runner == "dask":
        with dask_client(settings) as client:
            # Not pure: the same shard of a later run is no cached result.
            yield Workers(partial(client.get_executor, pure=False))
    else:
        processes = partial(get_reusable_executor, max_workers=count)
        try:
            yield Workers(processes)
        except BaseException:
            processes().shutdown(kill_workers=True)  # one that hangs would keep this process from its end
            raise


@contextmanager
def dask_client(settings: Settings) -> Iterator[Any]:
    """A client of the scheduler in the settings, or of a cluster of its own, once a worker is there."""
    if find_spec("distributed") is None:
        raise UsageError(
            "FORECASTING_RUNNER=dask needs Dask, which is not installed here. Run: pip install 'forecasting[dask]'"
        )
    from distributed import Client, LocalCluster  # not at the top: it changes how exceptions are pickled

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
                f"Expected a Dask scheduler with a worker {where}; found: {error}. Start both (docs/cluster.md), or "
                "correct the address; then run again: the bars are stored."
            ) from error
        yield client


def own_cluster(workers: int, folder: Path) -> dict[str, object]:
    """The arguments of a `LocalCluster` that no other user of this machine can use; its scratch files lie in `folder`.

    Dask asks for no password and runs what it is sent: each connection needs the certificate that this cluster makes
    for itself. Its HTTP server, which needs none, has no dashboard and listens to this machine alone. Modules are
    imported from its scratch folder, by default one in the temporary folder that another user could have made.
    """
    own = {"local_directory": str(folder)}
    scheduler = own | {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    return own | {"n_workers": workers, "threads_per_worker": 1, "security": True, "scheduler_kwargs": scheduler}


@contextmanager
def ledger(settings: Settings) -> Iterator[None]:
    """A block in which nights share one connection and pandas makes the strings that serve short columns."""
    with connect.kept_open(settings.url), python_strings():
        yield


@contextmanager
def nights_here(settings: Settings, *, now: Clock) -> Iterator[None]:
    """A block in which nights run without Prefect, under their lock; an error that stops all of them is sent."""
    try:
        with lock.night_lock(settings.url, "night"), ledger(settings):
            try:
                yield
            except KeyboardInterrupt:
                mark_cut_off(settings)
                raise
    except Exception as error:
        failure = explained(error, now=now)
        messages.send_failed(settings, failure)
        raise failure from None


def outcome_of(nights: Sequence[Night]) -> tuple[list[str], dict[str, ForecastingError], list[str]]:
    """What became of a run: ids of done nights, each failed symbol with its oldest error, why nights had no bar."""
    failed: dict[str, ForecastingError] = {}
    for night in sorted(nights, key=lambda night: night.session):
        if night.error is not None and not isinstance(night.error, NoBarError):
            failed.setdefault(night.symbol, night.error)
    without_bar = [str(night.error) for night in nights if isinstance(night.error, NoBarError)]
    return [night.id for night in nights if night.is_done], failed, without_bar
