"""The report: its data from the store, its pages and their index on disk.

And what came of each symbol of a run.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from forecasting.errors import ForecastingError, StoreError, explained
from forecasting.night.folders import (
    INDEX,
    check_writable,
    page_address,
    page_name,
    report_path,
    write_whole,
)
from forecasting.night.night import Night
from forecasting.night.plan import check_session
from forecasting.night.symbols import Outcomes, check_forecast, each_stored, only_symbol
from forecasting.preprocess.windows import actual_of
from forecasting.report.night_view import ReportData, SymbolLine
from forecasting.report.page import render_index, render_page
from forecasting.report.units import as_day
from forecasting.sessions import calendar, last_completed, opens_at
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.store.schema import FORECAST_KEY
from forecasting.vocabulary import HORIZONS, PUBLISHED, Clock, Target

Forecast = Mapping[Any, Any]  # a row of table forecasts

logger = logging.getLogger("forecasting.night")

SHOWN_SESSIONS = 250  # Sessions of bars that the page is given
RECORD_DAYS = timedelta(365)  # of origins whose scores the page is given, about 250
LINE_DAYS = timedelta(60)  # the same of a line of a listing, which shows the newest result
BEFORE_OLDEST = 60  # Sessions of history before the oldest of these nights
# Sessions of a chart in the index, and days that hold them on any exchange
INDEX_SESSIONS = 30
INDEX_DAYS = 60
RESULT_DAYS = 21  # Calendar days before the newest origin whose forecasts may have the last result
_OF_TOTAL = ["symbol", "target", "origin_session"]
# Between a forecast's session and a report's that is named beside it: two sessions, mostly
REPORT_NEAR = timedelta(4)


def publish_page(night: Night) -> Night:
    """The night with what it shows; the page of its symbol's newest forecast is written."""
    _, newest = _write(night.settings)
    if newest.origin == night.session:
        return replace(night, report=newest)
    with connect.reading(night.settings.url) as connection:
        return replace(night, report=report_data(connection, night.settings, origin=night.session))


def _write(
    settings: Settings, *, as_of: date | None = None, out: Path | None = None
) -> tuple[Path, ReportData]:
    """The path of one symbol's page, with links to the index and its other targets, and its night.

    At `out` it has no links.
    """
    with connect.reading(settings.url) as connection:
        data = with_models(connection, report_data(connection, settings, origin=as_of))
    if out is not None:
        return _written(render_page(data), out), data
    path = report_path(
        settings,
        data.symbol,
        data.target,
        origin=as_of,
    )
    links = [("All symbols", INDEX)]
    for target in get_args(Target):
        other = report_path(settings, data.symbol, target)
        if other != path and other.is_file():
            links.append((target, other.name))
    return _written(render_page(data, links=links), path), data


def each_report(
    settings: Settings, as_of: date | None = None, *, now: Clock, brief: bool = False
) -> Outcomes[ReportData]:
    """The night of each symbol, as `night_of`."""
    return each_stored(
        settings,
        lambda one: night_of(
            one,
            as_of,
            now=now,
            brief=brief,
        ),
    )


def night_of(
    settings: Settings, as_of: date | None, *, now: Clock, brief: bool = False
) -> ReportData:
    """The night of one symbol, of the session `as_of` or the newest.

    Args:
        settings: Of one symbol and target.
        as_of: An origin of forecasts.
        now: The clock by which forecasts are stale.
        brief: Whether a line of a listing is all that is shown, which needs fewer scores.
    """
    if as_of is not None:
        check_session(as_of, settings.exchange, now=now)
    with connect.reading(settings.url) as connection:
        data = report_data(
            connection,
            settings,
            origin=as_of,
            brief=brief,
        )
    newest = last_completed(now(), settings.exchange)
    is_stale = as_of is None and data.origin < newest
    return replace(data, newest=newest) if is_stale else data


