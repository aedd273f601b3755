"""Forecasts of a frame of bars, whose bars, market and earnings dates become files for a run."""

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from forecasting.errors import BadDataError, DataLateError, SymbolsFailedError, UsageError
from forecasting.ingest.bar_rules import PRICES
from forecasting.ingest.sources.tables import write_file
from forecasting.ingest.sources.yahoo import page_dates
from forecasting.plain_text import named
from forecasting.publish import export
from forecasting.report.night_view import NightView
from forecasting.results import Forecast
from forecasting.settings import Settings, read_settings
from forecasting.store import migrate
from forecasting.values import NO_MARKET, check_choice, check_symbol, check_text, is_file, with_kind
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS, Clock, Target

_UNNAMED = "SERIES"  # the symbol of a frame without any
# Files in a folder that is deleted; the name of the market's gives its symbol, ^MARKET
_BARS = "the frame of bars"
_EVENTS = "the frame of events"
_MARKET = "market"
_NAMES = {"unique_id": "symbol", "ticker": "symbol", "ds": "date"}
_DAYS = {"session", "date", "ds"}
_IDS = {"unique_id", "symbol", "ticker"}

Market = pd.DataFrame | pd.Series | str | None
Events = pd.DataFrame | Sequence[Any] | str | None
# Fits and migrations use state of the whole process: Alembic's context, Torch's threads
TURN = threading.RLock()


def forecast(  # noqa: PLR0913 - the inputs of a night, each by name
    frame: pd.DataFrame,
    *,
    h: int = 5,
    symbol: str | None = None,
    target: Target = "volume",
    market: Market = None,
    events: Events = None,
    now: Clock | None = None,
) -> Forecast:
    """Forecasts of the sessions after the newest bar of each series of a frame, without a ledger.

    The same numbers as `forecasting run` gives of the first night of these bars: a network warm
    from the pretrained weights, or a baseline where that fails the gate. Four to five seconds a
    series (2026-11-28), with log lines of level INFO. What that command notes of the night, as a
    market series too old to be used, is a UserWarning here.

    Args:
        frame: (D * S rows) daily bars, unsorted or sorted: columns date (or session, or the index),
            open, high, low, close, volume, and symbol of several series; or as `download` of
            yfinance returns them; or Nixtla's long form: unique_id, ds and these, `y` in place of
            volume (target volume). Target volume can do without prices. Volume NaN where
            unknown, for target volume not in the newest row; prices above 0.
        h: Sessions ahead, 1 to 5.
        symbol: Of a frame without symbols, or the one to forecast of several. Its suffix gives the
            exchange, and so the sessions; of a US stock the package knows the earnings dates.
            Without it `SERIES`, on New York's days.
        target: volume or range.
        market: Closes of an index by day, an input: a frame (date, close), a series, or a symbol of
            `frame`, which is then not forecast itself.
        events: Earnings dates: a frame (announced; timing `bmo`, `amc` or empty), days, or
            yfinance's earnings_dates.
        now: The clock; without it the machine's.

    Raises:
        UsageError, BadDataError: A column is missing, a value is not valid, or the newest bar is
            refused.
        ForecastingError: Under 66 sessions (HistoryError) or a failed night; a UserWarning where
            other series succeed. With 66 to 435 a baseline forecasts, and a UserWarning says so.
    """
    from forecasting.publish.pages import each_report
    from forecasting.publish.runs import run_missed

    if h not in HORIZONS:
        raise UsageError(
            f"Invalid h {h!r:.60}: expected 1 to {len(HORIZONS)} sessions ahead. The models are "
            "trained, and their intervals calibrated, for no more."
        )
    settings = without_inputs().for_target(check_choice("target", target, Target))
    clock = clock_of(now)
    bars = check_frame(frame)
    with TURN, held_inputs(settings, symbol, source=bars, market=market, events=events) as own:
        migrate.upgrade(own.url)
        try:
            run_missed(own, as_of=None, mode="auto", now=clock)
        except SymbolsFailedError as error:
            if export.frame("latest", own).empty:
                raise
            warnings.warn(str(error), UserWarning, stacklevel=2)
        reports = each_report(own, now=clock).values
        quantiles, totals, why = (
            export.frame(name, own).query(f"horizon <= {h}").reset_index(drop=True)
            for name in ("latest", "totals", "why")
        )
    warn_of(reports, newest=max(report.origin for report in reports.values()))
    if _UNNAMED in reports and events is None:
        warnings.warn(
            "The series has no name, and so no earnings dates. Of a US stock the package knows "
            'them: name it, as symbol="SBUX"; or give events.',
            UserWarning,
            stacklevel=2,
        )
    fans = {
        name: replace(report, forecasts=report.forecasts[:h]) for name, report in reports.items()
    }
    columns = ["symbol", "target", "origin_session", "target_session", "horizon"]
    columns += [*QUANTILE_COLUMNS, "usual", "vs_usual", "why", "model", "reason"]
    return Forecast(quantiles[columns], totals.filter([*columns, "factor"]), why, fans)


