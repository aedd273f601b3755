"""Readers of a ledger on Postgres beside a night: neither waits for the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from forecasting.sessions import shift
from forecasting.store import connect
from forecasting.store.schema import metadata
from tests import cookbook
from tests.builders import LAST
from tests.faults.boundaries import counted
from tests.nights import night, rows

pytestmark = [
    pytest.mark.parametrize("night_url", ["postgres"], indirect=True),
    pytest.mark.usefixtures("plain_flows"),
]

BOUNDARIES = 1000
"""More than a night has."""


@contextmanager
def reader(url: str) -> Iterator[psycopg.Connection]:
    """A connection of another program, which does not wait for a lock."""
    plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True, options="-c lock_timeout=1ms") as connection:
        yield connection


def questions() -> list[str]:
    """The queries of the cookbook, of the night's symbol."""
    text = cookbook.DOCUMENT.read_text(encoding="utf-8")
    return [recipe.query.replace("^GSPC", "TEST") for recipe in cookbook.recipes(text)]


def test_a_reader_waits_for_no_lock_at_any_moment_of_a_night(night_folder: Path, night_url: str) -> None:
    """At every boundary the reader opens every table and asks a question of the cookbook."""
    night(shift(LAST, -1))
    asked, refused = cycle(questions()), list[str]()
    every = f"LOCK TABLE {', '.join(metadata.tables)} IN ACCESS SHARE MODE"
    with reader(night_url) as connection, counted(night_folder) as boundaries, boundaries.process():

        def ask() -> None:
            try:
                with connection.transaction():
                    connection.execute(every.encode())
                    connection.execute(next(asked).encode()).fetchall()
            except psycopg.Error as error:  # raised here it would be the night's
                refused.append(f"boundary {boundaries.passed}: {error}")

        for boundary in range(1, BOUNDARIES):
            boundaries.plan(boundary, ask)
        night(LAST)
        assert 2 * len(questions()) < boundaries.passed < BOUNDARIES
    assert refused == []


def test_a_night_waits_for_no_reader_who_keeps_one_state_of_the_ledger_open(
    night_folder: Path, night_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(shift(LAST, -1))
    monkeypatch.setattr(connect, "BUSY_TIMEOUT_S", 1)  # seconds that a night would wait for a lock before it fails
    connect.engine.cache_clear()  # it keeps its engines by URL
    with reader(night_url) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        before = [connection.execute(query.encode()).fetchall() for query in questions()]
        connection.execute(f"LOCK TABLE {', '.join(metadata.tables)} IN ACCESS SHARE MODE".encode())
        night(LAST)
        assert [connection.execute(query.encode()).fetchall() for query in questions()] == before
    connect.engine.cache_clear()
    assert [row["status"] for row in rows("runs")] == ["done", "done"]
