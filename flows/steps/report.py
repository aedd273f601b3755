"""Fill the report's `Night` from the store, and write its page."""

from datetime import date
from pathlib import Path

from forecasting.preprocess.targets import actual_of
from forecasting.report.night import Night
from forecasting.report.page import render_page
from forecasting.settings import Target
from forecasting.store import lineage, reads, record
from forecasting.store.database import Connection

SHOWN_SESSIONS = 250
"""Sessions of history and of scores that the page is given."""


def report_night(
    connection: Connection, symbol: str, target: Target, *, exchange: str, origin: date | None = None
) -> Night:
    """The newest night of a symbol and target, as the page wants it.

    Raises:
        StoreError: No forecast is stored for them.
    """
    published = record.published(connection, symbol, target, origin=origin)
    run = reads.run(connection, str(published["run_id"].iloc[0])) or {}
    fetch = lineage.fetch(connection, str(published["fetch_id"].iloc[0])) or {}
    spoken_from = published["origin_session"].iloc[0]
    unfinished = None
    if origin is None:  # a page of a past night says nothing of the nights after it
        unfinished = record.unfinished_run(connection, symbol, target, after=spoken_from.date())
    asked = lineage.newest_request(connection, symbol) if unfinished else None
    events = reads.events(connection, symbol)
    bars = reads.bars(connection, symbol, last=spoken_from.date()).iloc[-SHOWN_SESSIONS:]
    history = actual_of(target, bars).to_frame("value").assign(settled=bars["settled"])
    return Night(
        run=run,
        fetch=fetch,
        model=lineage.model(connection, str(published["model_id"].iloc[0])) or {},
        forecasts=published,
        history=history,
        events=events[(events["known_from"] <= spoken_from) & ~(events["withdrawn_from"] <= spoken_from)],
        scored=record.scored(connection, symbol, target, origins=SHOWN_SESSIONS),
        findings=record.findings(connection, str((asked or fetch)["id"])),
        unfinished=unfinished,
        decision=lineage.decision_of_run(connection, str(run["id"])),
        exchange=exchange,
        currency="" if symbol.startswith("^") else str(fetch.get("currency", "")),
    )


def write_page(night: Night, path: Path) -> Path:
    """The path of the page, which is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(render_page(night), encoding="utf-8")
    draft.replace(path)
    return path
