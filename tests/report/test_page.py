import re
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

from forecasting.evaluate.significance import Skill
from forecasting.report.page import environment, render_page
from tests.report.nights import (
    forecasts,
    long_record,
    plain,
    report_data,
    scored,
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


def page_of(*target, **changed):
    return render_page(report_data(*target, **changed))


def text_of(page):
    body = re.sub(r"<(style|script).*?</\1>|<svg.*?</svg>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_page_is_well_formed_and_small_and_requests_nothing(target):
    page = page_of(target)
    assert Outline(page).open == []
    assert re.findall(r'\s(?:src|href|srcset|action|poster)="([^"]*)"', page) == ["data:,"]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert len(page.encode()) < 300_000
    assert "default-src 'none'" in page


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_page_folds_what_an_audit_needs_and_has_headings_and_captions_in_order(target):
    page = page_of(target)
    shown = re.sub(r"</summary>.*?</details>", " ", page, flags=re.S)
    assert all(
        fact in page and fact not in shown
        for fact in ("a1b2c3d4e5f6", "b5d4045c3f466fa9", "Weights hash")
    )
    assert len(text_of(shown).split()) < 450
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.count("<caption") == page.count("<table") == 4


def test_the_first_night_shows_when_the_first_score_comes():
    page = page_of(scored=scored())
    first = "No forecast has been scored yet. The first score comes with the bar of Mon 11 Mar 2024"
    assert first in page
    assert 'id="calibration"' not in page
    assert Outline(page).open == []


def answers(page):
    """What each folded part says of itself, by its name."""
    found = re.findall(r'<details id="(\w+)">\s*<summary>(.*?)</summary>', page, re.S)
    return {name: plain(text_of(text)).split(maxsplit=1)[1].strip() for name, text in found}


def test_every_folded_part_answers_in_one_sentence():
    parts = {1: [("usual", 7e6), ("recent", 1.2)]}
    whole = long_record(origins=60)
    assert answers(page_of(parts=parts, scored=whole)) == {
        "why": "1 factor from usual to the forecast of Mon 11 Mar.",
        "results": "Fri 8 Mar 2024: forecast 7.44 M, actual 7.09 M (+5%), inside the 80% interval "
        "5.21-11.16.".replace("+", "\N{MINUS SIGN}"),
        "skill": "Ahead of 1 of 2 baselines one session ahead, 0 of them with p below 0.05.",
        "calibration": "80% of 60 actuals fell inside the 80% interval: as it should be.",
        "data": "Bars up to Fri 8 Mar 2024 : each passed its checks.",
        "audit": "lstm 3f9c2ab1a77d0e11, issued Sat 9 Mar 2024 10:31 UTC.",
    }


def test_of_few_nights_skill_and_calibration_have_no_verdict_and_without_baselines_no_skill():
    young = long_record(origins=59)
    found = answers(page_of(scored=young))
    assert found["calibration"].endswith(": too few to say.")
    assert found["skill"] == "59 of 60 nights: too few to say."
    alone = young.query("role == 'champion'")
    assert "skill" not in answers(page_of(scored=alone))


def test_the_skill_is_a_sentence_grey_where_nights_are_few_and_absent_before_the_first():
    for n, words in ((250, "Skill: 3% behind ridge over 250 nights (p 0.20)."), (59, "too few")):
        skill = Skill("ridge", n, -0.03, 0.2)
        page = page_of(skill=skill)
        (found,) = re.findall(r'<p([^>]*) id="skill-now">(.*?)</p>', page)
        assert (found[0], words in found[1]) == ("" if n == 250 else ' class="quiet"', True)
    assert 'id="skill-now"' not in page_of()


def test_a_page_of_nights_with_a_published_baseline_compares_with_it_and_with_the_network_alone():
    sound = long_record()
    replaced = sound["origin_session"] == sound["origin_session"].max()
    roles = sound["role"].mask(replaced & (sound["name"] == "lstm"), "silenced")
    mixed = sound.assign(role=roles.mask(replaced & (sound["name"] == "ridge"), "champion"))
    page = text_of(page_of(scored=mixed))
    assert re.search(r"ridge 40 .* the network alone 40 ", page)
    assert "the network alone" not in text_of(page_of(scored=sound))


def test_the_audit_lists_the_newest_champions():
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
    page = page_of(champions=champions)
    text = text_of(page).replace("\N{NO-BREAK SPACE}", " ")
    assert re.findall(r" (m\d+) warm", text)[:3] == ["m11", "m10", "m9"]
    for fact in (
        "2 earlier ones are in the view champions",
        "Thu 11 Jan 2024 now m11 warm",
    ):
        assert fact in text


def audit(**changed):
    """The first part of the page's audit."""
    data = report_data(**changed)
    return environment().get_template("audit.html").render(data=data, unit=data.unit)


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
        ({}, {"Trained on": "Mon 31 Mar 2014 to Wed 6 Mar 2024"}),
        ({}, {"Verdict": "extended: 1 new bar", "Newest value": "Fri 8 Mar 2024, settled"}),
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
            | {
                "Compared on": "both models run over 40 closed origins, Tue 2 Jan 2024 to Wed 28 Feb 2024"
            },
        ),
        ({"decision": DECISION | {"origins": 0}}, {"Compared on": DASH}),
        ({"margin": MARGIN | {"limit_deficit": 0.05}}, {"Fallback": BEHIND}),
        (
            {"lineage": LINEAGE | {"first_origin": "2024-03-07", "last_origin": "2024-03-08"}},
            {
                "Refreshed from": "p1, p2, p3 and 1 before",
                "Its forecasts": "10, origins Thu 7 Mar 2024 to Fri 8 Mar 2024",
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


def test_a_page_has_the_totals_below_the_table_in_a_sentence_and_a_chart():
    total = {"q05": 18e6, "q10": 20e6, "q25": 22e6, "q50": 24e6, "q75": 26e6, "q90": 30e6}
    totals = [total | {"horizon": length, "q95": 10e6 * length} for length in (4, 5)]
    page = page_of(totals=totals)
    assert "Together (80% interval): the next 4 sessions 24.00 (20.00" in page
    assert page.count(">5 sessions</text>") == 2  # of each layout
    assert 'id="totals"' not in page_of()
