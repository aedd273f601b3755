"""The same work for each symbol of the settings: one symbol's failure never stops or hides another's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from forecasting.errors import ForecastingError, SymbolsFailedError
from forecasting.pipeline.unexpected import explained
from forecasting.plain_text import plain_text
from forecasting.settings import Settings
from forecasting.vocabulary import Clock

Value = TypeVar("Value")

NAMED = 5
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
        for message, names in list(symbols.items())[:NAMED]
    ]
    more = f" And {len(symbols) - NAMED} other failures." if len(symbols) > NAMED else ""
    count = sum(len(names) for names in symbols.values())
    codes = {error.exit_code for _, error in failed}
    return SymbolsFailedError(
        f"{count} of {of} symbols failed. {' '.join(quoted)}{more}", codes.pop() if len(codes) == 1 else 1
    )


def _unnamed(message: str, symbol: str) -> str:
    """The message with `each` where it names the symbol, so that one cause, as a network that is down, reads once."""
    return re.sub(rf"(?<![\w.^=-]){re.escape(symbol)}(?![\w=-])", "each", message)


def _names(symbols: Sequence[str]) -> str:
    others = len(symbols) - NAMED
    return ", ".join(symbols[:NAMED]) + (f" and {others} other{'s' * (others > 1)}" if others > 0 else "")


def _outcome(symbol: str, settings: Settings, work: Callable[[Settings], Value], now: Clock) -> SymbolOutcome[Value]:
    try:
        return SymbolOutcome(symbol, work(settings.for_symbol(symbol)))
    except Exception as error:  # whatever it is, it is this symbol's; the traceback of one that is not ours is kept
        return SymbolOutcome(symbol, error=explained(error, now=now, settings=settings))
