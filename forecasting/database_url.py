"""The database's URL: with the driver that is installed, and of a SQLite file by its path."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

from forecasting.plain_text import without_password


def with_driver(url: str) -> str:
    """The URL, where it names Postgres with its driver."""
    # psycopg 3 is the installed driver; a bare postgresql:// would import psycopg2.
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)


def password_warning(url: str) -> str:
    """The line about a password in --database-url; empty where there is none. It does not repeat the password."""
    if without_password(url) == url:
        return ""
    return (
        "Warning: --database-url contains a password, which every user of this machine can read in `ps`. Put the URL "
        "into FORECASTING_DATABASE_URL, or into a file that FORECASTING_DATABASE_URL_FILE names, and change the "
        "password.\n"
    )


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, percent-encoded: `?` and %XX in the name of a folder are part of its path."""
    return f"sqlite:///{encoded(path)}"


def encoded(path: Path) -> str:
    """The path percent-encoded, but for its slashes; bytes that are no UTF-8 too."""
    return quote(str(path), errors="surrogateescape")


def sqlite_database(url: str) -> str:
    """The path that a SQLite URL names, decoded; empty where it names none. The inverse of `sqlite_url`."""
    return unquote(url.partition(":///")[2].partition("?")[0], errors="surrogateescape")