def write_reports(
    settings: Settings, out: Path | None, as_of: date | None = None, *, now: Clock
) -> tuple[Outcomes[Path], list[Path]]:
    """The path of each symbol's page, and that of the index unless `out` is a page's place.

    Args:
        settings: Its symbols and target.
        out: Where the page of one symbol goes instead of its own place.
        as_of: The session of a past night; None for the newest.
        now: The clock by which `as_of` is a completed session.
    """
    if out is not None:
        only_symbol(settings, "report --out")
        check_writable(out)

    def write(of_symbol: Settings) -> Path:
        if as_of is not None:
            check_session(as_of, of_symbol.exchange, now=now)
        path, _ = _write(of_symbol, as_of=as_of, out=out)
        return path

    outcomes = each_stored(settings, write)
    if out is not None or not outcomes.values:
        return outcomes, []
    return outcomes, [write_index(settings)]


def write_index(settings: Settings) -> Path:
    """The path of the index of all symbols and targets of the ledger, beside their pages."""
    path = report_path(settings, "", settings.target).with_name(INDEX)
    with connect.reading(settings.url) as connection:
        lines = symbol_lines(connection, read.newest_nights(connection))
    linked = []
    for line in lines:
        page = path.with_name(page_name(line.symbol, line.target))
        linked.append(replace(line, page=page.name) if page.is_file() else line)
    return _written(render_index(linked), path)


def update_index(settings: Settings, ended: Sequence[Night] = ()) -> None:
    """Write the index after nights, and the pages of those that `ended` without a forecast."""
    try:
        for night in ended:
            with suppress(ForecastingError):  # its symbol has no forecast, and no page
                _write(night.settings)
        write_index(settings)
    except Exception as error:  # whatever it is, no night has failed by it
        logger.warning(
            "the index of the pages was not written: %s",
            explained(error),
        )


def report_data(
    connection: Connection, settings: Settings, *, origin: date | None = None, brief: bool = False
) -> ReportData:
    """The night of one symbol's settings, with the scores known by then.

    Args:
        connection: To the ledger.
        settings: Of one symbol and target.
        origin: The session of a past night; None for the newest.
        brief: Whether a line of a listing is all that is shown, which needs fewer scores.

    Raises:
        StoreError: The symbol has no such forecast.
    """
    symbol = settings.symbols[0]
    target = settings.target
    calendar(settings.exchange)  # which all views need: where it cannot be made, the symbol fails
    published = _published(
        connection,
        symbol,
        target,
        origin,
    )
    row = published.iloc[0].to_dict()  # all are of one night
    session = as_day(row["origin_session"])
    run = _with_id(connection, "runs", row["run_id"])
    fetch = _with_id(connection, "fetches", row["fetch_id"])
    newest_fetch = fetch
    unfinished = None
    if origin is None:  # a page of a past night is not about the nights after it
        unfinished = read.unfinished_run(
            connection,
            symbol,
            target,
            after=session,
        )
    if unfinished is not None:
        newest_fetch = read.newest_fetch(connection, symbol, with_bars=False) or fetch
    skills = {} if origin else read.skills(connection, {"symbol": symbol, "target": target})
    of_night = {name: row[name] for name in FORECAST_KEY if name != "horizon"}
    of_night["origin_session"] = session
    parts = defaultdict[int, list[tuple[str, float]]](list)
    for part in read.table_rows(
        connection,
        "forecast_parts",
        of_night,
        order=["place"],
    ):
        parts[part["horizon"]].append((part["part"], part["factor"]))
    return ReportData(
        run=run,
        fetch=fetch,
        model=_with_id(connection, "models", row["model_id"]),
        forecasts=published,
        history=_history(connection, row),
        events=_known_events(connection, row),
        scored=read.scored(
            connection,
            symbol,
            target,
            first=session - (LINE_DAYS if brief else RECORD_DAYS),
            last=origin,
            known_at=row["data_as_of"],
        ),
        findings=read.findings(connection, newest_fetch["id"]),
        totals=read.table_rows(
            connection,
            "total_forecasts",
            of_night,
            order=["horizon"],
        ),
        changed=_changed_inputs(connection, run),
        unfinished=unfinished,
        margin=read.row(connection, "fallback_margins", {"run_id": run["id"]}),
        parts=parts,
        skill=skills.get((symbol, target)),
        exchange=settings.exchange,
        cost_ratio=settings.cost_ratio,
    )


