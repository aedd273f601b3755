"""The index of the pages: every symbol and target of the ledger, its file beside theirs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.pipeline.folders import page_name
from forecasting.preprocess.targets import actual_of
from forecasting.report.index_page import IndexLine, render_index
from forecasting.store import read
from forecasting.store.database import Connection

INDEX = "index.html"

_SHOWN_SESSIONS = 30
_DAYS = 60
"""Calendar days that hold _SHOWN_SESSIONS sessions of any exchange, its longest holidays included."""

_RESULT_DAYS = 21
"""Calendar days before the newest origin whose forecasts may have the last result."""


def index_lines(connection: Connection, folder: Path) -> list[IndexLine]:
    """The newest night of every symbol and target; linked are the pages that `folder` holds."""
    nights = read.newest_nights(connection)
    sessions = {night["target_session"] for night in nights}
    events = read.events_on(connection, sessions)
    lines: list[IndexLine] = []
    # Symbols whose newest nights are of one session, as nearly all are, share statements.
    for origin in sorted({night["origin_session"] for night in nights}):
        some = [night for night in nights if night["origin_session"] == origin]
        lines += _lines_of(connection, some, origin=origin, events=events, folder=folder)
    return sorted(lines, key=lambda line: (line.forecast["symbol"], line.forecast["target"]))


def index_page(connection: Connection, folder: Path) -> str:
    """The index as HTML."""
    return render_index(index_lines(connection, folder))


def _lines_of(
    connection: Connection,
    nights: list[dict[str, Any]],
    *,
    origin: date,
    events: dict[tuple[str, date], list[str]],
    folder: Path,
) -> Iterable[IndexLine]:
    symbols = {night["symbol"] for night in nights}
    bars = read.bars_of_symbols(connection, symbols, first=origin - timedelta(_DAYS), last=origin)
    by_symbol = {str(symbol): group for symbol, group in bars.groupby("symbol")}
    results = read.last_results(connection, symbols, first=origin - timedelta(_RESULT_DAYS))
    runs = read.newest_runs(connection, symbols, first=origin + timedelta(1))
    for night in nights:
        key = (night["symbol"], night["target"])
        run, page = runs.get(key), page_name(*key)
        yield IndexLine(
            forecast=night,
            values=_values(by_symbol.get(night["symbol"]), night),
            events=events.get((night["symbol"], night["target_session"]), []),
            result=results.get(key),
            unfinished=run if run is not None and run["status"] in ("late", "failed") else None,
            page=page if (folder / page).is_file() else "",
        )


def _values(bars: pd.DataFrame | None, night: dict[str, Any]) -> list[float]:
    if bars is None:
        return []
    # As the night had them, as on its page: a split stored since would set its forecast beside bars on another basis.
    known = bars["first_seen_at"] <= night["data_as_of"]
    bars = bars[known & ~(bars["superseded_at"] <= night["data_as_of"])]
    return [float(value) for value in actual_of(night["target"], bars.iloc[-_SHOWN_SESSIONS:])]
