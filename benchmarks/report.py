"""The pages of a ledger: time to read and to render them, size, and time to the browser's first paint.

    FORECASTING_SOURCE=sample forecasting catch-up --from 2018-01-02 --to 2018-12-28    # 250 nights
    python benchmarks/report.py forecasting-data --symbol ^GSPC

Writes a page and the index by the library's own calls, and opens them from disk in Chromium, a
phone's width and a desk's. Every figure is of this machine and this run.
"""

import argparse
import os
import platform
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

import forecasting as fc
from forecasting.publish.pages import write_index, write_reports
from forecasting.settings import Settings

OPENED = 5  # times that each page is opened
_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    """Write, open, and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--symbol", default="SBUX")
    options = parser.parse_args()
    settings = Settings(data_dir=options.folder, symbols=(options.symbol,), target="volume")
    nights = (
        fc.connect(data_dir=options.folder)
        .history(options.symbol, target="volume")["origin_session"]
        .nunique()
    )
    page = seconds_of(lambda: write_reports(settings, None, now=lambda: datetime.now(UTC)))
    index = seconds_of(lambda: write_index(settings))
    newest = max(
        options.folder.glob("reports/*-volume.html"), key=lambda path: path.stat().st_mtime
    )
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, "
        f"{datetime.now(UTC).date()}\n"
    )
    print("| | written in | size | first paint, phone | desk |\n|---|---:|---:|---:|---:|")
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        print(row(f"page of {nights} nights", page, newest, browser))
        print(row("index", index, options.folder / "reports" / "index.html", browser))
        browser.close()


def seconds_of(work: Callable[[], object]) -> float:
    """Median seconds of three calls, after one that is not counted."""
    spent = []
    for _ in range(4):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return median(spent[1:])


def row(name: str, spent: float, path: Path, browser: Browser) -> str:
    """A line of the table."""
    phone, desk = (first_paint(path, width, browser) for width in (390, 1280))
    return (
        f"| {name} | {spent:.2f} s | {path.stat().st_size / 1000:.0f} kB | {phone:.0f} ms | "
        f"{desk:.0f} ms |"
    )


def first_paint(path: Path, width: int, browser: Browser) -> float:
    """Median milliseconds to the first paint of a file in a window so many pixels wide."""
    found = []
    for _ in range(OPENED):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(path.resolve().as_uri())
        page.wait_for_function(_PAINT)
        found.append(page.evaluate(_PAINT))
        page.close()
    return median(found)


if __name__ == "__main__":
    main()
