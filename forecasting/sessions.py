"""Exchanges, by the names of exchange_calendars: their sessions, opening and closing instants.

A closure or half day that is announced at short notice is in a newer exchange_calendars.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from forecasting.errors import ForecastingError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from exchange_calendars import ExchangeCalendar

OLDEST_DAY = date(1962, 1, 2)
NEWEST_DAY = date(2060, 12, 31)
"""The span of all calendars: Yahoo's oldest daily bars start in 1962."""

# Yahoo's suffixes whose sessions exchange_calendars has: the exchange's own, or those of one with
# the same days and hours (Shanghai's for Shenzhen). Missing are Cairo, Caracas, Dubai, Kuwait,
# Qatar, Vietnam, and futures, whose next session opens as one closes.
_SUFFIXES = """
AQ=XLON AS=XAMS AT=ASEX AX=XASX BA=XBUE BD=XBUD BE=XHAM BK=XBKK BO=XBOM BR=XBRU CL=XBOG CN=XTSE
CO=XCSE DE=XETR DU=XDUS F=XFRA HA=XHAM HE=XHEL HK=XHKG HM=XHAM IC=XICE IL=XLON IR=XDUB IS=XIST
JK=XIDX JO=XJSE KL=XKLS KQ=XKRX KS=XKRX L=XLON LS=XLIS MC=XMAD MI=XMIL MU=XHAM MX=XMEX NE=XTSE
NS=XBOM NZ=XNZE OL=XOSL PA=XPAR PR=XPRA PS=XPHS RG=XRIS RO=XBSE SA=BVMF SG=XSTU SI=XSES SN=XSGO
SR=XSAU SS=XSHG ST=XSTO SW=XSWX SZ=XSHG T=XTKS TA=XTAE TL=XTAL TO=XTSE TW=XTAI TWO=XTAI V=XTSE
VI=XWBO VS=XLIT WA=XWAR XA=XASX XC=XLON
"""
_AROUND_THE_CLOCK = re.compile(r"-(USD[CT]?|EUR|GBP|JPY|BTC|ETH)$|=[FX]$")
_BY_SUFFIX = dict(pair.split("=") for pair in _SUFFIXES.split())


def exchange_of(symbol: str, *, overrides: Mapping[str, str], default: str) -> str:
    """The exchange of `symbol`: from `overrides`, else from its suffix, else `default`.

    SBUX and BRK-B have no suffix. A suffix without an exchange (BRK.B, ES=F) is ignored.
    """
    if symbol in overrides:
        return overrides[symbol]
    _, dot, suffix = symbol.rpartition(".")
    return _BY_SUFFIX.get(suffix, default) if dot else default


def check_has_sessions(symbol: str) -> None:
    """Raise a UsageError for a coin (BTC-USD), a future (ES=F) or a currency pair (EURUSD=X).

    One of their sessions opens as another closes.
    """
    if not _AROUND_THE_CLOCK.search(symbol):
        return
    raise UsageError(
        f"{symbol} trades around the clock, and a forecast is live only where it is made between a "
        "close and the next open. Name the days to forecast in FORECASTING_EXCHANGES, as "
        f"{symbol}=XNYS: New York's sessions alone. With 24/7, or CMES for a future, every day is "
        "forecast and no forecast is ever live."
    )


def is_us_stock(symbol: str) -> bool:
    """Whether it may be a US stock or fund, of letters and hyphens, as Yahoo writes them."""
    return symbol.replace("-", "").isalnum()


def check_exchange(name: str) -> str:
    """`name` itself; a ValueError where exchange_calendars has no such exchange."""
    if name == "XNYS":
        return name  # the default; it does not load the calendars
    import exchange_calendars as xc

    if name not in xc.get_calendar_names():
        raise ValueError(
            "Expected an exchange of exchange_calendars (XNYS, XLON, XTKS, or 24/7), found "
            f"{name!r}"
        )
    return name


SOON = 30
"""A calendar that ends within so many sessions is reported: those of some exchanges reach only the
end of this year."""

_UPDATE = "Update it: pip install --upgrade exchange-calendars"


@lru_cache(maxsize=64)
def calendar(exchange: str = "XNYS") -> ExchangeCalendar:
    """The exchange's calendar, of 1962 to 2060 at most; a UsageError if it cannot be made."""
    import exchange_calendars as xc
    import pandas as pd

    try:
        # xc's own are 20 years before today, 1 after
        first = pd.Timestamp(OLDEST_DAY)
        last = pd.Timestamp(NEWEST_DAY)
        # Under pandas 3.1, for it to mend
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            try:
                return xc.get_calendar(exchange, start=first, end=last)
            # It covers less; only the calendar itself says how much: making it takes half a second
            except ValueError:
                kind = type(xc.get_calendar(exchange))
                start = max(first, kind.bound_min() or first)
                end = min(last, kind.bound_max() or last)
                return xc.get_calendar(exchange, start=start, end=end)
    # exchange_calendars 4.13 itself raises NotImplementedError, under pandas 3.1, for Athens,
    # Bucharest and Tel Aviv.
    except (ValueError, NotImplementedError) as error:
        raise UsageError(
            f"The calendar {exchange} cannot be made by exchange_calendars {xc.__version__} with "
            f"pandas {pd.__version__}: {str(error)[:100]}. Upgrade either, or name one with the "
            "same sessions in FORECASTING_EXCHANGES."
        ) from None


