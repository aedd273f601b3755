"""Where shards of nights run: in this process, in processes of this machine, or on Dask workers; same tables."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings

from flows.reporting import readable_errors
from forecasting.pipeline.night import Night, sent
from forecasting.pipeline.run import (
    Processes,
    as_ended,
    check_dask,
    own_cluster,
    run_sent,
    run_shard,
    wait_for_shard,
    workers_of,
)
from forecasting.settings import Settings
from forecasting.vocabulary import Clock

logger = logging.getLogger("forecasting.night")


@contextmanager
def runner(settings: Settings) -> Iterator["Processes | DaskWorkers | None"]:
    """Workers that run shards; None where this process does.

    Raises:
        ForecastingError: As `check_dask`.
    """
    if workers_of(settings) <= 1:
        yield None
    elif settings.runner == "processes":
        yield Processes(settings)
    else:
        # A worker would begin with a request for the server's version, and end without a response.
        with temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}), dask_runner(settings) as made:
            yield DaskWorkers(made)


@task(cache_policy=NO_CACHE, retries=0, task_run_name="shard-of-{size}-nights")
def shard_of_nights(shard: list[dict[str, Any]], now: Clock, size: int) -> list[dict[str, Any]]:
    """How the nights of a shard ended, run in a worker's process."""
    with readable_errors():
        return run_sent(shard, now)


class DaskWorkers:
    """Shards run by the workers of a Dask scheduler, through Prefect's runner."""

    def __init__(self, made: Any) -> None:  # noqa: ANN401 - Dask has no types
        """Take an open runner."""
        self._runner = made
        self._submitted: list[tuple[list[Night], Any]] = []

    def submit(self, shard: list[Night]) -> None:
        """Let a worker run the shard."""
        values = {"shard": [sent(night) for night in shard], "now": shard[0].now, "size": len(shard)}
        self._submitted.append((shard, self._runner.submit(shard_of_nights, values)))

    def results(self) -> Iterator[list[Night]]:
        """The nights of each shard as they ended; of a worker that was lost, run once more in this process."""
        for shard, future in self._submitted:
            try:
                wait_for_shard(future.wrapped_future)
                yield as_ended(shard, future.result())
            except Exception as error:  # of a worker that was lost: a night's own is returned
                logger.warning("the worker of %d nights was lost: %r", len(shard), error)
                yield run_shard(shard)


def dask_runner(settings: Settings) -> Any:  # noqa: ANN401 - as above
    """Prefect's runner on the scheduler of the settings, or on a cluster of its own; raises as `check_dask`."""
    check_dask(settings.dask_address)
    from prefect_dask.task_runners import DaskTaskRunner

    if settings.dask_address:
        return DaskTaskRunner(address=settings.dask_address)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    return DaskTaskRunner(cluster_kwargs=own_cluster(workers_of(settings), settings.data_dir))
