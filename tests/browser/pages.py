"""A Chromium for tests that open pages from disk as a person does."""

import shutil
from pathlib import Path

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 1000}

MARKS = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="no Chromium here: apt-get install chromium to run the browser tests",
    ),
]


# Only what is violated: all results of axe take Playwright three seconds to read.
AXE = """(options) => axe.run(document, options).then((found) => found.violations
  .map((one) => ({ id: one.id, nodes: one.nodes.map((node) => node.html) })))"""


def axe_violations(page) -> list[str]:
    """Every violation that axe-core finds on the page.

    WCAG 2.2 A and AA, and its best practices.
    """
    import axe_playwright_python

    page.evaluate(
        (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    )
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate(AXE, {"runOnly": rules, "resultTypes": ["violations"]})
    return [f"{one['id']}: {html[:90]}" for one in found for html in one["nodes"]]
