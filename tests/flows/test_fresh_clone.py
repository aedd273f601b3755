"""deploy/prefect.yaml from a fresh clone; and how long Prefect keeps runs."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows import prefect_api, processes
from tests.flows.processes import Served

KEPT_DAYS = 90


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    cloned = subprocess.run(["git", "clone", "--quiet", processes.ROOT, folder], capture_output=True, text=True)
    if cloned.returncode:
        pytest.skip(f"not a git checkout, so there is nothing to clone: {cloned.stderr}")
    return folder


def test_all_four_deployments_come_from_a_fresh_clone_with_their_forms(served: Served, clone: Path) -> None:
    processes.deploy(processes.environment_of(clone.parent, served.url), clone)
    found: list[dict[str, Any]] = processes.API.post(f"{served.url}/deployments/filter", json={}).json()
    assert {one["name"] for one in found} == {"nightly", "weekly-scratch", "catch-up", "backtest"}
    assert {one["work_pool_name"] for one in found} == {"forecasting"}
    assert {str(step) for one in found for step in one["pull_steps"]} == {
        str({"prefect.deployments.steps.set_working_directory": {"directory": str(clone)}})
    }
    forms = {one["name"]: one["parameter_openapi_schema"] for one in found}
    assert all(one["enforce_parameter_schema"] for one in found)
    assert forms["catch-up"]["required"] == forms["backtest"]["required"] == ["first", "last"]
    assert {form["first"]["format"] for name in ("catch-up", "backtest") for form in [forms[name]["properties"]]} == {
        "date"
    }
    for form in forms.values():
        assert all(field.get("description") for field in form["properties"].values())  # shown beside each field


def test_the_server_deletes_runs_that_ended_before_its_limit_and_keeps_the_others(served: Served) -> None:
    old, young = (run_ended(served, days_ago=KEPT_DAYS + days) for days in (1, -1))
    processes.until(lambda: processes.API.get(f"{served.url}/flow_runs/{old}").status_code == 404, "the old run to go")
    assert prefect_api.run(served.url, young)["state_type"] == "COMPLETED"


def run_ended(served: Served, *, days_ago: int) -> str:
    """The id of a run of any flow that was completed so long ago; the API does not accept that time."""
    flow = created(f"{served.url}/flows/", {"name": "any"})
    run_id = str(created(f"{served.url}/flow_runs/", {"flow_id": flow["id"], "state": {"type": "COMPLETED"}})["id"])
    then = datetime.now(UTC) - timedelta(days=days_ago)
    with closing(sqlite3.connect(served.folder / "prefect" / "prefect.db", timeout=30)) as connection, connection:
        query = "UPDATE flow_run SET end_time = ? WHERE id = ?"
        changed = connection.execute(query, (f"{then:%Y-%m-%d %H:%M:%S.%f}", run_id))
        assert changed.rowcount == 1
    return run_id


def created(url: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the server made of `given`; retried while its own sweep keeps its database locked."""

    def answer() -> dict[str, Any] | None:
        response = processes.API.post(url, json=given)
        return dict(response.json()) if response.is_success else None

    found: dict[str, Any] = processes.until(answer, f"an answer from {url}")
    return found
