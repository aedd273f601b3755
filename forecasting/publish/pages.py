"""The report: its data from the store, its pages and their index on disk.

And what came of each symbol of a run.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from forecasting.errors import ForecastingError, StoreError
from forecasting.night.failures import ADVICE, explained
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
from forecasting.night.symbols import Outcomes, check_forecast, each_symbol, only_symbol
from forecasting.preprocess.windows import actual_of
from forecasting.report.night_view import PageData, ReportData, SymbolLine
from forecasting.report.page import render_index, render_page
from forecasting.report.prefect import Artifact, RunTimes, outcome_artifact
from forecasting.report.record import ENOUGH_LIVE
from forecasting.report.units import as_day
from forecasting.sessions import calendar, opens_at
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.store.schema import FORECAST_KEY
from forecasting.vocabulary import CHAMPION, Clock, Target

logger = logging.getLogger("forecasting.night")

SHOWN_SESSIONS = 250  # Nights and scores that the page is given
# Scored origins that a line of a listing, which shows the newest 20, needs where 20 are live
LINE_ORIGINS = 40
BEFORE_OLDEST = 60  # Sessions of history before the oldest of these nights
RESTATED_SESSIONS = 60  # Newest sessions whose first print is compared with the value of now
# Sessions of a chart in the index, and days that hold them on any exchange
INDEX_SESSIONS = 30
INDEX_DAYS = 60
RESULT_DAYS = 21  # Calendar days before the newest origin whose forecasts may have the last result
# Between a forecast's session and a report's that is named beside it: two sessions, mostly
REPORT_NEAR = timedelta(4)


def publish_page(night: Night) -> Night:
    """The night with what it shows; its symbol's page of the newest forecast is written.

    `update_index` comes last.
    """
    newest = _written(night.settings)[1]
    if newest.origin == night.session:
        return replace(night, report=newest)
    with connect.reading(night.settings.url) as connection:
        return replace(night, report=report_data(connection, night.settings, origin=night.session))


def _written(
    own: Settings, *, as_of: date | None = None, out: Path | None = None
) -> tuple[Path, ReportData]:
    """The page of one symbol's settings, and what it shows.

    At its own place with links to the index and the others.
    """
    with connect.reading(own.url) as connection:
        data = report_data(connection, own, origin=as_of)
        page = page_data(connection, data)
    if out is not None:
        return write_page(render_page(page), out), data
    path = report_path(
        own,
        data.symbol,
        data.target,
        origin=as_of,
    )
    others = {target: report_path(own, data.symbol, target) for target in get_args(Target)}
    links = [
        (target, other.name)
        for target, other in others.items()
        if other != path and other.is_file()
    ]
    return write_page(render_page(page, links=[("All symbols", INDEX), *links]), path), data


def each_report(
    settings: Settings, as_of: date | None = None, *, now: Clock, brief: bool = False
) -> Outcomes[ReportData]:
    """One report for each symbol, of the session `as_of` or the newest.

    `brief` has the scores of a listing alone.
    """

    def report(own: Settings) -> ReportData:
        with connect.reading(own.url) as connection:
            return report_data(
                connection,
                own,
                origin=as_of,
                brief=brief,
            )

    migrate.check_ready(settings.url, writes=False)
    with connect.kept_open(settings.url):
        return each_symbol(settings, report, now=now)


def write_reports(
    settings: Settings, out: Path | None, as_of: date | None = None, *, now: Clock
) -> tuple[Outcomes[Path], list[Path]]:
    """The path of each symbol's page, of its night `as_of` or the newest, or at `out`.

    And that of the index.
    """
    if out is not None:
        only_symbol(settings, "report --out")
        check_writable(out)

    def write(own: Settings) -> Path:
        if as_of is not None:
            check_session(as_of, own.exchange, now=now)
        return _written(own, as_of=as_of, out=out)[0]

    migrate.check_ready(settings.url, writes=False)
    with connect.kept_open(settings.url):
        outcomes = each_symbol(settings, write, now=now)
        return outcomes, [write_index(settings)] if out is None and outcomes.values else []


def write_index(settings: Settings) -> Path:
    """The path of the index of all symbols and targets of the ledger, beside their pages."""
    path = report_path(settings, "", settings.target).with_name(INDEX)
    with connect.reading(settings.url) as connection:
        lines = symbol_lines(connection, read.newest_nights(connection), folder=path.parent)
    return write_page(render_index(lines), path)


def update_index(settings: Settings, ended: Sequence[Night] = (), *, now: Clock) -> None:
    """Write the index after nights, and the pages of those that `ended` without a forecast, for their reasons."""
    try:
        for night in ended:
            with suppress(ForecastingError):  # its symbol has no forecast, and no page
                _written(night.settings)
        write_index(settings)
    except Exception as error:  # whatever it is, no night has failed by it
        logger.warning(
            "the index of the pages was not written: %s",
            explained(error, now=now, settings=settings),
        )


def report_data(
    connection: Connection, own: Settings, *, origin: date | None = None, brief: bool = False
) -> ReportData:
    """The newest night of one symbol's settings, or the one of `origin` and the scores known by then, maybe `brief`."""
    symbol = own.symbols[0]
    target = own.target
    calendar(own.exchange)  # which all views need: where it cannot be made, the symbol fails
    try:
        published = read.published(
            connection,
            symbol,
            target,
            origin=origin,
        )
    except StoreError:
        check_forecast(connection, symbol, target)
        raise  # it has forecasts of other origins
    row = published.iloc[0].to_dict()  # all are of one night
    run = read.row(connection, "runs", {"id": row["run_id"]}) or {}
    fetch = read.row(connection, "fetches", {"id": row["fetch_id"]}) or {}
    newest = row["origin_session"]
    known_at = row["data_as_of"]
    # A page of a past night is not about the nights after it.
    unfinished = (
        read.unfinished_run(
            connection,
            symbol,
            target,
            after=newest.date(),
        )
        if origin is None
        else None
    )
    request = read.newest_fetch(connection, symbol, with_bars=False) if unfinished else None
    events = read.events(connection, symbol)
    shown = SHOWN_SESSIONS + BEFORE_OLDEST
    # A session takes a day and a half: some may be missing
    oldest = newest.date() - timedelta(days=2 * shown)
    # As stored at the night's fetch: where a split has come since, the night's forecasts are on the
    # basis before it.
    bars = read.bars(
        connection,
        symbol,
        first=oldest,
        last=newest.date(),
        known_at=known_at,
    ).iloc[-shown:]
    scores = partial(
        read.scored,
        connection,
        symbol,
        target,
        last=origin,
        known_at=known_at,
    )
    scored = scores(origins=LINE_ORIGINS if brief else SHOWN_SESSIONS)
    live = scored.query("kind == 'live' and role == 'champion' and horizon == 1")[
        "origin_session"
    ].nunique()
    if brief and scored["origin_session"].nunique() == LINE_ORIGINS and live < ENOUGH_LIVE:
        scored = scores(origins=SHOWN_SESSIONS)  # of these older ones, late or replayed, count too
    parts = read.parts(
        connection,
        [symbol],
        [target],
        first=newest.date(),
        last=newest.date(),
    )
    return ReportData(
        run=run,
        fetch=fetch,
        model=read.row(connection, "models", {"id": row["model_id"]}) or {},
        forecasts=published,
        history=actual_of(target, bars).to_frame("value").assign(settled=bars["settled"]),
        events=events[(events["known_from"] <= newest) & ~(events["withdrawn_from"] <= newest)],
        scored=scored,
        findings=read.findings(connection, str((request or fetch)["id"])),
        changed=_changed_inputs(connection, run),
        unfinished=unfinished,
        decision=read.row(connection, "promotions", {"run_id": run["id"]}),
        margin=read.row(connection, "fallback_margins", {"run_id": run["id"]}),
        parts={
            night["horizon"]: parts.get(_key(night), []) for night in published.to_dict("records")
        },
        alike=() if brief else _alike(connection, row, scored),
        exchange=own.exchange,
        currency=str(fetch.get("currency", "")),
        cost_ratio=own.cost_ratio,
    )


