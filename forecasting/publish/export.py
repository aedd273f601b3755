"""What the ledger holds, as data frames with the same columns and types on both databases.

And as files.
"""

import json
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.errors import StoreError, SymbolsFailedError, UsageError
from forecasting.night.failures import combined
from forecasting.night.folders import check_writable, write_whole
from forecasting.night.steps.preprocess import input_fetch
from forecasting.night.symbols import check_forecast, each_symbol
from forecasting.plain_text import named, plain_text
from forecasting.report.documents import hubverse, json_text, nixtla
from forecasting.sessions import is_session, name_of
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.values import check_symbol
from forecasting.vocabulary import Clock

FORMS = ("latest", "history", "bars", "hubverse", "nixtla")
"""What is exported: a frame, or the history in another program's form."""

FRAMES = {
    "latest": ("latest_forecasts", "symbol horizon"),
    "history": ("forecast_vs_actual", "symbol origin_session horizon role model kind model_id"),
    "skill": ("live_skill", "symbol kind horizon window_sessions"),
    "why": ("forecast_parts", "symbol kind model_id horizon place"),
    "bars": ("bars", "symbol session"),
}
"""The view or table of each frame, and what its rows are sorted by."""

BARS_COLUMNS = ("symbol", "session", "open", "high", "low", "close", "volume", "version", "settled")
"""Columns of `bars`, those of its view but one; the others have all of theirs."""

SESSIONS = [
    "session",
    "origin_session",
    "target_session",
    "first_origin",
    "last_origin",
    "origin_date",
]
SESSIONS += ["target_end_date"]
"""Columns that are days, in frames as naive midnights."""

_TEXTS = [
    "symbol",
    "target",
    "kind",
    "role",
    "model",
    "status",
    "reason",
    "model_id",
    "run_id",
    "best_baseline",
]
_TEXTS += ["special_day", "why", "calendar", "part"]
_DTYPES = {
    **dict.fromkeys(SESSIONS, "datetime64[ns]"),
    **dict.fromkeys(("issued_at", "data_as_of"), "datetime64[us, UTC]"),
    **dict.fromkeys(_TEXTS, "string"),
    **dict.fromkeys(("horizon", "window_sessions", "n", "version", "place"), "int64"),
    **dict.fromkeys(("volume", "network_n"), "Int64"),  # with NA where unknown
    **dict.fromkeys(("inside_80", "inside_90"), "boolean"),
    "settled": "bool",
}


def frame(name: str, settings: Settings, *, day: date | None = None) -> pd.DataFrame:
    """The rows of each symbol in one of FRAMES, all from one state of the database.

    `why` has those of each symbol's newest origin, or of `day`; `bars` of all sessions, or those up
    to `day` as the night of that session had them.
    """
    with connect.reading(settings.url) as connection:
        each = [
            _of_symbol(
                connection,
                name,
                settings.for_symbol(symbol),
                day,
            )
            for symbol in settings.symbols
        ]
    filled = [rows for rows in each if len(rows)]  # pandas warns of empty ones
    if name == "why" and day is not None and not filled:
        symbols = named(settings.symbols, 10)
        raise UsageError(
            f"Expected an origin of {settings.target} forecasts of {symbols}, found {day}."
        )
    whole = pd.concat(filled, ignore_index=True) if filled else each[0]
    columns = BARS_COLUMNS if name == "bars" else list(map(str, whole))
    _, order = FRAMES[name]
    return typed(whole, columns).sort_values(order.split(), ignore_index=True)


def _of_symbol(connection: Connection, name: str, own: Settings, day: date | None) -> pd.DataFrame:
    table, _ = FRAMES[name]
    if name == "bars":
        return _bars(connection, own, day)
    wanted: Row = {"symbol": own.symbols[0], "target": own.target}
    if name == "why" and day is None:
        day = read.newest(connection, table, "origin_session", wanted)
    if day is not None:
        wanted["origin_session"] = day
    return read.view(connection, table, wanted)


def check_known(
    settings: Settings, target: str | None, *, advice: str = "", every: bool = False
) -> Settings:
    """The settings themselves; with `every`, their symbols are all that the ledger has nights of `target`, or bars, of.

    A UsageError for a symbol that it has nothing of, or no night of `target`, where it has others.
    Where symbols may be those of the settings, and so there is `advice`, only if that is true of
    all.
    """
    migrate.check_ready(settings.url, writes=False)
    with connect.reading(settings.url) as connection:
        fetched = read.values(
            connection,
            "fetches",
            "symbol",
            {},
        )
        known = (
            read.values(
                connection,
                "runs",
                "symbol",
                {"target": target},
            )
            if target
            else fetched
        )
    if every and known:
        return settings.model_copy(update={"symbols": tuple(known)})
    unknown = [symbol for symbol in settings.symbols if symbol not in known]
    if unknown and (not advice or (fetched and len(unknown) == len(settings.symbols))):
        whose = f"the ledger with nights of {target}" if target else "the ledger"
        there = named(known, 10) or "none"
        found = named(unknown, 10)
        raise UsageError(f"Expected symbols of {whose} ({there}), found {found}.{advice}")
    return settings


