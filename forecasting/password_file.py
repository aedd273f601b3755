"""A generated password in a file that only its owner can read."""

import os
import secrets
import stat
from pathlib import Path

from forecasting.errors import ForecastingError


def stored_password(path: Path) -> str:
    """The stored `USER:PASSWORD`, generated on the first call and written with mode 0600.

    Raises:
        ForecastingError: The file cannot be written or read, has no password, or others can read it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path)
        # A link or a fifo in its place is refused, not followed or waited for.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, encoding="ascii") as file:
            found = os.fstat(file.fileno())
            password = file.read(1000).strip() if stat.S_ISREG(found.st_mode) else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ForecastingError(
            f"The password in {path} cannot be written or read: {error}. "
            "Make the folder writable, or delete the file; it is generated anew."
        ) from error
    if os.name == "posix" and found.st_mode & 0o077:
        raise ForecastingError(
            f"Expected {path}, a password, with mode 0600; found {stat.S_IMODE(found.st_mode):04o}: others can read "
            "it. Delete it; it is generated anew."
        )
    if ":" not in password:
        raise ForecastingError(
            f"Expected USER:PASSWORD in {path}; found something else. Delete it; it is generated anew."
        )
    return password


def _create(path: Path) -> None:
    """Write a new password unless the file exists; complete under its name or not at all."""
    if path.is_symlink() or path.exists():
        return
    draft = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"admin:{secrets.token_urlsafe(24)}\n")
        if not path.exists():
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
