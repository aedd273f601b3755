"""Chromium for the tests of this folder, started once a module."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.pages import CHROMIUM, DESK, FLAGS, new_context, watched_page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens an address in a fresh browser and collects the page's errors and requests."""
    contexts = []

    def opened(address: str, viewport: dict[str, int] = DESK, scheme: str = "light") -> Any:
        contexts.append(new_context(browser, viewport, scheme))
        page = watched_page(contexts[-1])
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
