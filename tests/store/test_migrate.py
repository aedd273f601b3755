import os
import runpy
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import migrations
from forecasting.errors import LockedError, StoreError, UsageError
from forecasting.store import migrate, views, write
from forecasting.store.connect import engine, kept_open, reading, transaction
from forecasting.store.lock import LOCKED, night_lock
from forecasting.store.migrate import check_ready, current, downgrade, head, upgrade
from forecasting.store.schema import metadata
from tests.postgres import a_role
from tests.store.conftest import another_process
from tests.store.mixed_nights import mixed_scores

ROOT = Path(__file__).parents[2]
NEWEST = head()


def refusal(url):
    with pytest.raises(StoreError) as caught:
        check_ready(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def set_revision(url, revision):
    with transaction(url) as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")


def test_the_schema_does_not_change_under_a_run(database_url):
    for name in LOCKED:
        with night_lock(database_url, name):
            with pytest.raises(
                LockedError, match=f"The lock '{name}' of this database is held by another run"
            ):
                downgrade(database_url, "0009")
            assert current(database_url) == NEWEST
            upgrade(database_url)  # which changes nothing
    downgrade(database_url, "0009")


def test_an_upgrade_waits_for_the_nights_of_0009(postgres_url, monkeypatch):
    downgrade(postgres_url, "0009")
    monkeypatch.setattr("forecasting.store.connect.BUSY_TIMEOUT_S", 1)
    engine.cache_clear()
    with engine(postgres_url).begin() as connection:
        connection.exec_driver_sql("LOCK TABLE standings IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="holds a lock on standings"):
            upgrade(postgres_url)
    engine.cache_clear()
    upgrade(postgres_url)


def test_a_missing_sqlite_file_is_named_and_not_created(empty_sqlite_url):
    path = empty_sqlite_url.removeprefix("sqlite:///")
    with pytest.raises(StoreError, match="There is no database"):
        current(empty_sqlite_url)
    assert refusal(empty_sqlite_url).startswith(
        f"There is no database at {path}. `forecasting run` creates it"
    )
    with pytest.raises(StoreError, match="There is no database"):
        downgrade(empty_sqlite_url, "base")
    with pytest.raises(StoreError, match="cannot be opened"), transaction(empty_sqlite_url):
        pass
    assert not Path(path).parent.exists()


def test_a_missing_postgres_database_and_one_not_migrated_have_other_messages(empty_postgres_url):
    assert current(empty_postgres_url) is None
    assert "holds no forecasting tables yet. Run `forecasting db upgrade`" in refusal(
        empty_postgres_url
    )
    elsewhere = (
        sa.make_url(empty_postgres_url)
        .set(database="nowhere")
        .render_as_string(hide_password=False)
    )
    assert "cannot be reached: connection failed" in refusal(elsewhere)
    assert 'database "nowhere" does not exist' in refusal(elsewhere)


def test_an_older_revision_asks_for_the_upgrade(database_url, monkeypatch):
    monkeypatch.setattr("forecasting.store.migrate._revisions", lambda: ["9998", NEWEST])
    assert (
        f"is at revision {NEWEST}; this code needs 9998. Run `forecasting db upgrade`"
        in refusal(database_url)
    )


def test_a_newer_revision_asks_for_newer_code_and_is_never_migrated(database_url):
    set_revision(database_url, "9999")
    assert (
        f"is at revision 9999, which this code does not have (its newest is {NEWEST})"
        in refusal(database_url)
    )
    for change in (upgrade, lambda url: downgrade(url, "base")):
        with pytest.raises(StoreError, match="revision 9999, which this code does not have"):
            change(database_url)


@contextmanager
def without_rights():
    """Run the block as a user without rights; root may write anywhere."""
    user = os.geteuid()
    os.setresuid(user or 65534, user or 65534, user)
    try:
        yield
    finally:
        os.setresuid(user, user, user)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o444, 0o777), (0o444, 0o555)], ids=["file", "folder"]
)
def test_a_sqlite_file_that_may_not_be_written_is_read_but_by_a_writer_refused(
    sqlite_url, file_mode, folder_mode
):
    # Others may not enter tmp_path
    with tempfile.TemporaryDirectory(prefix="forecasting-tests-") as folder:
        path = Path(folder, "forecasting.db")
        url = f"sqlite:///{folder}/forecasting.db"
        shutil.copy(sqlite_url.removeprefix("sqlite:///"), path)
        path.chmod(file_mode)
        Path(folder).chmod(folder_mode)
        refused = f"^The database {path} cannot be (written|opened): "
        with without_rights():
            for attempt in (check_ready, upgrade):
                with pytest.raises(StoreError, match=refused):
                    attempt(url)
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
    for folder, reason in (
        (path / "deeper", "Not a directory"),
        (path, "File exists. Name another"),
    ):
        with pytest.raises(
            StoreError, match=f"folder .* for the database cannot be created: {reason}"
        ):
            upgrade(f"sqlite:///{folder / 'forecasting.db'}")


