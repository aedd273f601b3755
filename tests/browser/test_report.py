"""The report page in a real browser, from a file, as a person opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from forecasting.report.page import render_page
from tests.browser.pages import CONTRASTS, DESK, MARKS, PHONE
from tests.report.nights import report_data, scored

pytestmark = MARKS


@pytest.fixture
def opened(open_page, tmp_path: Path) -> Callable:
    """A function that opens a night's page."""

    def opened_page(data, viewport: dict[str, int] = DESK, scheme: str = "light"):
        path = tmp_path / "report.html"
        path.write_text(render_page(data), encoding="utf-8")
        return open_page(path.as_uri(), viewport, scheme)

    return opened_page


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_page_opens_without_errors_or_requests(opened, target: str):
    page = opened(report_data(target))
    assert page.errors == []
    assert [address for address in page.requests if not address.startswith(("file:", "data:"))] == []
    assert len([address for address in page.requests if address.startswith("file:")]) == 1


def test_the_forecast_table_and_both_charts_are_visible(opened):
    page = opened(report_data())
    assert page.locator("#forecasts tbody tr").count() == 6
    assert page.get_by_role("table", name="Forecasts in M shares").count() == 1
    for chart in ("#fan", "#past"):
        assert page.locator(f"{chart} > svg.wide").is_visible()
        assert not page.locator(f"{chart} > svg.narrow").is_visible()


@pytest.mark.parametrize("target", ["volume", "close", "range"])
@pytest.mark.parametrize("with_record", [True, False])
def test_a_phone_needs_no_sideways_scroll(opened, target: str, with_record: bool):
    data = report_data(target) if with_record else report_data(target, scored=scored())
    page = opened(data, PHONE)
    page.evaluate("document.querySelectorAll('details').forEach((closed) => { closed.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#fan > svg.narrow").is_visible()
    assert page.locator("#fan > svg.narrow").bounding_box()["width"] > 340


def test_an_index_of_four_digits_fits_a_phone_too(opened):
    history = report_data("close").history
    data = report_data("close", currency="", history=history.assign(value=history["value"] * 60))
    wide = data.forecasts.assign(**{name: data.forecasts[name] * 60 for name in data.forecasts if name.startswith("q")})
    page = opened(report_data("close", currency="", history=data.history, forecasts=wide), PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_dark_has_other_colours_than_light(opened):
    look = """() => ['body', '#fan svg.wide .bar', '#fan svg.wide .axis'].map((name) => document.querySelector(name))
        .flatMap((part) => [getComputedStyle(part).backgroundColor, getComputedStyle(part).fill])"""
    light = opened(report_data(), scheme="light").evaluate(look)
    dark = opened(report_data(), scheme="dark").evaluate(look)
    assert light[0] != dark[0]
    assert light[3] != dark[3]
    assert light[5] != dark[5]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(opened, scheme: str):
    page = opened(
        report_data(run={"note": "a note"}, forecasts=report_data().forecasts.assign(status="fallback")), scheme=scheme
    )
    assert page.evaluate(CONTRASTS) == []


def test_the_pointer_shows_a_sessions_values(opened):
    page = opened(report_data())
    page.locator("#fan > svg.wide .slot").last.locator(".hit").hover()
    tip = page.locator(".tip").inner_text()
    assert tip.splitlines()[0] == "Friday 15 March 2024"
    assert "median" in tip
    page.mouse.move(2, 2)
    assert not page.locator(".tip").is_visible()


def test_without_script_the_browsers_own_tooltips_remain(browser, tmp_path: Path):
    (tmp_path / "report.html").write_text(render_page(report_data()), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("#fan > svg.wide .slot > title").count() == 65
    context.close()


def test_the_page_prints_on_light_paper_without_being_cut(opened):
    page = opened(report_data(), {"width": 718, "height": 1000}, "dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    assert page.evaluate("document.documentElement.scrollWidth") == 718
