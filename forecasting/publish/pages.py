"""The report: its data from the store, and its pages and their index on disk."""

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import date, timedelta
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import pandas as pd

from forecasting.errors import ForecastingError, NoBarError, StoreError, UsageError, explained
from forecasting.night.night import Night
from forecasting.night.plan import check_session
from forecasting.night.run_log import stopped_status
from forecasting.plain_text import NAMED, named
from forecasting.preprocess.future_covariates import calendar_notes
from forecasting.preprocess.windows import actual_of
from forecasting.publish.export import check_forecast, each_stored
from forecasting.report.night_view import NO_HISTORY, NightDetails, NightView
from forecasting.report.page import render_index, render_page
from forecasting.report.record import track_record
from forecasting.sessions import calendar, last_completed
from forecasting.settings import Outcomes, Settings
from forecasting.store import connect, read
from forecasting.store.connect import Connection
from forecasting.store.files import check_writable, write_text
from forecasting.store.rows import FetchRow, ForecastRow, ModelRow, ResultRow, RunRow
from forecasting.store.schema import FORECAST_KEY
from forecasting.vocabulary import PUBLISHED, Clock, Target

logger = logging.getLogger("forecasting.night")

INDEX = "index.html"
RECORD_DAYS = timedelta(365)  # of origins whose scores the page is given, about 250
LINE_DAYS = timedelta(60)  # of the bars of a line of a listing
SHOWN_SESSIONS = 60  # Sessions up to a night that its view has
SHOWN_DAYS = timedelta(120)  # that hold them on any exchange
_OF_HISTORY = ("symbol", "target", "kind", "model_id")
RESULT_DAYS = timedelta(21)  # before a night, of origins that may have the last result


def report_path(
    settings: Settings, symbol: str, target: Target, *, origin: date | None = None
) -> Path:
    """The report page of a symbol and target; of the past night `origin` a page of its own."""
    return settings.reports / page_name(symbol, target, origin=origin)


def page_name(symbol: str, target: Target, *, origin: date | None = None) -> str:
    """The page's file name; `^` is awkward in shells and links."""
    return f"{symbol.replace('^', '_')}-{target}{f'-{origin}' if origin else ''}.html"


def page_address(settings: Settings, name: str) -> str:
    """The web address of a page by its file name; empty without FORECASTING_PAGES_URL."""
    return f"{settings.pages_url}/{quote(name)}" if settings.pages_url else ""


def publish_page(night: Night) -> Night:
    """The last night of a series with what it shows, once the page of its newest forecast is there.

    A night before it in its run, as of a catch-up, is returned as it is.
    """
    if not night.is_last:
        return night
    _, newest = _write(night.settings)
    if newest.origin == night.session:
        return replace(night, report=newest)
    with connect.reading(night.settings.url) as connection:
        return replace(night, report=night_view(connection, night.settings, origin=night.session))


def _write(
    settings: Settings, *, as_of: date | None = None, out: Path | None = None
) -> tuple[Path, NightView]:
    """The path of one symbol's page, with links to the index and its other targets, and its night.

    At `out` it has no links.
    """
    with connect.reading(settings.url) as connection:
        data = night_view(connection, settings, origin=as_of)
    if out is not None:
        return _written(render_page(data), out), data
    path = report_path(settings, data.symbol, data.target, origin=as_of)
    links = [("All symbols", INDEX)]
    for target in get_args(Target):
        other = report_path(settings, data.symbol, target)
        if other != path and other.is_file():
            links.append((target, other.name))
    return _written(render_page(data, links=links), path), data


def each_report(
    settings: Settings, as_of: date | None = None, *, now: Clock, in_full: bool = True
) -> Outcomes[NightView]:
    """The night of each symbol, as `night_of`."""
    return each_stored(settings, lambda one: night_of(one, as_of, now=now, in_full=in_full))


