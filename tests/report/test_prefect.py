import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from forecasting.report.night_view import NightView
from forecasting.report.prefect import (
    night_artifact,
    outcome_artifact,
)
from tests.report.nights import ORIGIN, forecasts, index_line, plain, report_data
from tests.store.rows import stored_run


def night_of(symbol="SBUX", *, status="done", note="", **changed):
    """A night with a median of 8.45 million shares, usually 8.

    `changed` replaces columns of its forecast.
    """
    run = stored_run("", str(ORIGIN), status=status, note=note)
    shown = {"q50": 8.4512e6, "q10": 6e6, "q90": 12e6, "usual": 8e6} | changed
    return index_line(symbol, run=run, **({"values": [6e6, 8e6, 10e6, 8e6, 8e6] * 4} | shown))


def failed(symbol, error="no rows"):
    """A symbol whose first night failed."""
    run = stored_run("", str(ORIGIN), status="failed", error=error)
    return NightView(symbol, "volume", run)


def fallback(symbol, **changed):
    """A night whose network is not published."""
    night = night_of(symbol, reason="the model is too old", **changed)
    return replace(night, forecasts=[replace(night.forecasts[0], status="fallback")])


def body_of(*nights):
    return plain(outcome_artifact(nights).body)


def section(body, title):
    return body.partition(f"### {title}\n\n")[2].partition("\n\n###")[0].splitlines()


PARTS = (("usual", 8e6), ("weekday", 0.96), ("recent", 1.1))
AT_ONCE = "prefect deployment run nightly/nightly"
HEAD = [
    "| symbol | median | 80% interval | vs usual | note, why |",
    "| --- | ---: | ---: | ---: | --- |",
]


@pytest.mark.parametrize(
    ("nights", "title", "lines"),
    [
        ([night_of("A"), night_of("B")], "What to do", ["- Nothing."]),
        (
            [
                fallback("A"),
                failed("B"),
                failed("C"),
                failed("D", "another [reason]"),
                night_of("E", note="Late VIX."),
            ],
            "What to do",
            [
                "- **B volume, C volume: failed.** no rows",
                "- **D volume: failed.** another \\[reason\\]",
                "- **A volume: baseline.** The model is too old.",
                "- **E volume: note.** Late VIX.",
                f"- The next night makes up for what failed or is stale. At once: `{AT_ONCE}`",
                "- For a baseline nothing: the best one is published until the network passes again.",
            ],
        ),
        (
            # Those that are not done first, then the most unusual; with links.
            [
                night_of("A", parts=PARTS),
                failed("B"),
                night_of("C", status="late"),
                night_of("D", q50=4e6, special_day="half day"),
            ],
            "Forecasts of Mon 11 Mar",
            [
                *HEAD,
                "| B |  |  |  | failed |",
                "| [C](../key/night-c) | 8.45 M | 6.00-12.00 | +6% | stale |",
                "| [D](../key/night-d) | 4.00 M | 6.00-12.00 | \N{MINUS SIGN}50% | half day |",
                "| [A](../key/night-a) | 8.45 M | 6.00-12.00 | +6% | recent x1.10; Monday x0.96 |",
            ],
        ),
        (
            [failed("B"), night_of("A"), night_of("C", target_session=date(2024, 3, 12))],
            "Forecasts",
            [
                "| symbol | session | median | 80% interval | vs usual | note, why |",
                "| --- | ---: | ---: | ---: | ---: | --- |",
                "| B |  |  |  |  | failed |",
                "| [A](../key/night-a) | Mon 11 Mar | 8.45 M | 6.00-12.00 | +6% |  |",
                "| [C](../key/night-c) | Tue 12 Mar | 8.45 M | 6.00-12.00 | +6% |  |",
            ],
        ),
    ],
)
def test_a_person_on_call_sees_what_to_do_and_the_forecasts(nights, title, lines):
    assert section(body_of(*nights), title) == lines


PAGE = Path("reports/SBUX-volume.html")


def test_the_page_of_a_night_has_its_sentence_week_and_last_result():
    data = report_data(forecasts=forecasts(q50=8.4512e6, q10=6e6, q90=12e6), parts={3: PARTS})
    found = night_artifact([(data, PAGE)])
    about = plain(found.description)
    text = plain(found.body)
    assert (found.key, about) == (
        "night-sbux",
        "SBUX Mon 11 Mar 2024: 8.45 M shares, 80% 6.00-12.00",
    )
    parts = (
        "**SBUX is expected to trade 8.45 M shares on Mon 11 Mar 2024 (80% interval 6.00-12.00 M)",
        "\n| session | median, M shares | 80% interval | vs usual | note, why |\n",
        "\n| Wed 13 Mar | 8.45 | 6.00-12.00 | ",
        " | earnings; recent x1.10; Wednesday x0.96 |\n",
        "\n\nFri 8 Mar 2024: forecast ",
        "Report page: `reports/SBUX-volume.html`",
    )
    places = [text.find(part) for part in parts]
    assert places[0] == 0
    assert places == sorted(set(places))


def test_several_targets_of_a_symbol_share_one_page_and_one_table():
    nights = [(report_data(target=target), PAGE) for target in ("volume", "range")]
    found = night_artifact(nights)
    assert found.key == "night-sbux"
    assert re.findall("^## .*", found.body, re.MULTILINE) == ["## Volume", "## Range"]
    lines = [night_of("A"), replace(night_of("A"), target="range"), failed("B")]
    page = outcome_artifact(lines)
    assert (page.key, page.description) == (
        "outcomes",
        "3 forecasts: 1 failed, 2 done, volume range",
    )
    rows = section(plain(page.body), "Forecasts of Mon 11 Mar")
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| symbol", "target"],
        ["| ---", "---"],
        ["| B", "volume"],
        ["| [A](../key/night-a)", "volume"],
        ["| [A](../key/night-a)", "range"],
    ]
