"""Nights and spans through Prefect's engine.

Tests/night/test_night.py has those that do without.
"""

import json
import logging
import re
from datetime import date

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows import backtest, nightly
from flows.start import start_catch_up
from forecasting.errors import UsageError
from forecasting.sessions import between
from tests.builders import LAST
from tests.nights import rows

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.mark.parametrize(
    ("flow", "given"),
    [
        (nightly.nightly, {"symbols": ["sb/x"]}),
        (nightly.nightly, {"symbols": ["sb/x"], "first": LAST, "last": LAST}),
        (backtest.backtest, {"symbol": "sb/x", "first": LAST, "last": LAST}),
    ],
)
def test_a_refused_parameter_logs_no_traceback(flow, given, caplog):
    logger = logging.getLogger("prefect.flow_runs")
    for kept in list(logger.filters):  # as in a new process
        logger.removeFilter(kept)
    logger.addHandler(caplog.handler)
    with pytest.raises(UsageError, match="Invalid symbol"):
        flow(**given)
    logger.removeHandler(caplog.handler)
    assert "Invalid symbol" in caplog.text
    assert "Traceback" not in caplog.text


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
