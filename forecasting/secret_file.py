"""A secret from a file: a mounted one, or one of mode 0600. No message repeats it."""

from collections.abc import Mapping
from pathlib import Path

from forecasting.errors import UsageError

MAX_CHARACTERS = 4096
"""Of the line in a file."""


def with_secrets(values: dict[str, object], secrets: Mapping[str, str]) -> dict[str, object]:
    """The settings with each secret whose file is given, by the same name and `_file`.

    Args:
        values: Settings by name.
        secrets: What each secret is, by its name, for messages: `a database URL`.

    Raises:
        UsageError: A file cannot be used, or the secret itself is given too.
    """
    read = dict(values)
    for name, what in secrets.items():
        file, variable = values.get(f"{name}_file"), f"FORECASTING_{name.upper()}"
        if not file:
            continue
        if values.get(name):
            raise UsageError(f"Expected one of {variable} and {variable}_FILE; found both. Unset one.")
        read[name] = secret_in(Path(str(file)), what=what, variable=f"{variable}_FILE")
    return read


def secret_in(path: Path, *, what: str, variable: str) -> str:
    """The one line of a file.

    Args:
        path: The file.
        what: What the line is, for messages: `a database URL`.
        variable: The variable that names the file, for messages.

    Raises:
        UsageError: There is no such file, it cannot be read, or it has another content.
    """
    expected = f"Expected one line, {what}, in {path} ({variable})"
    try:
        if not path.is_file():
            raise UsageError(f"{expected}; found no regular file. Create it, or correct the path.")
        with path.open(encoding="utf-8-sig") as file:  # an editor may have put a mark before the line
            lines = file.read(MAX_CHARACTERS + 1).split()
    except OSError as error:
        raise UsageError(f"{expected}; it cannot be read: {error.strerror}. Let this user read it.") from None
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1 or len(lines[0]) > MAX_CHARACTERS:
        raise UsageError(f"{expected}; found something else. Correct it.")  # never quoted: it may hold a password
    return lines[0]
