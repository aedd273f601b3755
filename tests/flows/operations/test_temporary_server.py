"""A temporary server beside the one of the tests, on a copy of its database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    temporary_settings,
)
from sqlalchemy import make_url

from flows.operations import server
from tests.flows import processes

KEPT_DAYS = 90

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow
def noted() -> UUID:
    create_table_artifact([{"a": 1}], key="a-table")
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return context.flow_run.id


def test_a_temporary_server_deletes_runs_that_ended_before_its_limit_and_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = noted(), noted()
    APILogWorker.drain_all(timeout=30)  # the lines that a flow logs itself
    home = tmp_path / "job%2Fprefect?"  # neither is read as a part of the database's URL
    home.mkdir()
    with (
        closing(sqlite3.connect(PREFECT_HOME.value() / server.OWN_DATABASE)) as served,
        closing(sqlite3.connect(home / server.OWN_DATABASE)) as copy,
    ):
        served.backup(copy)
        for run_id, days in ((old, KEPT_DAYS + 1), (young, KEPT_DAYS - 1)):
            then = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d %H:%M:%S.%f}"
            with copy:
                assert copy.execute("UPDATE flow_run SET end_time = ? WHERE id = ?", (then, str(run_id))).rowcount == 1
        assert left(copy, old) == left(copy, young) == {"flow_run", "log", "artifact"}
    monkeypatch.setenv("PREFECT_HOME", str(home))
    with temporary_settings({PREFECT_HOME: home}, restore_defaults={PREFECT_API_URL}), server.run_server():
        assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() is None
        with get_client(sync_client=True) as client:
            processes.until(lambda: states(client, old, young) == {young: StateType.COMPLETED}, "the old run to go")
        with closing(sqlite3.connect(home / server.OWN_DATABASE, timeout=30)) as database:
            processes.until(lambda: not left(database, old), "its lines and artifact to go")
            assert left(database, young) == {"flow_run", "log", "artifact"}


def test_a_configured_database_is_used_and_keeps_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for configured in (False, True):
        if configured:
            monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{tmp_path / 'ours.db'}")
        with (
            temporary_settings({PREFECT_HOME: tmp_path}, restore_defaults={PREFECT_API_URL}),
            mock.patch.object(server, "_started") as started,
            server.run_server(),
        ):
            pass
        given = started.call_args.kwargs["environment"]
        database = make_url(given["PREFECT_SERVER_DATABASE_CONNECTION_URL"]).database or ""
        vacuum = given["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"]
        expected = ("ours.db", "events") if configured else (server.OWN_DATABASE, "events,flow_runs")
        assert (database.rpartition("/")[2], vacuum) == expected


def states(client: SyncPrefectClient, *run_ids: UUID) -> dict[UUID, StateType | None]:
    """The states of those runs that the server has."""
    found = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(run_ids))))
    return {run.id: run.state_type for run in found}


def left(database: sqlite3.Connection, run_id: UUID) -> set[str]:
    """The tables that have rows of a run."""
    rows = {
        "flow_run": "SELECT 1 FROM flow_run WHERE id = ?",
        "log": "SELECT 1 FROM log WHERE flow_run_id = ?",
        "artifact": "SELECT 1 FROM artifact WHERE flow_run_id = ?",
    }
    return {table for table, query in rows.items() if database.execute(query, (str(run_id),)).fetchone()}
