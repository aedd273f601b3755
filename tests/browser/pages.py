"""A Chromium for tests that open pages from disk as a person does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 1600}

MARKS = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium to run the browser tests"),
]


def new_context(browser: Any, viewport: dict[str, int], scheme: str = "light") -> Any:
    """A browser of somebody else: no cookies, nothing cached."""
    return browser.new_context(viewport=viewport, color_scheme=scheme, has_touch=viewport == PHONE)


def watched_page(context: Any) -> Any:
    """A new page of the browser, which collects its errors and requests."""
    page = context.new_page()
    page.errors, page.requests = [], []
    page.on("console", lambda message: page.errors.append(message.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    return page


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


# Only what is violated: all results of axe take Playwright three seconds to read.
AXE = """(options) => axe.run(document, options).then((found) => found.violations
  .map((one) => ({ id: one.id, nodes: one.nodes.map((node) => node.html) })))"""


def axe_violations(page: Any) -> list[str]:
    """Every violation that axe-core finds on the page: WCAG 2.2 A and AA, and its best practices."""
    import axe_playwright_python

    script = Path(axe_playwright_python.__file__).parent / "axe.min.js"
    page.evaluate(script.read_text(encoding="utf-8"))
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate(AXE, {"runOnly": rules, "resultTypes": ["violations"]})
    return [f"{one['id']}: {html[:90]}" for one in found for html in one["nodes"]]
