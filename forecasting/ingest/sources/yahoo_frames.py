"""What yfinance returns, in the form of this project: column names, actions, earnings dates."""

from collections.abc import Sequence
from datetime import date, time

import numpy as np
import pandas as pd

from forecasting.ingest.actions import make_actions
from forecasting.sessions import calendar

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
_CALENDAR_EXCHANGE = "XNYS"
"""The earnings calendar lists US stocks alone."""

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


def page_dates(at: pd.DatetimeIndex, *, exchange: str = "XNYS") -> pd.DataFrame:
    """Earnings dates of a symbol's page, ascending: columns announced, timing.

    Args:
        at: Aware instants, accurate to the hour: those from the hour of the usual close on are after the close, those
            up to the usual open before the open.
        exchange: Whose clock gives day and timing.
    """
    local = at.tz_convert(calendar(exchange).tz)
    days = local.tz_localize(None).normalize().as_unit("ns")
    frame = pd.DataFrame({"announced": days, "timing": _by_clock(local, exchange)})
    return frame.drop_duplicates("announced").sort_values("announced", ignore_index=True)


def calendar_dates(rows: pd.DataFrame, symbols: Sequence[str]) -> pd.DataFrame:
    """Earnings dates of the calendar, ascending by symbol and day: columns symbol, announced, timing.

    Args:
        rows: Indexed by symbol; columns Event Start Date (UTC) and Timing (AMC, BMO, TAS, TNS). May have no rows.
        symbols: The requested ones; rows of others are left out.
    """
    rows = rows[rows.index.isin(symbols)] if len(rows) else pd.DataFrame({"Event Start Date": [], "Timing": []})
    at = pd.DatetimeIndex(pd.to_datetime(rows["Event Start Date"], utc=True)).as_unit("ns")
    local = at.tz_convert(calendar(_CALENDAR_EXCHANGE).tz)
    whole_day = at == at.normalize()  # a date without a time, which is no evening in New York
    announced = local.tz_localize(None).normalize().where(~whole_day, at.tz_localize(None))
    stated = rows["Timing"].astype(str).to_numpy()
    at_its_time = _by_clock(local, _CALENDAR_EXCHANGE).mask(whole_day, "")
    timing = pd.Series(stated).map(_TIMINGS).fillna("").where(stated != _AS_STATED, at_its_time)
    frame = pd.DataFrame({"symbol": rows.index.astype(str), "announced": announced, "timing": timing.astype(str)})
    in_order = frame.sort_values(["symbol", "announced", "timing"], ignore_index=True)  # a stated time comes last
    return in_order.drop_duplicates(["symbol", "announced"], keep="last", ignore_index=True)


def _by_clock(at: pd.DatetimeIndex, exchange: str) -> pd.Series:
    """Per instant on exchange time: `amc`, `bmo` or empty, by the usual hours; empty where trading never stops."""
    made = calendar(exchange)
    opens, closes = _usual_minutes(made.open_times, at), _usual_minutes(made.close_times, at)
    minute, has_hours = np.asarray(at.hour * 60 + at.minute), opens < closes
    # A page names hours alone: Paris at 17:45 is its hour of 17:00, before the close of 17:30.
    after = has_hours & (minute >= closes // 60 * 60)
    timing = pd.Series("", index=range(len(at))).mask(after, "amc")
    return timing.mask(has_hours & (minute <= opens), "bmo").astype(str)


def _usual_minutes(times: Sequence[tuple[pd.Timestamp | None, time]], at: pd.DatetimeIndex) -> np.ndarray:
    """Per instant the minute of its day at which the exchange usually opens or closes.

    Args:
        times: The hour from each day on, ascending; the first one, without a day, from the beginning on.
        at: Instants on exchange time.
    """
    since = pd.DatetimeIndex([day for day, _ in times if day is not None])
    minutes = np.array([hour.hour * 60 + hour.minute for _, hour in times])
    usual: np.ndarray = minutes[since.searchsorted(at.tz_localize(None), side="right")]
    return usual