def test_a_postgres_role_that_may_only_read_is_refused(postgres_url):
    with a_role(postgres_url, "reader") as reader:
        assert "permission denied for table runs. Connect as the writer role" in refusal(reader)
    read_only = sa.make_url(postgres_url).update_query_dict(
        {"options": "-c default_transaction_read_only=on"}
    )
    url = read_only.render_as_string(hide_password=False)
    assert "in a read-only transaction. Connect to the primary, as the writer role" in refusal(url)


@pytest.mark.parametrize("stale", ["DROP VIEW night_durations", "another"])
def test_a_view_that_is_missing_or_has_changed_is_made_anew(postgres_url, stale, monkeypatch):
    with reading(postgres_url) as connection:
        columns = [
            column["name"] for column in sa.inspect(connection).get_columns("night_durations")
        ]
    if stale == "another":
        monkeypatch.setitem(views.VIEWS, "night_durations", views.VIEWS["bars"])
        upgrade(postgres_url)
        monkeypatch.undo()
    else:
        with transaction(postgres_url) as connection:
            connection.exec_driver_sql(stale)
    upgrade(postgres_url)
    with reading(postgres_url) as connection:
        assert [
            column["name"] for column in sa.inspect(connection).get_columns("night_durations")
        ] == columns


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
    for revision in (*REVISIONS, "base"):
        downgrade(database_url, revision)
        assert current(database_url) == (None if revision == "base" else revision)
        with reading(database_url) as connection:
            left = sa.inspect(connection)
            assert revision != "base" or (left.get_table_names(), left.get_view_names()) == (
                ["alembic_version"],
                [],
            )
        upgrade(database_url)
        with reading(database_url) as connection:
            made = sa.inspect(connection)
            assert set(made.get_table_names()) == {*metadata.tables, "alembic_version"}
            assert set(made.get_view_names()) == set(views.VIEWS)
    check_ready(database_url)


def test_older_nights_get_the_kind_of_their_mode_by_how_its_reason_began(database_url):
    reasons = {
        "asked for: warm": "asked",
        "no warm fit can go on from the champion: its file is gone": "unreadable",
        "the market series has vanished since the champion's chain of fits began": "changed",
        "drift: Drift: pinball skill against ridge is -9.0%": "drift",
        "21 sessions since the last fit from scratch": "age",
        "": "",
    }
    downgrade(database_url, "0011")
    columns = (
        "id, as_of, symbol, target, source, trigger, status, started_at, code_version, "
        "settings_hash, settings"
    )
    with transaction(database_url) as connection:
        for place, reason in enumerate(reasons):
            values = (
                f"'{place}', '2024-03-08', 'SBUX', 'volume', 'sample', 'run', 'done', "
                "'2024-03-09', '', '', ''"
            )
            insert = (
                f"INSERT INTO runs ({columns}, mode, mode_reason) VALUES ({values}, :mode, :reason)"
            )
            connection.execute(
                sa.text(insert), {"mode": "scratch" if reason else "", "reason": reason}
            )
    upgrade(database_url)
    with reading(database_url) as connection:
        kinds = dict(connection.execute(sa.text("SELECT mode_reason, mode_kind FROM runs")).all())
    assert kinds == reasons


def test_an_older_ledger_has_all_sums_of_its_standings_after_the_upgrade(database_url):
    with transaction(database_url) as connection:
        write.add_scores(connection, mixed_scores(connection, seed=3, days=24))
    before = standings_of(database_url)
    assert any(row["squared_gap"] > 0 for row in before)
    downgrade(database_url, "0014")
    upgrade(database_url)
    assert standings_of(database_url) == before


def standings_of(url):
    table = metadata.tables["standings"]
    with reading(url) as connection:
        ordered = sa.select(table).order_by(*table.primary_key)
        return [dict(row) for row in connection.execute(ordered).mappings()]


def test_a_ledger_older_than_0009_is_left_alone_and_named(database_url):
    set_revision(database_url, "0008")
    for command in (upgrade, check_ready):
        with pytest.raises(
            StoreError, match=r"at revision 0008.* 0001 to 0008 with release 0.2 first"
        ):
            command(database_url)
    assert current(database_url) == "0008"


DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(DOCS / "tables.py"))


def test_docs_tables_md_is_current(script):
    document = script["document"]()
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == document
    for section in document.split("\n## ")[1:]:
        assert (
            len({line.count("|") for line in section.splitlines() if line.startswith("| `")} | {0})
            <= 3
        )


def test_every_table_view_and_column_has_a_meaning_and_no_meaning_is_of_none(script, sqlite_url):
    for table in metadata.sorted_tables:
        assert all(str(one.comment).endswith((".", "...")) for one in (table, *table.columns)), (
            table.name
        )
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


def test_postgres_has_every_meaning_as_a_comment(postgres_url):
    with reading(postgres_url) as connection:
        made = sa.inspect(connection)
        stored = {name: made.get_table_comment(name)["text"] for name in metadata.tables}
        assert stored == {name: table.comment for name, table in metadata.tables.items()}
        for name in (*metadata.tables, *views.VIEWS):
            meanings = migrate.meanings(connection)
            assert all(
                one["comment"] == meanings[f"COLUMN {name}.{one['name']}"]
                for one in made.get_columns(name)
            ), name
