"""Runs that a worker starts, on a Prefect server in a process of its own.

Of `serve`: tests/faults/test_serve.py.
"""

import json
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import psutil
import pytest
from prefect.blocks.notifications import SlackWebhook
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import server
from forecasting.sessions import last_completed
from forecasting.store import lock, migrate
from tests.builders import random_bars, write_yahoo_csv
from tests.flows import prefect_api, processes
from tests.flows.sinks import http_sink
from tests.nights import nights_done, select

NIGHTLY = "nightly/nightly"
WORKER = ["prefect", "worker", "start", "--pool", "forecasting"]


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """The URL of the ledger of a test's processes, which `select` reads."""
    url = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    migrate.upgrade(url)
    monkeypatch.setenv("FORECASTING_DATABASE_URL", url)
    return url


def test_a_worker_makes_up_for_two_missed_nights_in_one_run_after_its_server_was_killed(
    deployed, served, ledger, tmp_path
):
    log = tmp_path / "worker.log"
    span = {"first": "2018-12-27", "last": "2018-12-28", "refit_every": 1}
    before = [
        f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (3, 2, 1)
    ]
    caught_up = prefect_api.start_run(deployed, NIGHTLY, at=before[0], **span)
    environment = processes.environment_of(tmp_path, deployed)
    with temporary_settings({PREFECT_API_URL: deployed}):
        assert server.is_idle()  # as doctor says
    with processes.running(WORKER, log=log, environment=environment):
        processes.until(lambda: nights_done(ledger) >= 1, "the first of two nights", log=log)
        with temporary_settings({PREFECT_API_URL: deployed}):
            assert not server.is_idle()
        processes.kill_server(deployed)
        served.start()
        assert prefect_api.end_of(deployed, caught_up, log=log)["state_name"] == "Completed"
        assert nights_done(ledger) == 2
        missed = [prefect_api.start_run(deployed, NIGHTLY, at=at) for at in before[1:]]
        names = [prefect_api.end_of(deployed, run, log=log)["state_name"] for run in missed]
        assert "Completed" in names
        assert set(names) <= {"Completed", "Skipped"}
        assert select("DISTINCT origin_session", "latest_forecasts") == [("2018-12-31",)]
        assert nights_done(ledger) == 3


def test_a_late_night_ends_and_the_next_run_makes_it_whatever_was_killed_meanwhile(
    deployed, ledger, tmp_path
):
    bars = tmp_path / "TEST.csv"
    newest = last_completed(datetime.now(UTC), "XNYS")
    write_bars(bars, newest, missing=1)
    environment = processes.environment_of(tmp_path, deployed, bars)
    log = tmp_path / "worker.log"
    run = partial(prefect_api.start_run, deployed, NIGHTLY, first=str(newest), last=str(newest))
    with ExitStack() as stack:
        (ours, posted), (of_prefect, posted_by_prefect) = (
            stack.enter_context(http_sink()) for _ in range(2)
        )
        environment["FORECASTING_NOTIFY"] = ours.replace("http", "json")
        environment["FORECASTING_PAGES_URL"] = "https://host/reports"
        worker = stack.enter_context(processes.running(WORKER, log=log, environment=environment))
        create_automation(of_prefect, tmp_path, environment)
        late = prefect_api.end_of(deployed, run(), log=log)
        missing = f"TEST has no usable bar for the session {newest} yet"
        assert (late["state_name"], missing in late["state"]["message"]) == ("Stale", True)
        assert select("as_of, status", "runs") == [(str(newest), "late")]
        write_bars(bars, newest, missing=0)
        with lock.night_lock(ledger):
            skipped = prefect_api.end_of(deployed, run(), log=log)["state"]
            assert (skipped["name"], "at work in another run" in skipped["message"]) == (
                "Skipped",
                True,
            )
        with write_lock(ledger):  # for which the night waits some seconds
            crashed = run()
            processes.until(
                lambda: prefect_api.run(deployed, crashed)["state_type"] == "RUNNING",
                "a night at work",
                log=log,
            )
            for process in psutil.Process(worker.pid).children():
                processes.kill_tree(process.pid)
        assert prefect_api.end_of(deployed, crashed, log=log)["state_name"] == "Crashed"
        (crash,) = map(
            json.loads,
            processes.until(lambda: posted_by_prefect, "the message about the crash", log=log),
        )
        page = f"{deployed.removesuffix('/api')}/v2/runs/flow-run/{crashed}"
        wanted = {"title": "forecasting: a run of nightly is Crashed", "message": page}
        assert crash | wanted == crash
        assert prefect_api.end_of(deployed, run(), log=log)["state_name"] == "Completed"
        assert select("DISTINCT origin_session", "latest_forecasts") == [(str(newest),)]
    stale, digest = map(json.loads, posted)
    assert "TEST volume: stale." in stale["message"]
    assert "stale" not in digest["message"]
    # Not the page of its run
    assert digest["message"].endswith("\nhttps://host/reports/index.html")
    assert len(posted_by_prefect) == 1


@contextmanager
def write_lock(url):
    """Within the block another program has the database's lock of writers."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def write_bars(path, newest, *, missing):
    """TEST.csv up to the newest session that has closed, without its last `missing` bars."""
    bars = random_bars(days=451, seed=3, last=newest)
    write_yahoo_csv(bars.iloc[: 451 - missing], path)


def create_automation(webhook, folder, environment):
    """As the first lines of deploy/automations.yaml say."""
    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        block = SlackWebhook(url=webhook.replace("http", "json")).save(
            "forecasting", overwrite=True
        )
    template = (processes.ROOT / "deploy" / "automations.yaml").read_text()
    (folder / "runs.yaml").write_text(template.replace("BLOCK_ID", str(block)))
    words = ("automation", "create", "--from-file", str(folder / "runs.yaml"))
    code, out, err = processes.here(*words, environment=environment, program="prefect")
    assert code == 0, out + err


def test_each_of_the_three_deployments_has_its_form(deployed):
    found = processes.API.post(f"{deployed}/deployments/filter", json={}).json()
    assert {one["name"] for one in found} == {"nightly", "weekly-scratch", "backtest"}
    assert {one["work_pool_name"] for one in found} == {"forecasting"}
    forms = {one["name"]: one["parameter_openapi_schema"] for one in found}
    assert all(one["enforce_parameter_schema"] for one in found)
    days = [forms["backtest"]["properties"][name]["anyOf"] for name in ("first", "last")]
    assert days == [[{"type": "string", "format": "date"}, {"type": "null"}]] * 2
    for form in forms.values():
        # Shown beside each field
        assert all(field.get("description") for field in form["properties"].values())
