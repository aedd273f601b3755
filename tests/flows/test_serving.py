"""Runs that a worker starts, on a Prefect server in a process of its own.

Of `serve`: tests/faults/test_serve.py.
"""

from datetime import UTC, datetime, timedelta

import pytest
from prefect.blocks.notifications import SlackWebhook
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import server
from forecasting.store import migrate
from tests.flows import prefect_api, processes
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


def test_the_automation_of_a_crashed_run_is_accepted(deployed, tmp_path):
    environment = processes.environment_of(tmp_path, deployed)
    create_automation("http://127.0.0.1:1/hook", tmp_path, environment)
    (automation,) = processes.API.post(f"{deployed}/automations/filter", json={}).json()
    assert automation["enabled"]
    assert [action["type"] for action in automation["actions"]] == ["send-notification"]


def create_automation(webhook, folder, environment):
    """Create the automation as the first lines of deploy/automations.yaml say."""
    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        block = SlackWebhook(url=webhook.replace("http", "json")).save(
            "forecasting", overwrite=True
        )
    template = (processes.ROOT / "deploy" / "automations.yaml").read_text()
    (folder / "runs.yaml").write_text(template.replace("BLOCK_ID", str(block)))
    words = ("automation", "create", "--from-file", str(folder / "runs.yaml"))
    code, out, err = processes.here(*words, environment=environment, program="prefect")
    assert code == 0, out + err
