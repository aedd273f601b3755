"""Forecasts of a frame of bars: a night of each series in a ledger that is deleted when it ends."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
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

_OWN_COLUMN = {"volume": "volume", "close": "close"}
"""The column of bars that `y` stands for, by target."""

_NAMES = {"unique_id": "symbol", "ticker": "symbol", "ds": "session", "date": "session", "adj close": "adj_close"}


def forecast_frame(
    frame: pd.DataFrame,
    settings: Settings,
    *,
    symbol: str | None,
    market: pd.DataFrame | pd.Series | str | None,
    events: pd.DataFrame | Sequence[Any] | str | None,
    now: Clock,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The published forecasts, as `export.latest`, and by symbol the drawing of the newest sessions with them.

    Raises:
        UsageError: The frame lacks a column, or a symbol is not valid.
        ForecastingError: A series is too short, its newest bar is refused, or its night failed.
    """
    bars = bars_of(frame, symbol=symbol, target=settings.target)
    with tempfile.TemporaryDirectory(prefix="forecasting-") as name:
        folder = Path(name)
        bars.to_parquet(folder / "bars.parquet")
        changed = {
            "data_dir": folder,
            "database_url": None,
            "symbols": tuple(bars["symbol"].unique()),
            "source": f"parquet:{folder / 'bars.parquet'}",
            "market": _market_option(market, folder),
            "events": _events_option(events, folder),
            "witness": None,
            "notify": None,
            "runner": "local",
        }
        own = settings.model_copy(update=changed)
        migrate.upgrade(own.url)
        run_missed(own, as_of=None, mode="auto", now=now)
        fans = {report.symbol: fan_svg(report) for report in values_of(each_report(own, now=now))}
        return export.latest(own), fans


def bars_of(frame: pd.DataFrame, *, symbol: str | None, target: str) -> pd.DataFrame:
    """The bars with columns symbol, session, open, high, low, close, volume and what else a file of bars may have.

    Args:
        frame: In the names of Yahoo, of this project, or Nixtla's long form: unique_id, ds, and `y` in place of the
            target's own column. The days may be the index.
        symbol: Of a frame without a column of symbols.
        target: volume, close or range.
    """
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"Expected a frame of bars, found {type(frame).__name__}.")
    rows = frame if isinstance(frame.index, pd.RangeIndex) else _with_days(frame)
    rows = rows.rename(columns=lambda column: _NAMES.get(str(column).lower(), str(column).lower()))
    if "y" in rows and (own := _OWN_COLUMN.get(target)) and own not in rows:
        rows = rows.rename(columns={"y": own})
    if missing := [name for name in ("session", "open", "high", "low", "close", "volume") if name not in rows]:
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
    """The frame with its index as a column."""
    return frame.reset_index(names=str(frame.index.name or "date"))


def _market_option(market: pd.DataFrame | pd.Series | str | None, folder: Path) -> str:
    """FORECASTING_MARKET of closes by day, of the symbol of a series in the frame itself, or for none."""
    if market is None or isinstance(market, str):
        return market or "none"
    closes = market.rename("close").to_frame() if isinstance(market, pd.Series) else market
    rows = closes if isinstance(closes.index, pd.RangeIndex) else _with_days(closes)
    rows.to_parquet(folder / "MARKET.parquet")
    return f"parquet:{folder / 'MARKET.parquet'}"


def _events_option(events: pd.DataFrame | Sequence[Any] | str | None, folder: Path) -> str | None:
    """FORECASTING_EVENTS of a frame of announcements or of their days; None for those that the package knows."""
    if events is None or isinstance(events, str):
        return events
    listed = events if isinstance(events, pd.DataFrame) else pd.DataFrame({"announced": list(events), "timing": ""})
    days = pd.to_datetime(listed["announced"]).dt.strftime("%Y-%m-%d")
    listed.assign(announced=days).rename(columns=str.lower).to_csv(folder / "events.csv", index=False)
    return f"csv:{folder / 'events.csv'}"
