"""The documents: relative links resolve, named files exist, and modules define the functions that
the tables name."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    path
    for folder in (".", "docs", "deploy", "tests")
    for path in sorted((ROOT / folder).glob("*.md"))
]
INDEX = ROOT / "docs" / "README.md"
DEVELOPER = (ROOT / "docs" / "developer.md").read_text(encoding="utf-8")

TOP_FOLDERS = ("forecasting", "flows", "migrations", "deploy", "benchmarks", "tests", "docs")
NOT_IN_THE_REPOSITORY = {"artifacts/", "reports/"}
"""Folders of a data folder."""


PLACEHOLDER = re.compile(r"NAME|TABLE|000N|(^|[/_])[xy]([/.]|$)")


def without_fences(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def links_in(text):
    """Targets of the Markdown links outside code, without those to the web."""
    prose = re.sub(r"`[^`\n]*`", "", without_fences(text))
    return [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", prose)
        if not re.match(r"[a-z]+:", target)
    ]


def anchors_in(text):
    """Anchors that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", without_fences(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(document, text):
    """Relative links of a document's text to a file or heading that is not there, or outside the
    repository."""
    dead = []
    for target in links_in(text):
        path, _, anchor = target.partition("#")
        linked = (document.parent / path).resolve() if path else document
        found = linked.exists() and linked.is_relative_to(ROOT)
        if found and anchor:
            found = anchor in anchors_in(
                text if linked == document else linked.read_text(encoding="utf-8")
            )
        if not found:
            dead.append(target)
    return dead


def paths_in(text):
    """Files and folders named in backticks.

    With a suffix or a slash at the end, without a placeholder.
    """
    words = re.findall(r"`([^`\n]+)`", without_fences(text))
    words = [word for word in words if not PLACEHOLDER.search(word)]
    return [
        word
        for word in words
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)*(/|\.(py|md|toml|yaml|sh|sql|html))", word)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_has_links_and_paths_that_resolve_and_lines_of_120_characters(
    document,
):
    text = document.read_text(encoding="utf-8")
    assert dead_links(document, text) == []
    if document.name != "CHANGELOG.md":  # it names files of earlier releases
        paths = {
            path for path in paths_in(text) if path.split("/")[0] in TOP_FOLDERS
        } - NOT_IN_THE_REPOSITORY
        assert [path for path in paths if not (ROOT / path).exists()] == []
    wrapped = re.sub(r"```text\n.*?```", "", text, flags=re.DOTALL)  # as it is printed
    long = [line for line in wrapped.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert not long, "Wrap these lines; only a row of a table, or what is printed, may be longer."


def test_the_developer_guide_lists_every_room_of_the_library():
    listed = set(re.findall(r"^\| `forecasting/(\w+)/`", DEVELOPER, re.MULTILINE))
    rooms = {path.parent.name for path in (ROOT / "forecasting").glob("*/__init__.py")}
    assert listed == rooms


def test_every_document_is_in_the_index():
    linked = {
        (ROOT / "docs" / link).resolve() for link in links_in(INDEX.read_text(encoding="utf-8"))
    }
    assert linked == {*DOCUMENTS, *(ROOT / "docs").glob("*.ipynb")} - {INDEX}
