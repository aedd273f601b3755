"""What the ledger holds, as data frames of the same types on both databases, and as files."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path

import pandas as pd

from forecasting.errors import StoreError, SymbolsFailedError, UsageError, combined
from forecasting.night.steps.preprocess import input_fetch
from forecasting.plain_text import named, plain_text
from forecasting.report.documents import nixtla
from forecasting.sessions import is_session
from forecasting.settings import Outcomes, Settings, Value, each_symbol
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.store.files import check_writable, write_whole
from forecasting.store.frames import Row
from forecasting.targets import TARGETS
from forecasting.values import check_symbol
from forecasting.vocabulary import PUBLISHED

FORMS = ("latest", "totals", "history", "bars", "nixtla")
"""The frames that are exported."""

FRAMES = {
    "latest": ("latest_forecasts", "symbol horizon"),
    "totals": ("latest_totals", "symbol horizon"),
    "history": ("forecast_vs_actual", "symbol origin_session horizon role model kind model_id"),
    "skill": ("live_skill", "symbol kind horizon window_sessions"),
    "why": ("forecast_parts", "symbol kind model_id horizon place"),
    "bars": ("bars", "symbol session"),
    "nixtla": ("counted_scores", "unique_id ds cutoff"),
}
"""The view or table of each frame, and what its rows are sorted by."""

BARS_COLUMNS = ("symbol", "session", "open", "high", "low", "close", "volume", "version", "settled")
"""Columns of `bars`, those of its view but one; the others have all of theirs."""

HELD_NAMED = 6  # symbols and targets of the ledger that a message names

_TEXTS = [
    "symbol",
    "unique_id",
    "target",
    "kind",
    "role",
    "model",
    "status",
    "reason",
    "model_id",
    "run_id",
    "fetch_id",
    "best_baseline",
    "reference",
    "special_day",
    "why",
    "calendar",
    "part",
]
_DTYPES = {
    **dict.fromkeys(_TEXTS, "string"),
    **dict.fromkeys(("horizon", "window_sessions", "n", "version", "place"), "int64"),
    **dict.fromkeys(("volume", "network_n", "reference_n"), "Int64"),  # with NA where unknown
    **dict.fromkeys(("inside_80", "inside_90"), "boolean"),
    **dict.fromkeys(("settled", "is_extrapolated", "is_stale"), "bool"),
}


def each_stored(settings: Settings, work: Callable[[Settings], Value]) -> Outcomes[Value]:
    """What came of `work` that reads the ledger, by name; a StoreError where there is none."""
    migrate.check_ready(settings.url, writes=False)
    with connect.kept_open(settings.url):
        return each_symbol(settings, work)


def frame(name: str, settings: Settings, *, day: date | None = None) -> pd.DataFrame:
    """The rows of each symbol in one of FRAMES, all from one state of the database.

    Args:
        name: One of FRAMES.
        settings: Its symbols and target.
        day: Of `why` the origin, without it each symbol's newest; of `bars` the last session, and
            the bars are those that its night had.

    Raises:
        UsageError: No symbol has an origin on `day`.
    """
    with connect.reading(settings.url) as connection:
        each = [
            _of_symbol(connection, name, settings.for_symbol(symbol), day)
            for symbol in settings.symbols
        ]
    filled = [rows for rows in each if len(rows)]  # pandas warns of empty ones
    if name == "why" and day is not None and not filled:
        symbols = named(settings.symbols, 10)
        raise UsageError(
            f"Expected an origin of {settings.target} forecasts of {symbols}, found {day}."
        )
    whole = pd.concat(filled or each[:1], ignore_index=True)
    _, order = FRAMES[name]
    return typed(whole).sort_values(order.split(), ignore_index=True)


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with each column in the type of its name, by _DTYPES, else in float64.

    Days and instants keep the types that they have.
    """
    others = rows.select_dtypes(exclude=["datetime", "datetimetz"])
    return rows.astype({column: _DTYPES.get(str(column), "float64") for column in others})


def _of_symbol(
    connection: Connection, name: str, settings: Settings, day: date | None
) -> pd.DataFrame:
    table, _ = FRAMES[name]
    if name == "bars":
        known_at = None if day is None else _fetched_at(connection, settings, day)
        bars = read.bars(connection, settings.symbol, last=day, known_at=known_at)
        return bars.reset_index().assign(symbol=settings.symbol)[list(BARS_COLUMNS)]
    if name == "nixtla":
        return nixtla(read.counted_scores(connection, *settings.key))
    wanted: dict[str, object] = {**settings.columns}
    if name == "why" and day is None:
        day = read.newest(connection, table, "origin_session", wanted)
    if day is not None:
        wanted["origin_session"] = day
    return read.view(connection, table, wanted)


