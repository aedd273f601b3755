from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from forecasting.store import migrate, tables, writes
from forecasting.store.database import reading, transaction
from forecasting.store.engine import engine
from forecasting.store.migrate import current, downgrade, upgrade
from tests.store.mixed_nights import mixed_scores
from tests.store.rows import SYMBOL, at, forecast_row, model_row, run_row, score_row

SCRIPTS = ScriptDirectory.from_config(migrate._config())
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()][::-1]


def test_the_migrated_schema_is_the_metadata(database_url):
    with reading(database_url) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata) == []


def test_keys_and_checks_are_the_metadatas_too(database_url):
    with reading(database_url) as connection:
        made = sa.inspect(connection)
        for table in tables.metadata.sorted_tables:
            key = made.get_pk_constraint(table.name)
            assert (key["name"], key["constrained_columns"]) == (
                table.primary_key.name,
                [column.name for column in table.primary_key],
            )
            checks = {constraint.name for constraint in table.constraints if isinstance(constraint, sa.CheckConstraint)}
            assert {check["name"] for check in made.get_check_constraints(table.name)} == checks


def test_every_constraint_and_index_has_a_name():
    for table in tables.metadata.sorted_tables:
        assert all(constraint.name for constraint in table.constraints), table.name
        assert all(index.name for index in table.indexes), table.name


def test_no_name_is_longer_than_postgres_keeps():
    names = [item.name for table in tables.metadata.sorted_tables for item in (*table.constraints, *table.indexes)]
    assert max(len(str(name)) for name in names) <= 63


def test_revisions_form_one_line():
    assert SCRIPTS.get_heads() == [migrate.head()]
    assert migrate._revisions() == tuple(REVISIONS[::-1])  # found without running the migrations' files


@pytest.mark.parametrize("revision", ["base", *REVISIONS])
def test_every_revision_can_be_left_upwards_and_reached_again(database_url, revision):
    downgrade(database_url, revision)
    assert current(database_url) == (None if revision == "base" else revision)
    upgrade(database_url)
    assert current(database_url) == migrate.head()


ADDED_LATER = {
    "fetches": {"currency"},
    "findings": {"cleared_at"},
    "forecasts": {"calendar", "outside"},
    "models": {"base", "companion_fetches", "gate", "refused"},
    "promotions": {"compared", "first_origin", "last_origin"},
    "runs": {"market_fetch"},
    "scores": {"role", "model", "issued_at"},
}


def test_an_upgrade_from_0001_with_rows_and_the_way_back_keep_every_row(empty_database_url):
    upgrade(empty_database_url, "0001")
    with engine(empty_database_url).begin() as connection:
        for name, rows in rows_of_0001().items():
            table = tables.metadata.tables[name]
            connection.execute(sa.insert(without(table, ADDED_LATER.get(name, set()))), rows)
    before = stored(empty_database_url)
    upgrade(empty_database_url)
    with reading(empty_database_url) as connection:
        judged = connection.execute(sa.text("SELECT role, model, stage FROM scores ORDER BY stage, model")).all()
        issued = connection.scalars(sa.select(tables.scores.c.issued_at).distinct()).all()
        standing = connection.execute(sa.text("SELECT window_sessions, n, best_baseline, skill FROM live_skill")).all()
    assert [tuple(row) for row in judged] == [
        ("champion", "lstm", "first_print"),
        ("baseline", "ridge", "first_print"),
        ("champion", "lstm", "settled"),
    ]
    assert issued == [datetime(2024, 3, 7, 22, tzinfo=UTC)]
    assert sorted(tuple(row) for row in standing) == [(window, 1, "ridge", 0.5) for window in (20, 60, 250)]
    assert stored(empty_database_url) == before
    downgrade(empty_database_url, "0001")
    assert stored(empty_database_url) == before


def test_an_upgrade_from_0004_writes_the_standings_anew(database_url):
    """Code of revision 0004 left a published baseline out of its own line, and had none for the network."""
    scores = mixed_scores(database_url, seed=4, days=30)
    with transaction(database_url) as connection:
        writes.add_scores(connection, scores)
    by_forecaster = standing_rows(database_url)
    downgrade(database_url, "0004")
    assert standing_rows(database_url) == []
    with transaction(database_url) as connection:
        rows = [dict(row) for row in by_forecaster if row["line"] != "lstm"]
        connection.execute(sa.insert(tables.standings), [row | {"n": 1, "error": 0.5} for row in rows])
    upgrade(database_url)
    assert standing_rows(database_url) == by_forecaster


def standing_rows(url: str) -> list[sa.RowMapping]:
    table = tables.standings
    with reading(url) as connection:
        return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings())


def rows_of_0001() -> dict[str, list[dict[str, object]]]:
    """A night as revision 0001 kept it: the rows of a current one, short of the columns that came later."""
    shared = {"model_id": "ridge", "role": "baseline"}
    champion, baseline = forecast_row("lstm", "2024-03-07"), forecast_row("lstm", "2024-03-07") | shared
    settled = score_row(champion, stage="settled", error=-5.0)
    return {
        "runs": [run_row("2024-03-07", "2024-03-07")],
        "fetches": [FETCH],
        "models": [model_row("lstm"), model_row("ridge", "ridge")],
        "forecasts": [champion, baseline],
        "scores": [score_row(champion), score_row(baseline), settled],
        "findings": [FINDING],
    }


FETCH = {
    "id": "2024-01-02T21:00",
    "source": "csv:SBUX.csv",
    "symbol": SYMBOL,
    "title": "Starbucks",
    "first_asked": date(2024, 1, 2),
    "last_asked": date(2024, 1, 2),
    "fetched_at": at("2024-01-02T21:00"),
    "row_count": 1,
    "payload_hash": "0" * 64,
    "library_version": "pandas 3",
    "verdict": "extended",
}
FINDING = {
    "id": "f1",
    "symbol": SYMBOL,
    "session": date(2024, 1, 2),
    "rule": "low_volume",
    "severity": "flag",
    "fetch_id": FETCH["id"],
}


def without(table: sa.Table, names: set[str]) -> sa.Table:
    """The table as it was before it had the columns `names`."""
    kept = [sa.Column(column.name, column.type) for column in table.columns if column.name not in names]
    return sa.Table(table.name, sa.MetaData(), *kept)


def stored(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the tables of 0001, under the columns of 0001."""
    with reading(url) as connection:
        return {
            table.name: sorted(
                (
                    tuple(row)
                    for row in connection.execute(sa.select(without(table, ADDED_LATER.get(table.name, set()))))
                ),
                key=str,
            )
            for table in tables.metadata.sorted_tables
            if table.name != "standings"
        }