# Scored nights among which three are like tonight's: of fewer the nearest is a far one
LEAST_ALIKE = 10


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(
        as_day(row[name]) if name == "origin_session" else row[name] for name in FORECAST_KEY
    )


def _alike(
    connection: Connection, row: Mapping[Any, Any], scored: pd.DataFrame
) -> list[tuple[date, float, float]]:
    """Next session, median and actual of the three scored nights whose parts' logs are nearest to those of `row`."""
    key = ["origin_session", "model_id", "kind"]
    tonight = tuple(row[name] for name in key)
    closed = scored[(scored["horizon"] == 1) & (scored["role"] == CHAMPION)].set_index(key)
    if closed.empty:
        return []
    first = as_day(closed.index.get_level_values("origin_session").min())
    last = as_day(row["origin_session"])
    parts = read.parts(
        connection,
        [row["symbol"]],
        [row["target"]],
        first=first,
        last=last,
        horizons=[1],
    )
    factors = {
        (pd.Timestamp(origin), *own): dict(some[1:])
        for (_, _, origin, _, *own), some in parts.items()
    }
    logs = pd.DataFrame.from_dict(factors, orient="index").fillna(1.0).transform("log")
    closed = closed[closed.index.isin(logs.index)]
    if tonight not in logs.index or len(closed) < LEAST_ALIKE:
        return []
    distances = ((logs.loc[closed.index] - logs.loc[tonight]) ** 2).sum(axis=1).to_numpy()
    nearest = closed.iloc[np.argsort(distances, kind="stable")[:3]]
    return [
        *zip(
            map(as_day, nearest["target_session"]),
            nearest["q50"],
            nearest["actual"],
            strict=True,
        )
    ]


