"""Where shards of nights run: in this process, in processes of this machine, or on Dask workers; same tables."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED, temporary_settings

from flows.reporting import readable_errors
from forecasting.pipeline.run import Workers, check_dask, own_cluster, run_sent, workers_of
from forecasting.settings import Settings
from forecasting.vocabulary import Clock


@contextmanager
def runner(settings: Settings) -> Iterator[Workers | None]:
    """Workers that run shards; None where this process does."""
    if workers_of(settings) <= 1:
        yield None
    elif settings.runner == "processes":
        yield Workers(settings)
    else:
        # A worker would begin with a request for the server's version, and end without a response.
        with temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}), dask_runner(settings) as made:
            yield Workers(settings, made, shard_of_nights)


@task(cache_policy=NO_CACHE, retries=0, task_run_name="shard-of-{size}-nights")
def shard_of_nights(shard: list[dict[str, Any]], now: Clock, size: int) -> list[dict[str, Any]]:
    """How the nights of a shard ended, run in a worker's process."""
    with readable_errors():
        return run_sent(shard, now)


def dask_runner(settings: Settings) -> Any:  # noqa: ANN401 - Dask has no types
    """Prefect's runner on the scheduler of the settings, or on a cluster of its own; raises as `check_dask`."""
    check_dask(settings.dask_address)
    from prefect_dask.task_runners import DaskTaskRunner

    logging.getLogger("distributed").setLevel(logging.WARNING)
    cluster = None if settings.dask_address else own_cluster(workers_of(settings), settings.data_dir)
    return DaskTaskRunner(address=settings.dask_address, cluster_kwargs=cluster)