@contextmanager
def held_inputs(
    settings: Settings, symbol: str | None, *, source: object, market: object, events: object
) -> Iterator[Settings]:
    """The settings with these inputs, frames or options; None keeps a setting.

    Frames become files in a folder that is deleted; with one of bars, the ledger is there too.
    """
    symbol = None if symbol is None else check_symbol(symbol)
    series: list[str] = []
    symbols = settings.symbols
    with TemporaryDirectory(prefix="forecasting-") as name:
        folder = Path(name)
        if isinstance(source, pd.DataFrame):
            settings = settings.model_copy(update=_without_ledger(folder))
            bars = _bars_of(source, symbol=symbol, target=settings.target)
            series = _write_bars(bars, folder / _BARS, symbol=symbol)
            source = f"parquet:{folder / _BARS}"
        market = _market_input(market, series, folder / _MARKET)
        if series:
            symbols = _symbols(symbol, series, market=market)
        events = _events_input(events, settings, symbols, folder / _EVENTS)
        own = settings.model_copy(update={"symbols": symbols})
        try:
            yield with_inputs(own, source=source, market=market, events=events)
        except DataLateError as error:
            if not series:
                raise
            # A refused bar, which waiting does not mend in a frame
            raise BadDataError(str(error)) from None


def with_inputs(settings: Settings, *, source: object, market: object, events: object) -> Settings:
    """The settings with these options of inputs, which are checked; None keeps a setting."""
    given = {"source": source, "market": market, "events": events}
    texts = {name: check_text(name, text) for name, text in given.items() if text is not None}
    return settings.model_copy(update={name: with_kind(text) for name, text in texts.items()})


def check_frame(frame: object) -> pd.DataFrame:
    """The frame itself, of bars; a UsageError for anything else."""
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"Expected a frame of bars, found {type(frame).__name__}.")
    return frame


def without_inputs() -> Settings:
    """The settings for a frame of bars, beside which no file of the settings is an input."""
    return read_settings().model_copy(update={"market": NO_MARKET, "events": None, "rivals": {}})


def clock_of(now: Clock | None) -> Clock:
    """The clock that a caller has given, else the machine's, which `flows` has."""
    if now is None:
        from flows import clock

        return clock.now
    return now


def warn_of(reports: Mapping[str, NightView], *, newest: date) -> None:
    """Warn the caller of `forecast` or `run_night` of a run's notes, and of bars that end early."""
    from forecasting.report.wording import without_bar
    from forecasting.report.words import sentence_of

    for name, report in reports.items():
        of_age = ("old", "issued_late", "made_afterwards")  # which a caller's dates decide
        texts = [sentence_of(one) for one in report.conditions if one.kind not in of_age]
        if report.origin < newest:
            texts.append(
                f"Its bars end with the session {report.origin}, before {newest}: its forecasts "
                "begin there."
            )
        missing = without_bar(report.full.findings)
        if missing:
            texts.append(
                f"Findings: {missing}; newest known {report.target} of {report.last_known}."
            )
        for text in texts:
            warnings.warn(f"{name}: {text}", UserWarning, stacklevel=3)


def _symbols(symbol: str | None, series: Sequence[str], *, market: object) -> tuple[str, ...]:
    """The symbol asked for, else those of the frame but the market's, unless that is alone."""
    if symbol:
        return (symbol,)
    others = [name for name in series if name != market]
    return tuple(map(check_symbol, others or series))