def _changed_inputs(connection: Connection, run: Row) -> list[tuple[str, object, object]]:
    """What the night ran under that the last finished one did not: name, value then and now."""
    if (before := read.done_before(connection, run)) is None:
        return []
    now, then = (
        json.loads(row["settings"])
        | {"source": row["source"], "market": read.market_of_run(connection, row["id"])}
        for row in (run, before)
    )
    return [
        (name, then.get(name), now.get(name))
        for name in sorted(then | now)
        if then.get(name) != now.get(name)
    ]


def page_data(connection: Connection, data: ReportData) -> PageData:
    """The night with what its page alone shows.

    Past nights as issued, first prints, champions, lineage.
    """
    symbol = data.symbol
    target = data.target
    origin = data.origin
    last = pd.Timestamp(data.origin)
    champions = read.view(connection, "champions", {"symbol": symbol, "target": target})
    # Not known on that night
    champions["to_session"] = champions["to_session"].where(champions["to_session"] <= last)
    newest = data.history.index[-RESTATED_SESSIONS:]
    known_at = data.forecasts["data_as_of"].iloc[0]
    days = {"first": as_day(newest[0]), "last": as_day(newest[-1])}
    first = read.first_prints(
        connection,
        symbol,
        **days,
        basis_at=known_at,
    )
    issued = read.issued(
        connection,
        symbol,
        target,
        origins=SHOWN_SESSIONS,
        last=origin,
        basis_at=known_at,
    )
    parts = read.parts(
        connection,
        [symbol],
        [target],
        first=as_day(issued["origin_session"].min()),
        last=origin,
    )
    own = (
        issued["origin_session"].dt.date,
        *(issued[name] for name in ("horizon", "model_id", "kind")),
    )
    of_each = [parts.get((symbol, target, *key), []) for key in zip(*own, strict=True)]
    return PageData(
        data,
        issued=issued.assign(parts=pd.Series(of_each, issued.index, dtype=object)),
        first_prints=actual_of(target, first),
        champions=champions[champions["from_session"] <= last],
        lineage=read.lineage(connection, data.model, last=origin),
    )


