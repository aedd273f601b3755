"""When US companies filed their results, from the SEC's EDGAR: one request a company, two at first."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from time import monotonic as _monotonic
from time import sleep as _sleep
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd

from forecasting.sessions import calendar, is_us_stock
from forecasting.time_limit import TimeLimitError, within

logger = logging.getLogger("forecasting.ingest")

EDGAR = "edgar"  # source of these dates in table events
PAUSE_S = 0.2  # least seconds between two requests of one process; the SEC asks for at most ten a second
WAIT_S = 30.0  # for one response
ASK_AGAIN_S = 1800.0
"""Pause after a failure, so that a server that does not respond delays a night once, not with every symbol."""

_MOST_PARTS = 12  # older lists of a bank, of some 2,000 filings each
_OPEN, _CLOSED = 6, 22  # hours in New York between which EDGAR accepts filings
_COLUMNS = ("form", "items", "filingDate", "acceptanceDateTime")
_asked_at = [-math.inf]


@dataclass(frozen=True)
class Edgar:
    """EDGAR's lists of filings."""

    contact: str  # name and mail address of whoever runs this, as the SEC asks
    files: str = "https://www.sec.gov/files"  # address of the list of companies
    submissions: str = "https://data.sec.gov/submissions"  # address of the lists of their filings

    def earnings_dates(self, symbol: str, *, first: date) -> pd.DataFrame:
        """Filings of results (form 8-K, item 2.02) from a day on, ascending: columns announced, timing.

        Empty for a company without any, a symbol of no US company, and after a failure, a line of the log and never an
        error. Older lists are requested only where the newest thousand filings do not go back to `first`.
        """
        none = pd.DataFrame({"announced": pd.DatetimeIndex([]).as_unit("ns"), "timing": pd.Series(dtype=str)})
        if not is_us_stock(symbol) or _monotonic() - _failed_at.get(self, -math.inf) < ASK_AGAIN_S:
            return none
        try:
            number = _companies(self).get(symbol)
            if number is None:
                return none
            listed = self.response(f"{self.submissions}/CIK{number:010d}.json")["filings"]
            parts, oldest = [listed["recent"]], min(listed["recent"]["filingDate"], default="")
            older = [part for part in listed["files"] if str(first) < oldest and part["filingTo"] >= str(first)]
            for part in sorted(older, key=lambda part: str(part["filingTo"]))[-_MOST_PARTS:]:
                parts.append(self.response(f"{self.submissions}/{part['name']}"))
            filings = pd.concat([pd.DataFrame({name: part[name] for name in _COLUMNS}) for part in parts])
            return reports_of(filings, first=first)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, TimeLimitError) as error:
            _failed_at[self] = _monotonic()
            logger.warning("no filings of %s from EDGAR: %s: %s", symbol, type(error).__name__, error)
            return none

    def response(self, url: str) -> Any:  # noqa: ANN401 - JSON of any shape
        """The JSON at an address, within WAIT_S; each request waits for its turn."""
        if (left := _asked_at[-1] + PAUSE_S - _monotonic()) > 0.0:
            _sleep(left)
        _asked_at[-1] = _monotonic()
        request = Request(url, headers={"User-Agent": f"forecasting {self.contact}"})  # noqa: S310 - https or a test's

        def read() -> Any:  # noqa: ANN401 - JSON of any shape
            try:
                with urlopen(request, timeout=WAIT_S) as opened:  # noqa: S310 - as above
                    return json.load(opened)
            except HTTPError as error:
                error.close()  # it holds the connection
                raise

        return within(WAIT_S, read, name="edgar")


_failed_at: dict[Edgar, float] = {}  # in this process


@lru_cache(maxsize=1)  # ten thousand companies; asked once a process
def _companies(edgar: Edgar) -> Mapping[str, int]:
    listed = edgar.response(f"{edgar.files}/company_tickers.json")
    return {str(one["ticker"]): int(one["cik_str"]) for one in listed.values()}


def reports_of(filings: pd.DataFrame, *, first: date) -> pd.DataFrame:
    """Days and timings of the results among filings of one company, in _COLUMNS, from `first` on, one row a day."""
    zone = calendar("XNYS").tz
    stated = pd.DatetimeIndex(pd.to_datetime(filings["acceptanceDateTime"], utc=True, format="ISO8601"))
    # The Z is true for three companies of four; the times of the others are New York's. It is a matter of the company,
    # and shows where its filings would lie at night (theOGognf/finagg#64: 64,936 filings of 808 companies).
    in_new_york = stated.tz_localize(None).tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    as_stated, as_new_yorks = (
        (int(((at.hour < _OPEN) | (at.hour >= _CLOSED)).sum()), at) for at in (stated.tz_convert(zone), in_new_york)
    )
    local = min(as_stated, as_new_yorks, key=lambda reading: reading[0])[1]
    is_read = np.asarray(local.notna()) & (as_stated[0] != as_new_yorks[0])
    filed = pd.DatetimeIndex(pd.to_datetime(filings["filingDate"], format="%Y-%m-%d"))  # the next day's from 17:30 on
    minute = local.hour * 60 + local.minute
    frame = pd.DataFrame(
        {
            "announced": local.tz_localize(None).normalize().where(is_read, filed).as_unit("ns"),
            "timing": np.select([is_read & (minute < 570), is_read & (minute >= 960)], ["bmo", "amc"], ""),
        }
    )
    has_results = (filings["form"] == "8-K") & filings["items"].astype(str).str.contains(r"\b2\.02\b")
    rows = frame[has_results.to_numpy() & (frame["announced"] >= pd.Timestamp(first)).to_numpy()]
    return rows.sort_values(["announced", "timing"]).drop_duplicates("announced", keep="last", ignore_index=True)
