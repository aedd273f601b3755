"""Forecasts of a frame of bars: a night of each series in a ledger that is deleted when it ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.errors import UsageError
from forecasting.pipeline import export
from forecasting.pipeline.publish import each_report
from forecasting.pipeline.run import run_missed
from forecasting.pipeline.symbols import values_of
from forecasting.report.charts import fan_svg
from forecasting.settings import Settings
from forecasting.store import migrate
from forecasting.values import check_symbol
from forecasting.vocabulary import Clock

_NAMES = {"unique_id": "symbol", "ticker": "symbol", "ds": "session", "date": "session", "adj close": "adj_close"}
_NEEDED = ("session", "open", "high", "low", "close", "volume")


def forecast_frame(own: Settings, *, now: Clock) -> tuple[pd.DataFrame, dict[str, str]]:
    """The published forecasts, as the frame `latest`, and by symbol the drawing of the newest sessions with them."""
    migrate.upgrade(own.url)
    run_missed(own, as_of=None, mode="auto", now=now)
    fans = {report.symbol: fan_svg(report) for report in values_of(each_report(own, now=now))}
    return export.frame("latest", own), fans


@contextmanager
def frame_settings(
    frame: pd.DataFrame,
    settings: Settings,
    symbol: str | None,
    *,
    market: pd.DataFrame | pd.Series | str | None,
    events: pd.DataFrame | Sequence[Any] | str | None,
) -> Iterator[Settings]:
    """The settings with a frame's series as symbols and source, in a data folder that is deleted afterwards."""
    bars = bars_of(frame, symbol=symbol, target=settings.target)
    with tempfile.TemporaryDirectory(prefix="forecasting-") as name:
        folder = Path(name)
        bars.to_parquet(folder / "bars.parquet")
        if market is not None and not isinstance(market, str):
            closes = market.to_frame("close") if isinstance(market, pd.Series) else market
            _with_days(closes).to_parquet(folder / "MARKET.parquet")
            market = f"parquet:{folder / 'MARKET.parquet'}"
        if events is not None and not isinstance(events, str):
            listed = (
                events if isinstance(events, pd.DataFrame) else pd.DataFrame({"announced": [*events], "timing": ""})
            )
            days = pd.to_datetime(listed["announced"]).dt.strftime("%Y-%m-%d")
            listed.assign(announced=days).rename(columns=str.lower).to_csv(folder / "events.csv", index=False)
            events = f"csv:{folder / 'events.csv'}"
        own = {"data_dir": folder, "database_url": None, "witness": None, "notify": None, "runner": "local"}
        own |= {"source": f"parquet:{folder / 'bars.parquet'}", "market": market or "none", "events": events}
        yield settings.model_copy(update=own | {"symbols": tuple(bars["symbol"].unique())})


def bars_of(frame: pd.DataFrame, *, symbol: str | None, target: str) -> pd.DataFrame:
    """The bars in this project's names; in those of Yahoo, or of Nixtla with `y` for the target, the days maybe index.

    `symbol` is of a frame without a column of symbols, or the one to keep; a UsageError where a column is missing.
    """
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"Expected a frame of bars, found {type(frame).__name__}.")
    rows = _with_days(frame).rename(columns=lambda column: _NAMES.get(str(column).lower(), str(column).lower()))
    if target in ("volume", "close") and target not in rows:
        rows = rows.rename(columns={"y": target})
    if missing := [name for name in _NEEDED if name not in rows]:
        raise UsageError(
            f"Expected bars with the columns date (or ds), open, high, low, close and volume; {', '.join(missing)} "
            f"missing among {', '.join(map(str, frame.columns))[:200]}."
        )
    if "symbol" not in rows:
        rows = rows.assign(symbol=symbol or "SERIES")
    elif symbol is not None:
        rows = rows[rows["symbol"] == symbol]
    if rows.empty:
        raise UsageError(f"Expected bars{f' of {symbol}' if symbol else ''}, found no row.")
    for name in rows["symbol"].unique():
        check_symbol(name)
    return rows.drop(columns="y", errors="ignore").reset_index(drop=True)


def _with_days(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its index, where that is of days, as a column."""
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index(names=str(frame.index.name or "date"))
