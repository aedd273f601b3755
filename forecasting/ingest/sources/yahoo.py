"""Bars from Yahoo through yfinance: one request a night, failures raised, waits limited."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic as _monotonic
from time import sleep as _sleep
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from filelock import FileLock

from forecasting.errors import (
    BadDataError,
    RateLimitedError,
    SourceError,
    UnavailableError,
)
from forecasting.ingest.actions import make_actions
from forecasting.ingest.sources import Request, Response, canonical
from forecasting.sessions import calendar, is_us_stock
from forecasting.time_limit import TimeLimitError, within

log = logging.getLogger(__name__)

Result = TypeVar("Result")

TIMEOUT_S = 190.0
"""For a whole fetch: more than yfinance's own limits add up to. It waits 30 s for each of two hosts
of a cookie, which some name servers block, and 30 s for the data; then it goes on without one,
and after an HTTP error does all again."""

PAUSES_S = (0.25, 1.0)
"""Least seconds between two requests of all processes with one cache folder, of bars or earnings
dates: until Yahoo refuses a request for the first time, and from then on."""

# yfinance serves a request that ends in the past from a cache, failures included; a week past the
# newest session lies in the future on any live night. Bars after the requested session are cut
# here.
_LOOK_PAST = timedelta(days=7)
_DAY = timedelta(days=1)

_CALENDAR_ROWS = 100
"""The most rows that the earnings calendar gives a request: the rows after them are lost."""

# The calendar lists a report once or twice.
_ROWS_A_QUARTER = 2
_QUARTER = timedelta(days=91)

_AHEAD = timedelta(days=100)  # the next date of every company that reports quarterly lies within

_ACTIONS = {"Dividends": "dividend", "Capital Gains": "dividend", "Stock Splits": "split"}
_CALENDAR_EXCHANGE = "XNYS"  # the earnings calendar lists US stocks alone
_TIMINGS = {"BMO": "bmo", "AMC": "amc"}
# An announcement at the stated time; all others but those of _TIMINGS state none
_AS_STATED = "TAS"

_UNUSABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
)
"""What yfinance and pandas raise for a response of another shape."""

_UNKNOWN = ("no data found", "delisted", "not found", "doesn't exist")

# Of yfinance's requests, of curl_cffi: for None it makes its own. Only tests replace it
SESSION: Any = None


class Yahoo:
    """Yahoo's daily bars, split-adjusted, as of now."""

    name = "yahoo"

    def __init__(self, cache_dir: Path, timeout_s: float = TIMEOUT_S) -> None:
        """A source with yfinance's caches in a folder."""
        self.cache_dir = cache_dir
        self.timeout_s = timeout_s
        # Files that later nights and other processes read too
        self._refused = cache_dir / "refused"
        self._responded = cache_dir / "responded"

    @property
    def pause_s(self) -> float:
        """Least seconds between two requests, of `PAUSES_S`."""
        unrefused, refused = PAUSES_S
        return refused if self._refused.exists() else unrefused

    def fetch(self, request: Request) -> Response:
        """The response to a request, in one attempt, which may be repeated in the same process."""
        return self._within(partial(self._request, request), request.symbol)

    def earnings_dates(self, since: Mapping[str, date], session: date) -> pd.DataFrame:
        """Return the dates of the US stocks among the symbols, up to 100 days after `session`.

        The calendar has no other symbols. After a failed request Yahoo is not requested further:
        the symbols of the requests before it keep their dates.
        """
        last = session + _AHEAD
        groups = _calendar_groups(since, last)
        rows = [calendar_dates(pd.DataFrame(), [])]
        for number, symbols in enumerate(groups):
            first = min(since[symbol] for symbol in symbols)
            request = partial(self._request_calendar, symbols, first, last)
            try:
                rows.append(self._within(request, "the earnings calendar"))
            except SourceError as error:
                if number == 0:
                    raise
                missing = sum(len(group) for group in groups[number:])
                log.warning("no earnings calendar of %d symbols from Yahoo: %s", missing, error)
                break
        dates = pd.concat(rows, ignore_index=True)
        # A request reaches as far back as the symbol that knows least.
        is_asked = dates["announced"] >= pd.to_datetime(dates["symbol"].map(since))
        return dates[is_asked].reset_index(drop=True)

    def _request(self, request: Request) -> Response:
        symbol = request.symbol
        first = request.first
        last = request.last
        ticker = self._yfinance().Ticker(symbol, session=SESSION)
        # A zone set in advance, with a day added to the span for it, saves the request that looks
        # it up and a second kind of response to an unknown symbol. The bars have the exchange's own
        # zone, whatever is set here.
        ticker._tz = "UTC"
        response: pd.DataFrame = ticker.history(
            start=first - _DAY,
            end=last + _LOOK_PAST,
            auto_adjust=False,
            actions=True,
            repair=False,
            keepna=True,
        )
        if response.empty:
            raise UnavailableError(
                f"Yahoo sent an empty list of bars for {symbol}. Try again later."
            )
        response = response.tz_localize(None)  # the exchange's midnight, never converted to UTC
        # yfinance leaves a capital gain of a day without a bar at its hour.
        response = response.set_axis(pd.DatetimeIndex(response.index).normalize()).loc[str(first) :]
        received = canonical(response.rename(columns=lambda name: name.lower().replace(" ", "_")))
        bars = received.loc[: str(last)]
        newer = received.loc[str(last + _DAY) :]["close"].dropna()
        if bars["close"].isna().all():
            raise BadDataError(
                f"Yahoo has no bar of {symbol} between {first} and {last}, although it lists the "
                "symbol. Check that it was traded in that span, and the session."
            )
        return Response(
            request,
            bars,
            _actions_of(response),
            live=newer.empty,  # a bar that newer ones follow is finished
            title=f"{symbol}, daily, from Yahoo Finance",
            library_version=f"yfinance {version('yfinance')}",
            # Part of the same response: no further request
            currency=str(ticker.history_metadata["currency"] or ""),
            newest=None if newer.empty else newer.index[-1].date(),
        )

    def _request_calendar(self, symbols: list[str], first: date, last: date) -> pd.DataFrame:
        self._yfinance()
        from yfinance.calendars import CalendarQuery, Calendars

        # A day ends at its midnight
        calendars = Calendars(start=first, end=last + _DAY, session=SESSION)
        if "_most_active_qy" not in vars(calendars):
            raise BadDataError(
                "Expected _most_active_qy, the filter by symbol, in the earnings calendar of "
                f"yfinance {version('yfinance')}; it is not there. Install yfinance 1.7."
            )
        # yfinance fills this filter with the 200 most active stocks, requested for it, unless it is
        # filled. The whole calendar of a quarter would be some 80 pages, sorted by market value,
        # which changes between two of them.
        calendars._most_active_qy = CalendarQuery(
            "or", [CalendarQuery("eq", ["ticker", symbol]) for symbol in symbols]
        )
        return calendar_dates(calendars.get_earnings_calendar(limit=_CALENDAR_ROWS), symbols)

    def _within(self, call: Callable[[], Result], symbol: str) -> Result:
        """Return the result of `call`, made a pause after the last response of any process.

        A failure is raised as a source error.
        """
        with self._after_pause():
            return self._attempt(call, symbol)

    @contextmanager
    def _after_pause(self) -> Iterator[None]:
        """Run the block once the pause is over; requests of other processes wait until it ends."""
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(self.cache_dir / "requests.lock"):
            text = self._responded.read_text("utf-8") if self._responded.exists() else ""
            if text:
                # The clock starts anew with the machine, so a stamp may lie ahead of it.
                left_s = min(float(text) + self.pause_s - _monotonic(), self.pause_s)
                _sleep(max(left_s, 0.0))
            try:
                yield
            finally:
                self._responded.write_text(str(_monotonic()), "utf-8")

    def _attempt(self, call: Callable[[], Result], symbol: str) -> Result:
        """Return the result of `call`, within the time limit; raise a failure as a source error."""
        try:
            return within(self.timeout_s, call, name=f"yahoo-{symbol}")
        except TimeLimitError as error:
            raise UnavailableError(
                f"Yahoo did not respond for {symbol} in {self.timeout_s:g} s. Check the network; "
                "try again."
            ) from error
        except SourceError:
            raise
        except Exception as error:
            failure = _source_error(error, symbol)
            if isinstance(failure, RateLimitedError):
                self._refused.touch()
            raise failure from error

    def _yfinance(self) -> Any:  # noqa: ANN401 - a module
        """The package yfinance, with what it keeps for the process set up."""
        import yfinance
        from yfinance.data import YfData

        _keep_caches_in(self.cache_dir)
        # hidden, every failure but a 429 is an empty frame
        yfinance.config.debug.hide_exceptions = False
        # A failure is raised, and told once, in our words
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)
        YfData.cache_get.cache_clear()  # it returns bad responses again until the process ends
        # pandas 3 warns of pandas 4 on every call, in yfinance's code, which only yfinance can
        # correct.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"yfinance\.")
        return yfinance


