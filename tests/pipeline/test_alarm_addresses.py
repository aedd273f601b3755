from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from forecasting.errors import UsageError
from forecasting.pipeline.alarm_addresses import mail_server, unreachable, web_server

# Apprise's import of a plugin for Twitter, under Python 3.11 and 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://hooks.example.org/T0/B0/secret", ("hooks.example.org", 443)),
        ("http://127.0.0.1:8080/x?y=z", ("127.0.0.1", 8080)),
        ("http://me:secret@[::1]/x", ("::1", 80)),
    ],
)
def test_a_webhook_names_its_server(url: str, server: tuple[str, int]) -> None:
    assert web_server(url) == server


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.example.org", "ftp://h/secret", "https://", "https:///secret", "http://h:99999/secret"),
        *("http://[bad/secret", "https://h/sec ret", "https://h/secret\n", "https://h/\x1b[31m"),
        *("https://_h/secret", "https://bücher.example/secret"),  # Apprise would drop them silently
    ],
)
def test_what_is_no_webhook_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError, match="Invalid --webhook") as refused:
        web_server(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("mailtos://u:p@smtp.example.org:465?from=a@example.org&to=b@example.org", ("smtp.example.org", 465)),
        ("mailto://127.0.0.1:2525?from=a@example.org&to=b@example.org", ("127.0.0.1", 2525)),
        ("mailtos://u:p@gmail.com", ("smtp.gmail.com", 587)),
    ],
)
def test_a_mail_address_names_the_server_that_apprise_connects_to(url: str, server: tuple[str, int]) -> None:
    assert mail_server(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "b@example.org",
        "smtp://u:secret@h",
        "mailtos://x",
        "mailtos://u:secret@h:99999?to=a@b.c",
        "mailtos://:secret@x",
        "json://h",
    ],
)
def test_what_apprise_would_drop_silently_is_refused_without_repeating_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match="Invalid --email") as refused:
        mail_server(url)
    assert "secret" not in str(refused.value) + caplog.text


def test_a_server_that_accepts_a_connection_is_not_warned_about(listening: int) -> None:
    assert unreachable("webhook", "127.0.0.1", listening) is None


@pytest.mark.parametrize(("host", "why"), [("127.0.0.1", "refused"), ("nowhere.invalid", "port 9"), ("a..b", "port 9")])
def test_an_address_that_cannot_be_used_is_named_with_the_reason(host: str, why: str) -> None:
    warning = unreachable("email", host, 9)
    assert warning is not None
    assert warning.startswith(f"Warning: the email address cannot be used from this machine: {host}, port 9: ")
    assert why in warning
