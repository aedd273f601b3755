"""The queries of docs/analyst.md with their answers, and the command that writes the answers anew.

`python -m tests.cookbook` runs the document's commands in a temporary folder and replaces every
answer in the document.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from flows.console import table_text
from forecasting.store.connect import begun, engine
from tests.guides import blocks

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "analyst.md"
_RECIPE = re.compile(
    r"^### \d+\. (?P<title>.+?)\n(?P<text>.*?)```sql\n(?P<query>.*?)```\n\n"
    r"```text\n(?P<answer>.*?)\n```",
    re.M | re.S,
)
NO_ROWS = "(no rows)"


class Recipe(NamedTuple):
    """One question of the document."""

    title: str
    query: str
    answer: str


def recipes(text: str) -> list[Recipe]:
    """The questions of a document, with their queries and answers."""
    return [
        Recipe(found["title"], found["query"], found["answer"]) for found in _RECIPE.finditer(text)
    ]


def queries(text: str) -> list[str]:
    """The statements of every block of SQL of a document."""
    return [query for block in blocks(text, "sql") for query in block.split(";") if query.strip()]


def commands(text: str) -> list[list[str]]:
    """The words of the `forecasting` commands in the document's first block for a shell."""
    first = blocks(text, "sh")[0]
    return [
        line.partition("#")[0].split()[1:]
        for line in first.splitlines()
        if line.startswith("forecasting ")
    ]


@contextlib.contextmanager
def ledger(folder: Path, text: str) -> Iterator[str]:
    """The URL of a SQLite ledger in `folder`, made by the commands of the document, without
    Prefect."""
    from flows.cli import app
    from forecasting.publish import pages
    from tests.builders import blank_page
    from tests.plain_flows import without_prefect

    with pytest.MonkeyPatch.context() as patch:
        # A reader's, or a test's before
        for name in [name for name in os.environ if name.startswith("FORECASTING_")]:
            patch.delenv(name)
        patch.setenv("FORECASTING_DATA_DIR", str(folder))
        patch.setenv("FORECASTING_SOURCE", "sample")
        without_prefect(patch.setattr)
        patch.setattr(pages, "render_page", blank_page)
        with contextlib.chdir(folder):
            for words in commands(text):
                ended = CliRunner().invoke(app, words)
                assert ended.exit_code in (0, 3), ended.output
        yield f"sqlite:///{folder / 'forecasting.db'}"


def answer(url: str, query: str) -> str:
    """The rows of the query, laid out as `show` prints tables.

    Instants to the minute; numbers that are no whole ones with four digits.
    """
    with begun(url, engine(url)) as connection:
        result = connection.exec_driver_sql(query.strip().removesuffix(";").replace("%", "%%"))
        names = list(result.keys())
        rows = [[shown(value) for value in row] for row in result]
    if not rows:
        return NO_ROWS
    lines = table_text(names, rows, width=None).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def shown(value) -> str:
    """One value: the same text on both databases."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float | Decimal):
        number = float(value)
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    text = str(value)
    return text[:16] if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d", text) else text


def with_answers(text: str, url: str) -> str:
    """The document with the answers of a ledger."""

    def renewed(found):
        whole = found[0]
        first = found.start()
        return (
            whole[: found.start("answer") - first]
            + answer(url, found["query"])
            + whole[found.end("answer") - first :]
        )

    return _RECIPE.sub(renewed, text)


def main():
    """Write the answers anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, ledger(Path(folder), text) as url:
        DOCUMENT.write_text(with_answers(text, url), encoding="utf-8")


if __name__ == "__main__":
    main()
