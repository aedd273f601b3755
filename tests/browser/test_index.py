"""The index in a real browser: sorted, filtered, kept in the address, on a desk and on a phone."""

import pytest

from forecasting.report.page import render_index
from tests.browser.pages import DESK, MARKS, PHONE, axe_violations
from tests.report.nights import index_line

pytestmark = MARKS

LINES = [
    index_line("AAPL", q50=10.5e6, title="Apple, Inc."),
    index_line(
        "AAPL",
        "range",
        title="Apple, Inc.",
        q10=0.01,
        q50=0.02,
        q90=0.03,
        values=[0.02] * 20,
        kind="replay",
    ),
    index_line("MSFT", q50=30e6, q90=40e6, status="fallback", reason="too old"),
    index_line("SBUX", q50=9e6, special_day="earnings after the close before", result={}),
]


@pytest.fixture
def opened(open_page, tmp_path):
    """A function that opens the index of some lines."""

    def opened_index(
        lines=LINES,
        viewport=DESK,
        *,
        hash="",
        **more,
    ):
        (tmp_path / "index.html").write_text(render_index(lines), encoding="utf-8")
        return open_page((tmp_path / "index.html").as_uri() + hash, viewport, **more)

    return opened_index


def shown(page):
    rows = page.locator("#lines tr[data-session]:visible")
    return [
        f"{row.locator('a').inner_text()} {row.get_attribute('data-target')}" for row in rows.all()
    ]


def test_the_index_opens_without_errors_or_requests_with_the_most_unusual_first(opened):
    page = opened()
    assert page.errors == []
    assert len([address for address in page.requests if not address.startswith("data:")]) == 1
    assert page.locator("#shown").inner_text() == "4 of 4 shown"
    assert shown(page) == ["MSFT volume", "SBUX volume", "AAPL volume", "AAPL range"]
    assert page.get_by_label("Sort by").locator(":checked").inner_text() == "most unusual first"


def test_a_head_sorts_by_number_and_again_the_other_way_and_the_address_keeps_it(opened):
    page = opened()
    page.get_by_role("columnheader", name="Against usual").get_by_role("button").click()
    assert shown(page) == ["SBUX volume", "AAPL volume", "MSFT volume", "AAPL range"]  # by its sign
    head = page.get_by_role("columnheader", name="Median")
    head.get_by_role("button").click()
    assert shown(page) == ["SBUX volume", "AAPL volume", "MSFT volume", "AAPL range"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").press("Enter")
    assert shown(page)[0] == "MSFT volume"
    assert page.url.endswith("#sort=median-")
    assert shown(opened(hash="#sort=symbol"))[0] == "AAPL volume"


def test_filters_by_name_target_and_status_and_says_when_nothing_fits(
    opened,
):
    page = opened(hash="#find=apple&target=range")
    assert shown(page) == ["AAPL range"]
    page.get_by_label("Target", exact=True).select_option("")
    assert shown(page) == ["AAPL volume", "AAPL range"]
    page.get_by_label("Symbol or name").fill("")
    page.get_by_label("Status", exact=True).select_option("baseline")
    assert shown(page) == ["MSFT volume"]
    assert page.url.endswith("#state=baseline")
    page.get_by_label("Symbol or name").fill("zzz")
    assert page.locator("#none").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_what_counts_without_sideways_scroll_and_with_contrast(opened, scheme):
    """Symbol, median, interval, change and why, and a status that is bad; the page has the rest."""
    page = opened(viewport=PHONE, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.get_by_role("row").count() == 1 + 2 + 4
    for row in page.locator("#lines tr[data-session]").all():
        cells = [cell for cell in row.locator("th, td:not(:empty)").all() if cell.is_visible()]
        assert all(
            cell.bounding_box()["x"] >= 0 and cell.bounding_box()["width"] <= 374 for cell in cells
        )
        heads = row.locator("th, td:nth-child(3), td:nth-child(4), td:nth-child(5)")
        assert [cell.is_visible() for cell in heads.all()] == [True] * 4
        is_bad = row.locator("td:last-child .bad").count() > 0
        assert row.locator("td:last-child").is_visible() == is_bad
    assert axe_violations(page) == []
    page.get_by_label("Sort by").select_option("median down")
    assert shown(page)[0] == "MSFT volume"