@lru_cache(maxsize=1)  # setting it again would close databases that are in use
def _keep_caches_in(folder: Path) -> None:
    import yfinance

    folder.mkdir(parents=True, exist_ok=True)
    yfinance.set_tz_cache_location(str(folder))


def _source_error(error: Exception, symbol: str) -> Exception:
    """The source error with Yahoo's message; the error itself for a fault of our code."""
    from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError

    cause: object = error
    if isinstance(error, YFPricesMissingError) and error.yahoo_reason:
        cause = error.yahoo_reason
    words = f"{type(error).__name__}: {cause}".partition(" See https://curl")[0].splitlines()[0]
    if isinstance(error, YFRateLimitError):
        return RateLimitedError(
            f"Yahoo refuses requests for now (HTTP 429), here for {symbol}: {words!r}. Wait half "
            "an hour or more."
        )
    if isinstance(cause, str) and any(unknown in cause.lower() for unknown in _UNKNOWN):
        return BadDataError(
            f"Yahoo has no bars of {symbol}: it responded {words!r}. Check the symbol on "
            "finance.yahoo.com; a share class is written BRK-B, an index ^GSPC."
        )
    if isinstance(error, (YFException, OSError, *_UNUSABLE)):
        return UnavailableError(
            f"Yahoo gave no usable response for {symbol}: {words!r}. Check the network and try "
            "again later."
        )
    return error


