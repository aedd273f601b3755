"""Which server an alarm's address names, and whether it can be reached; no message repeats the address."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from apprise import Apprise, NotifyBase

from forecasting.errors import UsageError

CONNECT_S = 5.0
"""Seconds until a server that does not accept a connection counts as unreachable."""


def web_server(url: str) -> tuple[str, int]:
    """Host and port of an http(s) URL.

    Raises:
        UsageError: Not one: another scheme, no host, an invalid port, or a space or control character in it. Or Apprise
            does not accept it, and would send nothing without an error.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    wrong = host is None or parts.scheme not in ("http", "https") or not url.isprintable() or " " in url
    if wrong or _plugin(text_webhook(url)) is None:
        raise UsageError(
            "Invalid --webhook: expected a URL like https://HOST/PATH or http://HOST:PORT/PATH; found something else. "
            "Copy it again from the service that made it."
        )
    return str(host), port or (443 if parts.scheme == "https" else 80)


def text_webhook(url: str) -> str:
    """An http(s) URL in Apprise's notation, such that each message is posted to it as JSON with one field `text`."""
    parts = urlsplit(url)
    query = {f"-{name}": value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    fields = {":message": "text", ":title": "", ":version": "", ":type": "", ":attachments": ""}
    scheme = parts.scheme.replace("http", "json")
    return urlunsplit((scheme, parts.netloc, parts.path, urlencode(query | fields), ""))


def mail_server(url: str) -> tuple[str, int]:
    """Host and port of the mail server that Apprise connects to for a mail URL.

    Raises:
        UsageError: Apprise does not accept it, and would send no mail without an error.
    """
    plugin = _plugin(url) if url.startswith(("mailto://", "mailtos://")) else None
    if plugin is None:
        raise UsageError(
            "Invalid --email: expected mailtos://USER:PASSWORD@HOST:PORT?from=A@B&to=C@D, or mailto:// without TLS; "
            "found something else. Percent-encode @ : / ? # in the password (@ is %40)."
        )
    host = getattr(plugin, "smtp_host", None) or plugin.host
    return str(host), int(plugin.port or (587 if plugin.secure else 25))


def _plugin(address: str) -> NotifyBase | None:
    """Apprise's plug-in that sends to an address in its notation; None where it does not accept it."""
    apprise = Apprise()
    with silent_apprise():
        return next(iter(apprise)) if apprise.add(address) else None


@contextmanager
def silent_apprise() -> Iterator[None]:
    """A context in which Apprise logs nothing: its lines on an address contain it, a password or webhook's path too."""
    logger = logging.getLogger("apprise")
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


def unreachable(kind: str, host: str, port: int) -> str | None:
    """A warning when no connection to the server succeeds from here; None when one does."""
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S):
            return None
    except (OSError, UnicodeError) as error:
        why = str(getattr(error, "strerror", None) or error)
        return (
            f"Warning: the {kind} address cannot be used from this machine: {host}, port {port}: {why}. The alarm is "
            "kept; unless Prefect's server can reach it, correct the address and run this again."
        )
