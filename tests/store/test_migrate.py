import os
import re
import runpy
import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from forecasting.errors import LockedError, StoreError, UsageError
from forecasting.store import migrate, views
from forecasting.store.connect import kept_open, reading, transaction
from forecasting.store.lock import night_lock
from forecasting.store.migrate import check_ready, current, downgrade, head, upgrade
from forecasting.store.schema import metadata
from tests.postgres import a_role
from tests.store.conftest import another_process

NEWEST = head()


def refusal(url, attempt=check_ready):
    with pytest.raises(StoreError) as caught:
        attempt(url)
    return str(caught.value)


def set_revision(url, revision):
    with transaction(url) as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")


def test_the_schema_does_not_change_under_a_run(database_url):
    with night_lock(database_url):
        with pytest.raises(LockedError, match="at work in another run"):
            downgrade(database_url, "0009")
        assert current(database_url) == NEWEST
        upgrade(database_url)  # which changes nothing
    downgrade(database_url, "0009")


def test_a_missing_sqlite_file_is_named_and_not_created(empty_sqlite_url):
    path = empty_sqlite_url.removeprefix("sqlite:///")
    missing = f"There is no database at {path}. `forecasting run` creates it"
    for attempt in (current, check_ready, partial(downgrade, revision="base")):
        assert refusal(empty_sqlite_url, attempt).startswith(missing)
    assert "cannot be opened" in refusal(empty_sqlite_url, lambda url: transaction(url).__enter__())
    assert not Path(path).parent.exists()


def test_a_missing_postgres_database_and_one_not_migrated_have_other_messages(empty_postgres_url):
    assert current(empty_postgres_url) is None
    assert "holds no forecasting tables yet. Run `forecasting db" in refusal(empty_postgres_url)
    elsewhere = sa.make_url(empty_postgres_url).set(database="nowhere")
    found = refusal(elsewhere.render_as_string(hide_password=False))
    assert "cannot be reached: connection failed" in found
    assert 'database "nowhere" does not exist' in found


def test_an_older_revision_asks_for_the_upgrade(database_url, monkeypatch):
    monkeypatch.setattr("forecasting.store.migrate._revisions", lambda: ["9998", NEWEST])
    named = f"is at revision {NEWEST}; this code needs 9998. Run `forecasting db upgrade`"
    assert named in refusal(database_url)


@pytest.mark.parametrize("revision", ["0008", "9999"])
def test_a_revision_of_other_code_asks_for_it_and_is_never_migrated(database_url, revision):
    set_revision(database_url, revision)
    named = f"revision {revision}, which this code does not have (its newest is {NEWEST})"
    for attempt in (check_ready, upgrade, partial(downgrade, revision="base")):
        assert named in refusal(database_url, attempt)
    assert current(database_url) == revision


@contextmanager
def without_rights():
    """Run the block as a user without rights; root may write anywhere."""
    user = os.geteuid()
    os.setresuid(user or 65534, user or 65534, user)
    try:
        yield
    finally:
        os.setresuid(user, user, user)


@pytest.mark.parametrize("folder_mode", [0o777, 0o555])
def test_a_sqlite_file_that_may_not_be_written_is_read_but_by_a_writer_refused(
    sqlite_url, folder_mode
):
    # Others may not enter tmp_path
    with tempfile.TemporaryDirectory(prefix="forecasting-tests-") as folder:
        path = shutil.copy(sqlite_url.removeprefix("sqlite:///"), folder)
        url = f"sqlite:///{path}"
        Path(path).chmod(0o444)
        Path(folder).chmod(folder_mode)
        with without_rights():
            for attempt in (check_ready, upgrade):
                refused = f"^The database {path} cannot be (written|opened): "
                assert re.match(refused, refusal(url, attempt))
            with kept_open(url):
                check_ready(url, writes=False)
        Path(folder).chmod(0o700)


