"""The symbols of a command, the same work for each, and their errors in words.

No failure stops or hides another.
"""

import errno
import os
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Generic, TypeVar

from forecasting.errors import (
    ForecastingError,
    StoreError,
    SymbolsFailedError,
    UnexpectedError,
    UsageError,
)
from forecasting.ingest.announced_days import Day, days_in_force
from forecasting.plain_text import named, of_each, plain_text, quantity
from forecasting.sessions import with_days
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.store.connect import Connection
from forecasting.values import check_symbol, listed
from forecasting.vocabulary import Clock, Target

Value = TypeVar("Value")

QUOTED_SYMBOLS = 5  # Failures that one paragraph quotes; of further ones it has the number
QUOTED = 1200  # Characters of them together; the whole text is in the column error of table runs
NAMED = 3  # Most symbols that a name or a message lists
HELD_NAMED = 6  # Symbols and targets of the ledger that a message names
FOLDER = "errors"  # Folder of the tracebacks, below the data folder
MAX_CHARACTERS = 1_000_000  # Of a traceback file; a recursion's is longer
KEPT = 200  # Newest traceback files that stay: an error that comes back every night fills no disk

ADVICE = {
    errno.ENOSPC: "Free space on that disk, then run again: what is stored is complete, and no row "
    "is written twice.",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "Give this user the right to write there."
    ),
    errno.ENOENT: "Create it or correct the path, then run again. It may have been deleted during "
    "the run.",
    errno.EMFILE: "Raise the limit on open files (ulimit -n), then run again.",
}


def explained(
    error: Exception, *, now: Clock, settings: Settings | None = None
) -> ForecastingError:
    """The error in one paragraph: itself if ours, else what it is and its traceback's file."""
    if isinstance(error, ForecastingError):
        return error
    if isinstance(error, OSError) and error.errno in ADVICE:
        what = (
            f"access to {str(error.filename)[-300:]}" if error.filename else "an access to a file"
        )
        return UnexpectedError(
            f"The operating system refused {what}: {error.strerror}. {ADVICE[error.errno]}"
        )
    kind = type(error).__name__
    cause = " ".join(str(error).split())[:300] or "no message"
    package = type(error).__module__.partition(".")[0]
    if kind == "UnfinishedRun":
        found = "Prefect did not take the end of this run, as after its UI's Cancel"
        do = (
            "Cancel ends only runs of a worker or of `serve`: the nights went on to their end; "
            "see `forecasting show`."
        )
    elif package in ("httpx", "httpcore", "prefect") or "Failed to reach API" in cause:
        found = "Prefect's server did not respond as expected during this command"
        do = "Check that it runs, and PREFECT_API_URL; then run again: what is stored is complete."
    else:
        found = "An error that forecasting does not expect, a fault of its code or of this machine"
        do = "Run again; if it comes back, report it with that file."
    kept: str | None = getattr(error, "_forecasting_traceback", None)
    if kept is None:
        kept = _keep("".join(traceback.format_exception(error))[-MAX_CHARACTERS:], now, settings)
        error._forecasting_traceback = kept  # type: ignore[attr-defined]  # one error passes task, flow and command
    return UnexpectedError(f"{found} ({kind}: {cause}). {kept} {do}")


def _keep(text: str, now: Clock, settings: Settings | None) -> str:
    """A sentence about the file, this user's alone, that a traceback was written to."""
    name = f"{now():%Y-%m-%dT%H%M%S}-{os.getpid()}-"
    # Not read_settings: a variable of the environment may be what is wrong.
    data_dir = (
        settings.data_dir
        if settings
        else Path(os.environ.get("FORECASTING_DATA_DIR") or "forecasting-data")
    )
    own = data_dir.absolute() / FOLDER
    for folder in (own, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Mode 0600: it may quote a URL
            handle, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)
            with os.fdopen(
                handle,
                "w",
                encoding="utf-8",
                errors="backslashreplace",
            ) as file:
                file.write(text)
        except OSError:
            continue
        for old in sorted(own.glob("????-??-??T??????-*.txt"))[:-KEPT]:
            old.unlink(missing_ok=True)
        return f"Its traceback is in {path}."
    return "Its traceback could not be written to the data folder or the temporary folder."


@dataclass(frozen=True)
class Outcomes(Generic[Value]):
    """What came of each symbol, in the order of the settings.

    Its value, or the error that stopped it.
    """

    values: dict[str, Value] = field(default_factory=dict)
    errors: dict[str, ForecastingError] = field(default_factory=dict)

    def raise_failed(self) -> None:
        """Raise the failures, if any, as one error: `combined`."""
        if self.errors:
            raise combined(self.errors, of=len(self.values) + len(self.errors))


def own_settings(settings: Settings, symbol: str) -> Settings:
    """The settings of one symbol, its exchange with the days announced by now, in ledger and file.

    A night uses those that were known at its fetch instead: `settings_known_at`.
    """
    own = settings.for_symbol(symbol)
    stored: dict[Day, str] = {}
    # Without a ledger none is stored
    with suppress(StoreError), connect.reading(own.url) as connection:
        stored = read.announced_days(connection, symbol)
    return with_announced(own, stored)


