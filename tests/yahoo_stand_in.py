"""A stand-in for Yahoo on 127.0.0.1 that drives the real yfinance code, with every fault that Yahoo
has shown.

In a test: with asked_here(StandIn(bars, actions), monkeypatch.setattr) as yahoo: ...
"""

import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pandas as pd
from curl_cffi.requests import Session

from forecasting.ingest.actions import make_actions
from tests.builders import PRICES, adjusted_close

ZONE = "America/New_York"

Edit = Callable[[pd.DataFrame], pd.DataFrame]
"""Changes the rows served: columns timestamp, session, open, high, low, close, adj_close, volume."""

HTML = "text/html"
JSON = "application/json"
BROKEN: dict[str, tuple[int, bytes, str, int | None]] = {
    "429": (429, b"Too Many Requests", "text/plain", None),
    **{
        code: (int(code), b"<html><body>Internal Server Error</body></html>", HTML, None)
        for code in ("500", "502")
    },
    "down": (200, b"<html><body>Will be right back...</body></html>", HTML, None),
    "truncated": (200, b'{"chart":{"result":[{"meta":{"curr', JSON, None),
    "empty": (200, b"", JSON, None),
    "short": (200, b'{"chart":', JSON, 5000),
}
"""Status, body, type and stated length of an answer that is not one of charts."""

WORDS = {
    "404": "No data found, symbol may be delisted",
    "401": "Unauthorized",
    "422": "Invalid input",
}
"""Of the errors that a chart's answer may state."""

ANSWERS = (*BROKEN, *WORDS, "dropped", "silent")
"""Faults of the whole answer; `silent` accepts the request and never answers."""

PAYLOADS = ("no_result", "no_bars", "no_timezone", "no_adjclose")
"""Faults of a well-formed answer as a whole; those of single rows are edits."""


COOKIE_HOSTS = ("fc.yahoo.com", "guce.yahoo.com")
"""Where yfinance gets a cookie before its first request; name servers that block advertisements
swallow them."""

CALENDAR = "/v1/finance/visualization"

CALENDAR_ANSWERS = ("no_documents", "refused")
"""Faults of the calendar beside those of ANSWERS: no table, and an error in Yahoo's words."""

MARKET = "^VIX"
"""Served beside every symbol; its requests have a fault of their own, and no edit."""