def _fetched_at(connection: Connection, settings: Settings, session: date) -> datetime:
    """When the bars that the night of a session used were fetched."""
    if not is_session(session, settings.exchange):
        raise UsageError(
            f"Expected bars as of a session of {settings.exchange}, where {settings.symbol} "
            f"trades; found {session}."
        )
    of_night = settings.columns | {"origin_session": session}
    newest_first = ("issued_at DESC", "fetch_id")
    issued = read.row(connection, "forecasts", of_night, order=newest_first)
    stored = "" if issued is None else issued.fetch_id
    return input_fetch(connection, settings, session, stored=stored).fetched_at


def known_symbols(settings: Settings, target: str | None) -> list[str]:
    """The symbols that the ledger has nights of `target` of, or without a target bars."""
    migrate.check_ready(settings.url, writes=False)
    table = "fetches" if target is None else "runs"
    wanted = {} if target is None else {"target": target}
    with connect.reading(settings.url) as connection:
        return read.values(connection, table, "symbol", wanted)


def check_known(
    settings: Settings, target: str | None, *, advice: str = "", named_in_call: bool = True
) -> None:
    """Raise a UsageError for a symbol that is none of `known_symbols`.

    Where no call has named the symbols, as those of the settings, only if the ledger has others
    and none of them.
    """
    known = known_symbols(settings, target)
    unknown = [symbol for symbol in settings.symbols if symbol not in known]
    if not unknown:
        return
    if not named_in_call:
        has_some = len(unknown) < len(settings.symbols)
        if has_some or not known_symbols(settings, None):
            return
    whose = f"the ledger with nights of {target}" if target else "the ledger"
    there = named(known, 10) or "none"
    raise UsageError(
        f"Expected symbols of {whose} ({there}), found {named(unknown, 10)}. {advice}".rstrip()
    )


def check_forecast(
    connection: Connection, settings: Settings, *, origin: date | None = None
) -> None:
    """Raise a StoreError, with its reason, for a symbol and target without a published forecast.

    Args:
        connection: An open one.
        settings: Of one symbol and target.
        origin: The session of the night that is asked for; None for any.
    """
    if read.published(connection, *settings.key, origin=origin):
        return
    series = settings.full_name
    published = settings.columns | {"role": PUBLISHED}
    origins = read.values(connection, "forecasts", "origin_session", published)
    there = f"origins from {origins[0]} to {origins[-1]}" if origins else "none"
    at = f" at {origin}" if origin else ""
    command = f"catch-up --from {origin} --to {origin}" if origin else "run"
    missing = (
        f"Expected a forecast of {series}{at} in the database; found {there}. Make "
        f"one, with the options --source and --market of earlier nights: forecasting {command} "
        f"--symbol {settings.symbol} --target {settings.target}"
    )
    if origins:
        raise StoreError(missing)
    run = read.newest_run(connection, *settings.key)
    if run is not None and run.status in ("late", "failed"):
        raise StoreError(
            f"{series} has no forecast; its night of {run.as_of} has status "
            f"{run.status}: {run.error}"
        )
    raise StoreError(f"{missing}{_held(connection, settings.symbol)}")


def _held(connection: Connection, symbol: str) -> str:
    """A sentence that names what has forecasts, the symbol's own targets first; else empty."""
    nights = read.newest_published(connection)
    if not nights:
        return ""
    nights.sort(key=lambda night: night.symbol != symbol)
    series = named([f"{night.symbol} {night.target}" for night in nights], HELD_NAMED)
    return f". The database holds forecasts of {series}: choose by --symbol and --target."


QUESTIONS = {
    "latest": "The newest published forecasts with usual level, special day and why; of view "
    "latest_forecasts.",
    "totals": "The newest published totals of volume, of 2 to 5, 10 and 20 sessions (horizon); of "
    "view latest_totals.",
    "history": "Scored published forecasts with actual and error, the newest first; of view "
    "forecast_vs_actual.",
    "skill": "Published forecasts against the target's reference baseline, and against the best, "
    "over 20, 60 and 250 nights; of view live_skill.",
    "why": "Parts of the newest medians, factors of which the product is q50; of forecast_parts.",
}
"""What an assistant may ask, and what the rows are."""

