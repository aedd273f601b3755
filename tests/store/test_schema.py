"""The meanings of tables, views and columns: in docs/tables.md, and as comments in Postgres."""

from __future__ import annotations

import runpy
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from forecasting.store import migrate, views
from forecasting.store.connect import reading, transaction
from forecasting.store.schema import metadata

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "tables.py"))


def test_docs_tables_md_is_current(script: dict[str, Any]) -> None:
    document = script["document"]()
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == document
    for section in document.split("\n## ")[1:]:
        assert len({line.count("|") for line in section.splitlines() if line.startswith("| `")} | {0}) <= 3


def test_every_table_view_and_column_has_a_meaning_and_no_meaning_is_of_none(
    script: dict[str, Any], sqlite_url: str
) -> None:
    for table in metadata.sorted_tables:
        assert all(str(one.comment).endswith((".", "...")) for one in (table, *table.columns)), table.name
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        made = {
            name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")
        }
    assert made == script["view_columns"]()
    assert set(made) == set(views.VIEWS)
    for view, columns in made.items():
        assert set(views.VIEWS[view].columns) <= set(columns)
        assert all(views.text_of(view, column).endswith((".", "...")) for column in columns)


def test_postgres_has_every_meaning_as_a_comment_and_only_one_that_differs_is_written(postgres_url: str) -> None:
    with reading(postgres_url) as connection:
        made = sa.inspect(connection)
        stored = {name: made.get_table_comment(name)["text"] for name in metadata.tables}
        assert stored == {name: table.comment for name, table in metadata.tables.items()}
        for name in (*metadata.tables, *views.VIEWS):
            meanings = migrate.meanings(connection)
            assert all(one["comment"] == meanings[name, one["name"]] for one in made.get_columns(name)), name
    with transaction(postgres_url) as connection:
        assert migrate.comment(connection) == 0
        connection.exec_driver_sql("COMMENT ON COLUMN runs.note IS 'another'")
        connection.exec_driver_sql("COMMENT ON VIEW bars IS NULL")
        assert migrate.comment(connection) == 2
        assert migrate.comment(connection) == 0