def with_announced(own: Settings, stored: Mapping[Day, str]) -> Settings:
    """One symbol's settings, its exchange with the days that are `stored` and those of the file."""
    days = set(stored)
    # A run refuses a file that cannot be read, a reader needs none
    with suppress(ForecastingError):
        days = days_in_force(stored, own.events, own.symbols[0])
    return own.model_copy(update={"exchange": with_days(own.exchange, days)})


def settings_known_at(connection: Connection, own: Settings, at: datetime) -> Settings:
    """One symbol's settings, its exchange with the days that the ledger had at an instant."""
    days = read.announced_days(connection, own.symbols[0], known_at=at)
    return own.model_copy(update={"exchange": with_days(own.exchange, days)})


def each_symbol(
    settings: Settings, work: Callable[[Settings], Value], *, now: Clock
) -> Outcomes[Value]:
    """What came of `work` for each symbol, on `own_settings`."""
    outcomes = Outcomes[Value]()
    for symbol in settings.symbols:
        try:
            outcomes.values[symbol] = work(own_settings(settings, symbol))
        except Exception as error:  # whatever it is, it is this symbol's
            outcomes.errors[symbol] = explained(error, now=now, settings=settings)
    return outcomes


def combined(failed: Mapping[str, ForecastingError], *, of: int) -> ForecastingError:
    """One error for the failures of `of` symbols.

    Of one symbol its own, else one paragraph that quotes each cause.
    """
    if of == 1:
        return next(iter(failed.values()))
    causes = quoted(
        {symbol: plain_text(error) for symbol, error in failed.items()}, most=QUOTED_SYMBOLS
    )
    codes = {error.exit_code for error in failed.values()}
    text = f"{len(failed)} of {of} symbols failed. {' '.join(causes)}"
    return SymbolsFailedError(text, codes.pop() if len(codes) == 1 else 1)


def quoted(found: Mapping[str, str], *, most: int) -> list[str]:
    """Each cause once, after its symbols, shortened where there are several.

    Of more than `most`, how many more.
    """
    causes = dict[str, list[str]]()
    lines = list[str]()
    for symbol, text in found.items():
        causes.setdefault(of_each(text, symbol), []).append(symbol)
    limit = QUOTED // min(len(causes), QUOTED_SYMBOLS)
    for cause, symbols in list(causes.items())[:most]:
        words = found[symbols[0]] if len(symbols) == 1 else cause
        # The words begin with the symbol already
        is_named = len(symbols) == 1 and cause.startswith("each")
        lines.append(
            plain_text(
                words if is_named else f"{named(symbols, QUOTED_SYMBOLS)}: {words}", limit=limit
            )
        )
    more = quantity(len(causes) - most, "other failure")
    return lines + [f"And {more}."] * (len(causes) > most)


def asked_symbols(named: Sequence[str], file: Path | None) -> list[str]:
    """The symbols, each once: those named, by commas or not, then the file's, one a line."""
    symbols = [check_symbol(symbol) for text in named for symbol in listed(text)]
    try:
        lines = file.read_text("utf-8-sig").splitlines() if file is not None else []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Expected a text file with one symbol a line in --symbols-file {str(file)[-200:]}; "
            "found: "
            f"{error.strerror if isinstance(error, OSError) else 'no UTF-8 text'}. Name another "
            "file."
        ) from None
    for place, line in enumerate(lines, 1):
        try:
            symbols += [
                check_symbol(symbol) for symbol in [line.partition("#")[0].strip()] if symbol
            ]
        except UsageError as error:
            raise UsageError(f"--symbols-file {file}, line {place}: {error}") from None
    if file is not None and not symbols:
        raise UsageError(f"Expected one symbol a line in --symbols-file {file}; found none.")
    return list(dict.fromkeys(symbols))


def only_symbol(settings: Settings, command: str) -> str:
    """The symbol of the settings, for a command that takes one alone.

    Raises a UsageError for several.
    """
    symbols = settings.symbols
    if len(symbols) > 1:
        raise UsageError(
            f"Expected one symbol for `{command}`, found {len(symbols)}: {named(symbols, NAMED)}. "
            "Name one with "
            "--symbol."
        )
    return symbols[0]


def joined(symbols: Sequence[str]) -> str:
    """The symbols in the name of a run or task: `SBUX`, `SBUX+MSFT`.

    Of more than three `SBUX+249-others`.
    """
    return "+".join(symbols) if len(symbols) <= NAMED else f"{symbols[0]}+{len(symbols) - 1}-others"


def check_forecast(connection: Connection, symbol: str, target: Target) -> None:
    """Raise a StoreError, with its reason, for a symbol without a published forecast."""
    try:
        read.published(connection, symbol, target)
    except StoreError as error:
        run = read.unfinished_run(
            connection,
            symbol,
            target,
            after=date.min,
        )
        if run is None or not (reason := run["error"] or run["note"]):
            lines = [
                f"{night['symbol']} {night['target']}" for night in read.newest_nights(connection)
            ]
            held = (
                f". The database holds forecasts of {named(lines, HELD_NAMED)}: choose by --symbol."
                if lines
                else ""
            )
            raise StoreError(f"{error}{held}") from None
        raise StoreError(
            f"{symbol} has no {target} forecast; its night of {run['as_of']} has status "
            f"{run['status']}: {reason}"
        ) from None