MOST_ANSWERED = 500  # Rows of an answer


@dataclass(frozen=True)
class Answer:
    """The rows that answer one of QUESTIONS, and whether a limit has cut them."""

    rows: list[Row]
    cut: bool


def answer(
    settings: Settings, question: str, *, symbol: str, target: str, horizon: int, limit: int
) -> Answer:
    """The answer to one of QUESTIONS, in which texts of sources and files are cleaned."""
    if symbol:
        symbol = check_symbol(symbol)
        check_known(settings.for_symbol(symbol), target)
    migrate.check_ready(settings.url, writes=False)
    asked = {"symbol": symbol, "target": target, "horizon": horizon}
    equal = {column: value for column, value in asked.items() if value}
    with connect.reading(settings.url) as connection:
        rows = read.answer(connection, question, equal, limit=limit + 1)
    for row in rows:
        for column, value in row.items():
            if isinstance(value, str):
                row[column] = plain_text(value)
    return Answer(rows[:limit], cut=len(rows) > limit)


def export(settings: Settings, form: str, out: Path, *, as_of: date | None = None) -> str:
    """A sentence with the number of rows written to `out`, of the symbols that have some.

    Args:
        settings: Its symbols and target.
        form: One of FORMS.
        out: Its suffix says whether it is Parquet or CSV.
        as_of: The last session of `bars`, which are then those that its night had.

    Raises:
        SymbolsFailedError: Some symbols have no rows; those of the others are written.
    """
    if form not in FORMS:
        raise UsageError(f"Invalid form {form!r}: expected one of {', '.join(FORMS)}.")
    if out.suffix not in (".parquet", ".csv"):
        raise UsageError(
            f"Invalid --out {str(out)[:100]!r}: expected a path that ends with .parquet or .csv."
        )
    if as_of is not None and form != "bars":
        raise UsageError(
            f"--as-of applies to the form bars only; found it with {form}. Leave it out."
        )
    settings = _with_targets_of(form, settings)
    check_writable(out)
    outcomes = each_stored(settings, lambda one: _rows(one, form, as_of))
    if not outcomes.values:
        outcomes.raise_failed()
    rows = pd.concat(outcomes.values.values(), ignore_index=True)
    write_frame(rows, out)
    sentence = f"{form}: {len(rows)} rows of {', '.join(outcomes.values)}, written to {out}"
    if outcomes.errors:
        error = combined(outcomes.errors, of=len(settings.series))
        raise SymbolsFailedError(f"{error} Of the others: {sentence}.", error.exit_code)
    return sentence


def _with_targets_of(form: str, settings: Settings) -> Settings:
    """The settings, of several targets with those alone that a form has rows of."""
    if len(settings.targets) == 1:
        return settings
    if form == "bars":  # which are of no target
        return settings.for_target(settings.target)
    if form == "totals":
        added_up = tuple(one for one in settings.targets if TARGETS[one].has_totals)
        return settings.model_copy(update={"targets": added_up or settings.targets})
    if form == "nixtla":
        raise UsageError(
            f"Expected one target for the form nixtla, whose rows name none; found "
            f"{', '.join(settings.targets)}. Choose one by --target."
        )
    return settings


def write_frame(rows: pd.DataFrame, out: Path) -> None:
    """Write a frame to `out`, as Parquet or CSV by its suffix.

    Nixtla's days stay timestamps in Parquet.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    is_csv = out.suffix == ".csv"
    instants = [] if is_csv else ["ds", "cutoff"]
    midnights = rows.select_dtypes("datetime").columns.difference(instants)
    table = pa.Table.from_pandas(
        rows.assign(**{day: rows[day].dt.date for day in midnights}), preserve_index=False
    ).replace_schema_metadata(None)
    # Without the schema of Arrow, whose types of texts and instants depend on the release of pandas
    as_parquet = partial(parquet.write_table, table, coerce_timestamps="us", store_schema=False)
    write_whole(out, partial(csv.write_csv, table) if is_csv else as_parquet)


def _rows(settings: Settings, form: str, as_of: date | None) -> pd.DataFrame:
    rows = frame(form, settings, day=as_of)
    if not rows.empty:
        return rows
    what = f"bars of {settings.symbol} up to {as_of or 'today'}"
    if form != "bars":
        with connect.reading(settings.url) as connection:
            check_forecast(connection, settings)
        what = f"rows of {form} of {settings.full_name}"
    raise StoreError(
        f"Expected {what}; found none. Correct the symbol or date, or run its next nights."
    )
