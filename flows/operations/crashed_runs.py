"""Orphaned runs of a killed worker or a power cut: mark them Crashed at the next start and run them again.

Prefect cannot distinguish such a run from a live one (observed in 3.9: it stays Running for ever). The lock can: a live
night holds the night's lock, which its process releases when it ends. With the lock free, a Running run is orphaned.
"""

import logging
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import filters
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from flows import clock
from forecasting.errors import LockedError
from forecasting.settings import read_settings
from forecasting.store import database

logger = logging.getLogger("forecasting.crashed_runs")

LOCKS: dict[str, database.LockName] = {
    "nightly/nightly": "night",
    "nightly/weekly-scratch": "night",
    "catch-up/catch-up": "night",
    "backtest/backtest": "backtest",
}
"""Our deployments, and the lock that a live run of each holds."""

STARTING = {
    StateType.PENDING: timedelta(minutes=1),
    StateType.RUNNING: timedelta(seconds=10),
    StateType.CANCELLING: timedelta(minutes=1),
}
"""States of a run that should have a process, and the age by which a live one holds the lock."""

INSTEAD_OF = "instead-of-"
"""How the idempotency key begins of a run that was started in an orphaned run's place; the orphan's id follows."""

STOPPED = "Runner is shutting down."
"""Message of Prefect's runner on a run that it cancelled because `forecasting serve` was stopped."""


def restart_crashed_runs() -> list[str]:
    """Mark our orphaned runs Crashed and start each one's deployment again at once; a sentence about each.

    Runs that ended with a stopped `serve` are started again too. A run whose lock is held is left alone. A run that may
    still be starting is waited for, a minute at most.
    """
    messages: list[str] = []
    with get_client(sync_client=True) as client:
        for name, lock in LOCKS.items():
            try:
                deployment = client.read_deployment_by_name(name)
            except ObjectNotFound:
                continue
            messages += clear_deployment(client, deployment, name=name, lock=lock)
    for line in messages:
        logger.warning(line)
    return messages


def clear_deployment(
    client: SyncPrefectClient, deployment: DeploymentResponse, *, name: str, lock: database.LockName
) -> list[str]:
    """The same for one deployment."""
    orphans = runs_in(client, deployment, list(STARTING))
    if orphans:
        time.sleep(max(seconds_until_old(run) for run in orphans))
        before = {run.id for run in orphans}
        orphans = [run for run in runs_in(client, deployment, list(STARTING)) if run.id in before]
    stopped = runs_in(client, deployment, [StateType.CANCELLED])[-1:]
    stopped = [run for run in stopped if run.state is not None and run.state.message == STOPPED]
    if not orphans and not stopped:
        return []
    try:
        with database.night_lock(read_settings().url, lock):
            messages = [mark_crashed(client, run, name) for run in orphans]
            messages += [f"{run.name} of {name} was stopped with `serve`: started again." for run in stopped]
            reported = zip(messages, orphans + stopped, strict=True)
            return [line for line, run in reported if start_again(client, run, deployment)]
    except LockedError as held:
        return [f"{len(orphans)} running of {name}, left alone: {held}"]


def runs_in(client: SyncPrefectClient, deployment: DeploymentResponse, types: list[StateType]) -> list[FlowRun]:
    """The deployment's newest runs whose state is one of `types`, oldest first."""
    found = client.read_flow_runs(
        flow_run_filter=filters.FlowRunFilter(
            deployment_id=filters.FlowRunFilterDeploymentId(any_=[deployment.id]),
            state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=types)),
        ),
        sort=FlowRunSort.START_TIME_DESC,
        limit=20,
    )
    return found[::-1]


def seconds_until_old(run: FlowRun) -> float:
    """Seconds until a run has been in its state for longer than it takes to get the lock."""
    if run.state is None:
        return 0.0
    age = max(timedelta(), clock.now() - run.state.timestamp)  # a clock that was ahead has been corrected since
    return max(0.0, (STARTING.get(run.state.type, timedelta()) - age).total_seconds())


def mark_crashed(client: SyncPrefectClient, run: FlowRun, name: str) -> str:
    """Mark one run Crashed, which frees its concurrency slot; a sentence about it."""
    message = "Its process is gone (a killed worker or a reboot); found and marked at the next start."
    client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    return f"{run.name} of {name} was running without a process: marked Crashed and started again."


def start_again(client: SyncPrefectClient, run: FlowRun, deployment: DeploymentResponse) -> bool:
    """Start a run's deployment again with the run's parameters; False when that was done before."""
    made = client.create_flow_run_from_deployment(
        deployment.id, parameters=dict[str, Any](run.parameters), idempotency_key=f"{INSTEAD_OF}{run.id}"
    )
    return made.state is not None and made.state.is_scheduled()


def orphans_before(run: FlowRun) -> list[str]:
    """The ids of the orphaned runs in whose place a run was started, one in another's, the last one first."""
    key = run.idempotency_key or ""
    if not key.startswith(INSTEAD_OF):
        return []
    with get_client(sync_client=True) as client:
        before = client.read_flow_run(UUID(key.removeprefix(INSTEAD_OF)))
    return [str(before.id), *orphans_before(before)]
