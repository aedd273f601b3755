from __future__ import annotations

import sqlite3
from pathlib import Path

from forecasting.store.tables import describe, meanings, metadata, views

DOCUMENT = Path(__file__).parents[3] / "docs" / "tables.md"


def test_docs_tables_md_is_current():
    assert DOCUMENT.read_text(encoding="utf-8") == describe.document()


def test_every_table_and_column_has_a_text():
    for table in metadata.sorted_tables:
        assert meanings.TABLES[table.name].endswith(".")
        for column in table.columns:
            assert meanings.text_of(table.name, column.name).endswith((".", "..."))


def test_every_column_of_a_view_in_a_migrated_database_has_a_text(sqlite_url):
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        found = {
            name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")
        }
    connection.close()
    assert found == describe.view_columns()
    assert set(found) == set(views.VIEWS)
    assert all(views.text_of(view, column) for view, columns in found.items() for column in columns)


def test_no_text_is_of_a_column_that_does_not_exist():
    assert set(meanings.TABLES) == set(meanings.COLUMNS) == set(metadata.tables)
    for table, texts in meanings.COLUMNS.items():
        assert set(texts) <= {column.name for column in metadata.tables[table].columns}
    for view, columns in describe.view_columns().items():
        assert set(views.VIEWS[view].columns) <= set(columns)
    names = {column.name for table in metadata.sorted_tables for column in table.columns}
    assert set(meanings.COMMON) <= names


def test_every_line_of_a_markdown_table_has_as_many_cells_as_its_head():
    for section in describe.document().split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1