QUESTIONS = {
    "latest": "The newest published forecasts with usual level, special day and why; of view "
    "latest_forecasts.",
    "history": "Scored published forecasts with actual and error, the newest first; of view "
    "forecast_vs_actual.",
    "skill": "Published forecasts against the best baseline over 20, 60 and 250 nights; of view "
    "live_skill.",
    "why": "Parts of the newest medians, factors of which the product is q50 (of close the width); "
    "of forecast_parts.",
}
"""What an assistant may ask, and what the rows are."""

MOST_ANSWERED = 500  # Rows of an answer


def answer(
    settings: Settings, question: str, *, symbol: str, target: str, horizon: int, limit: int
) -> dict[str, Any]:
    """The `rows` that answer one of QUESTIONS, as JSON values with every text clean, and whether `limit` `cut` them."""
    asked = {"symbol": symbol, "target": target, "horizon": horizon}
    equal = {column: value for column, value in asked.items() if value}
    check_known(
        settings.model_copy(update={"symbols": (check_symbol(symbol),) if symbol else ()}), target
    )
    with connect.reading(settings.url) as connection:
        found = read.answer(
            connection,
            question,
            equal,
            limit=limit + 1,
        )
    clean = [
        {key: plain_text(cell) if isinstance(cell, str) else cell for key, cell in row.items()}
        for row in found
    ]
    return {"rows": json.loads(json_text(clean[:limit])), "cut": len(found) > limit}


def typed(found: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns in this order, each in the type of its name.

    All others are float64 with NaN where unknown.
    """
    return found[list(columns)].astype({name: _DTYPES.get(name, "float64") for name in columns})


def _bars(connection: Connection, own: Settings, as_of: date | None) -> pd.DataFrame:
    symbol = own.symbols[0]
    known_at = None
    if as_of is not None:
        if not is_session(as_of, own.exchange):
            raise UsageError(
                f"Expected bars as of a session of {name_of(own.exchange)}, where {symbol} trades; "
                f"found {as_of}."
            )
        of_night = {"symbol": symbol, "target": own.target, "origin_session": as_of}
        issued = (
            read.row(
                connection,
                "forecasts",
                of_night,
                order=("issued_at DESC", "fetch_id"),
            )
            or {}
        )
        known_at = input_fetch(
            connection,
            own,
            as_of,
            stored=issued.get("fetch_id", ""),
        )["fetched_at"]
    return (
        read.bars(
            connection,
            symbol,
            last=as_of,
            known_at=known_at,
        )
        .reset_index()
        .assign(symbol=symbol)
    )


def export(
    settings: Settings, form: str, out: Path, *, now: Clock, as_of: date | None = None
) -> str:
    """A sentence with the number of rows written to `out`: of the symbols that have some, though others fail then."""
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
    check_writable(out)
    migrate.check_ready(settings.url, writes=False)
    with connect.kept_open(settings.url):
        outcomes = each_symbol(settings, lambda own: _rows(own, form, as_of), now=now)
    if not outcomes.values:
        outcomes.raise_failed()
    found = pd.concat(list(outcomes.values.values()), ignore_index=True)
    write_frame(found, out)
    what = "bars" if form == "bars" else settings.target
    sentence = (
        f"{form}: {len(found)} rows, {what} of {', '.join(outcomes.values)}, written to {out}"
    )
    if outcomes.errors:
        error = combined(outcomes.errors, of=len(settings.symbols))
        raise SymbolsFailedError(f"{error} Of the others: {sentence}.", error.exit_code)
    return sentence


def write_frame(found: pd.DataFrame, out: Path) -> None:
    """Write a frame to `out`, as Parquet or CSV by its suffix.

    Nixtla's days stay timestamps in Parquet.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    as_text = out.suffix == ".csv"

    def stored(field: pa.Field) -> pa.DataType:
        if not pa.types.is_timestamp(field.type):
            return pa.string() if pa.types.is_large_string(field.type) else field.type
        if field.type.tz is not None:
            return pa.timestamp("us", tz="UTC")
        return pa.date32() if as_text or field.name in SESSIONS else pa.timestamp("us")

    table = pa.Table.from_pandas(found, preserve_index=False).replace_schema_metadata(None)
    table = table.cast(pa.schema([pa.field(field.name, stored(field)) for field in table.schema]))
    write_whole(out, partial(csv.write_csv if as_text else parquet.write_table, table))


def _rows(own: Settings, form: str, as_of: date | None) -> pd.DataFrame:
    symbol = own.symbols[0]
    stored = frame(form if form in FRAMES else "history", own, day=as_of)
    found = {"hubverse": hubverse, "nixtla": nixtla}.get(form, pd.DataFrame)(stored)
    if found.empty:
        what = f"bars of {symbol} up to {as_of or 'today'}"
        if form != "bars":
            with connect.reading(own.url) as connection:
                check_forecast(connection, symbol, own.target)
            what = f"scored {own.target} forecasts of {symbol}"
        raise StoreError(
            f"Expected {what}; found none. Correct the symbol or date, or run its next nights."
        )
    return found
