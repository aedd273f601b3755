"""A morning's message: Markdown, and HTML of it."""

# ruff: noqa: RUF001 - what is sent is compared as it is

import re
from dataclasses import replace
from datetime import date

from forecasting.report.digest import SHOWN, HeldAlert, digest_html, digest_markdown, make_digest
from forecasting.report.night_view import NightView
from tests.report.nights import HIT, ORIGIN, index_line, total
from tests.store.rows import stored_run

MISS = replace(HIT, actual=4e6, inside_80=False)
HALF_MORE = total(5, q10=51e6, q50=75e6, q90=99e6)  # than five usual sessions
PARTS = (("usual", 10e6), ("report", 1.9), ("weekday", 0.96), ("network", 1.003))


def in_each_form(digest):
    return [digest_markdown(digest), digest_html(digest)]


def morning():
    failed = stored_run("", "2024-03-11", status="failed", error="no rows of BAD")
    return [
        index_line("SBUX", q50=9e6, totals=[replace(HALF_MORE, q10=49e6)]),
        index_line(
            "ADBE",
            q50=18.24e6,
            q90=28e6,
            special_day="earnings after the close before",
            parts=PARTS,
            result=MISS,
            totals=[HALF_MORE],
        ),
        index_line(
            "MSFT", status="fallback", reason="6% behind ridge over 250 origins", result=None
        ),
        NightView("BAD", "volume", failed),
    ]


TEXT = """\
1 failed, 2 things to know.

- BAD volume: failed. no rows of BAD
- MSFT volume: baseline. 6% behind ridge over 250 origins.
- SBUX: 2 new findings.

## Mon 11 Mar, the most unusual first

- ADBE volume: 18.2 M (80% interval 8.0–28.0 M), +82% against usual; earnings x1.90; Monday x0.96; the next 5 sessions 75.0 M (51.0–99.0 M), +50% against usual.
- MSFT volume: 12.0 M (80% interval 8.0–16.0 M), +20% against usual; baseline.
- SBUX volume: 9.0 M (80% interval 8.0–16.0 M), −10% against usual.

## Results of Fri 8 Mar, 1 of 2 hit

- ADBE volume: 4.0 M, forecast 10.0 M, −60%: outside the 80% interval
- SBUX volume: 11.0 M, forecast 10.0 M, +10%: inside the 80% interval

Usual is the median of the last 20 sessions. The most unusual is furthest from usual, in widths of the usual 80% interval.
Network, trees, combination and other are corrections by models, not causes."""


def test_the_text_has_what_to_know_tomorrow_with_why_and_the_results():
    digest = make_digest(morning(), findings=["SBUX: 2 new findings."])
    assert digest.title == "1 failed, 3 of 4 volume forecasts of Mon 11 Mar, 2 things to know"
    assert digest_markdown(digest, has_pages=False) == TEXT


def test_alerts_that_hold_stand_first_in_every_form():
    held = HeldAlert("ADBE volume", "ADBE volume median 1.824 usual", "ADBE volume: median > 1.5")
    digest = make_digest(morning(), alerts=[held])
    count = "3 of 4 volume forecasts of Mon 11 Mar"
    assert digest.title == f"Alert ADBE volume median 1.824 usual, {count}, 1 failed"
    text, page = in_each_form(digest)
    assert text.startswith(f"- Alert: {held.text}\n\n1 failed, 1 thing to know.")
    assert text.count("+82% against usual") == 1
    assert page.index("median &gt; 1.5") < page.index("baseline")


def test_a_forecast_from_an_older_session_than_its_newest_is_not_of_tomorrow():
    late = stored_run("", str(ORIGIN), status="late", note="No bar by 09:00.")
    older = {
        "origin_session": date(2024, 3, 7),
        "target_session": ORIGIN,
        "result": MISS,
        "q50": 20e6,
    }
    older |= {"newest": ORIGIN}
    lines = [index_line("SBUX"), index_line("KO", run=late, **older), index_line("T", **older)]
    digest = make_digest(lines)
    count = "1 of 3 volume forecasts of Mon 11 Mar"
    assert digest.title == f"{count}, 1 of 3 hit on Fri 8 Mar, 2 things to know"
    assert [line.symbol for line in digest.forecasts] == ["SBUX"]
    assert digest.problems == [
        "KO volume: stale. No bar by 09:00.",
        "T volume: stale. The newest completed session is Fri 8 Mar 2024: see `forecasting doctor`.",
    ]


def test_many_forecasts_and_results_are_cut_and_say_so_in_every_form():
    digest = make_digest(
        [index_line(f"S{place:02d}", q50=11e6 + place * 1e5) for place in range(SHOWN + 3)]
    )
    assert [line.symbol for line in digest.forecasts][:2] == [f"S{SHOWN + 2}", f"S{SHOWN + 1}"]
    for text in in_each_form(digest):
        assert text.count("Results of Fri 8 Mar, 15 of 15 hit") == 1
        assert text.count("and 3 more, all in reports/index.html") == 2


def test_forecasts_are_sorted_over_targets_and_those_as_usual_are_named_alone():
    total = replace(HALF_MORE, q10=49e6)
    lines = [
        index_line("A", q50=10.3e6),
        index_line("B", q50=12e6),
        index_line("A", "range", q50=7e6),
        index_line("C", q50=9.7e6, totals=[total]),
        index_line("D", q50=10.1e6, totals=[HALF_MORE]),
    ]
    digest = make_digest(lines)
    assert [line.series for line in digest.unusual] == ["A range", "B volume", "D volume"]
    text = digest_markdown(digest, has_pages=False)
    assert "- As usual: A volume, C volume." in text
    assert "- A volume: " not in text.partition("## Results")[0]


def test_results_of_forecasts_that_were_not_live_are_marked_and_no_hits():
    others = [
        index_line(kind, result=replace(MISS, inside_80=True, kind=kind))
        for kind in ("late", "replay")
    ]
    digest = make_digest([index_line("SBUX"), index_line("KO", result=MISS), *others])
    assert (
        digest.title == "4 volume forecasts of Mon 11 Mar, 1 of 2 live hit on Fri 8 Mar, all well"
    )
    assert make_digest(others).hits == "no live forecast"
    for text in in_each_form(digest):
        assert re.findall(r"inside.* \((.* .*)\)", text) == [
            "issued late",
            "made afterwards",
        ]