def _published(
    connection: Connection, symbol: str, target: Target, origin: date | None
) -> pd.DataFrame:
    try:
        return read.published(
            connection,
            symbol,
            target,
            origin=origin,
        )
    except StoreError:
        check_forecast(connection, symbol, target)
        raise  # it has forecasts of other origins


def _with_id(connection: Connection, table: str, row_id: str) -> Row:
    (row,) = read.table_rows(connection, table, {"id": row_id})
    return row


def _history(connection: Connection, row: Forecast) -> pd.DataFrame:
    """The newest values up to a night's session as its fetch had them.

    A split that came since would set the night's forecasts beside bars on another basis.
    """
    shown = SHOWN_SESSIONS + BEFORE_OLDEST
    session = as_day(row["origin_session"])
    # A session takes a day and a half: some may be missing
    oldest = session - timedelta(days=2 * shown)
    bars = read.bars(
        connection,
        row["symbol"],
        first=oldest,
        last=session,
        known_at=row["data_as_of"],
    ).iloc[-shown:]
    return actual_of(row["target"], bars).to_frame("value").assign(settled=bars["settled"])


def _known_events(connection: Connection, row: Forecast) -> pd.DataFrame:
    events = read.events(connection, row["symbol"])
    was_known = events["known_from"] <= row["origin_session"]
    return events[was_known & ~(events["withdrawn_from"] <= row["origin_session"])]


def _changed_inputs(connection: Connection, run: Row) -> list[tuple[str, object, object]]:
    """What the night ran under that the last finished one did not: name, value then and now."""
    before = read.done_before(connection, run)
    if before is None:
        return []
    then = _inputs(connection, before)
    now = _inputs(connection, run)
    names = [name for name in sorted(then | now) if then.get(name) != now.get(name)]
    return [(name, then.get(name), now.get(name)) for name in names]


def _inputs(connection: Connection, run: Row) -> dict[str, object]:
    market = read.market_of_run(connection, run["id"])
    return json.loads(run["settings"]) | {"source": run["source"], "market": market}


def with_models(connection: Connection, data: ReportData) -> ReportData:
    """The night with what its page alone shows: its model's lineage."""
    return replace(data, lineage=read.lineage(connection, data.model, last=data.origin))


def _written(page: str, path: Path) -> Path:
    """The path of the page, which is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda draft: draft.write_text(page, encoding="utf-8"))
    return path


def symbol_lines(
    connection: Connection, nights: Sequence[Row], *, last: date = date.max
) -> list[SymbolLine]:
    """A line for each of the published forecasts one session ahead, by symbol and target.

    Args:
        connection: To the ledger.
        nights: As of `read.newest_nights`.
        last: Newest session of their results.
    """
    by_origin = defaultdict[date, list[Row]](list)
    for night in nights:
        by_origin[night["origin_session"]].append(night)
    # Symbols whose newest nights are of one session, as nearly all are, share statements.
    lines = [line for some in by_origin.values() for line in _lines(connection, some, last=last)]
    skills = read.skills(connection)
    of_five = read.view(connection, "latest_totals", {"horizon": HORIZONS[-1]})
    totals: dict[Any, Any] = of_five.set_index(_OF_TOTAL).to_dict("index")
    reports = read.events_near(connection, {line.session for line in lines}, REPORT_NEAR)
    lines = [
        replace(
            line,
            reports=[row for row in reports.get(line.symbol, []) if _is_near(row, line)],
            skill=skills.get((line.symbol, line.target)),
            total=totals.get((line.symbol, line.target, pd.Timestamp(line.origin)), {}),
        )
        for line in lines
    ]
    return sorted(lines, key=lambda line: (line.symbol, line.target))


def _lines(connection: Connection, nights: Sequence[Row], *, last: date) -> list[SymbolLine]:
    """The lines of nights of one origin, without skill and reports."""
    origin = nights[0]["origin_session"]
    symbols = {night["symbol"] for night in nights}
    bars = read.bars_of_symbols(
        connection,
        symbols,
        first=origin - timedelta(INDEX_DAYS),
        last=origin,
    )
    by_symbol = {str(symbol): of_symbol for symbol, of_symbol in bars.groupby("symbol")}
    results = read.last_results(
        connection,
        symbols,
        first=origin - timedelta(RESULT_DAYS),
        last=last,
    )
    runs = read.newest_runs(connection, symbols, first=origin)
    parts = read.parts(
        connection,
        symbols,
        get_args(Target),
        first=origin,
        last=origin,
        horizons=[1],
    )
    lines = []
    for night in nights:
        key = (night["symbol"], night["target"])
        line = SymbolLine(
            *key,
            run=runs.get(key),
            forecast=night,
            values=_values(by_symbol.get(night["symbol"], bars.iloc[:0]), night),
            result=results.get(key, {}),
            parts=parts.get(tuple(night[name] for name in FORECAST_KEY), []),
        )
        lines.append(line)
    return lines


def _is_near(report: Row, line: SymbolLine) -> bool:
    """Whether a report is near the line's session, and its origin knew it."""
    is_known = as_day(report["known_from"]) <= line.origin
    return is_known and abs(as_day(report["session"]) - line.session) <= REPORT_NEAR


