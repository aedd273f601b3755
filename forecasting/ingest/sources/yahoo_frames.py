"""What yfinance returns, in the form of this project: column names, actions, earnings dates."""

from collections.abc import Sequence
from datetime import date

import pandas as pd

from forecasting.ingest.actions import make_actions

BAR_COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
}
"""The canonical name of each column of a history."""

_ACTIONS = {"Dividends": "dividend", "Capital Gains": "dividend", "Stock Splits": "split"}
_OPEN, _CLOSE = 9 * 60 + 30, 16 * 60  # minutes of the day, New York
_TIMINGS = {"BMO": "bmo", "AMC": "amc"}
_AS_STATED = "TAS"
"""The calendar's word for an announcement at the stated time; all others but those of _TIMINGS state none."""


def newest_close(bars: pd.DataFrame) -> date | None:
    """The newest session with a close; None without one."""
    known = bars.index[bars["close"].notna()]
    return known[-1].date() if len(known) else None


def actions_of(history: pd.DataFrame) -> pd.DataFrame:
    """Every action of a history, including those announced for a session after the newest bar."""
    summed: dict[tuple[object, str], float] = {}  # a fund may pay dividends and capital gains on one day
    for column, kind in _ACTIONS.items():
        if column in history:
            for day, value in history[column][history[column] > 0].items():
                summed[day, kind] = summed.get((day, kind), 0.0) + float(value)
    return make_actions((day, kind, value) for (day, kind), value in summed.items())


def page_dates(at: pd.DatetimeIndex) -> pd.DataFrame:
    """Earnings dates of a symbol's page, ascending: columns announced, timing.

    Args:
        at: Instants on exchange time: from 16:00 on is after the close, up to 9:30 before the open.
    """
    frame = pd.DataFrame({"announced": at.tz_localize(None).normalize().as_unit("ns"), "timing": _by_clock(at)})
    return frame.drop_duplicates("announced").sort_values("announced", ignore_index=True)


def has_calendar(symbol: str) -> bool:
    """Whether the calendar may list the symbol: it lists US stocks alone, whose symbols have letters and hyphens."""
    return symbol.replace("-", "").isalnum()


def calendar_dates(rows: pd.DataFrame, symbols: Sequence[str]) -> pd.DataFrame:
    """Earnings dates of the calendar, ascending by symbol and day: columns symbol, announced, timing.

    Args:
        rows: Indexed by symbol; columns Event Start Date (UTC) and Timing (AMC, BMO, TAS, TNS). May have no rows.
        symbols: The requested ones; rows of others are left out.
    """
    rows = rows[rows.index.isin(symbols)] if len(rows) else pd.DataFrame({"Event Start Date": [], "Timing": []})
    at = pd.DatetimeIndex(pd.to_datetime(rows["Event Start Date"], utc=True)).as_unit("ns")
    local = at.tz_convert("America/New_York")
    whole_day = at == at.normalize()  # a date without a time, which is no evening in New York
    announced = local.tz_localize(None).normalize().where(~whole_day, at.tz_localize(None))
    stated = rows["Timing"].astype(str).to_numpy()
    at_its_time = _by_clock(local).mask(whole_day, "")
    timing = pd.Series(stated).map(_TIMINGS).fillna("").where(stated != _AS_STATED, at_its_time)
    frame = pd.DataFrame({"symbol": rows.index.astype(str), "announced": announced, "timing": timing.astype(str)})
    in_order = frame.sort_values(["symbol", "announced", "timing"], ignore_index=True)  # a stated time comes last
    return in_order.drop_duplicates(["symbol", "announced"], keep="last", ignore_index=True)


def _by_clock(at: pd.DatetimeIndex) -> pd.Series:
    """Per instant on exchange time: `amc`, `bmo` or empty."""
    minute = at.hour * 60 + at.minute
    return pd.Series("", index=range(len(at))).mask(minute >= _CLOSE, "amc").mask(minute <= _OPEN, "bmo").astype(str)