def night_of(
    settings: Settings, as_of: date | None, *, now: Clock, in_full: bool = True
) -> NightView:
    """The night of one symbol, of the session `as_of` or the newest.

    Args:
        settings: Of one symbol and target.
        as_of: An origin of forecasts.
        now: The clock by which forecasts are stale.
        in_full: Whether with its record, which a line of a listing does without.
    """
    if as_of is not None:
        check_session(as_of, settings.exchange, now=now)
    with connect.reading(settings.url) as connection:
        data = night_view(connection, settings, origin=as_of, in_full=in_full)
    return data if as_of is not None else _dated(data, settings.exchange, now=now)


def _dated(view: NightView, exchange: str, *, now: Clock) -> NightView:
    """The newest night of a series, with the newest completed session where that is after it."""
    newest = last_completed(now(), exchange)
    return replace(view, newest=newest) if view.origin < newest else view


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
        _check_one_series(settings)
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


def _check_one_series(settings: Settings) -> None:
    """Raise a UsageError for several series, whose pages one file cannot have."""
    series = list(settings.series)
    if len(series) > 1:
        raise UsageError(
            f"Expected one symbol and target for `report --out`, found {len(series)}: "
            f"{named(series, NAMED)}. Name one with --symbol and --target."
        )


def write_index(settings: Settings) -> Path:
    """The path of the index of all symbols and targets of the ledger, beside their pages."""
    path = report_path(settings, "", settings.target).with_name(INDEX)
    with connect.reading(settings.url) as connection:
        ended = read.ended_series(connection)
        newest = read.newest_published(connection)
        weeks = [[row] for row in newest if (row.symbol, row.target) not in ended]
        lines = views_of(connection, weeks)
    linked = []
    for line in lines:
        page = path.with_name(page_name(line.symbol, line.target))
        linked.append(replace(line, page=page.name) if page.is_file() else line)
    return _written(render_index(linked), path)


def update_index(settings: Settings, nights: Sequence[Night]) -> None:
    """Write the index after nights, and the pages of those that ended with an error."""
    try:
        for night in nights:
            if night.error is not None:
                with suppress(ForecastingError):  # its symbol has no forecast, and no page
                    _write(night.settings)
        write_index(settings)
    except Exception as error:  # whatever it is, no night has failed by it
        logger.warning("the index of the pages was not written: %s", explained(error))


def night_view(
    connection: Connection, settings: Settings, *, origin: date | None = None, in_full: bool = True
) -> NightView:
    """The night of one symbol's settings, with the scores known by then.

    Args:
        connection: To the ledger.
        settings: Of one symbol and target.
        origin: The session of a past night; None for the newest.
        in_full: Whether with its record.

    Raises:
        StoreError: The symbol has no such forecast.
    """
    calendar(settings.exchange)  # which all views need: where it cannot be made, the symbol fails
    rows = read.published(connection, *settings.key, origin=origin)
    if not rows:
        check_forecast(connection, settings, origin=origin)
    (view,) = views_of(connection, [rows], last=origin)
    view = replace(view, details=_details(connection, view, settings))
    return _with_record(connection, view, settings, last=origin) if in_full else view


def _details(connection: Connection, view: NightView, settings: Settings) -> NightDetails:
    """Return the run, fetch and model of a night. A StoreError names a row that is missing."""
    row = view.forecasts[0]
    run = read.stored(connection, RunRow, {"id": row.run_id})
    fetch = read.stored(connection, FetchRow, {"id": row.fetch_id})
    model = read.stored(connection, ModelRow, {"id": row.model_id})
    if run is None or fetch is None or model is None:
        missing = []
        if run is None:
            missing.append(f"{row.run_id} of runs")
        if fetch is None:
            missing.append(f"{row.fetch_id} of fetches")
        if model is None:
            missing.append(f"{row.model_id} of models")
        raise StoreError(
            f"Expected the rows of the forecast of {view.symbol} {view.target} of {view.origin}; "
            f"missing: {', '.join(missing)}. Restore the database from a backup."
        )
    newest_fetch = fetch
    if view.is_behind:
        newest_fetch = read.newest_fetch(connection, view.symbol, with_bars=False) or fetch
    return NightDetails(
        run=run,
        fetch=fetch,
        model=model,
        findings=read.findings(connection, newest_fetch.id),
        changed=_changed_inputs(connection, run),
        cost_ratio=settings.cost_ratio,
    )


