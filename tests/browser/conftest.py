"""Chromium for the tests of this folder, started once a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.pages import CHROMIUM, DESK, FLAGS, PHONE


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens an address and collects the page's errors and requests."""
    contexts = []

    def opened(address: str, viewport: dict[str, int] = DESK, scheme: str = "light") -> Any:
        context = browser.new_context(viewport=viewport, color_scheme=scheme, has_touch=viewport == PHONE)
        contexts.append(context)
        page = context.new_page()
        page.errors, page.requests = [], []
        page.on("console", lambda message: page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
