"""The symbols that a command is asked for, named one by one or listed in a file, and the name for them together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forecasting.errors import UsageError
from forecasting.option_values import check_symbol, listed
from forecasting.plain_text import named
from forecasting.settings import Settings

MAX_BYTES = 1_000_000
"""Of a file of symbols; one of 10,000 symbols has about 60,000."""

NAMED = 3
"""Most symbols that a name or a message lists."""


def asked_symbols(named: Sequence[str], file: Path | None) -> list[str]:
    """The symbols, each once: those named, which may be comma separated, then those of the file.

    Raises:
        UsageError: A symbol is not valid, or the file cannot be read or has none.
    """
    symbols = [check_symbol(symbol) for text in named for symbol in listed(text)]
    return list(dict.fromkeys([*symbols, *(symbols_of_file(file) if file is not None else [])]))


def symbols_of_file(path: Path) -> list[str]:
    """The symbols of a text file: one a line; a # begins a comment, empty lines are skipped.

    Raises:
        UsageError: Names the file, and the line of a symbol that is not valid.
    """
    found = []
    for place, line in enumerate(_text(path).splitlines(), 1):
        symbol = line.partition("#")[0].strip()
        if not symbol:
            continue
        try:
            found.append(check_symbol(symbol))
        except UsageError as error:
            raise UsageError(f"--symbols-file {path}, line {place}: {error}") from None
    if not found:
        raise UsageError(f"Expected one symbol a line in --symbols-file {path}; found none.")
    return found


def only_symbol(settings: Settings, command: str) -> str:
    """The symbol of the settings, for a command that takes one alone.

    Raises:
        UsageError: The settings have several; names the first NAMED.
    """
    symbols = settings.symbols
    if len(symbols) > 1:
        raise UsageError(
            f"Expected one symbol for `{command}`, found {len(symbols)}: {named(symbols, NAMED)}. Name one with "
            "--symbol."
        )
    return symbols[0]


def joined(symbols: Sequence[str]) -> str:
    """The symbols in the name of a run or task: `SBUX`, `SBUX+MSFT`; of more than three `SBUX+249-others`."""
    return "+".join(symbols) if len(symbols) <= NAMED else f"{symbols[0]}+{len(symbols) - 1}-others"


def _text(path: Path) -> str:
    expected = f"Expected a text file with one symbol a line in --symbols-file {str(path)[-200:]}"
    try:
        if not path.is_file():
            raise UsageError(f"{expected}; found no regular file. Correct the path.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageError(f"{expected}; found more than {MAX_BYTES:,} bytes. Name another file.")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{expected}; it cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{expected}; found no UTF-8 text. Save it as UTF-8.") from None