def _without_ledger(folder: Path) -> dict[str, object]:
    """The settings of a run on a frame of bars alone, in a folder of its own."""
    return {"data_dir": folder, "database_url": None, "notify": None, "runner": "local"}


def _market_input(market: object, series: Sequence[str], path: Path) -> object:
    """The closes of a frame or a series by day, else the option, with a frame of bars checked."""
    if isinstance(market, pd.DataFrame | pd.Series):
        closes = pd.DataFrame(market)
        # The one column is named after a series or a ticker.
        if closes.shape[1] == 1 and str(closes.columns[0]).lower() not in _DAYS:
            closes = closes.set_axis(["close"], axis="columns")
        write_file(_with_days(closes), path, needed="series")
        return f"parquet:{path}"
    if is_file(with_kind(str(market))) or not series or market in (None, NO_MARKET, *series):
        return market
    forms = (
        "a frame (date, close), a series by day, a .csv or .parquet file or a symbol of the bars"
    )
    raise UsageError(f"Expected as market {forms}; found {market!r:.60}.")


def _events_input(events: object, settings: Settings, symbols: Sequence[str], path: Path) -> object:
    """The earnings dates of a frame or of days, some of the symbols, else the option."""
    if events is None or isinstance(events, str):
        return events
    dates = _events_of(events, settings.exchange_of(symbols[0]))
    if "symbol" in dates and set(dates["symbol"]).isdisjoint(symbols):
        raise UsageError(
            f"Expected earnings dates of {named(symbols, 3)}, found none among the events."
        )
    write_file(dates, path, needed="events")
    return f"csv:{path}"


def _events_of(events: object, exchange: str) -> pd.DataFrame:
    """Earnings dates in a file's columns: a frame of ours, days, or yfinance's earnings_dates."""
    if isinstance(events, pd.DataFrame):
        if events.index.name != "Earnings Date":
            rows = events.rename(columns=lambda column: str(column).lower())
            if "announced" in rows and "timing" not in rows:
                rows["timing"] = ""
            return rows
        events = events.index
    if isinstance(events, pd.DatetimeIndex) and events.tz is not None:
        return page_dates(events, exchange=exchange)
    days = list(events) if isinstance(events, Iterable) else [events]
    return pd.DataFrame({"announced": days, "timing": ""})


def _bars_of(frame: pd.DataFrame, *, symbol: str | None, target: str) -> pd.DataFrame:
    """The bars of a frame in a file's columns: as Yahoo, Nixtla or we name them."""
    names = dict(_NAMES)
    if target == "volume":
        names["y"] = target
    rows = _with_days(frame).rename(columns=lambda name: str(name).lower()).rename(columns=names)
    if "symbol" not in rows:
        rows = rows.assign(symbol=symbol or _UNNAMED)
    if target == "volume" and not rows.columns.isin(PRICES).any():
        # A price that never moves is an input that says nothing
        rows = rows.assign(**dict.fromkeys(PRICES, 1.0))
    return rows


def _write_bars(bars: pd.DataFrame, path: Path, *, symbol: str | None) -> list[str]:
    """The symbols of the bars that were written; a UsageError without one, or without `symbol`."""
    series: list[str] = write_file(bars, path, needed="bars")["symbol"].unique().tolist()
    if not series or (symbol is not None and symbol not in series):
        raise UsageError(f"Expected bars of {symbol or _UNNAMED}, found no row.")
    return series


def _with_days(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its index as columns, unless it only counts rows or a column has the days."""
    if frame.columns.nlevels > 1:  # yfinance's: of price and ticker, in either order
        level = int("Close" in frame.columns.get_level_values(0))
        long = pd.DataFrame(frame.stack(level, future_stack=True))
        frame = long.dropna(how="all").rename_axis(["date", "symbol"])
    index = {str(name).lower() for name in frame.index.names}
    columns = {str(name).lower() for name in frame.columns}
    has_days = columns & _DAYS and not index & _IDS
    if has_days or isinstance(frame.index, pd.RangeIndex):
        return frame
    names = ["date" if name is None else str(name) for name in frame.index.names]
    return frame.reset_index(names=names)
