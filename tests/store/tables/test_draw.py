from __future__ import annotations

import re

import pytest

from forecasting.store.tables import draw, metadata, views


def references(lines: list[str]) -> set[tuple[str, str, str, str]]:
    found = (re.fullmatch(r" +(\w+) ([|o]+(?:--|\.\.)o\{) (\w+) : (.+)", line) for line in lines)
    return {(match[1], match[2], match[3], match[4]) for match in found if match}


def test_every_foreign_key_is_a_solid_line_and_a_reference_without_one_a_dotted_line():
    drawn = references(draw.table_lines())
    solid = {(referred, table) for referred, mark, table, _ in drawn if "--" in mark}
    keys = [
        (key.referred_table.name, table.name)
        for table in metadata.tables.values()
        for key in table.foreign_key_constraints
    ]
    assert solid == set(keys)
    assert {line for line in drawn if "--" not in line[1] and line[2] == "models"} == {
        ("models", "|o..o{", "models", '"parent_id"'),
        ("fetches", "|o..o{", "models", '"fetch_id"'),
        ("runs", "|o..o{", "models", '"run_id"'),
    }


def test_a_box_has_the_key_of_its_table_and_the_columns_that_refer_to_another():
    text = "\n".join(draw.table_lines())
    assert "    findings {\n        varchar(16) id PK\n        varchar(16) fetch_id FK\n    }" in text
    assert set(re.findall(r"^    (\w+) \{$", text, re.MULTILINE)) == set(metadata.tables)


def test_a_view_reads_the_tables_of_its_select_but_not_its_common_table_expressions():
    assert draw.sources("latest_forecasts") == ["forecasts", "models", "runs"]
    assert draw.sources("night_log") == ["forecast_vs_actual", "promotions", "runs"]


@pytest.mark.parametrize("view", views.VIEWS)
def test_a_view_is_drawn_after_what_it_reads(view):
    earlier = [*metadata.tables, *list(views.VIEWS)[: list(views.VIEWS).index(view)]]
    assert draw.sources(view)
    assert set(draw.sources(view)) <= set(earlier)
