"""Messages to people: the digest of a morning, and what went wrong, sent by apprise to FORECASTING_NOTIFY."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from forecasting.errors import UsageError
from forecasting.pipeline.folders import INDEX, page_address
from forecasting.pipeline.night import Night
from forecasting.pipeline.publish import newest_nights
from forecasting.pipeline.symbols import NAMED
from forecasting.plain_text import plain_text
from forecasting.report.digest import Digest, digest_in, make_digest
from forecasting.report.night_view import SymbolLine
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.values import parse_alerts

if TYPE_CHECKING:
    from apprise import NotifyBase

logger = logging.getLogger("forecasting.notify")

# What chat services make mentions, links and code of, each in its own way, beside HTML, which apprise escapes; as signs
# that look alike.
_SIGNS = str.maketrans("<>[]`@", "\u2039\u203a()'\uff20")

NIGHTS = 250  # Newest nights of a symbol over which an alert is counted: a year
NOTABLE_VERDICTS = ("split", "revised", "held")
"""Verdicts about stored bars that a person should see; dividends and new bars are routine."""


def newest_digest(settings: Settings) -> Digest:
    """The message about the newest night of each symbol."""
    migrate.check_ready(settings.url, writes=False)
    lines = newest_nights(settings)
    return _digest(settings, lines, [line.run["id"] for line in lines if line.run])


def send_digest(
    settings: Settings, nights: Sequence[Night], lines: Sequence[SymbolLine] | None = None, *, link: str = ""
) -> None:
    """Send the one message of a run whose nights have ended; none where nothing was to do."""
    if settings.notify is None or not nights:
        return
    lines = newest_nights(settings, nights) if lines is None else lines
    digest = _digest(settings, lines, [night.id for night in nights if night.is_done])
    link = link or page_address(settings, INDEX)
    page = digest_in("html", digest, link=link)
    send(settings, digest.title, digest_in("text", digest), link=link, page=page)


def alert_counts(settings: Settings) -> list[Row]:
    """How often each of FORECASTING_ALERTS held over the newest NIGHTS of each symbol; a UsageError without any."""
    if not settings.alerts:
        raise UsageError("Expected alerts in FORECASTING_ALERTS, found none. Set some, such as 'median > 1.5 usual'.")
    migrate.check_ready(settings.url, writes=False)
    alerts = parse_alerts(settings.alerts)
    with connect.reading(settings.url) as connection:
        return read.alerts_held(connection, settings.symbols, settings.target, alerts, nights=NIGHTS)


def _digest(settings: Settings, lines: Sequence[SymbolLine], run_ids: Sequence[str]) -> Digest:
    """The message about these lines, and what is notable of runs."""
    alerts: dict[str, list[str]] = {}
    for row in alert_counts(settings) if settings.alerts else []:
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


def send(settings: Settings, title: str, text: str, *, link: str = "", page: str = "") -> None:
    """Send one message to every address, to mail programs as the HTML `page` if there is one; warn of those not sent.

    Title and lines of text may quote others; the text is cut where a service takes less, and ends with the link. The
    page has escaped the texts of others.
    """
    if settings.notify is None:
        return
    from apprise import Apprise, NotifyFormat
    from apprise.plugins.email import NotifyEmail

    services, refused = _services(settings)
    if refused:
        logger.warning(refused)
    title = f"forecasting: {title}"
    for service in services:
        one = Apprise()
        as_page = bool(page) and isinstance(service, NotifyEmail) and len(page) <= service.body_maxlen
        body = page if as_page else f"{_cut(text, service.body_maxlen - len(link) - 1)}\n{link}".strip()
        with _silent():
            one.add(service)
            form = NotifyFormat.HTML if as_page else NotifyFormat.TEXT
            sent = one.notify(body, title=_plain(title), body_format=form)
        if not sent:
            logger.warning("%s was not sent by %s: `apprise -vv` has the reason", title, service.service_name)


def check_addresses(settings: Settings) -> str:
    """The services that messages go to; a UsageError, which quotes no address, where apprise cannot use one."""
    services, refused = _services(settings)
    if refused:
        raise UsageError(refused)
    return ", ".join(str(service.service_name) for service in services)


def _services(settings: Settings) -> tuple[list[NotifyBase], str]:
    """The services of the addresses that apprise can use, and a sentence about those that it cannot."""
    from apprise import Apprise

    services, addresses = Apprise(), settings.notify.get_secret_value() if settings.notify else ""
    with _silent():
        usable = services.add(addresses)
    refused = (
        "Expected URLs of apprise in FORECASTING_NOTIFY, such as ntfys://ntfy.sh/TOPIC or slack://A/B/C; found "
        f"{'one that it cannot use' if addresses else 'none'}. Its documentation lists those of each service."
    )
    return list(services), "" if usable else refused


def _plain(text: str) -> str:
    return plain_text(text).translate(_SIGNS)


def _cut(text: str, limit: int) -> str:
    """The text clean, without its last lines where it is longer than `limit` characters."""
    body = "\n".join(map(_plain, text.splitlines()))
    return body if len(body) <= limit else f"{body[: limit - 2].rpartition(chr(10))[0] or body[: limit - 2]}\n…"


@contextmanager
def _silent() -> Iterator[None]:
    """A context without log lines about addresses: apprise's have whole URLs, urllib3's the path of a webhook."""
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3.connectionpool")]
    before = [logger.disabled for logger in loggers]
    for one in loggers:
        one.disabled = True
    try:
        yield
    finally:
        for one, disabled in zip(loggers, before, strict=True):
            one.disabled = disabled
