from __future__ import annotations

import socket
import threading

import pytest
import sqlalchemy as sa

from forecasting.errors import StoreError
from forecasting.store.database import reading
from forecasting.store.failures import masked


@pytest.mark.parametrize(
    ("text", "secret", "shown"),
    [
        ("password hunter2 refused for hunter2", "hunter2", "password *** refused for ***"),
        ("a database at postgresql://a:a@host/a", "a", "a database at postgresql://a:***@host/a"),
        ("connection to host failed: password=o", "o", "connection to host failed: password=***"),
    ],
)
def test_a_password_is_masked_and_the_words_around_it_are_left(text: str, secret: str, shown: str) -> None:
    assert masked(text, secret) == shown


def test_a_database_that_accepts_no_more_connections_is_said_to_be_reached(postgres_url: str) -> None:
    owner = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with owner.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE test_crowded LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
        crowded = sa.make_url(postgres_url).set(username="test_crowded", password="x")
        try:
            named = r"accepts no more connections: .*too many connections for role \"test_crowded\"\. End sessions"
            with pytest.raises(StoreError, match=named), reading(crowded.render_as_string(hide_password=False)):
                pass
        finally:
            connection.exec_driver_sql("DROP ROLE test_crowded")


def test_a_pooler_that_refuses_what_sessions_set_is_named_with_the_way_past_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as pooler:
        answers = threading.Thread(target=refuse_as_pgbouncer, args=(pooler,))
        answers.start()
        url = f"postgresql://u@127.0.0.1:{pooler.getsockname()[1]}/d?sslmode=disable&gssencmode=disable"
        named = r"through a pooler that .* unsupported startup parameter.*ignore_startup_parameters = options"
        with pytest.raises(StoreError, match=named), reading(url):
            pass
        answers.join()


def refuse_as_pgbouncer(pooler: socket.socket) -> None:
    """Answer one connection as PgBouncer 1.24 does where options of a session are not passed over."""
    connection, _ = pooler.accept()
    with connection:
        assert b"extra_float_digits=1" in connection.recv(4096)
        text = "unsupported startup parameter in options: extra_float_digits"
        fields = f"SFATAL\0C08P01\0M{text}\0\0".encode()
        connection.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
