import re
from html.parser import HTMLParser

import pytest

from forecasting.report.page import environment, render_page
from tests.report.nights import (
    forecasts,
    report_data,
    scored,
    total,
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


@pytest.mark.parametrize("target", ["volume", "range"])
def test_the_page_is_well_formed_and_small_and_requests_nothing(target):
    page = page_of(target)
    assert Outline(page).open == []
    assert re.findall(r'\s(?:src|href|srcset|action|poster)="([^"]*)"', page) == ["data:,"]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert len(page.encode()) < 300_000
    assert "default-src 'none'" in page


def test_the_first_night_shows_when_the_first_score_comes():
    page = page_of(scored=scored())
    first = "No forecast has been scored yet. The first score comes with the bar of Mon 11 Mar 2024"
    assert first in page
    assert 'id="calibration"' not in page
    assert Outline(page).open == []


def audit(**changed):
    """The first part of the page's audit."""
    data = report_data(**changed)
    return (
        environment()
        .get_template("audit.html")
        .render(data=data, details=data.full, unit=data.unit)
    )


SCRATCH = {"method": "scratch", "parent_id": None}
BASELINE = {
    "name": "ridge",
    "method": "baseline",
    "parent_id": None,
    "trained_to": None,
    "artifact_hash": None,
}
DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("changed", "facts"),
    [
        ({}, {"Fitted": "warm, 6 epochs, from 1b2c3d4e5f607182", "Seed": "7"}),
        # Also of a page that the run writes
        ({"run": {"status": "running"}}, {"Run": "9c1f20ab77e01234 (schedule)"}),
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
                "Weights hash": DASH,
            },
        ),
    ],
)
def test_the_audit_has_the_facts_of_model_data_and_provenance(changed, facts):
    found = dict(
        re.findall(
            r"<dt>(.*?)</dt><dd>(.*?)</dd>", audit(**changed).replace("\N{NO-BREAK SPACE}", " ")
        )
    )
    assert found | facts == found


def test_a_page_has_the_totals_in_a_table_below_that_of_the_sessions():
    totals = [total(length, q10=20e6, q50=24e6, q90=30e6) for length in (4, 5)]
    page = page_of(totals=totals)
    table = page.partition('id="totals"')[2].partition("</table>")[0]
    cells = re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", table)
    assert cells[:7] == [
        "Sessions",
        "Median",
        "Against usual",
        "80% interval",
        "4",
        "24.00",
        "\N{MINUS SIGN}15%",
    ]
    assert len(cells) == 12
    assert 'id="totals"' not in page_of()
