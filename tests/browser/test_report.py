"""The report page in a real browser, from a file, as a person opens it."""

from dataclasses import replace
from datetime import date

import pytest

from forecasting.report.page import render_page
from forecasting.sessions import next_sessions
from tests.browser.pages import DESK, MARKS, PHONE, axe_violations
from tests.report.nights import forecasts, report_data, scored

pytestmark = MARKS


@pytest.fixture
def opened(open_page, tmp_path):
    """A function that opens a night's page."""

    def opened_page(data, viewport=DESK, scheme="light"):
        path = tmp_path / "report.html"
        path.write_text(render_page(data), encoding="utf-8")
        return open_page(path.as_uri(), viewport, scheme)

    return opened_page


def test_without_a_script_the_page_has_its_chart_and_folds(opened, browser, tmp_path):
    opened(report_data())
    plain = browser.new_context(java_script_enabled=False)
    without = plain.new_page()
    without.goto((tmp_path / "report.html").as_uri())
    shown = [without.locator(place).is_visible() for place in ("#fan svg.wide", "#results table")]
    without.locator("#results summary").click()
    opened_table = without.locator("#results table").is_visible()
    plain.close()
    assert (shown, opened_table) == ([True, False], True)


@pytest.mark.parametrize(
    ("target", "with_record"), [("volume", True), ("range", False), ("range", True)]
)
def test_a_phone_opens_and_touches_the_page_without_errors_requests_or_sideways_scroll(
    opened, target, with_record
):
    page = opened(
        report_data(target) if with_record else report_data(target, scored=scored()), PHONE
    )
    page.evaluate(
        "document.querySelectorAll('details').forEach((closed) => { closed.open = true; })"
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#fan svg.narrow").bounding_box()["width"] > 340
    page.locator("#fan svg.narrow .slot").nth(12).locator(".hit").tap()
    assert tip_is_off_the_plot(page, "narrow")
    assert page.errors == []
    assert len([address for address in page.requests if not address.startswith("data:")]) == 1


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(PHONE, "light"), (DESK, "dark")], ids=["phone", "desk"]
)
def test_axe_finds_nothing_to_mend(opened, viewport, scheme):
    data = report_data(
        run={"note": "a note"},
        parts={1: [("usual", 7e6), ("recent", 1.2)]},
    )
    page = opened(data, viewport, scheme)
    page.evaluate(
        "document.querySelectorAll('details').forEach((closed) => { closed.open = true; })"
    )
    assert axe_violations(page) == []


def test_the_pointer_shows_a_sessions_values(opened):
    page = opened(report_data())
    page.locator("#fan svg.wide .slot").last.locator(".hit").hover()
    tip = page.locator(".tip").inner_text()
    assert tip.splitlines()[0] == "Fri 15 Mar 2024"
    assert "median" in tip
    assert tip_is_off_the_plot(page, "wide")
    page.mouse.move(2, 2)
    assert not page.locator(".tip").is_visible()
    page.locator("#fan svg.wide").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text().startswith("Wed 13 Dec 2023")
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()


def tip_is_off_the_plot(page, layout):
    tip = page.locator(".tip").bounding_box()
    plot = page.locator(f"#fan svg.{layout} .slot .hit").first.bounding_box()
    return tip["y"] + tip["height"] <= plot["y"] or tip["y"] >= plot["y"] + plot["height"]


def test_only_a_page_whose_session_is_over_is_marked_stale(opened):
    assert opened(report_data()).locator("#stale").is_visible()
    days = next_sessions(date(2059, 1, 2), 5)
    coming = [replace(row, target_session=day) for row, day in zip(forecasts(), days, strict=True)]
    assert not opened(report_data(forecasts=coming)).locator("#stale").is_visible()
    assert opened(report_data(forecasts=forecasts(kind="replay"))).locator("#stale").is_visible()
