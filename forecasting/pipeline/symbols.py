"""The symbols that a command is asked for, and the same work for each: one failure never stops or hides another."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Generic, TypeVar, cast

from forecasting.errors import ForecastingError, StoreError, SymbolsFailedError, UsageError
from forecasting.pipeline.unexpected import explained
from forecasting.plain_text import named, plain_text
from forecasting.settings import Settings
from forecasting.store import read
from forecasting.store.connect import Connection
from forecasting.values import check_symbol, listed
from forecasting.vocabulary import Clock, Target

Value = TypeVar("Value")

QUOTED_SYMBOLS = 5
"""Failures that one paragraph quotes; of further ones it has the number."""

QUOTED = 240
"""Characters of each; the whole text is in the column error of table runs."""


@dataclass(frozen=True)
class SymbolOutcome(Generic[Value]):
    """What the work came to for one symbol: its value, or the error that stopped it."""

    symbol: str
    value: Value | None = None
    error: ForecastingError | None = None

    def get(self) -> Value:
        """The value.

        Raises:
            ForecastingError: The error that stopped the symbol.
        """
        if self.error is not None:
            raise self.error
        return cast(Value, self.value)


def each_symbol(settings: Settings, work: Callable[[Settings], Value], *, now: Clock) -> list[SymbolOutcome[Value]]:
    """The outcome of `work` for each symbol, on the settings of that symbol, in the order of the settings."""
    return [_outcome(symbol, settings, work, now) for symbol in settings.symbols]


def values_of(outcomes: Sequence[SymbolOutcome[Value]]) -> list[Value]:
    """The values of the symbols that did not fail."""
    return [outcome.get() for outcome in outcomes if outcome.error is None]


def failures_of(outcomes: Sequence[SymbolOutcome[Value]]) -> list[tuple[str, ForecastingError]]:
    """The symbols that failed, each with its error."""
    return [(outcome.symbol, outcome.error) for outcome in outcomes if outcome.error is not None]


def raise_failed(outcomes: Sequence[SymbolOutcome[Value]]) -> None:
    """Return where no symbol failed.

    Raises:
        ForecastingError: As `combined`, of all failures.
    """
    if failed := failures_of(outcomes):
        raise combined(failed, of=len(outcomes))


def combined(failed: Sequence[tuple[str, ForecastingError]], *, of: int) -> ForecastingError:
    """One error for the failures of symbols: of one symbol asked for its own, else one paragraph that quotes each.

    Its exit code is that of the failures where they agree, else 1.

    Args:
        failed: Each symbol with its error; at least one.
        of: Symbols asked for.
    """
    if of == 1:
        return failed[0][1]
    symbols: dict[str, list[str]] = {}
    messages: dict[str, str] = {}
    for symbol, error in failed:
        messages[symbol] = plain_text(error, limit=QUOTED)
        symbols.setdefault(_unnamed(messages[symbol], symbol), []).append(symbol)
    quoted = [
        f"{_names(names)}: {messages[names[0]] if len(names) == 1 else message}"
        for message, names in list(symbols.items())[:QUOTED_SYMBOLS]
    ]
    more = f" And {len(symbols) - QUOTED_SYMBOLS} other failures." if len(symbols) > QUOTED_SYMBOLS else ""
    count = sum(len(names) for names in symbols.values())
    codes = {error.exit_code for _, error in failed}
    return SymbolsFailedError(
        f"{count} of {of} symbols failed. {' '.join(quoted)}{more}", codes.pop() if len(codes) == 1 else 1
    )


def _unnamed(message: str, symbol: str) -> str:
    """The message with `each` where it names the symbol, so that one cause, as a network that is down, reads once."""
    return re.sub(rf"(?<![\w.^=-]){re.escape(symbol)}(?![\w=-])", "each", message)


def _names(symbols: Sequence[str]) -> str:
    others = len(symbols) - QUOTED_SYMBOLS
    return ", ".join(symbols[:QUOTED_SYMBOLS]) + (f" and {others} other{'s' * (others > 1)}" if others > 0 else "")


def _outcome(symbol: str, settings: Settings, work: Callable[[Settings], Value], now: Clock) -> SymbolOutcome[Value]:
    try:
        return SymbolOutcome(symbol, work(settings.for_symbol(symbol)))
    except Exception as error:  # whatever it is, it is this symbol's; the traceback of one that is not ours is kept
        return SymbolOutcome(symbol, error=explained(error, now=now, settings=settings))


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


HELD_NAMED = 6
"""Symbols and targets of the ledger that a message names."""


def check_forecast(connection: Connection, symbol: str, target: Target) -> None:
    """Refuse a symbol and target without a published forecast.

    Raises:
        StoreError: With the reason that its newest night left, else with the symbols that the ledger holds.
    """
    try:
        read.published(connection, symbol, target)
    except StoreError as error:
        run = read.unfinished_run(connection, symbol, target, after=date.min)
        if run is None or not (reason := run["error"] or run["note"]):
            raise StoreError(f"{error}{_held(connection)}") from None
        raise StoreError(
            f"{symbol} has no {target} forecast; its night of {run['as_of']} has status {run['status']}: {reason}"
        ) from None


def _held(connection: Connection) -> str:
    """A sentence that names the symbols and targets of the ledger, for a misspelt symbol; empty for a new ledger."""
    lines = [f"{night['symbol']} {night['target']}" for night in read.newest_nights(connection)]
    return f". The database holds forecasts of {named(lines, HELD_NAMED)}." if lines else ""
