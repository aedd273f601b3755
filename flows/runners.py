"""Where shards run: in this process, in processes of this machine, or on Dask workers; the tables are the same."""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

from prefect.settings import PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from flows.tasks import run_shard, shard_of_nights
from forecasting.backtest.workers import end_with_parent
from forecasting.errors import ForecastingError
from forecasting.pipeline.dask_scheduler import check_dask, own_cluster, wait_for_shard
from forecasting.pipeline.night_shard import Finished, Shard, every_night_failed, lost_twice, workers_of
from forecasting.settings import Settings

logger = logging.getLogger("forecasting.night")


def run_shards(shards: Sequence[Shard], settings: Settings) -> Iterator[Finished]:
    """How each night ended, as the shards are done; a single shard runs in this process."""
    if settings.runner == "local" or len(shards) <= 1:
        for shard in shards:
            yield from run_shard(shard)
        return
    left = list(shards)
    try:
        left = yield from _run_together(left, settings)
        while left:  # a worker that is killed takes its whole pool with it: again each shard has a runner of its own
            if (yield from _run_together(left[:1], settings)):
                yield from every_night_failed(left[0], lost_twice(left[0]))
            left = left[1:]
    except ForecastingError as error:  # without a scheduler or a worker, which the other shards would lack too
        for shard in left:
            yield from every_night_failed(shard, error)


def _run_together(shards: Sequence[Shard], settings: Settings) -> Generator[Finished, None, list[Shard]]:
    """How each night ended, of shards in one task runner; returned are the shards whose workers were lost."""
    lost: list[Shard] = []
    # A worker would begin with a request for the server's version. Without a response the result of its work is a
    # SystemExit, at which the pool's thread that collects results ends, and this process waits for ever (Prefect 3.9).
    unasked = temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False})
    with unasked, task_runner(settings, len(shards)) as runner:
        for shard, future in [(shard, runner.submit(shard_of_nights, {"shard": shard})) for shard in shards]:
            try:
                if settings.runner == "dask":
                    wait_for_shard(future.wrapped_future)
                yield from future.result()
            except Exception as error:  # of a worker that was killed, or of the pool: a night's own is returned
                logger.warning("the worker of shard %s was lost: %r", shard.name, error)
                lost.append(shard)
    return lost


def task_runner(settings: Settings, shards: int) -> TaskRunner[Any]:
    """Prefect's task runner that the settings name.

    Raises:
        ForecastingError: As `check_dask`.
    """
    workers = min(workers_of(settings), shards)
    if settings.runner == "processes":
        pool = ProcessPoolTaskRunner(max_workers=workers, initializer=end_with_parent)
        # Its thread that passes on the workers' events and logs would otherwise see none of the settings of this run,
        # and start a temporary server for them (Prefect 3.9).
        pool._forward_subprocess_messages = partial(copy_context().run, pool._forward_subprocess_messages)  # type: ignore[method-assign]
        return pool
    check_dask(settings.dask_address)
    from prefect_dask.task_runners import DaskTaskRunner

    if settings.dask_address:
        return DaskTaskRunner(address=settings.dask_address)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    return DaskTaskRunner(cluster_kwargs=own_cluster(workers, settings.data_dir))
