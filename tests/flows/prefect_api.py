"""What tests ask of a Prefect server: runs requested, looked at, cancelled, and waited for."""

from pathlib import Path
from typing import Any

import httpx

from tests.flows.processes import API, until


def deployment_id(url: str, name: str) -> str | None:
    answer = API.get(f"{url}/deployments/name/{name}")
    return str(answer.json()["id"]) if answer.status_code == 200 else None


def start_run(url: str, name: str, *, at: str | None = None, **parameters: object) -> str:
    """The id of a run requested now, or at an instant; retried while Prefect's SQLite is locked, a 503."""
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at} if at else {}}
    body = {"parameters": parameters, "state": state}
    target = f"{url}/deployments/{deployment_id(url, name)}/create_flow_run"
    (answer,) = until(lambda: unless_busy(API.post(target, json=body)), "the server to take a run")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def unless_busy(answer: httpx.Response) -> tuple[httpx.Response] | None:
    return None if answer.status_code == 503 else (answer,)


def run(url: str, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = API.get(f"{url}/flow_runs/{run_id}").json()
    return found


def cancel(url: str, run_id: str) -> None:
    """Request a run's cancellation, as the button in the UI does."""
    body = {"state": {"type": "CANCELLING"}}
    target = f"{url}/flow_runs/{run_id}/set_state"
    until(lambda: unless_busy(API.post(target, json=body)), "the server to take a cancellation")


def runs(url: str) -> list[dict[str, Any]]:
    """Every run that is not waiting for a later hour, oldest first."""
    body = {"sort": "START_TIME_ASC", "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
    found: list[dict[str, Any]] = API.post(f"{url}/flow_runs/filter", json=body).json()
    return found


def ended(url: str, run_id: str) -> dict[str, Any] | None:
    found = run(url, run_id)
    return found if found["state_type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") else None


def end_of(url: str, run_id: str, *, log: Path | None = None) -> dict[str, Any]:
    """The run once it has ended; asked for twice a second, which takes the server less than half of its idle load."""
    found: dict[str, Any] = until(lambda: ended(url, run_id), f"run {run_id} to end", log=log, pause_s=0.5)
    return found
