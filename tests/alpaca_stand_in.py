"""A stand-in for Alpaca's /v2/stocks/bars on a local port: keys, feed, span, pages, and refusals where told.

Its responses have the form of Alpaca's documentation and of threads about it (2026-11); Alpaca was not reached.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd

KEY, SECRET = "PKSTANDIN", "s3cr3t-of-the-stand-in"
KEYS = f"{KEY}:{SECRET}"

_NAMES = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}


class AlpacaStandIn:
    """What is served: bars by Alpaca's symbol, and how.

    Attributes:
        requests: The query of every request.
        page_rows: Rows of a page.
        now: The server's clock; an end within a quarter of an hour before it is refused.
        refusals: Status and body of the next responses, before any bars.
        silent: Awaited before each response.
        body: In place of any bars.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.bars: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[dict[str, str]] = []
        self.page_rows = 10_000
        self.now = datetime(2100, 1, 1, tzinfo=UTC)
        self.refusals: list[tuple[int, str]] = []
        self.silent = threading.Event()
        self.silent.set()
        self.body: bytes | None = None

    def put(self, symbol: str, bars: pd.DataFrame) -> None:
        """Serve canonical bars, each with the stamp of its midnight in New York and what Alpaca has beside."""
        stamps = pd.DatetimeIndex(bars.index).tz_localize("America/New_York").tz_convert("UTC")
        rows = bars[list(_NAMES)].rename(columns=_NAMES).assign(v=bars["volume"].astype("int64"))
        self.bars[symbol] = [
            {"t": f"{stamp:%Y-%m-%dT%H:%M:%SZ}", **row, "n": 1000, "vw": row["c"]}
            for stamp, row in zip(stamps, rows.to_dict("records"), strict=True)
        ]

    def response(self, query: dict[str, str], headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body."""
        self.silent.wait()
        if self.refusals:
            status, text = self.refusals.pop(0)
            return status, text.encode()
        if (headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY")) != (KEY, SECRET):
            return 401, b'{"message": "unauthorized."}'
        first, last = (datetime.fromisoformat(query[name]) for name in ("start", "end"))
        if query["feed"] == "sip" and last > self.now - timedelta(minutes=15):
            return 403, b'{"message": "subscription does not permit querying recent SIP data"}'
        return 200, self.body or json.dumps(self._page(query, first, last)).encode()

    def _page(self, query: dict[str, str], first: datetime, last: datetime) -> dict[str, Any]:
        """Rows are sorted by symbol, then by time, so that a page may end within a symbol."""
        rows = [
            (symbol, row)
            for symbol in sorted(query["symbols"].split(","))
            for row in self.bars.get(symbol, [])
            if first <= datetime.fromisoformat(row["t"]) <= last
        ]
        start = int(query.get("page_token") or 0)
        size = min(self.page_rows, int(query["limit"]))
        page: dict[str, list[dict[str, Any]]] = {}
        for symbol, row in rows[start : start + size]:
            page.setdefault(symbol, []).append(row)
        return {"bars": page, "next_page_token": str(start + size) if start + size < len(rows) else None}


@contextmanager
def alpaca_stand_in() -> Iterator[AlpacaStandIn]:
    """The stand-in, running."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            served.requests.append(query)
            found = served.response(query, dict(self.headers)) if address.path == "/v2/stocks/bars" else (404, b"{}")
            self.send_response(found[0])
            self.send_header("Content-Length", str(len(found[1])))
            self.end_headers()
            self.wfile.write(found[1])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = AlpacaStandIn(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
