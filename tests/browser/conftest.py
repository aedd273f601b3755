"""Chromium for the tests of this folder, started once a module."""

import pytest

from tests.browser.pages import CHROMIUM, DESK, FLAGS, PHONE


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def tabs(browser):
    """Tabs by width and colour scheme, each of a browser of somebody else.

    What it loads, it loads once.
    """
    return {}


@pytest.fixture
def open_page(browser, tabs):
    """A function that opens an address in such a tab, and collects the page's errors and requests."""

    def opened(address, viewport=DESK, scheme="light"):
        key = viewport["width"], scheme
        if key not in tabs:
            context = browser.new_context(
                viewport=viewport, color_scheme=scheme, has_touch=viewport == PHONE
            )
            page = tabs[key] = context.new_page()
            page.errors = []
            page.requests = []
            page.on("console", lambda message: page.errors.append(message.text))
            page.on("pageerror", lambda error: page.errors.append(str(error)))
            page.on("request", lambda request: page.requests.append(request.url))
        page = tabs[key]
        page.goto("about:blank")  # also from one place of a page to another
        page.errors.clear()
        page.requests.clear()
        page.goto(address)
        return page

    return opened
