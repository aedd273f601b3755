"""Escape codes, HTML, scripts, Markdown and megabytes in texts of a source or the database: none
acts anywhere."""

import json
import re
import shutil
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import sqlalchemy as sa

from flows import console
from forecasting.plain_text import LIMIT
from forecasting.publish.pages import write_reports
from forecasting.report.prefect import night_artifact
from forecasting.settings import read_settings
from forecasting.store import connect
from tests.nights import newest_reports

AT = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
HOSTILE = (
    "</script></title></style><script>alert(1)</script><img src=x onerror=alert(2)><a "
    "href='javascript:alert(3)'>x</a>"
    '"\' onmouseover="alert(4)" --><svg/onload=alert(5)> ../../../etc/passwd $(reboot) `id`; DROP '
    "TABLE runs;-- "
    "![x](http://evil.example/x.png) [x](javascript:alert(6)) <!-- ]]> {{ 7*7 }} {% raw %} "
    "\x1b[2J\u202e\u0000"
)
LONG = "\x1b]0;owned\x07\x1b[2J\r\n[red]" + "A" * 1_000_000
FREE = {
    "fetches": ("title", "detail", "library_version"),
    "runs": ("note", "mode_reason", "code_version", "error", "source"),
    "models": ("version", "refused", "base"),
    "findings": ("detail", "rule"),
    "forecasts": ("reason",),
    "events": ("source",),
}
"""The columns that hold a text of others or for people."""


class Elements(HTMLParser):
    """The elements of a page with their attributes, and how many scripts it has."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.attributes = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(name, (value or "").lower()) for name, value in attributes]


def pages(folder):
    """The page, the index and the artifact of the newest night."""
    out = folder / "pages" / "page.html"
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir()
    write_reports(read_settings(), out, now=lambda: AT)[0].raise_failed()
    (data,) = newest_reports(read_settings())
    found = {path.name: path.read_text(encoding="utf-8") for path in out.parent.glob("*.html")}
    return found | {"artifact": night_artifact([(data, out)]).body}


def check_pages(found, clean):
    artifact = re.sub(r"\\[\\`\[\]<>|]", "", found.pop("artifact"))  # what is escaped is text
    assert "\x1b" not in artifact
    assert not re.search(r"<script|<img|!\[x|\[x\]\(|onerror=[^ ]*>", artifact)
    for name, page in found.items():
        elements = Elements(page)
        before = Elements(clean[name])
        assert set(elements.tags) <= {*before.tags, "br"}, name
        assert elements.tags.count("script") == before.tags.count("script"), name
        for attribute, value in elements.attributes:
            assert not attribute.startswith("on"), (name, attribute)
            if attribute in ("href", "src", "action"):
                assert not value.startswith(("javascript", "http://evil")), (name, value)
        for block in re.findall(
            r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL
        ):
            json.loads(block)


def put_everywhere(text):
    """Write a text into every column that holds one of others or for people."""
    with connect.transaction(read_settings().url) as connection:
        for table, columns in FREE.items():
            for column in columns:
                connection.execute(sa.text(f"UPDATE {table} SET {column} = :text"), {"text": text})


def test_no_text_of_the_ledger_becomes_an_element_an_attribute_or_an_address(
    done_on_the_seventh, real_pages, night_folder
):
    clean = pages(night_folder.parent)
    put_everywhere(HOSTILE)
    found = pages(night_folder.parent)
    assert "alert(1)" in "".join(found.values())
    check_pages(found, clean)


def test_show_prints_neither_escape_codes_nor_megabytes(done_on_the_seventh, capsys):
    put_everywhere(LONG)
    (data,) = newest_reports(read_settings())
    console.show_nights([data], is_past=False, why=False, as_json=False)
    printed = capsys.readouterr().out
    assert not {"\x1b", "\r"} & set(printed)
    assert "\ufffd]0;owned" in printed
    assert len(printed) < 6 * LIMIT
    assert len(night_artifact([(data, Path("page.html"))]).body) < 20 * LIMIT
