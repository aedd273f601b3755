"""Outages of servers and workers: nothing is lost, and the next night runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecasting.store import migrate
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.flows import prefect_api, processes
from tests.nights import nights_done

NIGHTLY = "nightly/nightly"


@pytest.mark.campaign
def test_serve_with_a_server_of_its_own_makes_up_for_three_nights_after_a_power_cut(tmp_path: Path) -> None:
    bars, known = tmp_path / "TEST.csv", random_bars(days=450, seed=3, last=LAST)
    write_yahoo_csv(known.iloc[:-3], bars)
    ledger = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    migrate.upgrade(ledger)
    port, log = processes.free_port(), tmp_path / "serve.log"
    url = f"http://admin:x@127.0.0.1:{port}/api"
    environment = processes.without_server(processes.environment_of(tmp_path, url, bars))
    environment |= {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_SERVER_API_AUTH_STRING": "admin:x"}
    with processes.running(["flows.cli", "serve"], log=log, environment=environment) as serving:
        processes.until(lambda: processes.healthy(url), "a server of its own", log=log)
        processes.until(lambda: prefect_api.deployment_id(url, NIGHTLY), "the deployment", log=log)
        first = prefect_api.start_run(url, NIGHTLY)
        prefect_api.end_of(url, first, log=log)
        processes.kill_tree(serving.pid)
    assert not processes.healthy(url)
    now = datetime.now(UTC)
    with processes.prefect_server(tmp_path, port=port):  # on the same database, to ask for what was missed
        missed = [
            prefect_api.start_run(url, NIGHTLY, at=(now - timedelta(days=days)).isoformat()) for days in (3, 2, 1)
        ]
    assert not processes.healthy(url)
    write_yahoo_csv(known, bars)
    with processes.running(["flows.cli", "serve"], log=log, environment=environment):
        processes.until(lambda: processes.healthy(url), "its server again", log=log)
        ends = [prefect_api.end_of(url, run, log=log) for run in missed]
    names = sorted(end["state_name"] for end in ends)
    assert names.count("Completed") == 1
    assert set(names) <= {"Completed", "Cancelled", "Skipped"}
    assert nights_done(ledger) == 4
