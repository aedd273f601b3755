import math
from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from forecasting.evaluate.significance import Skill
from forecasting.report import wording
from forecasting.report.words import WORDS, notices, sentence_of
from forecasting.store.read import Lead
from forecasting.vocabulary import HORIZONS
from tests.report.nights import forecasts, plain, report_data, score, scored
from tests.store.rows import stored_run


@pytest.mark.parametrize(
    ("target", "quantiles", "usual", "text"),
    [
        (
            "volume",
            (6e6, 8e6, 12e6),
            7.5e6,
            "trade 8.00 M shares {} (80% interval 6.00-12.00 M), 7% above the",
        ),
        (
            "range",
            (0.01, 0.02, 0.03),
            0.02,
            "of 2.00% {} (80% interval 1.00-3.00%), about the same as the",
        ),
    ],
)
def test_the_sentence_names_session_median_interval_and_usual_level(target, quantiles, usual, text):
    shown = dict(zip(("q10", "q50", "q90"), quantiles, strict=True))
    rows = forecasts(target, usual=usual, vs_usual=shown["q50"] / usual - 1, **shown)
    found = plain(wording.sentence(report_data(target, forecasts=rows)))
    assert text.format("on Mon 11 Mar 2024") in found


PARTS = [("usual", 7.03e6), ("weekday", 0.96), ("report", 1.9), ("quarter", 1.12)]
PARTS += [("market", 0.9962), ("network", 1.05), ("trees", 0.9962)]


def why_of(target="volume", **changed):
    data = report_data(target, **changed)
    return plain(wording.why_sentence(data.first))


def test_why_names_each_factor_and_the_product_of_the_others():
    assert why_of(parts={1: PARTS}) == (
        "Usual 7.03 M; Monday x0.96; report nearby x1.90; report likely x1.12; network x1.05; "
        "other x0.99."
    )
    named = wording.named_parts(report_data(parts={1: PARTS}).first)
    assert math.prod(factor for _, factor in named) == pytest.approx(
        math.prod(factor for _, factor in PARTS[1:])
    )
    assert why_of() == ""


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


def test_a_row_that_cannot_be_read_is_named_by_its_line_and_by_its_date_if_it_has_one():
    dated = {"session": date(2027, 1, 4), "severity": "reject", "value": 602.0}
    row = dated | {"rule": "row_unreadable"}
    assert wording.without_bar(pd.DataFrame([row])) == "row unreadable line 602, Mon 4 Jan 2027"
    undated = pd.DataFrame([row, row | {"session": None, "value": 603.0}])
    assert wording.without_bar(undated) == "row unreadable line 603 and 1 more"
    other = pd.DataFrame([dated | {"rule": "missing_session"}])
    assert wording.without_bar(other) == "missing session Mon 4 Jan 2027"


@pytest.mark.parametrize(
    ("nights", "said"),
    [
        (60, "Ahead of 1 of 2 baselines one session ahead."),
        (59, "59 of 60 nights: too few to say."),
    ],
)
def test_the_baselines_that_are_behind_are_counted_once_there_are_enough_nights(nights, said):
    leads = {
        "ridge": Lead(nights, -0.01, 0.2),
        "har": Lead(nights - 1, 0.1, -0.2),
        "lstm": Lead(nights, 0.3, 0.3),
    }
    assert wording.baselines_sentence(leads) == said


def test_errors_and_leads_are_of_the_next_session_and_of_the_five():
    rows = [
        score(ago=ago, horizon=horizon, median=10.0 * (1 + 0.03 * horizon))
        for ago in range(1, 61)
        for horizon in HORIZONS
    ]
    leads = {
        "rolling_median": Lead(60, 0.25, 0.68),
        "ridge": Lead(60, 0.25, 0.25),
        "last_value": Lead(60, 0.5, 0.5),
    }
    said = wording.lead_sentence(report_data(scored=scored(*rows), leads=leads).full)
    assert plain(said) == (
        "Typical error 3% (five sessions: 9%), against ridge +25% (+25%), against rolling median "
        "+25% (+68%)"
    )
    few = report_data(scored=scored(*rows[: 59 * len(HORIZONS)]), leads=leads)
    assert wording.lead_sentence(few.full) == ""
