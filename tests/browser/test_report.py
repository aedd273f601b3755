"""The report page in a real browser, from a file, as a person opens it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from forecasting.report.page import render_page
from tests.report.nights import report_data, scored

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium to run the browser tests"),
]

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 1600}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, tmp_path: Path) -> Iterator:
    """A function that opens a night's page and collects the page's errors and requests."""
    contexts = []

    def open_page(data, viewport: dict[str, int] = DESK, scheme: str = "light"):
        path = tmp_path / "report.html"
        path.write_text(render_page(data), encoding="utf-8")
        context = browser.new_context(viewport=viewport, color_scheme=scheme, has_touch=viewport == PHONE)
        contexts.append(context)
        page = context.new_page()
        page.errors, page.requests = [], []
        page.on("console", lambda message: page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


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


# Every text that has too little contrast by WCAG AA, 4.5 to 1 for small text and 3 to 1 for large ones.
CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (part) => {
    for (let up = part; up; up = up.parentElement) {
      const colour = parse(getComputedStyle(up).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const part of document.querySelectorAll("body *")) {
    const own = [...part.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || part.closest("script, title, .tip")) continue;
    const style = getComputedStyle(part);
    const colour = parse(part.closest("svg") ? style.fill : style.color);
    const [high, low] = [light(colour), light(behind(part))].sort((a, b) => b - a);
    const needed = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    if ((high + 0.05) / (low + 0.05) < needed) bad.push(part.outerHTML.slice(0, 90));
  }
  return bad;
}"""
