from __future__ import annotations

import sqlalchemy as sa

from forecasting.store.database import reading, transaction
from forecasting.store.migrate import downgrade, upgrade
from forecasting.store.tables import comments, metadata, views


def test_every_table_view_and_column_has_its_meaning_as_comment(postgres_url):
    with reading(postgres_url) as connection:
        made = sa.inspect(connection)
        names = [name for name in (*made.get_table_names(), *made.get_view_names()) if name != "alembic_version"]
        places = {(name, column["name"]) for name in names for column in made.get_columns(name)}
        assert set(names) == {*metadata.tables, *views.VIEWS}
        found = comments.stored(connection)
        assert found.keys() == places | {(name, "") for name in names}
        assert found == comments.wanted(connection)
    assert (
        found["scores", "inside_80"]
        == "Whether the actual value is inside the 80 % interval, q10 to q90, ends included."
    )
    assert found["bars", ""] == "The current version of one session's bar."
    assert found["bars", "settled"] == "Whether the fetch of a later night has confirmed it."


def test_only_a_comment_that_differs_is_written_again(postgres_url):
    with transaction(postgres_url) as connection:
        assert comments.write(connection) == 0
        connection.exec_driver_sql("COMMENT ON COLUMN runs.note IS 'another'")
        connection.exec_driver_sql("COMMENT ON TABLE forecasts IS NULL")
        assert comments.write(connection) == 2
        assert comments.write(connection) == 0


def test_an_upgrade_from_the_first_revision_writes_every_comment(empty_postgres_url):
    upgrade(empty_postgres_url)
    downgrade(empty_postgres_url, "0009")
    upgrade(empty_postgres_url)
    with reading(empty_postgres_url) as connection:
        assert comments.stored(connection) == comments.wanted(connection)


def test_sqlite_has_no_comments(sqlite_url):
    with transaction(sqlite_url) as connection:
        assert comments.write(connection) == 0