def last_completed(at: datetime, exchange: str = "XNYS") -> date:
    """The newest session that had closed at the instant `at` (aware)."""
    closes = calendar(exchange).closes
    return closes.index[closes.searchsorted(_utc(at), side="right") - 1].date()


def newest_up_to(day: date, exchange: str = "XNYS") -> date:
    """The newest session up to `day`, traded or not; the calendar's oldest where that is later."""
    days, count = _up_to(day, exchange)
    return days[max(0, count - 1)].date()


def next_sessions(session: date, n: int, exchange: str = "XNYS") -> list[date]:
    """The `n` sessions after `session`, traded or not; a ForecastingError if the calendar ends."""
    days, start = _up_to(session, exchange)
    if start + n > len(days):
        raise ForecastingError(
            f"Expected {n} sessions of {exchange} after {session} in exchange_calendars, "
            f"found sessions up to {days[-1]:%Y-%m-%d}. {_UPDATE}"
        )
    return [day.date() for day in days[start : start + n]]


def ends_soon(session: date, exchange: str = "XNYS") -> str:
    """In words, that the calendar has at most SOON sessions after `session`; else empty."""
    days, count = _up_to(session, exchange)
    if len(days) - count > SOON:
        return ""
    return (
        f"The calendar of {exchange} in exchange_calendars ends on {days[-1]:%Y-%m-%d}, "
        f"and a night needs the sessions after its own. {_UPDATE}"
    )


def shift(session: date, by: int, exchange: str = "XNYS") -> date:
    """The session `by` sessions after (before, when negative) the traded day `session`.

    Raises as `next_sessions`.

    The calendar's oldest session where it does not reach back that far (Riyadh's begins in 2021).
    """
    if by > 0:
        return next_sessions(session, by, exchange)[-1]
    days = calendar(exchange).sessions
    return days[max(0, days.get_loc(_stamp(session)) + by)].date()


def between(first: date, last: date, exchange: str = "XNYS") -> list[date]:
    """Every session from `first` to `last`, both included, ascending."""
    return sessions_index(first, last, exchange).date.tolist()


def after(day: date, last: date, exchange: str = "XNYS") -> list[date]:
    """Every session after `day`, which need not be traded, up to `last`, ascending."""
    return between(day + timedelta(days=1), last, exchange)


def sessions_index(first: date, last: date, exchange: str = "XNYS") -> pd.DatetimeIndex:
    """Every session from `first` to `last`, both included, ascending; as naive midnights."""
    return _cut(calendar(exchange).sessions, first, last)


def holidays(first: date, last: date, exchange: str = "XNYS") -> pd.DatetimeIndex:
    """The days from `first` to `last` that the exchange trades usually but not then, ascending."""
    return _cut(_holidays(exchange), first, last)


def is_session(day: date, exchange: str = "XNYS") -> bool:
    """Whether the exchange trades on `day`; False outside its calendar."""
    return _stamp(day) in calendar(exchange).sessions


def today(at: datetime, exchange: str = "XNYS") -> date:
    """The exchange's local date at the instant `at` (aware), traded or not."""
    return _utc(at).tz_convert(calendar(exchange).tz).date()


def opens_at(session: date, exchange: str = "XNYS") -> datetime:
    """The instant, aware UTC, at which the session opens."""
    opened: datetime = calendar(exchange).session_open(_stamp(session)).to_pydatetime()
    return opened.astimezone(UTC)


def closes_at(session: date, exchange: str = "XNYS") -> datetime:
    """The instant, aware UTC, at which the session closes (early closes included)."""
    closed: datetime = calendar(exchange).session_close(_stamp(session)).to_pydatetime()
    return closed.astimezone(UTC)


def early_closes(first: date, last: date, exchange: str = "XNYS") -> set[date]:
    """The sessions from `first` to `last` that close before the usual hour."""
    return set(_cut(calendar(exchange).early_closes, first, last).date)


@lru_cache(maxsize=32)
def _holidays(exchange: str) -> pd.DatetimeIndex:
    """Days without a session, of weekdays with one in most weeks of the year around.

    So also where the trading week has changed, as in Tel Aviv in 2026 and Seoul in 1998.
    """
    import pandas as pd

    sessions = calendar(exchange).sessions
    days = pd.date_range(sessions[0], sessions[-1]).as_unit("ns")
    traded = pd.Series(days.isin(sessions), index=days, dtype=float)
    of_weekday = traded.groupby(days.day_of_week)
    share = of_weekday.transform(lambda weeks: weeks.rolling(53, 1, center=True).mean())
    return days[(share > 0.5) & (traded == 0.0)]


def _cut(days: pd.DatetimeIndex, first: date, last: date) -> pd.DatetimeIndex:
    start = days.searchsorted(_stamp(first))
    end = days.searchsorted(_stamp(last), side="right")
    return days[start:end]


def _up_to(day: date, exchange: str) -> tuple[pd.DatetimeIndex, int]:
    """All sessions, ascending, and the number of those up to a day."""
    days = calendar(exchange).sessions
    return days, int(days.searchsorted(_stamp(day), side="right"))


def _stamp(day: date) -> pd.Timestamp:
    import pandas as pd

    # pandas cannot compare days before 1677 or after 2262 with a calendar's: leap years outside of
    # every one, instead.
    return pd.Timestamp(min(max(day.year, 1904), 2096), day.month, day.day)


def _utc(at: datetime) -> pd.Timestamp:
    import pandas as pd

    return pd.Timestamp(at).tz_convert("UTC")
