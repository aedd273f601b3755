"""Whether a night's shards can run on Dask, and how a cluster of their own is started.

Without a scheduler or a worker the run would end, or wait for ever.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecasting.errors import ForecastingError, UsageError

if TYPE_CHECKING:
    from distributed import Future

CONNECT_S = 30.0
"""Seconds until the scheduler must respond."""

WORKER_S = 300.0
"""Seconds until it must have its first worker: machines that are started for a night take minutes."""


def check_dask(address: str | None) -> None:
    """Return when Dask is installed and the scheduler at the address, if one is given, has a worker.

    Raises:
        UsageError: Dask is not installed.
        ForecastingError: No scheduler responds there, or it has no worker.
    """
    if find_spec("prefect_dask") is None:
        raise UsageError(
            "FORECASTING_RUNNER=dask needs Dask, which is not installed here. Run: pip install 'forecasting[dask]'"
        )
    if address is None:
        return
    from distributed import Client  # not at the top: it changes how exceptions are pickled

    try:
        with Client(address, timeout=CONNECT_S, set_as_default=False) as client:  # type: ignore[no-untyped-call]  # no types
            client.wait_for_workers(1, timeout=WORKER_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise ForecastingError(
            f"Expected a Dask scheduler with a worker at FORECASTING_DASK_ADDRESS {address}; found: {error}. Start "
            "both (docs/cluster.md), or correct the address; then run again: the bars are stored."
        ) from error


def wait_for_shard(future: Future[Any]) -> None:
    """Return when a shard's future is done: with a result, with an error, or because its scheduler was lost.

    Args:
        future: Of Dask.

    Raises:
        ForecastingError: The scheduler has had no worker for `WORKER_S`; Dask would wait for one without end. The
            futures of all shards are cancelled.
    """
    from distributed import Future

    client = future.client
    while not future.done():  # type: ignore[no-untyped-call]  # Dask has no types
        try:
            future.exception(timeout=WORKER_S)  # type: ignore[no-untyped-call]
        except TimeoutError:
            try:
                client.wait_for_workers(1, timeout=WORKER_S)
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
