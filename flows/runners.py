"""Where shards run: in this process, in processes of this machine, or on Dask workers; the tables are the same."""

import logging
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from itertools import chain
from typing import Any, Self

from prefect.settings import PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from flows import IMPORTED
from flows.tasks import run_shard, shard_of_nights
from forecasting.backtest.workers import begin_work, worker_context
from forecasting.errors import ForecastingError
from forecasting.pipeline.dask_scheduler import check_dask, own_cluster, wait_for_shard
from forecasting.pipeline.night_shard import Finished, Shard, every_night_failed, lost_twice, workers_of
from forecasting.settings import Settings

logger = logging.getLogger("forecasting.night")


def run_shards(shards: Iterator[Shard], settings: Settings, at_most: int) -> Iterator[Finished]:
    """How each night ended, as the shards are done; `at_most` so many, of which workers run some as others are made."""
    if settings.runner == "local" or at_most <= 1:
        for shard in list(shards):
            yield from run_shard(shard)
        return
    lost = iter((yield from _run_together(shards, settings, at_most)))
    for shard in lost:  # a worker that is killed takes its whole pool with it: again each shard has a runner of its own
        if (yield from _run_together(iter([shard]), settings, 1, rest=lost)):
            yield from every_night_failed(shard, lost_twice(shard))


def _run_together(
    shards: Iterator[Shard], settings: Settings, at_most: int, *, rest: Iterable[Shard] = ()
) -> Generator[Finished, None, list[Shard]]:
    """How each night ended, of shards in one task runner; returned are the shards whose workers were lost."""
    if (first := next(shards, None)) is None:  # no bar came: a runner may be a cluster that starts
        return []
    shards = chain([first], shards)
    try:
        made = task_runner(settings, at_most)
    except ForecastingError as error:  # without a scheduler or a worker, which the rest would lack too
        for shard in chain(shards, rest):
            yield from every_night_failed(shard, error)
        return []
    futures, lost = list[tuple[Shard, Any]](), list[Shard]()
    # A worker would begin with a request for the server's version. Without a response the result of its work is a
    # SystemExit, at which the pool's thread that collects results ends, and this process waits for ever (Prefect 3.9).
    with temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}), made as runner:
        for shard in shards:
            with _noted_where_lost(shard, lost):
                futures.append((shard, runner.submit(shard_of_nights, {"shard": shard})))
        for shard, future in futures:
            with _noted_where_lost(shard, lost):
                if settings.runner == "dask":
                    wait_for_shard(future.wrapped_future)
                yield from future.result()
    return lost


@contextmanager
def _noted_where_lost(shard: Shard, lost: list[Shard]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of a worker that was killed, or of the pool: a night's own is returned
        if "KeyboardInterrupt" in str(error):  # Ctrl-C while pydantic serialises Prefect's settings for the worker
            raise KeyboardInterrupt from error
        logger.warning("the worker of shard %s was lost: %r", shard.name, error)
        lost.append(shard)


class Workers(ProcessPoolTaskRunner):
    """Prefect's pool of processes (3.9), whose imports are made once, not by each of them."""

    def __enter__(self) -> Self:
        """Start it; the processes start with the work."""
        self._context = copy_context()
        super().__enter__()
        self._executor._mp_context = worker_context(IMPORTED)  # type: ignore[union-attr]
        return self

    def _forward_subprocess_messages(self) -> None:
        # In a thread that would see none of the settings of this run, and start a temporary server for what it sends.
        self._context.run(super()._forward_subprocess_messages)


def task_runner(settings: Settings, shards: int) -> TaskRunner[Any]:
    """Prefect's task runner that the settings name; raises as `check_dask`."""
    workers = min(workers_of(settings), shards)
    if settings.runner == "processes":
        return Workers(max_workers=workers, initializer=begin_work, initargs=(dict(os.environ),))
    check_dask(settings.dask_address)
    from prefect_dask.task_runners import DaskTaskRunner

    if settings.dask_address:
        return DaskTaskRunner(address=settings.dask_address)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    return DaskTaskRunner(cluster_kwargs=own_cluster(workers, settings.data_dir))
