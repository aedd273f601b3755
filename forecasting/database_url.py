"""The database's URL: read from a file, and with the driver that is installed. No message repeats it."""

import re
from pathlib import Path

from forecasting.errors import UsageError

MAX_CHARACTERS = 4096
"""Of a URL in a file."""


def url_in(path: Path) -> str:
    """The one line of a file: a mounted secret, or a file of mode 0600.

    Raises:
        UsageError: There is no such file, it cannot be read, or it has another content.
    """
    expected = f"Expected one line, a database URL, in {path} (FORECASTING_DATABASE_URL_FILE)"
    try:
        if not path.is_file():
            raise UsageError(f"{expected}; found no regular file. Create it, or correct the path.")
        with path.open(encoding="utf-8") as file:
            lines = file.read(MAX_CHARACTERS + 1).split()
    except OSError as error:
        raise UsageError(f"{expected}; it cannot be read: {error.strerror}. Let this user read it.") from None
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1 or len(lines[0]) > MAX_CHARACTERS:
        raise UsageError(f"{expected}; found something else. Correct it.")  # never quoted: it may hold a password
    return lines[0]


def with_driver(url: str) -> str:
    """The URL, where it names Postgres with its driver."""
    # psycopg 3 is the installed driver; a bare postgresql:// would import psycopg2.
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)
