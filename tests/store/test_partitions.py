from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from forecasting.errors import UsageError
from forecasting.store.database import reading, transaction
from forecasting.store.migrate import downgrade, upgrade
from forecasting.store.partitions import SESSION_OF, partition
from forecasting.store.tables import comments, metadata, views
from tests.builders import LAST
from tests.nights import night, timeless
from tests.store.rows import store_bars

ROLES = Path(__file__).parents[2] / "deploy" / "sql" / "roles.sql"


def parts(connection: sa.Connection, name: str) -> dict[str, int]:
    """The partitions of a table, each with the number of its rows."""
    found = connection.scalars(
        sa.text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:n)"), {"n": name}
    )
    return {part: connection.scalar(sa.text(f"SELECT COUNT(*) FROM {part}")) or 0 for part in sorted(found)}


def rights(connection: sa.Connection) -> set[tuple[str, str, str, str]]:
    """What the roles of deploy/sql/roles.sql may do with each column."""
    made = sa.inspect(connection)
    columns = [(name, column["name"]) for name in (*metadata.tables, *views.VIEWS) for column in made.get_columns(name)]
    asked = sa.text(
        "SELECT role, relation, name, kind FROM unnest(CAST(:relations AS text[]), CAST(:names AS text[])) "
        "AS c(relation, name), unnest(ARRAY['forecasting_reader', 'forecasting_writer']) AS role, "
        "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS kind WHERE has_column_privilege(role, relation, name, kind)"
    )
    found = connection.execute(asked, {"relations": [one[0] for one in columns], "names": [one[1] for one in columns]})
    # New views, as those of an upgrade, come with the default rights of new tables, INSERT among them.
    return {tuple(row) for row in found if row.kind == "SELECT" or row.relation in metadata.tables}


@pytest.mark.slow
@pytest.mark.usefixtures("plain_flows", "done_on_the_seventh")
@pytest.mark.parametrize("night_url", ["postgres"], indirect=True)
def test_nights_go_on_in_partitions_with_the_same_tables(night_url: str) -> None:
    with transaction(night_url) as connection:
        connection.connection.cursor().execute(ROLES.read_bytes())
        allowed, told = rights(connection), comments.stored(connection)
    before = {name: timeless(name) for name in metadata.tables}
    made = partition(night_url)
    assert made["forecasts"] == [2024]
    assert made["bar_versions"][-2:] == [2023, 2024]
    with reading(night_url) as connection:
        assert rights(connection) == allowed
        assert comments.stored(connection) == told
        assert parts(connection, "scores")["scores_later"] == 0
        assert sum(parts(connection, "bar_versions").values()) == len(before["bar_versions"])
        inspected = sa.inspect(connection)
        for name in SESSION_OF:
            table = metadata.tables[name]
            assert inspected.get_pk_constraint(name)["name"] == table.primary_key.name
            assert {index["name"] for index in inspected.get_indexes(name)} >= {index.name for index in table.indexes}
            keys = {key["name"] for key in inspected.get_foreign_keys(name)}
            assert keys >= {key.name for key in table.foreign_key_constraints}
    assert {name: timeless(name) for name in metadata.tables} == before
    night(LAST)
    partitioned = {name: timeless(name) for name in metadata.tables}
    assert partitioned["scores"]
    assert partition(night_url) == {"bar_versions": [], "forecasts": [], "scores": [2024]}  # the first
    assert {name: timeless(name) for name in metadata.tables} == partitioned


@pytest.mark.slow
def test_a_year_that_has_passed_moves_out_of_the_default_partition(postgres_url: str) -> None:
    partition(postgres_url)
    with transaction(postgres_url) as connection:
        store_bars(connection, {"2025-12-31": 1.0, "2026-01-02": 2.0}, seen="2026-01-03T10:00")
        assert parts(connection, "bar_versions") == {"bar_versions_later": 2}
    assert partition(postgres_url)["bar_versions"] == [2025, 2026]
    with reading(postgres_url) as connection:
        assert parts(connection, "bar_versions") == {
            "bar_versions_2025": 1,
            "bar_versions_2026": 1,
            "bar_versions_later": 0,
        }
        plan = "\n".join(connection.scalars(sa.text("EXPLAIN SELECT * FROM bar_versions WHERE session < '2026-01-01'")))
        assert ("bar_versions_2025" in plan, "bar_versions_2026" in plan) == (True, False)


@pytest.mark.slow
def test_a_partitioned_ledger_can_be_downgraded_and_upgraded(postgres_url: str) -> None:
    partition(postgres_url)
    downgrade(postgres_url, "0001")
    upgrade(postgres_url)
    assert partition(postgres_url) == {name: [] for name in SESSION_OF}


def test_sqlite_is_refused_and_unchanged(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="Expected a ledger on Postgres; found one on SQLite"):
        partition(sqlite_url)
    assert path.read_bytes() == before
