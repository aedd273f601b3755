"""The report: its data from the store, its page on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from forecasting.errors import PageError, UsageError
from forecasting.pipeline import shard
from forecasting.pipeline.night_run import NightRun, report_path
from forecasting.pipeline.shard import Outcome
from forecasting.preprocess.targets import actual_of
from forecasting.report.data import ReportData
from forecasting.report.page import render_page
from forecasting.settings import Settings
from forecasting.store import database, migrate, read
from forecasting.store.database import Connection
from forecasting.vocabulary import Target

SHOWN_SESSIONS = 250
"""Sessions of history and of scores that the page is given."""


@dataclass(frozen=True)
class PublishedPage:
    """The page of a night and what it was made of."""

    data: ReportData
    path: Path


def publish_pages(runs: Sequence[NightRun]) -> list[Outcome[PublishedPage]]:
    """The page written for each night's symbol and target: of their newest forecast."""
    stored = shard.read_each(
        shard.given(runs, runs),
        lambda connection, run, _: report_data(
            connection, run.spec.symbol, run.spec.target, exchange=run.settings.exchange
        ),
    )
    return shard.compute_each(stored, _publish)


def newest_reports(settings: Settings, as_of: date | None = None) -> list[ReportData]:
    """The newest night of every symbol in the settings, or the one of the session `as_of`.

    Raises:
        StoreError: The database is not ready, or holds no forecast of a symbol.
    """
    migrate.check_ready(settings.url, writes=False)
    with database.reading(settings.url) as connection:
        return [
            report_data(connection, symbol, settings.target, exchange=settings.exchange_of(symbol), origin=as_of)
            for symbol in settings.symbols
        ]


def write_report(settings: Settings, out: Path | None) -> Path:
    """The path of the page written for the first symbol in the settings."""
    data = newest_reports(settings)[0]
    return write_page(data, out or report_path(settings, data.symbol, data.target))


def report_data(
    connection: Connection, symbol: str, target: Target, *, exchange: str, origin: date | None = None
) -> ReportData:
    """The newest night of a symbol and target, or the one of `origin`, as the page takes it.

    Raises:
        StoreError: No forecast is stored for them.
    """
    published = read.published(connection, symbol, target, origin=origin)
    run = read.run(connection, str(published["run_id"].iloc[0])) or {}
    fetch = read.fetch(connection, str(published["fetch_id"].iloc[0])) or {}
    newest = published["origin_session"].iloc[0]
    unfinished = None
    if origin is None:  # a page of a past night is not about the nights after it
        unfinished = read.unfinished_run(connection, symbol, target, after=newest.date())
    request = read.newest_request(connection, symbol) if unfinished else None
    events = read.events(connection, symbol)
    bars = read.bars(connection, symbol, last=newest.date()).iloc[-SHOWN_SESSIONS:]
    history = actual_of(target, bars).to_frame("value").assign(settled=bars["settled"])
    return ReportData(
        run=run,
        fetch=fetch,
        model=read.model(connection, str(published["model_id"].iloc[0])) or {},
        forecasts=published,
        history=history,
        events=events[(events["known_from"] <= newest) & ~(events["withdrawn_from"] <= newest)],
        scored=read.scored(connection, symbol, target, origins=SHOWN_SESSIONS),
        findings=read.findings(connection, str((request or fetch)["id"])),
        unfinished=unfinished,
        decision=read.decision_of_run(connection, str(run["id"])),
        exchange=exchange,
        currency="" if symbol.startswith("^") else str(fetch.get("currency", "")),
    )


def write_page(data: ReportData, path: Path) -> Path:
    """The path of the page, which is there whole or not at all.

    Raises:
        UsageError: The path is a folder.
        PageError: The page cannot be written there.
    """
    page = render_page(data)
    try:
        if path.is_dir():
            raise UsageError(f"Expected a path of a file for the page, found the folder {path}. Name a file in it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_text(page, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise PageError(
            f"The page {str(path)[-300:]} cannot be written: {error.strerror}. Forecasts and scores are stored. Free "
            "space on that disk or correct the path, then: forecasting report"
        ) from error
    return path


def _publish(run: NightRun, data: ReportData) -> PublishedPage:
    return PublishedPage(data, write_page(data, report_path(run.settings, run.spec.symbol, run.spec.target)))
