from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from forecasting.store import database, tables
from forecasting.store.database import current, downgrade, reading, upgrade

SCRIPTS = ScriptDirectory.from_config(database._config())
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


def test_there_is_one_line_of_revisions():
    assert SCRIPTS.get_heads() == [database.head()]


@pytest.mark.parametrize("revision", ["base", *REVISIONS])
def test_every_revision_can_be_left_upwards_and_reached_again(empty_database_url, revision):
    upgrade(empty_database_url)
    downgrade(empty_database_url, revision)
    assert current(empty_database_url) == (None if revision == "base" else revision)
    upgrade(empty_database_url)
    assert current(empty_database_url) == database.head()