def _with_record(
    connection: Connection, view: NightView, settings: Settings, *, last: date | None
) -> NightView:
    """The night with its record, and what was special about the sessions before it."""
    series = (view.symbol, view.target)
    known_at = view.forecasts[0].data_as_of
    first = view.origin - RECORD_DAYS
    record = track_record(
        read.scored(connection, *series, first=first, last=last, known_at=known_at)
    )
    leads = {}
    if view.skill is not None and record.origins:
        leads = read.leads(connection, *series, record.published["kind"].iloc[-1])
    columns = [field.name for field in fields(ResultRow)]
    newest = record.ahead(1)[columns].tail(1)
    result = next((ResultRow(*row) for row in newest.itertuples(index=False)), None)
    past_days = _past_days(connection, view, settings.exchange)
    details = replace(view.full, record=record, leads=leads, past_days=past_days)
    return replace(view, details=details, result=result)


def _past_days(connection: Connection, view: NightView, exchange: str) -> dict[date, list[str]]:
    """Return what was special about each session of a view's history."""
    known_at = view.forecasts[0].issued_at
    reports = read.report_days(connection, view.symbol, known_at=known_at)
    marks = {
        day: "earnings?" if is_expected else "earnings" for day, is_expected in reports.items()
    }
    return {
        day: [*([marks[day]] if day in marks else []), *calendar_notes(day, exchange)]
        for day in view.history.index
    }


def _changed_inputs(connection: Connection, run: RunRow) -> list[tuple[str, object, object]]:
    """What the night ran under that the last finished one did not: name, value then and now."""
    before = read.done_before(connection, run)
    if before is None:
        return []
    then = _inputs(connection, before)
    now = _inputs(connection, run)
    # Another release may have had other settings
    names = [name for name in sorted(then.keys() & now.keys()) if then[name] != now[name]]
    return [(name, then[name], now[name]) for name in names]


def _inputs(connection: Connection, run: RunRow) -> dict[str, object]:
    market = read.market_of_run(connection, run.id)
    return json.loads(run.settings) | {"source": run.source, "market": market}


