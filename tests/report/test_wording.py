import math
from dataclasses import replace
from datetime import date

import pytest

from forecasting.evaluate.significance import Skill
from forecasting.report import wording
from forecasting.report.words import WORDS, notices, sentence_of
from tests.report.nights import forecasts, report_data
from tests.store.rows import stored_run

PARTS = [("usual", 7.03e6), ("weekday", 0.96), ("report", 1.9), ("quarter", 1.12)]
PARTS += [("market", 0.9962), ("network", 1.05), ("trees", 0.9962)]


@pytest.mark.parametrize(
    ("n", "share", "p_value", "sentence", "brief"),
    [
        (250, 0.084, 0.012, "8% ahead of ridge over 250 nights (p 0.01)", "+8%"),
        (60, -0.03, 0.2, "3% behind ridge over 60 nights (p 0.20)", "\N{MINUS SIGN}3%"),
        (250, 0.2, 1e-9, "20% ahead of ridge over 250 nights (p < 0.01)", "+20%"),
        (90, -0.004, None, "0% behind ridge over 90 nights (p \N{EN DASH})", "0%"),
        (59, 0.5, 0.001, "59 of 60 nights: too few to say", "59 of 60"),
        (0, math.nan, None, "0 of 60 nights: too few to say", "0 of 60"),
    ],
)
def test_a_skill_is_a_sentence_or_of_too_few_nights(n, share, p_value, sentence, brief):
    skill = Skill("ridge", n, share, p_value)
    assert (wording.skill_sentence(skill), wording.skill_brief(skill)) == (sentence, brief)


UNFINISHED = stored_run("", "2024-03-11", note="No bar by 09:00.")


@pytest.mark.parametrize(
    ("changed", "tone", "title", "fact"),
    [
        (
            {"unfinished": replace(UNFINISHED, status="late")},
            "warn",
            "Stale",
            "No bar by 09:00.",
        ),
        (
            {"unfinished": replace(UNFINISHED, status="failed")},
            "warn",
            "Newest night failed",
            "No bar by 09:00.",
        ),
        (
            {"unfinished": replace(UNFINISHED, status="running")},
            "info",
            "Running",
            "A run is at work on it.",
        ),
        (
            {"forecasts": forecasts(status="fallback", reason="too old")},
            "warn",
            "Baseline",
            "Too old.",
        ),
        (
            {"forecasts": forecasts(kind="late")},
            "warn",
            "Issued late",
            "Sat 9 Mar 2024 10:31 UTC, after Mon 11 Mar 2024 had",
        ),
        (
            {"forecasts": forecasts(kind="replay")},
            "info",
            "Made afterwards",
            "never counted as live.",
        ),
        ({"forecasts": forecasts(reason="bars jump")}, "warn", "Break in the bars", "Bars jump."),
        (
            {"forecasts": forecasts(source="sample", title="S&P 500")},
            "info",
            "Sample data",
            "S&P 500. Real bars, but not",
        ),
        (
            {"run": {"status": "failed", "error": "loss not finite"}},
            "warn",
            "Part of the night failed",
            "loss not finite",
        ),
        ({"run": {"note": "held bar of 2024-03-08"}}, "info", "Note", "held bar of 2024-03-08"),
        (
            {"changed": [("source", "yahoo", None)]},
            "warn",
            "Other inputs than the night before",
            "source default, before",
        ),
    ],
)
def test_each_exception_has_its_notice(changed, tone, title, fact):
    assert report_data().conditions == []
    (condition,) = report_data(**changed).conditions
    words = WORDS[condition.kind]
    assert (words.severity == "info", words.title) == (tone == "info", title)
    assert fact in sentence_of(condition)


def test_the_page_that_a_night_writes_before_its_end_does_not_say_that_it_runs():
    assert report_data(run={"status": "running"}).conditions == []


def test_an_expected_report_is_a_note_that_is_no_flag():
    data = report_data(forecasts=forecasts(expected_report=date(2024, 3, 12)))
    text = "Report expected around Tue 12 Mar 2024, not announced."
    assert notices(data.conditions) == {"Earnings dates": text}
    assert data.flags == []


@pytest.mark.parametrize(
    ("special_day", "expected", "factor"),
    [
        ("earnings before the open", None, "earnings"),
        ("earnings?", date(2024, 3, 11), "expected report"),
        ("", date(2024, 3, 12), "expected report nearby"),
        ("", None, "report nearby"),
    ],
)
def test_the_factor_of_a_report_says_whether_it_is_only_expected(special_day, expected, factor):
    rows = forecasts(special_day=special_day, expected_report=expected)
    parts = {1: [("usual", 8e6), ("report", 1.3)]}
    line = report_data(forecasts=rows, parts=parts).first
    assert wording.brief_why(line, line.notes) == f"{factor} x1.30"


def test_a_digest_names_an_expected_report_within_a_week():
    noted = [
        wording.digest_notes(report_data(forecasts=forecasts(expected_report=day)))
        for day in (date(2024, 3, 18), date(2024, 3, 19))
    ]
    assert "report expected around Mon 18 Mar, not announced" in noted[0]
    assert "expected" not in noted[1]
