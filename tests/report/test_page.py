import json
import re
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

from forecasting.report.page import embedded, environment, render_page
from tests.report.nights import (
    forecasts,
    long_record,
    report_page,
    scored,
    values_of,
)

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Outline(HTMLParser):
    """The tags that are open; one that is closed out of order is a failure."""

    def __init__(self, page):
        super().__init__()
        self.open = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.open += [tag] if tag not in VOID else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(page):
    body = re.sub(r"<(style|script).*?</\1>|<svg.*?</svg>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_page_is_well_formed_and_small_and_requests_nothing(target):
    page = render_page(report_page(target))
    assert Outline(page).open == []
    assert re.findall(r'\s(?:src|href|srcset|action|poster)="([^"]*)"', page) == ["data:,"]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert len(page.encode()) < 300_000
    assert "default-src 'none'" in page


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_page_folds_what_an_audit_needs_and_has_headings_and_captions_in_order(target):
    page = render_page(report_page(target))
    shown = re.sub(r"<details>.*?</details>", " ", page, flags=re.S)
    assert all(
        fact in page and fact not in shown
        for fact in ("a1b2c3d4e5f6", "b5d4045c3f466fa9", "Weights hash")
    )
    assert len(text_of(shown).split()) < 1000
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.count("<caption") == page.count("<table") == 9


def test_the_first_night_shows_when_the_first_score_comes():
    page = render_page(report_page(scored=scored()))
    assert (
        "No forecast has been scored yet. The first score comes with the bar of Monday 11 March "
        "2024" in page
    )
    assert "Interval coverage" not in page
    assert Outline(page).open == []


def test_a_worse_record_is_shown_as_a_better_one_is():
    text = text_of(render_page(report_page(scored=long_record(ours=0.3))))
    assert "more than the best baseline there, ridge" in text
    young = text_of(
        render_page(report_page(scored=long_record(origins=6).query("role == 'champion'")))
    )
    assert "No baseline has been scored on the same sessions yet." in young
    assert "n &lt; 20" in young
    assert re.search(r"ridge [\d.]+ 40 \N{MINUS SIGN}\d+", text)


def test_a_page_of_nights_with_a_published_baseline_compares_with_it_and_with_the_network_alone():
    sound = long_record()
    replaced = sound["origin_session"] == sound["origin_session"].max()
    roles = sound["role"].mask(replaced & (sound["name"] == "lstm"), "silenced")
    mixed = sound.assign(role=roles.mask(replaced & (sound["name"] == "ridge"), "champion"))
    page = text_of(render_page(report_page(scored=mixed)))
    assert "A baseline was published in the network's place on 1 of these nights" in page
    assert re.search(r"ridge [\d.]+ 40 .* the network alone [\d.]+ 40 ", page)
    assert "the network alone" not in text_of(render_page(report_page(scored=sound)))


def issued(target="volume", **changed):
    own = {"split_factor": 1.0, "name": "lstm", "role": "champion", "parts": [[]] * 5}
    return forecasts(target).assign(**(own | changed))


@pytest.mark.parametrize(("target", "basis"), [("volume", 0.5), ("close", 2.0), ("range", None)])
def test_a_night_before_a_split_has_its_own_basis(target, basis):
    own = report_page(target, issued=issued(target, split_factor=2.0))
    assert json.loads(embedded(own))["nights"][0].get("basis") == basis


def test_a_night_has_the_why_that_was_known_on_it():
    parts = [[("usual", 5e6), ("report", 1.9)], [("usual", 5e6), ("trees", 0.8)], [], [], []]
    events = pd.DataFrame(
        {"session": [date(2024, 3, 11)], "kind": "earnings", "known_from": [date(2024, 3, 11)]}
    )
    known = (date(2024, 3, 8), date(2024, 3, 11))
    nights = [
        report_page(issued=issued(parts=parts), events=events.assign(known_from=day))
        for day in known
    ]
    before, after = (json.loads(embedded(night))["nights"][0]["why"] for night in nights)
    assert before["usual"].replace("\N{NO-BREAK SPACE}", " ") == "Usual 5.00 M"
    assert before["factors"] == [["the session after its report", 1.9]]
    assert before["brief"] == ["earnings x1.90", "trees x0.80", "", "", ""]
    assert after["factors"] == [["a report nearby", 1.9]]
    assert "why" not in json.loads(embedded(report_page(issued=issued())))["nights"][0]


def test_a_first_print_and_a_special_day_are_marked_by_place():
    history = pd.DataFrame({"value": values_of("volume"), "settled": True})
    history.iloc[-1, 1] = False
    document = json.loads(embedded(report_page(history=history)))
    assert [document["sessions"][place] for place in document["provisional"]] == ["2024-03-08"]
    assert document["notes"][str(document["sessions"].index("2024-03-13"))] == ["earnings"]


def test_champions_costs_restated_sessions_and_days_have_their_sections_and_a_first_night_none_of_them():
    days = [*pd.date_range("2024-01-01", periods=11), pd.Timestamp("2024-01-11")]  # one rolled back
    champions = pd.DataFrame(
        {
            "from_session": days,
            "to_session": [*days[1:], pd.NaT],
            "method": "warm",
            "why": "It passed.",
        }
    )
    champions["decided_at"] = pd.date_range("2024-01-01T22:00", periods=len(days), tz="UTC")
    champions["model_id"] = [f"m{place}" for place in range(len(days))]
    prints = values_of("volume").iloc[-3:].copy()
    prints.iloc[1] *= 0.5
    page = render_page(report_page(champions=champions, first_prints=prints, cost_ratio=2.0))
    text = text_of(page).replace("\N{NO-BREAK SPACE}", " ")
    assert re.findall(r" (m\d+) warm", text)[:3] == ["m11", "m10", "m9"]
    for fact in (
        "2 earlier ones are in the view champions",
        "2024-01-11 now m11 warm",
        *(f"{ratio} to 1" for ratio in (2, 3, 9, 19)),
        "33.3% quantile",
        "has restated 1 of the last 3 sessions since they were first stored, typically by 100.0%",
    ):
        assert fact in text
    assert re.search(r"Thu 7 Mar [\d.]+ [\d.]+ \+100.0%", text)
    counts = {'class="tag">yours': 1, ">no skill</text>": 2}
    assert {words: page.count(words) for words in counts} == counts
    assert text.count("below 5%") == 1
    sections = [f'id="{name}">' for name in ("days", "costs", "restated", "champions", "pit")]
    first = render_page(report_page(scored=scored()))
    assert [(name in page, name in first) for name in sections] == [(True, False)] * 5


def audit(**changed):
    """The first part of the page's audit."""
    page = report_page(**changed)
    data = page.night
    return environment().get_template("audit.html").render(data=data, page=page, unit=data.unit)


SCRATCH = {"method": "scratch", "parent_id": None}
BASELINE = {
    "name": "ridge",
    "method": "baseline",
    "parent_id": None,
    "trained_to": None,
    "artifact_hash": None,
}
DECISION = {
    "champion_pinball": 0.6e6,
    "challenger_pinball": 0.5e6,
    "origins": 40,
    "reason": "It passed the gate.",
}
DECISION |= {"first_origin": date(2024, 1, 2), "last_origin": date(2024, 2, 28)}
MARGIN = {
    "deficit": 0.062,
    "baseline": "har",
    "origins": 250,
    "statistic": 1.23,
    "limit_statistic": 3.0,
}
BEHIND = (
    "6.2% behind HAR over 250 origins, statistic 1.2; above 3 and 5% behind the baseline is "
    "published"
)
LINEAGE = {
    "parents": ["p1", "p2", "p3", "p4"],
    "forecasts": 10,
    "fitted_on_the_night_of": "2024-03-07",
}
DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("changed", "facts"),
    [
        ({}, {"Fitted": "warm, 6 epochs, from 1b2c3d4e5f607182", "Age": "2 sessions", "Seed": "7"}),
        # Also of a page that the run writes
        ({"run": {"status": "running"}}, {"Run": "9c1f20ab77e01234 (schedule)"}),
        ({}, {"Weights hash": "b5d4045c3f466fa9", "Promotion": "none was decided tonight"}),
        ({}, {"Fetched": "2024-03-09 10:31 UTC", "Bars": "2,562, 2014-01-02 to 2024-03-08"}),
        ({}, {"Verdict": "extended: 1 new bar", "Newest value": "2024-03-08, settled"}),
        ({"model": {"trained_to": date(2024, 3, 8)}}, {"Age": "trained up to tonight"}),
        (
            {"model": SCRATCH | {"base": "drawn"}},
            {"Fitted": "scratch, 6 epochs, from random weights"},
        ),
        (
            {"model": SCRATCH | {"base": "v"}},
            {"Fitted": "scratch, 6 epochs, from pretrained weights v"},
        ),
        # Before the ledger had the column
        ({"model": SCRATCH | {"base": ""}}, {"Fitted": "scratch, 6 epochs"}),
        (
            {"model": BASELINE | {"epochs": 0}, "forecasts": forecasts(status="fallback")},
            {
                "Model": "ridge 1 (fallback)",
                "Fitted": "baseline",
                "Age": DASH,
                "Weights hash": DASH,
            },
        ),
        (
            {"decision": DECISION},
            {
                "Promotion": "It passed the gate.",
                "Pinball loss": "champion 0.600, challenger 0.500 (M shares)",
            }
            | {"Compared on": "both models run over 40 closed origins, 2024-01-02 to 2024-02-28"},
        ),
        ({"decision": DECISION | {"origins": 0}}, {"Compared on": DASH}),
        ({"margin": MARGIN | {"limit_deficit": 0.05}}, {"Fallback": BEHIND}),
        (
            {"lineage": LINEAGE | {"first_origin": "2024-03-07", "last_origin": "2024-03-08"}},
            {
                "Refreshed from": "p1, p2, p3 and 1 before",
                "Its forecasts": "10, origins 2024-03-07 to 2024-03-08",
            },
        ),
    ],
)
def test_the_audit_has_the_facts_of_model_decision_data_and_provenance(changed, facts):
    found = dict(
        re.findall(
            r"<dt>(.*?)</dt><dd>(.*?)</dd>", audit(**changed).replace("\N{NO-BREAK SPACE}", " ")
        )
    )
    assert found | facts == found


def test_stages_share_the_seconds_that_were_timed():
    assert re.findall(
        r'<span>(\w+)</span><i style="width:([\d.]+)%"></i><span class="n">(.*?)<', audit()
    ) == [
        ("ingest", "25.0", "1.0\N{NO-BREAK SPACE}s"),
        ("preprocess", "0.0", DASH),
        ("train", "75.0", "3.0\N{NO-BREAK SPACE}s"),
        ("predict", "0.0", DASH),
        ("evaluate", "0.0", DASH),
    ]
    assert "Time by stage" not in audit(run={"seconds_ingest": None, "seconds_train": None})