def _written(page: str, path: Path) -> Path:
    """The path of the page, which is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def views_of(
    connection: Connection, weeks: Sequence[Sequence[ForecastRow]], *, last: date | None = None
) -> list[NightView]:
    """The night of each of some published forecasts, by symbol and target.

    Args:
        connection: To the ledger.
        weeks: The rows of each night, as of `read.published`.
        last: Newest session of their runs and results, of past nights; None for the newest, which
            have a skill.
    """
    by_origin = defaultdict[date, list[Sequence[ForecastRow]]](list)
    for week in weeks:
        by_origin[week[0].origin_session].append(week)
    # Symbols whose newest nights are of one session, as nearly all are, share statements.
    views = [view for some in by_origin.values() for view in _views(connection, some, last=last)]
    if last is None:
        of = {}
        if len(views) == 1:
            of = {"symbol": views[0].symbol, "target": views[0].target}
        skills = read.skills(connection, of)
        views = [replace(view, skill=skills.get((view.symbol, view.target))) for view in views]
    return sorted(views, key=lambda view: (view.symbol, view.target))


def _views(
    connection: Connection, weeks: Sequence[Sequence[ForecastRow]], *, last: date | None
) -> list[NightView]:
    """The nights of one origin, without skill."""
    origin = weeks[0][0].origin_session
    symbols = {week[0].symbol for week in weeks}
    bars = read.bars_of_nights(
        connection, symbols, origin, first=origin - (SHOWN_DAYS if len(weeks[0]) > 1 else LINE_DAYS)
    )
    histories = _histories(bars)
    results = read.last_results(
        connection, symbols, first=origin - RESULT_DAYS, last=last or date.max
    )
    runs = read.newest_runs(connection, symbols, first=origin, last=last or date.max)
    totals = read.totals_of(connection, symbols, origin)
    parts = read.parts(
        connection,
        symbols,
        get_args(Target),
        first=origin,
        last=origin,
        horizons=[row.horizon for row in weeks[0]],
    )
    views = []
    for week in weeks:
        row = week[0]
        key = (row.symbol, row.target)
        view = NightView(
            *key,
            run=runs.get(key),
            forecasts=week,
            parts={one.horizon: parts.get(_key(one), ()) for one in week},
            history=histories.get(attrgetter(*_OF_HISTORY)(row), NO_HISTORY),
            result=results.get(key),
            totals=totals.get(_key(row), ()),
        )
        views.append(view)
    return views


def _key(row: ForecastRow) -> tuple[Any, ...]:
    key: tuple[Any, ...] = attrgetter(*FORECAST_KEY)(row)
    return key


def _histories(bars: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    """The history of each view by symbol, target, kind and model, of `read.bars_of_nights`."""
    values = [actual_of(target, bars[bars["target"] == target]) for target in get_args(Target)]
    shown = bars[["settled"]].assign(value=pd.concat(values))
    shown = shown.set_axis(bars["session"].dt.date)
    keys = [bars[name].to_numpy() for name in _OF_HISTORY]
    return {key: rows.iloc[-SHOWN_SESSIONS:] for key, rows in shown.groupby(keys)}


def newest_nights(
    settings: Settings, nights: Sequence[Night] = (), *, now: Clock
) -> list[NightView]:
    """The newest night of each symbol, whatever came of it, and the forecast that is published.

    Of a run's `nights`, nothing after the newest session among them: they may be of the past.
    """
    last = max((night.session for night in nights), default=date.max)
    failed = {
        night.key: night for night in nights if not isinstance(night.error, NoBarError | None)
    }
    with connect.reading(settings.url) as connection:
        series = _lasting_series(connection, settings)
        weeks = [read.published(connection, *one, last=last)[:1] for one in series]
        found = views_of(connection, list(filter(None, weeks)), last=last)
        stored = {(view.symbol, view.target): view for view in found}
        skills = read.skills(connection)
        views = []
        for one in series:
            view = stored.get(one, NightView(*one))
            run = _with_failure(read.newest_run(connection, *one, last=last), failed.get(one))
            is_past = bool(nights) and _has_newer(connection, view, last)
            if view.forecasts and not is_past:
                view = _dated(view, settings.exchange_of(view.symbol), now=now)
            page = page_address(settings, page_name(*one))
            views.append(replace(view, run=run, skill=skills.get(one), page=page))
    return views


def _lasting_series(connection: Connection, settings: Settings) -> list[tuple[str, Target]]:
    """The symbols and targets of the settings whose bars have not ended."""
    ended = read.ended_series(connection)
    return [one for one in product(settings.symbols, settings.targets) if one not in ended]


def _has_newer(connection: Connection, view: NightView, last: date) -> bool:
    """Whether there is a published forecast of the view's series of an origin after `last`."""
    published = {"symbol": view.symbol, "target": view.target, "role": PUBLISHED}
    newest = read.newest(connection, "forecasts", "origin_session", published)
    return newest is not None and newest > last


def _with_failure(run: RunRow | None, failed: Night | None) -> RunRow | None:
    """The run of a symbol's newest night, or that of a failure that could not be written."""
    if failed is None or (run is not None and run.status != "done"):
        return run
    own = (failed.id, failed.session, *failed.key, stopped_status(failed.error), failed.now())
    return RunRow(*own, error=str(failed.error))
