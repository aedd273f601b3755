"""Runs that a worker starts, on a Prefect server in a process of its own.

Of `serve`: tests/faults/test_serve.py.
"""

import json
import re
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from prefect.blocks.notifications import SlackWebhook
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import server
from forecasting.errors import LockedError
from forecasting.sessions import last_completed, next_sessions, opens_at
from forecasting.store import lock, migrate
from tests.builders import random_bars, write_yahoo_csv
from tests.flows import prefect_api, processes
from tests.flows.sinks import http_sink
from tests.nights import nights_done, select

NIGHTLY = "nightly/nightly"


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
    caught_up = prefect_api.start_run(deployed, "catch-up/catch-up", at=before[0], **span)
    environment = processes.environment_of(tmp_path, deployed)
    with temporary_settings({PREFECT_API_URL: deployed}):
        assert server.is_idle()  # as doctor says
    with processes.running(["flows.cli", "worker"], log=log, environment=environment):
        processes.until(lambda: nights_done(ledger) >= 1, "the first of two nights", log=log)
        with temporary_settings({PREFECT_API_URL: deployed}):
            assert not server.is_idle()
        processes.kill_server(deployed)
        served.start()
        assert prefect_api.end_of(deployed, caught_up, log=log)["state_name"] == "Completed"
        assert nights_done(ledger) == 2
        missed = [prefect_api.start_run(deployed, NIGHTLY, at=at) for at in before[1:]]
        names = [prefect_api.end_of(deployed, run, log=log)["state_name"] for run in missed]
        assert names.count("Completed") == 1
        assert set(names) <= {"Completed", "Skipped"}
        assert select("DISTINCT origin_session", "latest_forecasts") == [("2018-12-31",)]
        assert nights_done(ledger) == 3


def test_a_late_night_that_is_cancelled_ends_and_the_next_run_makes_up_for_one_that_is_killed_alone(
    deployed, ledger, tmp_path
):
    bars = tmp_path / "TEST.csv"
    exchange = closed_exchange()
    late_session = newest_of(exchange)
    write_bars(bars, exchange, missing=1)
    environment = processes.environment_of(tmp_path, deployed, bars) | waiting_hours(exchange)
    log = tmp_path / "worker.log"
    with ExitStack() as stack:
        (ours, posted), (of_prefect, posted_by_prefect) = (
            stack.enter_context(http_sink()) for _ in range(2)
        )
        environment["FORECASTING_NOTIFY"] = ours.replace("http", "json")
        environment["FORECASTING_PAGES_URL"] = "https://host/reports"
        stack.enter_context(
            processes.running(["flows.cli", "worker"], log=log, environment=environment)
        )
        check_cancellation(deployed, ledger, late_session, log)
        create_automation(of_prefect, tmp_path, environment)
        waiting = prefect_api.start_run(deployed, NIGHTLY, as_of=str(late_session), patient=True)
        late = processes.until(
            lambda: is_waiting(deployed, waiting), "a night that waits for its bar", log=log
        )
        awaited = f"TEST has no usable bar for the session {late_session} yet"
        assert (awaited in late["state"]["message"], posted) == (True, [])
        beside = prefect_api.start_run(deployed, NIGHTLY, as_of=str(late_session), patient=True)
        skipped = prefect_api.end_of(deployed, beside, log=log)["state"]
        at_work = r"Skipped: An earlier unattended run of volume is at work \(process (\d+) .*"
        pid = re.sub(at_work, r"\1", f"{skipped['name']}: {skipped['message']}")
        processes.kill_tree(int(pid))
        assert prefect_api.end_of(deployed, waiting, log=log)["state_name"] == "Crashed"
        (crash,) = map(
            json.loads,
            processes.until(lambda: posted_by_prefect, "the message about the crash", log=log),
        )
        page = f"{deployed.removesuffix('/api')}/v2/runs/flow-run/{waiting}"
        wanted = {"title": "forecasting: a run of nightly is Crashed", "message": page}
        assert crash | wanted == crash
        write_bars(bars, exchange, missing=0)
        next_hour = prefect_api.start_run(deployed, NIGHTLY, as_of=str(late_session), patient=True)
        assert prefect_api.end_of(deployed, next_hour, log=log)["state_name"] == "Completed"
        assert select("DISTINCT origin_session", "latest_forecasts") == [(str(late_session),)]
    (digest,) = map(json.loads, posted)
    assert digest["title"].endswith(", all well")
    # Not the page of its run
    assert digest["message"].endswith("\nhttps://host/reports/index.html")
    assert len(posted_by_prefect) == 1


def check_cancellation(url, ledger, late_session, log):
    """A night that waits, cancelled, ends at once and releases its lock."""
    waiting = prefect_api.start_run(url, NIGHTLY, as_of=str(late_session), patient=True)
    processes.until(lambda: is_waiting(url, waiting), "a night that waits for its bar", log=log)
    prefect_api.cancel(url, waiting)
    assert prefect_api.end_of(url, waiting, log=log)["state_type"] == "CANCELLED"
    processes.until(lambda: is_free(ledger), "the night's lock", log=log)
    assert select("as_of, status", "runs") == [(str(late_session), "late")]


def is_free(url):
    try:
        with lock.night_lock(url, "night"):
            return True
    except LockedError:
        return False


def closed_exchange():
    """One that does not open within the next hour, at any time of day.

    A night waits until the next session opens.
    """
    soon = datetime.now(UTC) + timedelta(hours=1)
    return next(
        name
        for name in ("XNYS", "XTKS")
        if opens_at(next_sessions(newest_of(name), 1, name)[0], name) > soon
    )


def newest_of(exchange):
    return last_completed(datetime.now(UTC), exchange)


def write_bars(path, exchange, *, missing):
    """TEST.csv up to the newest session that has closed, without its last `missing` bars."""
    newest = newest_of(exchange)
    write_yahoo_csv(
        random_bars(days=451, seed=3, last=newest, exchange=exchange).iloc[: 451 - missing], path
    )


def waiting_hours(exchange):
    """The stated hour is half a day away at any time of day."""
    hour = f"{datetime.now(UTC) + timedelta(hours=12):%H:%M}"
    return {
        "FORECASTING_LATE_UNTIL": hour,
        "FORECASTING_TIMEZONE": "UTC",
        "FORECASTING_EXCHANGE": exchange,
    }


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


def is_waiting(server, run_id):
    found = prefect_api.run(server, run_id)
    return found if (found["state_type"], found["state_name"]) == ("RUNNING", "Waiting") else None


def test_each_of_the_four_deployments_has_its_form(deployed):
    found = processes.API.post(f"{deployed}/deployments/filter", json={}).json()
    assert {one["name"] for one in found} == {"nightly", "weekly-scratch", "catch-up", "backtest"}
    assert {one["work_pool_name"] for one in found} == {"forecasting"}
    forms = {one["name"]: one["parameter_openapi_schema"] for one in found}
    assert all(one["enforce_parameter_schema"] for one in found)
    assert forms["catch-up"]["required"] == forms["backtest"]["required"] == ["first", "last"]
    assert {forms[name]["properties"]["first"]["format"] for name in ("catch-up", "backtest")} == {
        "date"
    }
    for form in forms.values():
        # Shown beside each field
        assert all(field.get("description") for field in form["properties"].values())
