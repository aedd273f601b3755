"""The nights of a run without a scheduler: the same five steps as in `flows/nightly.py`, in the same order."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
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
    workers, done = Workers(settings) if workers_of(settings) > 1 else None, list[Night]()
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
    """Shards run by processes of this machine, or by the workers of an open Dask runner of Prefect's as its `task`."""

    def __init__(self, settings: Settings, runner: Any = None, task: Any = None) -> None:  # noqa: ANN401 - of Prefect
        """No process is started before the first shard."""
        self._count, self._runner, self._task = workers_of(settings), runner, task
        self._submitted: list[tuple[list[Night], Any]] = []

    def submit(self, shard: list[Night]) -> None:
        """Let a worker run the shard, while the caller requests the bars of others."""
        values, now = [sent(night) for night in shard], shard[0].now
        if self._runner is None:
            future = get_reusable_executor(max_workers=self._count).submit(run_sent, values, now)
        else:
            future = self._runner.submit(self._task, {"shard": values, "now": now, "size": len(shard)})
        self._submitted.append((shard, future))

    def results(self) -> Iterator[list[Night]]:
        """The nights of each shard as they ended; of a worker that was lost, run once more in this process."""
        while self._submitted:
            shard, future = self._submitted.pop(0)
            try:
                if self._runner is not None:
                    wait_for_shard(future.wrapped_future)
                yield [replace(night, **values) for night, values in zip(shard, future.result(), strict=True)]
            except Exception as error:  # a night's own is among its values
                logger.warning("the worker of %d nights was lost, killed for memory perhaps: %r", len(shard), error)
                yield run_shard(shard)


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


def check_dask(address: str | None) -> None:
    """Return when Dask is installed and its scheduler has a worker, without which a run would wait for ever."""
    if find_spec("prefect_dask") is None:
        raise UsageError(
            "FORECASTING_RUNNER=dask needs Dask, which is not installed here. Run: pip install 'forecasting[dask]'"
        )
    if address is None:
        return
    from distributed import Client  # not at the top: it changes how exceptions are pickled

    try:
        with Client(address, timeout=DASK_CONNECT_S, set_as_default=False) as client:  # type: ignore[no-untyped-call]  # no types
            client.wait_for_workers(1, timeout=DASK_WORKER_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise ForecastingError(
            f"Expected a Dask scheduler with a worker at FORECASTING_DASK_ADDRESS {address}; found: {error}. Start "
            "both (docs/cluster.md), or correct the address; then run again: the bars are stored."
        ) from error


def wait_for_shard(future: Any) -> None:  # noqa: ANN401 - Dask has no types
    """Return when a shard's future is done or lost; an error where its scheduler has no worker for DASK_WORKER_S."""
    from distributed import Future

    client = future.client
    while not future.done():
        try:
            future.exception(timeout=DASK_WORKER_S)
        except TimeoutError:
            try:
                client.wait_for_workers(1, timeout=DASK_WORKER_S)
            except TimeoutError as error:
                client.cancel([Future(key, client) for key in client.futures])
                raise ForecastingError(f"Expected a worker of the Dask scheduler; found: {error}.") from error


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
