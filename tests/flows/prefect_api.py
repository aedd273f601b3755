"""What tests ask of a Prefect server: runs requested, looked at, and waited for."""

from pathlib import Path
from typing import Any

from tests.flows.processes import API, until


def deployment_id(url: str, name: str) -> str | None:
    answer = API.get(f"{url}/deployments/name/{name}")
    return str(answer.json()["id"]) if answer.status_code == 200 else None


def start_run(url: str, name: str, *, at: str | None = None, **parameters) -> str:
    """The id of a run requested now, or at an instant."""
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": at} if at else {}}
    body = {"parameters": parameters, "state": state}
    answer = API.post(f"{url}/deployments/{deployment_id(url, name)}/create_flow_run", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def run(url: str, run_id: str) -> dict[str, Any]:
    return API.get(f"{url}/flow_runs/{run_id}").json()


def runs(url: str) -> list[dict[str, Any]]:
    """Every run that is not waiting for a later hour, oldest first."""
    body = {"sort": "START_TIME_ASC", "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
    return API.post(f"{url}/flow_runs/filter", json=body).json()


def ended(url: str, run_id: str) -> dict[str, Any] | None:
    found = run(url, run_id)
    return found if found["state_type"] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED") else None


def end_of(url: str, run_id: str, *, log: Path | None = None) -> dict[str, Any]:
    """The run once it has ended; asked for twice a second, which takes the server less than half of
    its idle load."""
    return until(lambda: ended(url, run_id), f"run {run_id} to end", log=log, pause_s=0.5)
