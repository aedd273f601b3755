"""Nights in Prefect's own UI, version 2, as the person on call opens them.

Runs, their pages and tables.
"""

import re

import pytest

from forecasting.store import migrate
from tests.browser.pages import MARKS, PHONE
from tests.flows import prefect_api, processes

pytestmark = MARKS


@pytest.fixture(scope="module")
def nights(deployed, tmp_path_factory):
    """The API's URL of a server that a run was reported to.

    A night of the sample, and a symbol that failed.

    `deployed` comes before `browser`: within Playwright's event loop, Prefect's commands cannot
    start one.
    """
    folder = tmp_path_factory.mktemp("ui")
    migrate.upgrade(f"sqlite:///{folder / 'data' / 'forecasting.db'}")
    environment = processes.environment_of(folder, deployed)
    code, _, err = processes.here(
        "run", "--symbol", "^GSPC,NONE", "--as-of", "2018-12-31", environment=environment
    )
    assert code == 1, err  # NONE is wrong usage: it is not in the sample
    return deployed


def run_named(url, name):
    """The newest run of this name that no deployment started."""
    *_, found = [
        run for run in prefect_api.runs(url) if run["name"] == name and run["deployment_id"] is None
    ]
    return found


def artifact(url, run, key):
    """The address of a run's artifact."""
    wanted = {"key": {"any_": [key]}, "flow_run_id": {"any_": [run_named(url, run)["id"]]}}
    (found,) = processes.API.post(f"{url}/artifacts/filter", json={"artifacts": wanted}).json()
    return f"{ui(url)}/artifacts/artifact/{found['id']}"


def ui(url):
    return f"{url.removesuffix('/api')}/v2"


def article(page, last):
    """The text of a Markdown artifact, with ordinary spaces, once it has arrived as far as the text
    `last`."""
    shown = page.get_by_test_id("markdown-display").filter(has_text=last)
    shown.wait_for()
    return str(shown.inner_text()).replace("\N{NO-BREAK SPACE}", " ")


NIGHT = "nightly-^GSPC+NONE-volume-2018-12-31"


def test_the_page_of_a_run_leads_to_the_nights_of_a_symbol(nights, open_page):
    page = open_page(artifact(nights, NIGHT, "outcomes"), PHONE)
    text = article(page, "Forecasts of")
    assert text.startswith("2 forecasts: 1 failed, 1 done.")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.get_by_role("link", name="^GSPC", exact=True).click()
    page.wait_for_url("**/v2/artifacts/key/night-caret-gspc")
    page.get_by_role(
        "heading", name=re.compile(r"\^GSPC Wed 2 Jan 2019: \d\.\d\d B shares")
    ).wait_for()