def market_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """Bars of an index on the same sessions.

    Without volume, between 10 and 40, with a jump like that of 2018.
    """
    rng = np.random.default_rng(len(bars))
    close = 14.0 * np.exp(
        0.3 * np.sin(np.arange(len(bars)) / 40.0) + rng.normal(0.0, 0.05, len(bars))
    )
    close[len(bars) // 2 :][:3] *= 2.2
    index = pd.DataFrame(
        {"open": close, "high": close * 1.02, "low": close * 0.98, "close": close}, index=bars.index
    )
    return index.assign(adj_close=close, volume=np.nan)


class StandIn:
    """Yahoo's chart, crumb, quote, earnings calendar for one or more symbols, as of the
    day `today`.

    Bars and actions are on the newest share basis; a split after `today` is not yet applied, a
    dividend not yet in
    Adj Close, and no newer bar is there: moving `today` replays Yahoo's restatements night by
    night.
    """

    def __init__(
        self, bars: pd.DataFrame, actions: pd.DataFrame | None = None, *, symbol: str = "SBUX"
    ):
        self.series = {symbol: (bars, make_actions([]) if actions is None else actions)}
        self.series[MARKET] = (market_bars(bars), make_actions([]))
        self.listed = {}
        self.market_fault = None
        self.today = bars.index[-1].date()
        self.edits = []
        # As in its calendar: "SBUX", "2025-10-30T20:00:00.000Z", "AMC"; a row may lack its date or
        # timing.
        self.calendar = []
        # As asked: the symbols, the first and last day, and how many rows there are of them.
        self.calendar_spans = []
        self.calendar_fault = None
        self.silent_hosts = ()  # accept a request and never answer
        self.requests = []
        self._faults = []
        self._always = None
        self.released = threading.Event()  # set once it shuts down
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("OwnHandler", (Handler,), {"stand_in": self})
        )
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(
        self,
        symbol: str,
        bars: pd.DataFrame,
        actions: pd.DataFrame | None = None,
        *,
        zone: str = ZONE,
        currency: str = "USD",
    ):
        """Serve another symbol too, of an exchange in the time zone `zone`."""
        self.series[symbol] = (bars, make_actions([]) if actions is None else actions)
        self.listed[symbol] = (zone, currency)

    def fail(self, *faults: str):
        """Break the next chart requests, one fault each, in this order. Without faults: heal."""
        self._faults = list(faults)
        self._always = None

    def fail_always(self, fault: str):
        """Break every chart request until `fail()`."""
        self._faults = []
        self._always = fault

    def charts(self) -> list[str]:
        """The chart requests so far, look-ups of the time zone included, those of the market series
        left out."""
        return [
            path
            for path in self.requests
            if "/v8/finance/chart/" in path and MARKET not in unquote(path)
        ]

    def market_charts(self) -> list[str]:
        """The chart requests of the market series so far."""
        return [
            path
            for path in self.requests
            if "/v8/finance/chart/" in path and MARKET in unquote(path)
        ]

    def calendar_requests(self) -> list[str]:
        """The requests for the earnings calendar so far."""
        return [path for path in self.requests if CALENDAR in path]

    def next_fault(self) -> str | None:
        """The fault of the chart request now being answered."""
        return self._faults.pop(0) if self._faults else self._always

    def told(self, symbol: str = "SBUX") -> tuple[pd.DataFrame, pd.DataFrame]:
        """All rows and actions as of `today`, edits applied."""
        bars, actions = as_known_on(*self.series[symbol], self.today)
        rows = _rows(bars, actions, self.listed.get(symbol, (ZONE, "USD"))[0])
        for edit in self.edits if symbol != MARKET else []:
            rows = edit(rows)
        return rows, actions

    def chart(self, symbol: str, first: int, last: int, fault: str | None) -> dict[str, Any]:
        """Yahoo's JSON for the seconds since 1970 `first` .. `last`."""
        rows, actions = self.told(symbol)
        rows = rows[(rows["timestamp"] >= first) & (rows["timestamp"] < last)]
        zone, currency = self.listed.get(symbol, (ZONE, "USD"))
        meta = {"instrumentType": "EQUITY", "exchangeTimezoneName": zone, "currency": currency}
        if fault == "no_timezone":
            del meta["exchangeTimezoneName"]
        result = _result(rows, meta, adjclose=fault != "no_adjclose") | {
            "events": _events(actions, first, last, zone)
        }
        if fault == "no_bars":
            result = {"meta": meta, "indicators": {"quote": [{}]}}
        return {"chart": {"result": [] if fault == "no_result" else [result], "error": None}}


class StandInSession(Session):
    """A curl_cffi session that asks the stand-in instead of *.yahoo.com and refuses every other
    host.

    `limits_s` has the limit of each request as yfinance set it; that of a cookie may be shortened.
    """

    def __init__(self, url: str):
        super().__init__()
        self.stand_in = url
        self.limits_s = []
        self.cookie_limit_s = math.inf

    def request(self, method: str, url: str, *args, **kwargs):
        parts = urlsplit(url)
        host = parts.hostname or ""
        if host != "yahoo.com" and not host.endswith(".yahoo.com"):
            raise AssertionError(f"a test asked for {url}")
        self.limits_s.append(kwargs["timeout"])
        if host in COOKIE_HOSTS:
            kwargs["timeout"] = min(kwargs["timeout"], self.cookie_limit_s)
        query = f"?{parts.query}" if parts.query else ""
        return super().request(
            method, f"{self.stand_in}/{host}{parts.path}{query}", *args, **kwargs
        )


def route_yahoo_here(url: str, setattr_: Callable[[object, str, object], None] = setattr):
    """Make forecasting's Yahoo source talk to the stand-in at `url`, without a pause between
    requests.

    Give monkeypatch.setattr to undo it afterwards.
    """
    from forecasting.ingest.sources import yahoo

    session = StandInSession(url)
    setattr_(yahoo, "SESSION", session)
    setattr_(yahoo, "PAUSES_S", (0.0, 0.0))


def forget_yahoo():
    """Clear what yfinance keeps for the life of a process, so that one test cannot answer for the
    next."""
    import yfinance.base
    from yfinance import cache
    from yfinance.data import SingletonMeta, YfData

    YfData.cache_get.cache_clear()
    SingletonMeta._instances.pop(YfData, None)
    yfinance.base._tz_info_fetch_ctr = 0
    for database in (cache._TzDBManager, cache._CookieDBManager, cache._ISINDBManager):
        database.close_db()
        database._db = None
    cache._TzCacheManager._tz_cache = None
    cache._CookieCacheManager._Cookie_cache = None
    cache._ISINCacheManager._isin_cache = None


