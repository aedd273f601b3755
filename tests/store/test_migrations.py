from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from forecasting.errors import StoreError
from forecasting.store import migrate, schema
from forecasting.store.connect import reading, transaction
from forecasting.store.migrate import current, downgrade, upgrade

SCRIPTS = ScriptDirectory(str(Path(migrations.__file__).parent))
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()][::-1]


def test_the_migrated_schema_is_the_metadata(database_url):
    with reading(database_url) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []


def test_keys_and_checks_are_the_metadatas_too(database_url):
    with reading(database_url) as connection:
        made = sa.inspect(connection)
        for table in schema.metadata.sorted_tables:
            key = made.get_pk_constraint(table.name)
            assert (key["name"], key["constrained_columns"]) == (
                table.primary_key.name,
                [column.name for column in table.primary_key],
            )
            checks = {constraint.name for constraint in table.constraints if isinstance(constraint, sa.CheckConstraint)}
            assert {check["name"] for check in made.get_check_constraints(table.name)} == checks


def test_every_constraint_and_index_has_a_name():
    for table in schema.metadata.sorted_tables:
        assert all(constraint.name for constraint in table.constraints), table.name
        assert all(index.name for index in table.indexes), table.name


def test_no_name_is_longer_than_postgres_keeps():
    names = [item.name for table in schema.metadata.sorted_tables for item in (*table.constraints, *table.indexes)]
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


@pytest.mark.parametrize("revision", ["0001", "0008"])
def test_a_ledger_older_than_0009_is_left_alone_and_named(database_url, revision):
    with transaction(database_url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    for command in (upgrade, migrate.check_ready):
        with pytest.raises(StoreError, match=f"at revision {revision}.* with release 0.2 first"):
            command(database_url)
    assert current(database_url) == revision