def _values(bars: pd.DataFrame, night: Row) -> list[float]:
    """The newest values of a symbol as the night had them, as on its page: see `_bars`."""
    was_seen = bars["first_seen_at"] <= night["data_as_of"]
    was_superseded = bars["superseded_at"] <= night["data_as_of"]
    shown = bars[was_seen & ~was_superseded].iloc[-INDEX_SESSIONS:]
    return actual_of(night["target"], shown).tolist()


def newest_nights(settings: Settings, nights: Sequence[Night] = ()) -> list[SymbolLine]:
    """The newest night of each symbol, whatever came of it, and the forecast that is published.

    Of a run's `nights`, nothing after the newest session among them: they may be of the past.
    """
    last = max((night.session for night in nights), default=date.max)
    failed = {(night.symbol, night.target): night for night in nights if night.error is not None}
    series = list(product(settings.symbols, settings.targets))
    lines = []
    with connect.reading(settings.url) as connection:
        forecasts = _newest_forecasts(connection, series, last)
        found = symbol_lines(connection, forecasts, last=last)
        stored = {(line.symbol, line.target): line for line in found}
        for one in series:
            run = read.newest_run(connection, *one, last=last)
            line = stored.get(one, SymbolLine(*one, run))
            is_past = bool(nights) and _has_newer(connection, line, last)
            lines.append(replace(line, run=_with_failure(run, failed.get(one)), is_past=is_past))
    return [_addressed(line, settings) if line.forecast else line for line in lines]


def _newest_forecasts(
    connection: Connection, series: Sequence[tuple[str, Target]], last: date
) -> list[Row]:
    """The published forecasts one session ahead of the newest origin of each up to `last`."""
    each = [read.newest_night(connection, *one, last=last) for one in series]
    return [forecast for forecast in each if forecast is not None]


def _has_newer(connection: Connection, line: SymbolLine, last: date) -> bool:
    """Whether there is a published forecast of the line's series of an origin after `last`."""
    published = {"symbol": line.symbol, "target": line.target, "role": PUBLISHED}
    newest = read.newest(
        connection,
        "forecasts",
        "origin_session",
        published,
    )
    return newest is not None and newest > last


def _addressed(line: SymbolLine, settings: Settings) -> SymbolLine:
    """The line with the opening of its session and the address of its page."""
    return replace(
        line,
        opens=opens_at(line.session, settings.exchange_of(line.symbol)),
        page=page_address(settings, page_name(line.symbol, line.target)),
    )


def _with_failure(run: Row | None, failed: Night | None) -> Row | None:
    """The row of a symbol's newest night, or that of a failure that could not be written."""
    if failed is None or (run is not None and run["status"] != "done"):
        return run
    return {"as_of": failed.session, "status": "failed", "error": str(failed.error), "note": ""}