def _actions_of(history: pd.DataFrame) -> pd.DataFrame:
    """Every action of a history, including those announced for a session after the newest bar."""
    names = [name for name in _ACTIONS if name in history]
    rows = history[names].rename_axis("session").melt(ignore_index=False)
    rows["kind"] = rows["variable"].map(_ACTIONS).to_numpy()
    # A fund may pay dividends and capital gains on one day.
    summed = rows[rows["value"] > 0].groupby(["session", "kind"])["value"].sum().reset_index()
    return make_actions(summed.itertuples(index=False, name=None))


def page_dates(at: pd.DatetimeIndex, *, exchange: str = "XNYS") -> pd.DataFrame:
    """Dates of instants by the exchange's clock, ascending: columns announced, timing."""
    local = at.tz_convert(calendar(exchange).tz)
    days = local.tz_localize(None).normalize().as_unit("ns")
    frame = pd.DataFrame({"announced": days, "timing": _by_clock(local, exchange)})
    return frame.drop_duplicates("announced").sort_values("announced", ignore_index=True)


def _calendar_groups(since: Mapping[str, date], last: date) -> list[list[str]]:
    """Group the US stocks among the symbols into requests that stay within the calendar's rows.

    Symbols with similar first days share a request. The shortest spans come first, so that a
    failure costs dates of the past before it costs the next dates.
    """
    groups: list[list[str]] = []
    listed = [symbol for symbol in since if is_us_stock(symbol)]
    for symbol in sorted(listed, key=since.__getitem__, reverse=True):
        quarters = math.ceil((last + _DAY - since[symbol]) / _QUARTER)
        most_symbols = _CALENDAR_ROWS // (quarters * _ROWS_A_QUARTER)
        if not groups or len(groups[-1]) >= most_symbols:
            groups.append([])
        groups[-1].append(symbol)
    return groups


def calendar_dates(rows: pd.DataFrame, symbols: Sequence[str]) -> pd.DataFrame:
    """The symbols' dates of the calendar's rows, ascending: columns symbol, announced, timing."""
    if rows.empty:
        rows = pd.DataFrame({"Event Start Date": [], "Timing": []})
    rows = rows[rows.index.isin(symbols)]
    rows = rows.dropna(subset="Event Start Date")
    at = pd.DatetimeIndex(pd.to_datetime(rows["Event Start Date"], utc=True)).as_unit("ns")
    local = at.tz_convert(calendar(_CALENDAR_EXCHANGE).tz)
    whole_day = at == at.normalize()  # a date without a time, which is no evening in New York
    announced = local.tz_localize(None).normalize().where(~whole_day, at.tz_localize(None))
    stated = rows["Timing"].astype(str).to_numpy()
    at_its_time = _by_clock(local, _CALENDAR_EXCHANGE).mask(whole_day, "")
    timing = pd.Series(stated).map(_TIMINGS).fillna("").where(stated != _AS_STATED, at_its_time)
    frame = pd.DataFrame(
        {"symbol": rows.index.astype(str), "announced": announced, "timing": timing.astype(str)}
    )
    # A stated time comes last
    in_order = frame.sort_values(["symbol", "announced", "timing"], ignore_index=True)
    return in_order.drop_duplicates(["symbol", "announced"], keep="last", ignore_index=True)


def _by_clock(at: pd.DatetimeIndex, exchange: str) -> "pd.Series[str]":
    """Per instant on exchange time `amc`, `bmo` or empty, by the hours of its day's session."""
    hours = calendar(exchange).schedule.reindex(at.tz_localize(None).normalize())
    opens, closes = (pd.DatetimeIndex(hours[name]).tz_convert(at.tz) for name in ("open", "close"))
    # A page names hours alone: Paris at 17:45 is its hour of 17:00, before the close of 17:30.
    return pd.Series(
        np.select([at >= closes.floor("h"), at <= opens], ["amc", "bmo"], ""), dtype=str
    )
