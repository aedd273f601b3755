from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd

from forecasting.report.artifacts import (
    artifact_key,
    artifact_link,
    backtest_artifact,
    cleaned,
    night_artifact,
    night_markdown,
    table_markdown,
)
from tests.report.nights import ISSUED, ORIGIN, forecasts, report_data, scored

PAGE = Path("reports/SBUX-volume.html")


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{EN DASH}", "-")


def test_a_key_has_lower_case_digits_and_dashes_alone() -> None:
    assert artifact_key("forecasts", "^GSPC", "volume") == "forecasts-gspc-volume"
    assert artifact_key("night", "BRK.B", "close") == "night-brk-b-close"
    assert artifact_key("outcomes", "volume") == "outcomes-volume"


def test_a_nights_artifact_begins_with_what_matters() -> None:
    found = night_artifact(report_data(forecasts=forecasts(q50=8.4512e6, q10=6e6, q90=12e6)), PAGE)
    assert (found.key, plain(found.description)) == (
        "night-sbux-volume",
        "SBUX Mon 11 Mar: 8.45 M shares, 80 % 6.00-12.00",
    )


def test_the_page_of_a_night_has_its_sentence_chart_week_record_bars_and_model() -> None:
    text = plain(night_markdown(report_data(forecasts=forecasts(q50=8.4512e6, q10=6e6, q90=12e6)), PAGE))
    first, chart, *_ = text.split("\n\n")
    assert first.startswith(
        "**SBUX is expected to trade 8.45 M shares on Monday 11 March 2024 (80 % interval 6.00-12.00 M)"
    )
    assert chart.startswith("![SBUX volume: ")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "| session | median, M shares | 80 % interval | vs usual | note |"
    assert rows[4].startswith("| Wed 13 Mar | 8.45 | 6.00-12.00 | ")
    assert rows[4].endswith(" | earnings |")
    assert "### How it did\n\nFri 8 Mar: forecast " in text
    assert "Bars up to 2024-03-08, fetched 2024-03-09 10:31 UTC. Every bar passed every check." in text
    assert "Published: lstm 3f9c2ab1a77d0e11, warm. No promotion was decided on this night." in text
    assert text.endswith("Report page: `reports/SBUX-volume.html`")


def test_a_first_night_says_that_nothing_is_scored() -> None:
    assert "### How it did\n\nNothing is scored yet." in night_markdown(report_data(scored=scored()), PAGE)


def test_each_notice_is_a_paragraph_of_its_own() -> None:
    data = report_data(forecasts=forecasts(kind="replay", status="fallback", reason="too old"))
    paragraphs = night_markdown(data, PAGE).split("\n\n")
    assert "**Fallback.** The network is not published: too old." in paragraphs
    assert any(part.startswith("**Replay.** ") for part in paragraphs)


def test_the_page_counts_open_findings_and_names_those_of_tonight() -> None:
    finding = {"rule": "volume_jump", "severity": "flag", "value": 3.1, "detail": ""}
    old = finding | {"session": date(2024, 3, 1), "since": ISSUED - pd.Timedelta(days=7)}
    new = finding | {"session": ORIGIN, "since": ISSUED}
    page = night_markdown(report_data(findings=pd.DataFrame([old])), PAGE)
    assert "1 open finding about its bars, none new tonight." in page
    page = night_markdown(report_data(findings=pd.DataFrame([old, new])), PAGE)
    assert "2 open findings about its bars, new tonight: volume jump 2024-03-08." in page


def test_a_table_in_markdown_has_its_numbers_to_the_right_and_its_note_to_the_left() -> None:
    assert table_markdown((["session", "median", "note"], [["Mon", 1.5, "half day"]])).splitlines() == [
        "| session | median | note |",
        "| --- | ---: | --- |",
        "| Mon | 1.5 | half day |",
    ]


def test_a_link_leads_from_the_page_of_an_artifact_to_the_history_of_a_key_and_holds_no_markdown() -> None:
    assert artifact_link("^GSPC", "night-gspc-volume") == "[^GSPC](../key/night-gspc-volume)"
    assert artifact_link("a](b)", "key") == "[a\\](b)](../key/key)"


def test_a_backtest_s_artifact_names_its_span_and_unit() -> None:
    figures = dict.fromkeys(
        ("mae", "skill_vs_best", "skill_vs_naive", "dm_p_value", "pinball", "coverage_80", "coverage_90"), 2e6
    ) | {"best_baseline": "ridge"}
    document = {"symbol": "^GSPC", "target": "volume", "from": "2018-11-01", "to": "2018-11-14"}
    artifact = backtest_artifact(document | {"overall": figures, "horizons": {"1": figures}})
    assert artifact.key == "backtest-gspc-volume"
    assert artifact.description == "^GSPC volume, in M shares: origins 2018-11-01 to 2018-11-14"
    assert [row["horizon"] for row in artifact.body if isinstance(row, dict)] == ["all", "1"]


def test_cells_are_cleaned_and_numbers_kept() -> None:
    assert cleaned([{"a": "x\x1b[2J\n", "b": 3}]) == [{"a": "x\N{REPLACEMENT CHARACTER}[2J ", "b": 3}]
