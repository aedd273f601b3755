"""Nights and spans through Prefect's engine.

Tests/night/test_night.py has those that do without.
"""

import json
import re
from datetime import date

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows import backtest, nightly, reporting
from flows.start import start_catch_up
from forecasting.sessions import between
from forecasting.store import lock
from tests.builders import LAST
from tests.nights import rows

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_a_backtest_is_named_by_its_span_stores_its_metrics_and_shows_its_figures(night_folder):
    state = backtest.backtest(first=date(2024, 2, 9), last=date(2024, 2, 16), return_state=True)
    run, artifacts = shown_by(state.state_details.flow_run_id)
    assert (state.name, run.name) == ("Completed", "backtest-TEST-volume-2024-02-09-2024-02-16")
    table = re.findall(r"^\| *(\w+) *\|", artifacts["backtest-test-volume"], re.MULTILINE)
    assert table == ["series", "horizon", "1", "2", "3", "4", "5", "all"]
    assert {row["scope"] for row in rows("metrics")} == {"published"}


def test_catching_up_runs_a_span_oldest_first_and_marks_it(night_folder):
    for _ in range(2):  # the second finds nothing to do
        said = start_catch_up(first=date(2024, 3, 5), last=LAST, refit_every=2)
        origins = {str(row["origin_session"])[:10] for row in rows("forecasts", kind="replay")}
        assert origins == set(map(str, between(date(2024, 3, 5), LAST)))
        modes = [row["mode"] for row in sorted(rows("runs"), key=lambda row: str(row["as_of"]))]
        assert modes == ["scratch", "skip", "warm", "skip"]
    assert "No night was run" in said


def shown_by(run_id):
    """A flow run, and the bodies of its artifacts by key."""
    with get_client(sync_client=True) as client:
        only = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        artifacts = client.read_artifacts(artifact_filter=only)
        return client.read_flow_run(run_id), {str(one.key): str(one.data) for one in artifacts}


@pytest.mark.usefixtures("done_on_the_seventh")
def test_a_run_of_a_past_session_shows_its_own_night_though_newer_ones_are_stored(
    night_folder, posted, monkeypatch
):
    monkeypatch.setenv("FORECASTING_ALERTS", "median > 1")
    state = nightly.nightly(first=date(2024, 3, 4), last=date(2024, 3, 4), return_state=True)
    run, artifacts = shown_by(state.state_details.flow_run_id)
    assert state.is_completed()
    assert "1 done. TEST volume Tue 5 Mar " in str(state.message)
    assert sorted(run.tags) == ["TEST", "made afterwards", "volume"]
    assert "### Forecasts of Tue 5 Mar" in artifacts["outcomes"]
    assert "Tue 5 Mar 2024" in artifacts["night-test"].splitlines()[0]
    again = nightly.nightly(first=date(2024, 3, 4), last=date(2024, 3, 4), return_state=True)
    run, artifacts = shown_by(again.state_details.flow_run_id)
    assert (again.name, sorted(run.tags), artifacts) == ("Completed", ["TEST", "volume"], {})
    assert str(again.message).startswith("Nothing new")
    (message,) = map(json.loads, posted)
    title = r"forecasting: Alert TEST volume median .*, 1 volume forecast of Tue 5 Mar"
    assert re.fullmatch(title, message["title"])
    assert "Stale" not in message["message"]
    assert "/v2/runs/flow-run/" in message["message"].splitlines()[-1]


def test_a_scheduled_run_that_finds_another_one_at_work_is_skipped(
    night_folder, night_url, monkeypatch
):
    monkeypatch.setattr(reporting, "trigger", lambda **_: "schedule")
    with lock.night_lock(night_url):
        state = nightly.nightly(return_state=True)
    assert state.name == "Skipped"