def test_what_was_written_while_it_was_read_without_locks_is_refused(sqlite_url, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(StoreError, match="was written while it was read"), reading(sqlite_url):
        os.utime(sqlite_url.removeprefix("sqlite:///"), (1, 1))


def test_a_folder_that_cannot_be_created_and_a_file_that_is_no_database_are_refused(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("not a database, but long enough to be read as a header of one; " * 20)
    assert "is not a SQLite file" in refusal(f"sqlite:///{path}")
    for folder, reason in ((path / "deeper", "Not a directory"), (path, "File exists")):
        named = f"The folder {folder} for the database cannot be created: {reason}. Name another"
        assert named in refusal(f"sqlite:///{folder / 'forecasting.db'}", upgrade)


def test_a_postgres_role_that_may_only_read_is_refused(postgres_url):
    with a_role(postgres_url, "reader") as reader:
        assert "permission denied for table runs. Connect as the writer role" in refusal(reader)
    read_only = sa.make_url(postgres_url).update_query_dict(
        {"options": "-c default_transaction_read_only=on"}
    )
    url = read_only.render_as_string(hide_password=False)
    assert "in a read-only transaction. Connect to the primary, as the writer role" in refusal(url)


@pytest.mark.parametrize("is_missing", [True, False])
def test_a_view_that_is_missing_or_has_changed_is_made_anew(postgres_url, is_missing, monkeypatch):
    def columns():
        with reading(postgres_url) as connection:
            made = sa.inspect(connection).get_columns("night_durations")
        return [column["name"] for column in made]

    before = columns()
    if is_missing:
        with transaction(postgres_url) as connection:
            connection.exec_driver_sql("DROP VIEW night_durations")
    else:
        with monkeypatch.context() as patch:
            patch.setitem(views.VIEWS, "night_durations", views.VIEWS["bars"])
            upgrade(postgres_url)
        assert columns() != before
    upgrade(postgres_url)
    assert columns() == before


def test_a_revision_that_does_not_exist_is_a_usage_error(database_url):
    for change in (upgrade, downgrade):
        with pytest.raises(
            UsageError, match=r"Expected a revision, one of head, base, 0009, .*; found 'nonsense'"
        ):
            change(database_url, "nonsense")
    check_ready(database_url)


UPGRADES_WHEN_READY = """
import sys
from forecasting.store.migrate import upgrade
print("ready", flush=True)
upgrade(sys.argv[1])
"""


@pytest.mark.slow
def test_two_upgrades_at_once_both_succeed(empty_database_url):
    with another_process(UPGRADES_WHEN_READY, empty_database_url, "ready\n") as process:
        upgrade(empty_database_url)
        assert (process.communicate()[1], process.returncode) == ("", 0)
    check_ready(empty_database_url)


STOPS_HALF_WAY = """
import sys
from forecasting.store import migrate
migrate.create_views = lambda *_: (print("migrated", flush=True), sys.stdin.read())
migrate.upgrade(sys.argv[1])
"""


@pytest.mark.slow
def test_a_killed_upgrade_changes_nothing(empty_database_url):
    with another_process(STOPS_HALF_WAY, empty_database_url, "migrated\n") as process:
        process.kill()
    with reading(empty_database_url) as connection:
        assert sa.inspect(connection).get_table_names() == []
    upgrade(empty_database_url)
    check_ready(empty_database_url)


SCRIPTS = ScriptDirectory(str(Path(migrations.__file__).parent))
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()][::-1]


def test_the_migrated_schema_is_the_metadata_with_keys_checks_and_names_that_postgres_keeps(
    connection,
):
    options = {"compare_type": True, "compare_server_default": True}
    assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    made = sa.inspect(connection)
    for table in metadata.sorted_tables:
        key = made.get_pk_constraint(table.name)
        columns = [column.name for column in table.primary_key]
        assert (key["name"], key["constrained_columns"]) == (table.primary_key.name, columns)
        checks = {
            constraint.name
            for constraint in table.constraints
            if isinstance(constraint, sa.CheckConstraint)
        }
        assert {check["name"] for check in made.get_check_constraints(table.name)} == checks
        assert all(
            0 < len(str(item.name or "")) <= 63 for item in (*table.constraints, *table.indexes)
        ), table.name


def test_revisions_form_one_line():
    assert SCRIPTS.get_heads() == [migrate.head()]
    # Found without running the migrations' files
    assert migrate._revisions() == list(REVISIONS[::-1])


def test_every_revision_can_be_left_upwards_and_reached_again_with_all_tables_and_views(
    database_url,
):
    def names():
        with reading(database_url) as connection:
            made = sa.inspect(connection)
            return {*made.get_table_names(), *made.get_view_names()}

    for revision in (*REVISIONS, "base"):
        downgrade(database_url, revision)
        assert current(database_url) == (None if revision == "base" else revision)
        assert revision != "base" or names() == {"alembic_version"}
        upgrade(database_url)
        assert names() == {"alembic_version", *metadata.tables, *views.VIEWS}
    check_ready(database_url)


def test_a_view_that_this_release_lacks_does_not_stop_the_upgrade(database_url):
    downgrade(database_url, "0016")
    with transaction(database_url) as connection:
        connection.exec_driver_sql("CREATE VIEW champions AS SELECT * FROM promotions")
    upgrade(database_url)
    with reading(database_url) as connection:
        assert {*sa.inspect(connection).get_view_names()} == {*views.VIEWS}


DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(DOCS / "tables.py"))


def test_docs_tables_md_is_current(script):
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == script["document"]()


def test_every_table_view_and_column_has_a_meaning_and_no_meaning_is_of_none(script, sqlite_url):
    with reading(sqlite_url) as connection:
        texts = migrate.meanings(connection)
        made = sa.inspect(connection)
        columns = {
            name: [column["name"] for column in made.get_columns(name)]
            for name in made.get_view_names()
        }
    assert all(text.endswith((".", "...")) for text in texts.values())
    assert columns == script["view_columns"]()
    assert set(columns) == set(views.VIEWS)
    for name, view in views.VIEWS.items():
        assert set(view.columns) <= set(columns[name])


def test_postgres_has_every_meaning_as_a_comment(postgres_url):
    with reading(postgres_url) as connection:
        made = sa.inspect(connection)
        stored = {}
        for name in metadata.tables:
            stored[f"TABLE {name}"] = made.get_table_comment(name)["text"]
        for name in views.VIEWS:
            stored[f"VIEW {name}"] = made.get_table_comment(name)["text"]
        for name in (*metadata.tables, *views.VIEWS):
            for column in made.get_columns(name):
                stored[f"COLUMN {name}.{column['name']}"] = column["comment"]
        assert stored == migrate.meanings(connection)