@contextmanager
def asked_here(
    stand_in: StandIn, setattr_: Callable[[object, str, object], None]
) -> Iterator[StandIn]:
    """Within the block yfinance asks the stand-in, and remembers nothing from before the block or
    for after it."""
    forget_yahoo()
    try:
        with stand_in:
            route_yahoo_here(stand_in.url, setattr_)
            yield stand_in
    finally:
        forget_yahoo()


def as_known_on(
    bars: pd.DataFrame, actions: pd.DataFrame, today: date
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The bars up to `today`, before the splits that were still to come, and the actions known by
    then."""
    stamp = pd.Timestamp(today)
    later = actions[(actions["kind"] == "split") & (actions["session"] > stamp)]["value"].prod()
    seen = bars[bars.index <= stamp].copy()
    seen[PRICES] *= later
    seen["volume"] = (seen["volume"] / later).round()
    known = actions[actions["session"] <= stamp].copy()
    known.loc[known["kind"] == "dividend", "value"] *= later
    return seen, known


def scaled(factor: float, *days: date, column: str | list[str] = PRICES) -> Edit:
    """The prices (or other columns) of these days times a factor: 100 for the pence fault."""

    def edit(rows):
        rows = rows.copy()
        rows.loc[rows["session"].isin(pd.DatetimeIndex(days)), column] *= factor
        return rows

    return edit


null_row = partial(scaled, np.nan, column=[*PRICES, "volume"])
null_volume = partial(scaled, np.nan, column="volume")


def missing_row(*days: date) -> Edit:
    """The days are not there at all."""
    return lambda rows: rows[~rows["session"].isin(pd.DatetimeIndex(days))]


def late_split(day: date, ratio: float) -> Edit:
    """The split of `day` is not yet in the history.

    Earlier prices stay high, earlier volumes low.
    """

    def edit(rows):
        rows = rows.copy()
        before = rows["session"] < pd.Timestamp(day)
        rows.loc[before, PRICES] *= ratio
        rows.loc[before, "volume"] = (rows.loc[before, "volume"] / ratio).round()
        return rows

    return edit


def live_bar(day: date) -> Edit:
    """An unfinished bar of `day`, stamped noon, with a fifth of the last volume.

    A final bar stays beside it.
    """

    def edit(rows):
        bar = rows.iloc[[-1]].assign(
            session=pd.Timestamp(day), timestamp=_seconds([pd.Timestamp(day)], hour=12.0)
        )
        return pd.concat(
            [rows, bar.assign(volume=(bar["volume"] * 0.2).round())], ignore_index=True
        )

    return edit


def _rows(bars: pd.DataFrame, actions: pd.DataFrame, zone: str) -> pd.DataFrame:
    rows = bars.assign(adj_close=adjusted_close(bars, actions)).rename_axis("session").reset_index()
    return rows.assign(timestamp=_seconds(rows["session"], hour=9.5, zone=zone))


def _seconds(days, *, hour: float, zone: str = ZONE) -> np.ndarray:
    return (pd.DatetimeIndex(days) + pd.Timedelta(hours=hour)).tz_localize(zone).as_unit("s").asi8


def _result(rows: pd.DataFrame, meta: dict[str, Any], *, adjclose: bool) -> dict[str, Any]:
    values = rows[["open", "high", "low", "close", "adj_close", "volume"]]
    columns = values.astype(object).where(values.notna(), None).to_dict("list")
    indicators = {"adjclose": [{"adjclose": columns.pop("adj_close")}]} if adjclose else {}
    return {
        "meta": meta | {"validRanges": ["1d", "max"]},
        "timestamp": rows["timestamp"].tolist(),
        "indicators": indicators | {"quote": [columns]},
    }


def _events(actions: pd.DataFrame, first: int, last: int, zone: str) -> dict[str, Any]:
    events = {"dividends": {}, "splits": {}}
    at = _seconds(actions["session"], hour=9.5, zone=zone)
    shown = (first <= at) & (at < last)
    named = actions[shown]
    for when, kind, value in zip(at[shown].tolist(), named["kind"], named["value"], strict=True):
        if kind == "dividend":
            events["dividends"][str(when)] = {"date": when, "amount": value}
        else:
            events["splits"][str(when)] = {"date": when, "numerator": value, "denominator": 1.0}
    return {name: rows for name, rows in events.items() if rows}


class Handler(BaseHTTPRequestHandler):
    stand_in: StandIn

    protocol_version = "HTTP/1.1"
    # Else every answer waits 40 ms for the client's acknowledgement of its headers
    disable_nagle_algorithm = True

    def do_GET(self):
        self.stand_in.requests.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with suppress(ConnectionError):
            if self.path.split("/")[1] in self.stand_in.silent_hosts:
                self._break("silent")
            elif CALENDAR in self.path:
                self._calendar(json.loads(body))
            elif "/v8/finance/chart/" in self.path:
                self._chart()
            elif "/v1/test/getcrumb" in self.path:
                self._send(200, b"crumb", "text/plain")
            elif "/v10/finance/quoteSummary/" in self.path or "/v7/finance/quote" in self.path:
                self._send(
                    404, _error("quoteSummary", "Quote not found for symbol: " + self._symbol())
                )
            else:
                self._send(200, b"<html><body>consent, cookie</body></html>", "text/html")

    do_POST = do_GET  # noqa: N815 - http.server's name

    def _symbol(self):
        return unquote(urlsplit(self.path).path.rsplit("/", 1)[-1])

    def _chart(self):
        symbol = self._symbol()
        fault = self.stand_in.market_fault if symbol == MARKET else self.stand_in.next_fault()
        if fault in WORDS:
            self._send(int(fault), _error("chart", WORDS[fault]))
        elif fault in ANSWERS:
            self._break(fault)
        elif symbol not in self.stand_in.series:
            self._send(404, _error("chart", WORDS["404"]))
        else:
            asked = {"period1": ["0"], "period2": ["9" * 10]} | parse_qs(urlsplit(self.path).query)
            first, last = (int(asked[name][0]) for name in ("period1", "period2"))
            self._send(200, json.dumps(self.stand_in.chart(symbol, first, last, fault)).encode())

    def _calendar(self, asked):
        fault = self.stand_in.calendar_fault
        if fault == "refused":
            self._send(400, _error("finance", "Invalid visualization query"))
        elif fault == "no_documents":
            self._send(200, b'{"finance": {"result": [], "error": null}}')
        elif fault is not None:
            self._break(fault)
        else:
            symbols, first, last = _calendar_span(asked)
            rows = [
                event
                for event in self.stand_in.calendar
                if event[0] in symbols and first <= (event[1] or first) <= last
            ]
            self.stand_in.calendar_spans.append((symbols, first, last, len(rows)))
            self._send(200, _calendar_table(rows[: asked["size"]]))

    def _break(self, fault):
        if fault in BROKEN:
            self._send(*BROKEN[fault])
            return
        if fault == "silent":
            self.stand_in.released.wait()
        self.close_connection = True  # dropped

    def _send(self, status, body, kind=JSON, length=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or length is not None

    def log_message(self, format, *args):
        pass


def _error(part: str, words: str) -> bytes:
    return json.dumps(
        {part: {"result": None, "error": {"code": "Not Found", "description": words}}}
    ).encode()


COLUMNS = (
    *[("Symbol", "STRING"), ("Company Name", "STRING"), ("Market Cap (Intraday)", "NUMBER")],
    *[("Event Name", "STRING"), ("Event Start Date", "DATE"), ("Event Start Date", "STRING")],
    *[("EPS Estimate", "NUMBER"), ("Reported EPS", "NUMBER"), ("Surprise (%)", "NUMBER")],
)
"""Of Yahoo's earnings calendar: label and type."""


def _calendar_span(asked: dict[str, Any]) -> tuple[list[str], str, str]:
    """Return the symbols, the first and the last day of a request for the calendar.

    Yahoo compares days as texts.
    """
    assert (asked["entityIdType"], asked["query"]["operator"]) == ("sp_earnings", "AND")
    wanted = {term["operator"]: term["operands"] for term in asked["query"]["operands"]}
    symbols = [term["operands"][1] for term in wanted["OR"]]
    return symbols, wanted["GTE"][1], wanted["LTE"][1]


def past_reports(symbol: str, days: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return the calendar's two rows of each report after the close of a day, as Yahoo has them."""
    return [
        (symbol, f"{day}T{hour}:00.000Z", timing)
        for day in days
        for hour, timing in (("20:00", "AMC"), ("12:00", "TNS"))
    ]


def _calendar_table(events: list[tuple[str, str | None, str | None]]) -> bytes:
    """Return events of Yahoo's calendar as yfinance reads them."""
    rows = [
        [symbol, "-", 1e9, "Earnings Announcement", start, timing, 1.0, None, None]
        for symbol, start, timing in events
    ]
    columns = [{"label": label, "type": kind} for label, kind in COLUMNS]
    table = {"columns": columns, "rows": rows}
    return json.dumps({"finance": {"result": [{"documents": [table]}], "error": None}}).encode()
