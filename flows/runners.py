"""Prefect's task runner of a run's batches, as FORECASTING_RUNNER says."""

from importlib.util import find_spec
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from forecasting.errors import UsageError
from forecasting.settings import Settings


def batch_runner(settings: Settings, workers: int) -> TaskRunner[Any]:
    """A runner of batches: one after the other in this process, in a pool, or on Dask."""
    if workers == 1:
        return ThreadPoolTaskRunner(max_workers=1)
    if settings.runner != "dask":
        return ProcessPoolTaskRunner(max_workers=workers)
    if find_spec("prefect_dask") is None:
        raise UsageError(
            "FORECASTING_RUNNER=dask needs prefect-dask, which is not installed here. Run: pip "
            "install 'forecasting[dask]'"
        )
    # Not at the top: it changes how exceptions are pickled
    from prefect_dask.task_runners import DaskTaskRunner

    if settings.dask_address:
        return DaskTaskRunner(address=settings.dask_address)
    return DaskTaskRunner(cluster_kwargs=own_cluster(settings, workers))


def own_cluster(settings: Settings, workers: int) -> dict[str, object]:
    """The arguments of a `LocalCluster` that no other user of this machine can use.

    Dask asks for no password and runs what it is sent: each connection needs the certificate that
    this cluster makes for itself. Its HTTP server, which needs none, has no dashboard and listens
    to this machine alone. Modules are imported from its scratch folder, by default one in the
    temporary folder that another user could have made.
    """
    own = {"local_directory": str(settings.data_dir)}
    return own | {
        "n_workers": workers,
        "threads_per_worker": 1,
        "security": True,
        "scheduler_kwargs": own | {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }
