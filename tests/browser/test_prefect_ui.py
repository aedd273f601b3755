"""A night in Prefect's own UI, as the person on call opens it: the run, its logs, the forecast table and the chart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from forecasting.store import migrate
from tests.flows import processes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium to run the browser tests"),
]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def night(served: processes.Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The API's URL of a server that one night of the sample has been reported to."""
    folder = tmp_path_factory.mktemp("ui")
    migrate.upgrade(f"sqlite:///{folder / 'data' / 'forecasting.db'}")
    code, _, err = processes.here("run", environment=processes.environment_of(folder, served.url))
    assert code == 0, err
    return served.url


@pytest.fixture
def page(night: str) -> Iterator[Any]:
    """A page that keeps every address it requests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(30_000)
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        yield page
        browser.close()


def run_of_night(url: str) -> dict[str, Any]:
    """The night's run: the one of the server's nights that no deployment started."""
    (found,) = [
        run for run in processes.runs(url) if run["name"].startswith("nightly-") and run["deployment_id"] is None
    ]
    return found


def artifact(url: str, key: str) -> str:
    wanted = {"key": {"any_": [key]}, "flow_run_id": {"any_": [run_of_night(url)["id"]]}}
    (found,) = httpx.post(f"{url}/artifacts/filter", json={"artifacts": wanted}, timeout=30).json()
    return str(found["id"])


def test_the_run_is_named_by_symbol_and_session_and_shows_the_librarys_log(night: str, page: Any) -> None:
    run = run_of_night(night)
    assert run["name"] == "nightly-^GSPC-2018-12-31"
    page.goto(f"{night.removesuffix('/api')}/runs/flow-run/{run['id']}")
    page.get_by_text("wrote 30 forecasts of ^GSPC, origin 2018-12-31").wait_for()
    page.get_by_text("Finished in state Completed").first.wait_for()
    page.get_by_text("Artifacts", exact=True).first.click()
    for key in ("forecasts", "scores", "findings", "promotion", "night"):
        page.get_by_text(f"{key}-gspc-volume").first.wait_for()
    assert all(address.startswith((night.removesuffix("/api"), "blob:", "data:")) for address in page.requests)


def test_the_forecast_table_has_five_sessions_and_every_quantile(night: str, page: Any) -> None:
    page.goto(f"{night.removesuffix('/api')}/artifacts/artifact/{artifact(night, 'forecasts-gspc-volume')}")
    page.get_by_text("2019-01-08").first.wait_for()
    text = page.inner_text("body")
    for word in ("2019-01-02", "2019-01-03", "2019-01-04", "2019-01-07", "2019-01-08", "q05", "q50", "q95"):
        assert word in text


def test_the_nights_page_has_its_sentence_and_the_chart(night: str, page: Any) -> None:
    page.goto(f"{night.removesuffix('/api')}/artifacts/artifact/{artifact(night, 'night-gspc-volume')}")
    page.get_by_text("^GSPC is expected to trade").wait_for()
    chart = page.get_by_role("img", name="80 % and 90 % interval")
    chart.wait_for()
    assert chart.evaluate("image => [image.complete, image.naturalWidth, image.naturalHeight]") == [True, 640, 220]
