"""The bytes of a regular file of limited size, and words on its content that quote none of it."""

import os
import re
import stat
from pathlib import Path

from forecasting.errors import BadDataError, UsageError

MAX_BYTES = 512 * 2**20
"""Largest file that is read, 512 MiB. 95 symbols from 2000 on are 12 MB of Parquet; 500 as CSV are about 250 MB."""

_KERNEL = tuple(Path(folder) for folder in ("/proc", "/sys", "/dev"))  # their "files" are the kernel's, not data
_FORM_LENGTH = 20


def check_regular(path: Path, option: str) -> Path:
    """The resolved path of a regular file that may be read, symbolic links followed.

    Args:
        path: As the user wrote it.
        option: The option that names it, for the message.

    Raises:
        UsageError: Nothing there, a folder, a device, a pipe, a file of the kernel, or one above MAX_BYTES.
    """
    try:
        real = path.resolve()
        state = real.stat()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a circle of links, a NUL in it
        found = (
            "nothing"
            if isinstance(error, FileNotFoundError | NotADirectoryError)
            else f"no readable path ({_reason(error)})"
        )
        raise UsageError(f"Expected a file in {option}; found {found} at {_short(path)}.") from None
    if stat.S_ISDIR(state.st_mode):
        found = "a folder"
    elif not stat.S_ISREG(state.st_mode) or any(real.is_relative_to(folder) for folder in _KERNEL):
        found = "a device, a pipe or a file of the kernel"
    elif state.st_size > MAX_BYTES:
        found = f"{state.st_size / 2**20:,.0f} MiB"
    else:
        return real
    raise UsageError(
        f"Expected a regular file of at most {MAX_BYTES // 2**20} MiB in {option}; found {found} at {_short(path)}."
    )


def read_regular(path: Path, option: str) -> bytes:
    """The whole content of a regular file.

    Raises:
        UsageError: As `check_regular`.
        BadDataError: It cannot be opened, or grows past MAX_BYTES.
    """
    real = check_regular(path, option)
    try:
        # Without O_NONBLOCK the open itself would wait for ever on a pipe that has taken the file's place since.
        with os.fdopen(os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadDataError(f"{_short(path)} cannot be read: {_reason(error)}. Check its owner and mode.") from None
    if len(content) > MAX_BYTES:
        raise BadDataError(f"Expected at most {MAX_BYTES // 2**20} MiB in {_short(path)}; found more. Split it.")
    return content


def text_of(content: bytes) -> tuple[str, int | None]:
    """The content as text, unreadable bytes as U+FFFD, and the line of the first of them; None where all are UTF-8."""
    plain = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return plain.decode("utf-8"), None
    except UnicodeDecodeError as error:
        return plain.decode("utf-8", errors="replace"), plain.count(b"\n", 0, error.start) + 1


def form_of(text: object) -> str:
    """The form of a cell, at most 20 characters, for messages: `9a` for 9O, `99/99/9999` for 03/08/2024.

    Messages reach logs, events and e-mails, so a file's content is never quoted in one.
    """
    form = re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", str(text)))
    form = re.sub(r"[^a9 .,:;/+\-]", "?", form)
    return repr(form if len(form) <= _FORM_LENGTH else f"{form[:_FORM_LENGTH]}...")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:200]}..."
