"""The pages: time to read and to render them, size, and time to the browser's first paint.

    python benchmarks/report.py [--nights 1 7 250] [--symbols 200]

Makes a ledger of synthetic nights (`ledger_rows.py`) for each number of nights, and one of many symbols, in a temporary
folder; writes pages and index by the library's own calls; opens them from disk in Chromium, a phone's width and a
desk's. Every figure is of this machine and this run.
"""

import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median

from ledger import load
from ledger_rows import TARGET, make_market

from forecasting.pipeline.publish import write_index, write_reports
from forecasting.settings import Settings
from forecasting.store import migrate

OPENED = 5
"""Times that each page is opened."""

_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    """Make, write, open, and print one table."""
    options = arguments()
    rows: list[tuple[str, str, str, str]] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="forecasting-report-") as folder, browser() as opened:
        for nights in options.nights:
            settings = ledger_of(Path(folder) / f"nights-{nights}", symbols=1, nights=nights)
            spent = seconds_of(lambda own=settings: write_reports(own, None, now=lambda: datetime.now(UTC)))
            rows.append(row(f"page of {nights} nights", settings, "S0000-volume.html", spent, opened))
        settings = ledger_of(Path(folder) / "symbols", symbols=options.symbols, nights=30)
        spent = seconds_of(lambda: write_index(settings))
        rows.append(row(f"index of {options.symbols} symbols", settings, "index.html", spent, opened))
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, {datetime.now(UTC).date()}\n")
    print("| | written in | size | first paint, phone | desk |\n|---|---:|---:|---:|---:|")
    for name, spent_text, size, paints in rows:
        print(f"| {name} | {spent_text} | {size} | {paints} |")


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, nargs="+", default=[1, 7, 250])
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the temporary ledgers go; the system's without it")
    return parser.parse_args()


def ledger_of(folder: Path, *, symbols: int, nights: int) -> Settings:
    """The settings of a ledger with so many symbols and nights, the first symbol's page not written yet."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'forecasting.db'}"
    migrate.upgrade(url)
    load(url, make_market(symbols, nights / 252, last=date(2026, 11, 20), seed=0), minutes=float("inf"))
    return Settings(data_dir=folder, database_url=url, symbols=("S0000",), target=TARGET)


def seconds_of(work: Callable[[], object]) -> float:
    """Median seconds of three calls, after one that is not counted."""
    spent = []
    for _ in range(4):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return median(spent[1:])


@contextmanager
def browser() -> Iterator[Callable[[Path, int], float]]:
    """A function that opens a file in a running Chromium, so many pixels wide; the first paint in milliseconds."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])

        def first_paint(page_path: Path, width: int) -> float:
            found = []
            for _ in range(OPENED):
                page = chromium.new_page(viewport={"width": width, "height": 900})
                page.goto(page_path.as_uri())
                page.wait_for_function(_PAINT)
                found.append(page.evaluate(_PAINT))
                page.close()
            return median(found)

        yield first_paint
        chromium.close()


def row(
    name: str, settings: Settings, file: str, spent: float, opened: Callable[[Path, int], float]
) -> tuple[str, str, str, str]:
    """A line of the table."""
    path = settings.data_dir / "reports" / file
    paints = " | ".join(f"{opened(path, width):.0f} ms" for width in (390, 1280))
    return name, f"{1000 * spent:.0f} ms", f"{path.stat().st_size / 1000:.0f} kB", paints


if __name__ == "__main__":
    main()
