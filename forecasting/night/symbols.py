"""The symbols of a command, and the same work for each: no failure stops or hides another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Generic, TypeVar

from forecasting.errors import (
    ForecastingError,
    StoreError,
    SymbolsFailedError,
    UsageError,
    explained,
)
from forecasting.plain_text import named, plain_text
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.values import check_symbol, listed
from forecasting.vocabulary import PUBLISHED, Target

Value = TypeVar("Value")

NAMED = 3  # most symbols that a name or a message lists
HELD_NAMED = 6  # symbols and targets of the ledger that a message names
QUOTED = 1200  # characters of the failures in one error; the column error of table runs has all


@dataclass(frozen=True)
class Outcomes(Generic[Value]):
    """What came of each series, in the order of the settings, by name: its value, or its error."""

    values: dict[str, Value] = field(default_factory=dict)
    errors: dict[str, ForecastingError] = field(default_factory=dict)

    def raise_failed(self) -> None:
        """Raise the failures, if any, as one error: `combined`."""
        if self.errors:
            raise combined(self.errors, of=len(self.values) + len(self.errors))


def combined(failed: Mapping[str, ForecastingError], *, of: int) -> ForecastingError:
    """The failures of `of` symbols as one error, the first of each class; of one symbol its own."""
    if of == 1:
        return next(iter(failed.values()))
    classes: dict[type[ForecastingError], list[str]] = {}
    for symbol, error in failed.items():
        classes.setdefault(type(error), []).append(symbol)
    causes = []
    for symbols in classes.values():
        first = "" if len(symbols) == 1 else ", the first"
        cause = plain_text(failed[symbols[0]], limit=QUOTED // len(classes))
        causes.append(f"{named(symbols, NAMED)}{first}: {cause}")
    codes = {error.exit_code for error in failed.values()}
    code = codes.pop() if len(codes) == 1 else 1
    if code == UsageError.exit_code and len(failed) < of:  # the others have been done
        code = 1
    return SymbolsFailedError(f"{len(failed)} of {of} failed. {' '.join(causes)}", code)


def each_symbol(settings: Settings, work: Callable[[Settings], Value]) -> Outcomes[Value]:
    """What came of `work` for each symbol and target, by `series_name`."""
    outcomes = Outcomes[Value]()
    for name, one in settings.series.items():
        try:
            outcomes.values[name] = work(one)
        except Exception as error:  # whatever it is, it is this one's
            outcomes.errors[name] = explained(error)
    return outcomes


def each_stored(settings: Settings, work: Callable[[Settings], Value]) -> Outcomes[Value]:
    """What came of `work` that reads the ledger, by name; a StoreError where there is none."""
    migrate.check_ready(settings.url, writes=False)
    with connect.kept_open(settings.url):
        return each_symbol(settings, work)


def asked_symbols(named: Sequence[str], file: Path | None) -> list[str]:
    """The symbols, each once: those named, by commas or not, then the file's, one a line."""
    symbols = [check_symbol(symbol) for text in named for symbol in listed(text)]
    if file is not None:
        symbols += _symbols_of(file)
    return list(dict.fromkeys(symbols))


def _symbols_of(file: Path) -> list[str]:
    option = f"--symbols-file {str(file)[-200:]}"
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise UsageError(
            f"Expected a text file with one symbol a line in {option}; found: {found}. Name "
            "another file."
        ) from None
    symbols = []
    for place, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            symbols += [check_symbol(text)] if text else []
        except UsageError as error:
            raise UsageError(f"{option}, line {place}: {error}") from None
    if not symbols:
        raise UsageError(f"Expected one symbol a line in {option}; found none.")
    return symbols


def only_symbol(settings: Settings, command: str) -> str:
    """The symbol of a command that takes one series; a UsageError for several."""
    series = list(settings.series)
    if len(series) > 1:
        raise UsageError(
            f"Expected one symbol and target for `{command}`, found {len(series)}: "
            f"{named(series, NAMED)}. Name one with --symbol and --target."
        )
    return settings.symbol


def joined(symbols: Sequence[str]) -> str:
    """Symbols or targets in the name of a run: `SBUX+MSFT`; of more than three `A+249-others`."""
    if len(symbols) <= NAMED:
        return "+".join(symbols)
    return f"{symbols[0]}+{len(symbols) - 1}-others"


def check_forecast(
    connection: Connection, symbol: str, target: Target, *, origin: date | None = None
) -> None:
    """Raise a StoreError, with its reason, for a symbol without a published forecast.

    Args:
        connection: An open one.
        symbol: Whose.
        target: Of what.
        origin: The session of the night that is asked for; None for any.
    """
    if read.published(connection, symbol, target, origin=origin):
        return
    published = {"symbol": symbol, "target": target, "role": PUBLISHED}
    origins = read.values(connection, "forecasts", "origin_session", published)
    there = f"origins from {origins[0]} to {origins[-1]}" if origins else "none"
    at = f" at {origin}" if origin else ""
    command = f"catch-up --from {origin} --to {origin}" if origin else "run"
    missing = (
        f"Expected a forecast of {symbol} {target}{at} in the database; found {there}. Make "
        f"one, with the options --source and --market of earlier nights: forecasting {command} "
        f"--symbol {symbol} --target {target}"
    )
    if origins:
        raise StoreError(missing)
    run = read.unfinished_run(connection, symbol, target, after=date.min)
    if run is not None and (reason := run.outcome.values["reason"]):
        raise StoreError(
            f"{symbol} {target} has no forecast; its night of {run.as_of} has status "
            f"{run.status}: {reason}"
        )
    raise StoreError(f"{missing}{_held(connection, symbol)}")


def _held(connection: Connection, symbol: str) -> str:
    """A sentence that names what has forecasts, the symbol's own targets first; else empty."""
    nights = read.newest_published(connection)
    if not nights:
        return ""
    nights.sort(key=lambda night: night.symbol != symbol)
    series = named([f"{night.symbol} {night.target}" for night in nights], HELD_NAMED)
    return f". The database holds forecasts of {series}: choose by --symbol and --target."