def write_page(page: str, path: Path) -> Path:
    """The path of the page, which is there whole or not at all.

    A ForecastingError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda draft: draft.write_text(page, encoding="utf-8"))
    except OSError as error:
        do = ADVICE.get(error.errno or 0, "Correct that, then run again.")
        raise ForecastingError(
            f"The page {str(path)[-300:]} cannot be written: {error.strerror}. {do} Or name "
            "another path: "
            "forecasting report --out PATH. Forecasts and scores are stored."
        ) from error
    return path


def symbol_lines(
    connection: Connection,
    nights: Sequence[Row],
    *,
    folder: Path | None = None,
    last: date = date.max,
) -> list[SymbolLine]:
    """A line for each of the published forecasts one session ahead.

    Linked are the pages that `folder` holds.

    Results are of sessions up to `last`.
    """
    events = read.events_near(
        connection, {night["target_session"] for night in nights}, REPORT_NEAR
    )
    skills = read.newest_skills(connection)
    lines: list[SymbolLine] = []
    # Symbols whose newest nights are of one session, as nearly all are, share statements.
    for origin in sorted({night["origin_session"] for night in nights}):
        some = [night for night in nights if night["origin_session"] == origin]
        symbols = {night["symbol"] for night in some}
        bars = read.bars_of_symbols(
            connection,
            symbols,
            first=origin - timedelta(INDEX_DAYS),
            last=origin,
        )
        by_symbol = {str(symbol): group for symbol, group in bars.groupby("symbol")}
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
        for night in some:
            key = (night["symbol"], night["target"])
            page = page_name(night["symbol"], night["target"])
            known = [
                event
                for event in events.get(night["symbol"], [])
                if as_day(event["known_from"]) <= origin
            ]
            near = [
                event
                for event in known
                if abs(as_day(event["session"]) - night["target_session"]) <= REPORT_NEAR
            ]
            line = SymbolLine(
                symbol=night["symbol"],
                target=night["target"],
                run=runs.get(key),
                forecast=night,
                values=_values(by_symbol.get(night["symbol"]), night),
                events=[
                    event["kind"]
                    for event in near
                    if as_day(event["session"]) == night["target_session"]
                ],
                reports=[(as_day(event["announced"]), event["timing"]) for event in near],
                result=results.get(key, {}),
                skill=skills.get(key),
                parts=parts.get(_key(night), ()),
                page=page if folder is not None and (folder / page).is_file() else "",
            )
            lines.append(line)
    return sorted(lines, key=lambda line: (line.symbol, line.target))


def _values(bars: pd.DataFrame | None, night: Row) -> list[float]:
    if bars is None:
        return []
    # As the night had them, as on its page: a split stored since would set its forecast beside bars
    # on another basis.
    known = bars["first_seen_at"] <= night["data_as_of"]
    bars = bars[known & ~(bars["superseded_at"] <= night["data_as_of"])]
    return [float(value) for value in actual_of(night["target"], bars.iloc[-INDEX_SESSIONS:])]


def newest_nights(settings: Settings, nights: Sequence[Night] = ()) -> list[SymbolLine]:
    """The newest night of each symbol, whatever came of it, and the forecast that is published.

    Of a run's `nights`, nothing after the newest session among them: they may be of the past.
    """
    last = max((night.session for night in nights), default=date.max)
    failed = {night.symbol: night for night in nights if night.error is not None}
    with connect.reading(settings.url) as connection:
        forecasts, past = _newest_forecasts(connection, settings, last=last)
        lines = {line.symbol: line for line in symbol_lines(connection, forecasts, last=last)}
        runs = {
            symbol: read.newest_run(
                connection,
                symbol,
                settings.target,
                last=last,
            )
            for symbol in settings.symbols
        }
    found: list[SymbolLine] = []
    for symbol in settings.symbols:
        run = _with_failure(runs[symbol], failed.get(symbol))
        line = lines.get(symbol)
        if line is None:  # it has no forecast
            found.append(SymbolLine(symbol, settings.target, run))
            continue
        opens = opens_at(line.session, settings.exchange_of(symbol))
        page = page_address(settings, page_name(symbol, settings.target))
        found.append(
            replace(
                line,
                run=run,
                opens=opens,
                page=page,
                is_past=symbol in past,
            )
        )
    return found


def _newest_forecasts(
    connection: Connection, settings: Settings, *, last: date
) -> tuple[list[Row], set[str]]:
    """The newest published forecast of each symbol of origins up to `last`, and the symbols that have newer ones."""
    found: list[Row] = []
    past: set[str] = set()
    for newest in read.newest_nights(connection):
        symbol = newest["symbol"]
        if newest["target"] != settings.target or symbol not in settings.symbols:
            continue
        if newest["origin_session"] <= last:
            found.append(newest)
            continue
        past.add(symbol)
        before = read.newest_night(
            connection,
            symbol,
            settings.target,
            last=last,
        )
        if before is not None:
            found.append(before)
    return found, past


def _with_failure(run: Row | None, failed: Night | None) -> Row | None:
    """The row of a symbol's newest night, or what one would have whose failure could not be written."""
    if failed is None or (run is not None and run["status"] != "done"):
        return run
    return {"as_of": failed.session, "status": "failed", "error": str(failed.error), "note": ""}


def outcome_page(settings: Settings, nights: Sequence[SymbolLine], times: RunTimes) -> Artifact:
    """The page of a run on these nights."""
    with connect.reading(settings.url) as connection:
        durations = read.view(connection, "night_durations", {"target": settings.target})
    return outcome_artifact(nights, durations, times)
