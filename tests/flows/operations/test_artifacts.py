from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from flows import clock
from flows.operations import artifacts
from forecasting.pipeline.night_run import NightSpec, night_run
from forecasting.pipeline.publish import PublishedPage
from forecasting.settings import Settings
from tests.report.nights import ISSUED, ORIGIN, forecasts, report_data, scored

DECISION = {
    "winner": "3f9c2ab1a77d0e11",
    "champion": "1b2c3d4e5f607182",
    "challenger": "3f9c2ab1a77d0e11",
    "compared": "hindcasts",
    "champion_pinball": 0.6e6,
    "challenger_pinball": 0.5e6,
    "origins": 40,
    "first_origin": date(2024, 1, 2),
    "last_origin": date(2024, 2, 28),
    "reason": "A refresh of the champion that passed the gate takes over.",
}


def with_range(**changed: object) -> pd.DataFrame:
    return forecasts(outside="", **changed)


def test_a_key_has_lower_case_digits_and_dashes_alone() -> None:
    assert artifacts.key_of("forecasts", "^GSPC", "volume") == "forecasts-gspc-volume"
    assert artifacts.key_of("night", "BRK.B", "close") == "night-brk-b-close"


def test_the_forecast_table_has_a_row_a_session_of_json_values() -> None:
    rows = artifacts.forecast_table(report_data(forecasts=with_range(q50=8e6)))
    assert [(row["target_session"], row["horizon"], row["q50"]) for row in rows[:2]] == [
        ("2024-03-11", 1, 8e6),
        ("2024-03-12", 2, 8e6),
    ]
    assert {type(value) for row in rows for value in row.values()} <= {int, float, str}


def test_a_score_table_without_scores_is_a_sentence() -> None:
    assert artifacts.score_table(report_data(scored=scored())) == [
        {"scores": "none yet: the first forecast's session has not closed"}
    ]


def test_the_finding_table_lists_findings_or_a_sentence() -> None:
    finding = {
        "session": ORIGIN,
        "rule": "volume_jump",
        "severity": "flag",
        "value": 3.1,
        "detail": "",
        "since": ISSUED,
    }
    (row,) = artifacts.finding_table(report_data(findings=pd.DataFrame([finding])))
    assert (row["session"], row["rule"], row["since"]) == ("2024-03-08", "volume jump", "tonight")
    assert artifacts.finding_table(report_data()) == [{"findings": "none: every bar passed every check"}]


def test_the_decision_table_shows_the_decision_or_a_sentence() -> None:
    (row,) = artifacts.decision_table(report_data(decision=DECISION))
    assert (row["winner"], row["challenger_pinball"], row["last_origin"]) == ("3f9c2ab1a77d0e11", 0.5e6, "2024-02-28")
    assert artifacts.decision_table(report_data()) == [{"promotion": "no challenger was fitted on this night"}]


def test_outside_a_flow_run_no_artifact_is_created(monkeypatch) -> None:
    created: list[object] = []
    monkeypatch.setattr(artifacts, "create_artifacts", lambda *given: created.append(given))
    run = night_run(NightSpec("SBUX", ORIGIN, "volume", "sample"), Settings(), now=clock.now)
    artifacts.publish_artifacts(run, PublishedPage(report_data(), Path("report.html")))
    assert created == []


def test_a_table_of_outcomes_that_cannot_be_added_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(artifacts.FlowRunContext, "get", lambda: "a flow run")
    artifacts.publish_outcomes(Settings(data_dir=tmp_path))  # there is no database
    assert [(record.levelname, record.getMessage()[:35]) for record in caplog.records] == [
        ("WARNING", "the table of outcomes was not added")
    ]


def test_five_artifacts_are_created_each_under_its_key(monkeypatch) -> None:
    created: list[dict[str, object]] = []
    for name in ("create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(artifacts, name, lambda **given: created.append(given))
    artifacts.create_artifacts(report_data(forecasts=with_range()), Path("report.html"))
    assert [artifact["key"] for artifact in created] == [
        f"{what}-sbux-volume" for what in ("forecasts", "scores", "findings", "promotion", "night")
    ]
    assert [artifact["description"] for artifact in created][2:4] == [
        f"Findings about the bars of SBUX volume, origin {date(2024, 3, 8)}",
        f"Promotion after SBUX volume, origin {date(2024, 3, 8)}",
    ]
    assert str(created[-1]["markdown"]).endswith("Report page: `report.html`")
