"""deploy/prefect.yaml on a new server, from a fresh clone; and how long Prefect keeps runs."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.flows import processes

KEPT_DAYS = 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps its database."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """A server that keeps runs as long as compose.yaml configures, and checks every second."""
    compose = yaml.safe_load((processes.ROOT / "deploy" / "compose.yaml").read_text())
    environment = compose["services"]["prefect"]["environment"]
    vacuum = {name: value for name, value in environment.items() if "DB_VACUUM" in name}
    assert len(vacuum) == 2
    vacuum["PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS"] = "1"
    with processes.prefect_server(folder, **vacuum) as url:
        yield url


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    cloned = subprocess.run(["git", "clone", "--quiet", processes.ROOT, folder], capture_output=True, text=True)
    if cloned.returncode:
        pytest.skip(f"not a git checkout, so there is nothing to clone: {cloned.stderr}")
    return folder


def test_all_four_deployments_come_from_a_fresh_clone_with_their_forms(server: str, clone: Path) -> None:
    processes.deploy(processes.environment_of(clone.parent, server), clone)
    found: list[dict[str, Any]] = httpx.post(f"{server}/deployments/filter", json={}, timeout=30).json()
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


def test_the_server_deletes_runs_that_ended_before_its_limit_and_keeps_the_others(server: str, folder: Path) -> None:
    old, young = (run_ended(server, folder, days_ago=KEPT_DAYS + days) for days in (1, -1))
    processes.until(lambda: httpx.get(f"{server}/flow_runs/{old}").status_code == 404, "the old run to go")
    assert processes.run(server, young)["state_type"] == "COMPLETED"


def run_ended(server: str, folder: Path, *, days_ago: int) -> str:
    """The id of a run of any flow that was completed so long ago; the API does not accept that time."""
    flow = created(f"{server}/flows/", {"name": "any"})
    run_id = str(created(f"{server}/flow_runs/", {"flow_id": flow["id"], "state": {"type": "COMPLETED"}})["id"])
    then = datetime.now(UTC) - timedelta(days=days_ago)
    with closing(sqlite3.connect(folder / "prefect" / "prefect.db", timeout=30)) as connection, connection:
        query = "UPDATE flow_run SET end_time = ? WHERE id = ?"
        changed = connection.execute(query, (f"{then:%Y-%m-%d %H:%M:%S.%f}", run_id))
        assert changed.rowcount == 1
    return run_id


def created(url: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the server made of `given`; retried while its own sweep keeps its database locked."""

    def answer() -> dict[str, Any] | None:
        response = httpx.post(url, json=given, timeout=30)
        return dict(response.json()) if response.is_success else None

    found: dict[str, Any] = processes.until(answer, f"an answer from {url}")
    return found
