"""The message of a morning from the ledger: of the newest nights for the command, of a run for its addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from forecasting.errors import UsageError
from forecasting.pipeline import notify
from forecasting.pipeline.folders import INDEX, page_address
from forecasting.pipeline.night import Night
from forecasting.pipeline.publish import newest_nights
from forecasting.pipeline.symbols import NAMED
from forecasting.report.digest import Digest, digest_in, make_digest
from forecasting.report.night_view import SymbolLine
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.values import parse_alerts

NIGHTS = 250  # Newest nights of a symbol over which an alert is counted: a year
NOTABLE_VERDICTS = ("split", "revised", "held")
"""Verdicts about stored bars that a person should see; dividends and new bars are routine."""


def newest_digest(settings: Settings) -> Digest:
    """The message about the newest night of each symbol."""
    migrate.check_ready(settings.url, writes=False)
    lines = newest_nights(settings)
    return _digest(settings, lines, [line.run["id"] for line in lines if line.run])


def send_digest(settings: Settings, nights: Sequence[Night], *, link: str = "") -> None:
    """Send the one message of a run whose nights have ended; none where nothing was to do."""
    if settings.notify is None or not nights:
        return
    digest = _digest(settings, newest_nights(settings, nights), [night.id for night in nights if night.is_done])
    link = link or page_address(settings, INDEX)
    page = digest_in("html", digest, link=link)
    notify.send(settings, digest.title, digest_in("text", digest), link=link, page=page)


def alert_counts(settings: Settings) -> list[Row]:
    """How often each of FORECASTING_ALERTS held over the newest NIGHTS of each symbol, as `read.alerts_held`."""
    alerts = parse_alerts(settings.alerts)
    with connect.reading(settings.url) as connection:
        return read.alerts_held(connection, settings.symbols, settings.target, alerts, nights=NIGHTS) if alerts else []


def alert_preview(settings: Settings) -> list[Row]:
    """As `alert_counts`; a UsageError where no alert is set."""
    if not settings.alerts:
        raise UsageError("Expected alerts in FORECASTING_ALERTS, found none. Set some, such as 'median > 1.5 usual'.")
    migrate.check_ready(settings.url, writes=False)
    return alert_counts(settings)


def _digest(settings: Settings, lines: Sequence[SymbolLine], run_ids: Sequence[str]) -> Digest:
    """The message about these lines, and what is notable of runs."""
    alerts: dict[str, list[str]] = {}
    for row in alert_counts(settings):
        if row["tonight"]:
            alerts.setdefault(row["symbol"], []).append(str(row["alert"]))
    found: dict[str, list[str]] = {}
    with connect.reading(settings.url) as connection:
        for run in filter(None, (read.row(connection, "runs", {"id": run_id}) for run_id in run_ids)):
            for kind, words in _notable(connection, run):
                night = f"{run['symbol']} {run['target']}, session {run['as_of']}"
                found.setdefault(kind, []).append(f"{kind}, {night}: {words}")
    findings: list[str] = []
    for kind, sentences in found.items():  # nobody reads 500 of a kind
        more = len(sentences) - NAMED
        findings += sentences[:NAMED] + [f"{kind}: {more} more, in view night_log."] * (more > 0)
    return make_digest(lines, findings=findings, alerts=alerts)


def _notable(connection: Connection, run: Row) -> Iterator[tuple[str, str]]:
    """What a person should see of a completed night beside its forecasts and its status: kind and words."""
    fetch = read.newest_fetch(connection, run["symbol"], run_id=run["id"])
    decision = read.row(connection, "promotions", {"run_id": run["id"]})
    fit = read.row(connection, "models", {"symbol": run["symbol"], "target": run["target"], "run_id": run["id"]})
    if fetch is not None and fetch["verdict"] in NOTABLE_VERDICTS:
        yield "data.revised", f"{fetch['verdict']}: {fetch['detail']}"
    if run["mode_reason"].startswith("drift: "):
        yield "drift", run["mode_reason"]
    if fit is not None and fit["refused"]:
        yield "fit.refused", f"{fit['id']} is not published: {fit['refused']}"
    before = decision["champion"] if decision and decision["winner"] != decision["champion"] else None
    if before and fit is not None and fit["method"] == "scratch":
        reason = f"a fit from scratch ({run['mode_reason']})"
        yield "promotion", f"{fit['id']}, {reason}, is published in place of {before} from now on"
