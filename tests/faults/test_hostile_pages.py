"""HTML, scripts, quotes, paths and Markdown in every text of the ledger: no page has an element or attribute more."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
import sqlalchemy as sa

from forecasting.errors import ForecastingError
from forecasting.pipeline.publish import write_reports
from forecasting.pipeline.unexpected import explained_errors
from forecasting.report.prefect import night_markdown
from forecasting.settings import read_settings
from forecasting.store.schema import metadata
from tests.faults.fuzzing import case
from tests.nights import newest_reports, night

AT = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
BEFORE = date(2024, 3, 7)
HOSTILE = (
    "</script></title></style><script>alert(1)</script><img src=x onerror=alert(2)><a href='javascript:alert(3)'>x</a>"
    '"\' onmouseover="alert(4)" --><svg/onload=alert(5)> ../../../etc/passwd $(reboot) `id`; DROP TABLE runs;-- '
    "![x](http://evil.example/x.png) [x](javascript:alert(6)) <!-- ]]> {{ 7*7 }} {% raw %} \x1b[2J\u202e\u0000"
)
COLUMNS = [
    (table.name, column.name)
    for table in metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, sa.String)
]

FREE = [
    *(("fetches", name) for name in ("title", "detail", "library_version")),
    *(("runs", name) for name in ("note", "mode_reason", "code_version", "error", "source")),
    *(("models", name) for name in ("version", "refused", "base")),
    *(
        ("findings", "detail"),
        ("findings", "rule"),
        ("promotions", "reason"),
        ("forecasts", "reason"),
        ("events", "source"),
    ),
]
"""The columns that hold a text of others or for people."""


class Shape(HTMLParser):
    """The elements of a page with the names of their attributes, and what its scripts and addresses hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.addresses: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements[tag, tuple(sorted(name for name, _ in attributes))] += 1
        self.addresses |= {value or "" for name, value in attributes if name in ("href", "src", "action")}

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def attributes(self) -> set[str]:
        return {name for _, names in self.elements for name in names}

    def scripts(self) -> int:
        return sum(count for (tag, _), count in self.elements.items() if tag == "script")


def pages(folder: Path) -> dict[str, str]:
    """The page, the index and the artifact of the newest night."""
    out = folder / "pages" / "page.html"
    out.parent.mkdir()
    write_reports(read_settings(), out, now=lambda: AT)[0][0].get()
    (data,) = newest_reports(read_settings())
    found = {path.name: path.read_text(encoding="utf-8") for path in out.parent.glob("*.html")}
    return found | {"artifact": night_markdown(data, out)}


def check_pages(found: dict[str, str], clean: dict[str, str]) -> None:
    artifact = re.sub(r"\\[\\`\[\]<>|]", "", found.pop("artifact"))  # what is escaped is text
    raw = re.search(r".{60}(<script|<img|!\[x|\[x\]\(|onerror=[^ ]*>).{60}", artifact)
    assert raw is None, raw[0]
    for name, page in found.items():
        shape, before = Shape(page), Shape(clean[name])
        assert shape.tags() <= before.tags() | {"br"}, name
        assert not [attribute for attribute in shape.attributes() if attribute.startswith("on")], name
        assert shape.scripts() == before.scripts(), name
        assert not [address for address in shape.addresses if address.lower().startswith(("javascript", "http://evil"))]
        for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL):
            json.loads(block)


@pytest.mark.slow
@pytest.mark.parametrize(
    "groups",
    [
        pytest.param([FREE], id="all texts at once"),
        pytest.param([[column] for column in COLUMNS], id="each column alone", marks=pytest.mark.campaign),
    ],
)
def test_no_text_of_the_ledger_becomes_an_element_an_attribute_or_an_address(
    groups: list[list[tuple[str, str]]], night_folder: Path, plain_flows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(BEFORE)
    folder, path = night_folder.parent, Path(read_settings().url.removeprefix("sqlite:///"))
    clean, shown = pages(folder), 0
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for place, group in enumerate(groups):
        own = folder / f"{place}.db"
        shutil.copy(path, own)
        monkeypatch.setenv("FORECASTING_DATABASE_URL", f"sqlite:///{own}")
        with closing(sqlite3.connect(own)) as connection:
            for table, column in group:
                with suppress(sqlite3.IntegrityError):  # a key of several rows
                    connection.execute(f"UPDATE {table} SET {column} = ?", (HOSTILE,))
            connection.commit()
        shutil.rmtree(folder / "pages", ignore_errors=True)
        with case(place, group):
            found: dict[str, str] = {}
            with suppress(ForecastingError), explained_errors(lambda: AT):  # a key or a kind cannot be any text
                found = pages(folder)
            if found:
                shown += "alert(1)" in "".join(found.values())
                check_pages(found, clean)
    assert shown >= min(5, len(groups))
