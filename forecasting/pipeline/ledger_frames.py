"""What the ledger holds, as data frames with the same columns and types on both databases, also without a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import pandas as pd

from forecasting.errors import UsageError
from forecasting.pipeline.snapshot import first_session
from forecasting.sessions import is_session, opens_at, shift
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.vocabulary import QUANTILE_COLUMNS

_ISSUED = ("status", "reason", "issued_at", "data_as_of", "model_id", "run_id")

LATEST_COLUMNS = (
    *("symbol", "target", "horizon", "origin_session", "target_session", *QUANTILE_COLUMNS, "last_value", "kind"),
    *("model", *_ISSUED),
)
"""Columns of `latest`; their meanings are those of view latest_forecasts."""

HISTORY_COLUMNS = (
    *("symbol", "target", "origin_session", "horizon", "target_session", "kind", "role", "model", *QUANTILE_COLUMNS),
    *("last_value", "first_print_actual", "first_print_error", "first_print_pinball"),
    *("settled_actual", "settled_error", "settled_pinball"),
    *("actual", "error", "pinball", "inside_80", "inside_90", *_ISSUED),
)
"""Columns of `history`; their meanings are those of view forecast_vs_actual."""

SKILL_COLUMNS = (
    *("symbol", "target", "kind", "horizon", "window_sessions", "n", "first_origin", "last_origin", "mae"),
    *("best_baseline", "baseline_mae", "skill", "pinball", "pinball_skill", "coverage_80", "coverage_90"),
    *("network_n", "network_mae", "network_pinball", "skill_vs_network", "pinball_skill_vs_network"),
)
"""Columns of `skill`; their meanings are those of view live_skill."""

BARS_COLUMNS = ("symbol", "session", "open", "high", "low", "close", "volume", "version", "settled")
"""Columns of `bars`; their meanings are those of view bars."""

SESSIONS = (
    *("session", "origin_session", "target_session", "first_origin", "last_origin", "origin_date", "target_end_date"),
)
"""Columns that are days, in frames as naive midnights."""

_TEXTS = ("symbol", "target", "kind", "role", "model", "status", "reason", "model_id", "run_id", "best_baseline")
_DTYPES = {
    **dict.fromkeys(SESSIONS, "datetime64[ns]"),
    **dict.fromkeys(("issued_at", "data_as_of"), "datetime64[us, UTC]"),
    **dict.fromkeys(_TEXTS, "string"),
    **dict.fromkeys(("horizon", "window_sessions", "n", "version"), "int64"),
    **dict.fromkeys(("volume", "network_n"), "Int64"),  # with NA where unknown
    **dict.fromkeys(("inside_80", "inside_90"), "boolean"),
    "settled": "bool",
}


def latest(settings: Settings) -> pd.DataFrame:
    """The published forecasts of the newest origin of each symbol, a row a horizon: `LATEST_COLUMNS`.

    Raises:
        StoreError: The database is not there or not migrated.
    """
    found = _of_each(settings, lambda connection, symbol: _view(connection, "latest_forecasts", symbol, settings))
    return typed(found, LATEST_COLUMNS).sort_values(["symbol", "horizon"], ignore_index=True)


def history(settings: Settings) -> pd.DataFrame:
    """Every forecast of each symbol, of any role and kind, with its scores: `HISTORY_COLUMNS`.

    Raises:
        StoreError: The database is not there or not migrated.
    """
    found = _of_each(settings, lambda connection, symbol: _view(connection, "forecast_vs_actual", symbol, settings))
    order = ["symbol", "origin_session", "horizon", "role", "model", "kind", "model_id"]
    return typed(found, HISTORY_COLUMNS).sort_values(order, ignore_index=True)


def skill(settings: Settings) -> pd.DataFrame:
    """The published forecasts of each symbol against the best baseline: `SKILL_COLUMNS`.

    Raises:
        StoreError: The database is not there or not migrated.
    """
    found = _of_each(settings, lambda connection, symbol: _view(connection, "live_skill", symbol, settings))
    return typed(found, SKILL_COLUMNS).sort_values(["symbol", "kind", "horizon", "window_sessions"], ignore_index=True)


def bars(settings: Settings, *, as_of: date | None = None) -> pd.DataFrame:
    """The bars of each symbol, a row a session: `BARS_COLUMNS`.

    Args:
        settings: Of the symbols and the database.
        as_of: A session; the bars up to it, as its night of the target had them. None for the newest ones.

    Raises:
        StoreError: The database is not there or not migrated, or no fetch reaches `as_of`.
        UsageError: `as_of` is no session of a symbol's exchange.
    """
    found = _of_each(settings, lambda connection, symbol: _bars(connection, settings.for_symbol(symbol), as_of))
    return typed(found, BARS_COLUMNS).sort_values(["symbol", "session"], ignore_index=True)


def typed(found: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns in this order, each in the type of its name; all others are float64 with NaN where unknown."""
    return found[list(columns)].astype({name: _DTYPES.get(name, "float64") for name in columns})


def _of_each(settings: Settings, read_one: Callable[[Connection, str], pd.DataFrame]) -> pd.DataFrame:
    """The frames of all symbols, one below the other, from one state of the database."""
    migrate.check_ready(settings.url, writes=False)
    with connect.reading(settings.url) as connection:
        frames = [read_one(connection, symbol) for symbol in settings.symbols]
    filled = [frame for frame in frames if len(frame)]  # pandas warns of empty ones
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def _view(connection: Connection, name: str, symbol: str, settings: Settings) -> pd.DataFrame:
    return read.view(connection, name, symbol, settings.target)


def _bars(connection: Connection, own: Settings, as_of: date | None) -> pd.DataFrame:
    symbol = own.symbols[0]
    known_at = None
    if as_of is not None:
        if not is_session(as_of, own.exchange):
            raise UsageError(
                f"Invalid --as-of {as_of}: expected a session of {own.exchange}, on which {symbol} trades."
            )
        fetch = read.issued_fetch(connection, symbol, own.target, as_of)
        if fetch is None:
            cutoff = opens_at(shift(as_of, 1, own.exchange), own.exchange)
            fetch = read.fetch_as_of(connection, symbol, as_of, first=first_session(as_of, own), cutoff=cutoff)
        known_at = fetch["fetched_at"]
    found = read.bars(connection, symbol, last=as_of, known_at=known_at).reset_index()
    return found.assign(symbol=symbol)
