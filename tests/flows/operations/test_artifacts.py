from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.states import Running

from flows import clock
from flows.operations import artifacts
from forecasting.pipeline.night import make_night
from forecasting.report.artifacts import Artifact
from forecasting.report.outcome_page import RunTimes
from forecasting.settings import Settings
from tests.report.nights import ORIGIN, report_data

TABLE, PAGE = Artifact("scores-sbux-volume", "Scores", [{"n": 1}]), Artifact("night-sbux-volume", "Night", "**8.45 M**")
FLOW_RUN = SimpleNamespace(flow_run=SimpleNamespace(id="a", expected_start_time=None, state=None))


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What was created, instead of by Prefect's server."""
    made: list[dict[str, object]] = []
    for name in ("create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(artifacts, name, lambda **given: made.append(given))
    return made


def publish_a_night() -> None:
    night = make_night("SBUX", ORIGIN, Settings(), now=clock.now)
    artifacts.publish_artifacts([replace(night, report=report_data())])


def test_outside_a_flow_run_there_is_no_artifact_tag_or_sentence(created: list[dict[str, object]]) -> None:
    publish_a_night()
    artifacts.add_tags(["SBUX"])
    assert artifacts.publish_outcomes(Settings(), []) == ""
    assert created == []


def test_a_night_has_one_artifact(created: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "FlowRunContext", SimpleNamespace(get=lambda: FLOW_RUN))
    publish_a_night()
    assert [artifact["key"] for artifact in created] == ["night-sbux-volume"]


def test_rows_become_a_table_and_text_a_markdown_artifact(
    created: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "FlowRunContext", SimpleNamespace(get=lambda: FLOW_RUN))
    artifacts.add_artifacts([TABLE, PAGE], "a night")
    assert created == [
        {"key": "scores-sbux-volume", "table": [{"n": 1}], "description": "Scores"},
        {"key": "night-sbux-volume", "markdown": "**8.45 M**", "description": "Night"},
    ]


def test_a_page_of_outcomes_that_cannot_be_added_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(artifacts, "FlowRunContext", SimpleNamespace(get=lambda: FLOW_RUN))
    assert artifacts.publish_outcomes(Settings(data_dir=tmp_path), []) == ""  # there is no database
    assert [(record.levelname, record.getMessage().partition(":")[0]) for record in caplog.records] == [
        ("WARNING", "the messages or the page of the run were not made")
    ]


def test_a_run_retried_hours_later_took_as_long_as_its_last_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    due = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
    started, ended = due + timedelta(hours=8), due + timedelta(hours=8, seconds=40)
    run = SimpleNamespace(
        expected_start_time=due, start_time=due, state=Running(timestamp=started), idempotency_key=None
    )
    monkeypatch.setattr(artifacts, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(flow_run=run)))
    monkeypatch.setattr(clock, "now", lambda: ended)
    for name in ("newest_nights", "add_artifacts", "add_tags", "outcome_tags"):
        monkeypatch.setattr(artifacts, name, lambda *_, **__: [])
    monkeypatch.setattr(artifacts, "outcome_sentence", lambda _: "done")
    pages: list[RunTimes] = []
    monkeypatch.setattr(artifacts, "outcome_page", lambda _settings, _nights, times: pages.append(times))
    assert artifacts.publish_outcomes(Settings(), []) == "done"
    assert pages == [RunTimes(due, started, ended)]
