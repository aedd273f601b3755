"""Messages to FORECASTING_NOTIFY: the digest of a morning, and what went wrong."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.conditions import Condition
from forecasting.errors import (
    ForecastingError,
    LockedError,
    NoLiveForecastError,
    UsageError,
    explained,
)
from forecasting.evaluate.significance import ENOUGH_NIGHTS
from forecasting.night.health import live_states
from forecasting.night.night import Night
from forecasting.plain_text import short_list, unmarked
from forecasting.publish.alerts import alert_findings, held_alerts, wrong_alerts
from forecasting.publish.check import check_lines
from forecasting.publish.export import check_known
from forecasting.publish.metrics import write_metrics
from forecasting.publish.pages import INDEX, newest_nights, page_address
from forecasting.report.digest import Digest, digest_html, digest_markdown, make_digest
from forecasting.report.night_view import NightView
from forecasting.report.wording import without_bar
from forecasting.sessions import last_completed
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, future, migrate, read
from forecasting.store.connect import Connection
from forecasting.store.rows import ModelRow, RunRow
from forecasting.vocabulary import Clock, short_id

if TYPE_CHECKING:
    from apprise import NotifyBase

logger = logging.getLogger("forecasting.notify")


def newest_digest(settings: Settings, *, now: Clock) -> Digest:
    """The message about the newest night of each symbol."""
    migrate.check_ready(settings.url, writes=False)
    lines = newest_nights(settings, now=now)
    if not any(line.run for line in lines):  # as of a misspelt symbol
        check_known(settings, None, named_in_call=False, advice="Name them by --symbol.")
    return _digest(settings, lines, (), now=now)


def send_digest(
    settings: Settings,
    nights: Sequence[Night],
    newest: Callable[[], Sequence[NightView]],
    *,
    now: Clock,
    link: str = "",
) -> bool:
    """Whether the one message of a run about its nights could be made; else there is a warning.

    It is sent unless it has been: a symbol that fails for good is tried by every run of a morning.
    Without nights it is sent where that of the run before could not be. `newest` reads the
    `newest_nights` of the run, if the message is made.
    """
    try:
        _send_digest(settings, nights, newest, now=now, link=link)
    except Exception as error:  # which would hide those of nights
        logger.warning("the digest of the run was not made: %s", explained(error))
        return False
    return True


def _send_digest(
    settings: Settings,
    nights: Sequence[Night],
    newest: Callable[[], Sequence[NightView]],
    *,
    now: Clock,
    link: str,
) -> None:
    remembered = _runs_folder(settings) / "-".join(["digest", *settings.targets])
    last = remembered.read_text(encoding="utf-8") if remembered.is_file() else None
    was_not_sent = last == ""
    if settings.notify is None or not (nights or was_not_sent):
        return
    digest = _digest(settings, newest(), nights, now=now)
    text = digest_markdown(digest, has_pages=False)
    session = last_completed(now(), settings.exchange_of(settings.symbols[0]))
    digest_id = short_id("digest", session.isoformat(), text)
    if digest_id == last:
        return
    link = page_address(settings, INDEX) or link
    failed = send(
        settings,
        digest.title,
        text,
        link=link,
        page=digest_html(digest, link=link),
        kind="info" if digest.is_well else "warning",
    )
    # Because of one address, the others get it twice at most
    is_sent = failed < 1.0 if was_not_sent else failed == 0.0
    remembered.parent.mkdir(parents=True, exist_ok=True)
    remembered.write_text(digest_id if is_sent else "", encoding="utf-8")


def _digest(
    settings: Settings, lines: Sequence[NightView], nights: Sequence[Night], *, now: Clock
) -> Digest:
    current = [line for line in lines if line.is_current]
    current.sort(key=lambda line: -line.unusualness)
    with connect.reading(settings.url) as connection:
        notes = [*_of_runs(connection, nights, lines)]
        if settings.rivals:
            notes += _rivals_ahead(connection, settings)
        ahead = future.rows_ahead(connection, now())
        if ahead is not None:
            notes.append(("", ahead))
    return make_digest(
        lines,
        notes=notes,
        findings=alert_findings(settings, [line.series for line in lines if line not in current]),
        alerts=held_alerts(settings, current),
    )


def _rivals_ahead(connection: Connection, settings: Settings) -> Iterator[tuple[str, Condition]]:
    """The rivals that have lost less than what was published, over enough live nights."""
    found = read.view(connection, "standings", {"kind": "live", "horizon": 1})
    found = found.query("window_sessions == 250 and pinball < published_pinball")
    for row in found.query(f"line in {[*settings.rivals]} and n >= {ENOUGH_NIGHTS}").itertuples():
        yield f"{row.symbol} {row.target}", Condition("rival", {"name": row.line, "nights": row.n})


def _of_runs(
    connection: Connection, nights: Sequence[Night], lines: Sequence[NightView]
) -> Iterator[tuple[str, Condition]]:
    """What a person should see of completed nights, or of those of the lines."""
    run_ids = [night.id for night in nights]
    if not nights:
        run_ids = [line.run.id for line in lines if line.run]
    for run_id in run_ids:
        run = read.stored(connection, RunRow, {"id": run_id, "status": "done"})
        if run is None:
            continue
        for condition in [*_of_data(connection, run), *_of_model(connection, run)]:
            yield f"{run.symbol} {run.target}", condition


def _of_model(connection: Connection, run: RunRow) -> Iterator[Condition]:
    """That a full fit of a completed night replaces another model."""
    before = read.newest_network(connection, run.symbol, run.target, before=run.as_of)
    fit = read.stored(connection, ModelRow, {"run_id": run.id, "method": "scratch", "refused": ""})
    if fit is not None and before is not None:
        why = {"reason": run.mode_reason, "before": before.id}
        yield Condition("model", {"session": run.as_of, "model": fit.id} | why)


def _of_data(connection: Connection, run: RunRow) -> Iterator[Condition]:
    fetch = read.newest_fetch(connection, run.symbol, run_id=run.id)
    if fetch is None:
        return
    if fetch.verdict in ("split", "revised", "held"):  # dividends and new bars are routine
        values = {"session": run.as_of, "verdict": fetch.verdict, "detail": fetch.detail}
        yield Condition("revised", values)
    of_run = {"symbol": run.symbol, "run_id": run.id}
    began = read.values(connection, "fetches", "fetched_at", of_run)[0]
    findings = read.findings(connection, fetch.id)
    new = without_bar(findings[findings["since"] >= began])
    if new:
        yield Condition("missing", {"session": run.as_of, "findings": new})


def send_failed(settings: Settings, error: ForecastingError) -> None:
    """Send what stopped a run, unless that is the lock of another, of which its caller reads."""
    if not isinstance(error, LockedError):
        subject = _subject(settings)
        send(
            settings,
            f"{subject}: the run failed (night.failed)",
            f"The run of {subject} failed. {error}",
        )


def check_fresh(*, now: Clock, sends: bool = False, metrics: Path | None = None) -> str:
    """A sentence that names the symbols and sessions with a live forecast.

    Args:
        now: The clock that says which session is the newest.
        sends: Whether its failure would be sent, so that addresses must be such as apprise can use.
        metrics: The file for Prometheus; None without one.

    Raises:
        NoLiveForecastError: A symbol lacks the live forecast of its newest completed session.
    """
    settings = read_settings()
    states = live_states(settings, now=now)
    if metrics is not None:
        write_metrics(metrics, settings, states, now())
    missing = [state for state in states if state.condition is not None]
    lines = check_lines(states)
    text = " ".join(lines)
    if missing:
        target = f" {settings.target}" if len(settings.targets) == 1 else ""
        subject = short_list([state.name for state in missing]) + target
        raise NoLiveForecastError(subject, *([text] if len(states) == 1 else lines))
    if sends:
        check_addresses(settings)
    return text


def send_check(error: ForecastingError) -> None:
    """Send why a check failed. If the settings are not valid, log a warning instead."""
    try:
        settings = read_settings()
    except UsageError:
        logger.warning("Nothing was sent: the settings are not valid.")
        return
    title = "check.failed"
    if isinstance(error, NoLiveForecastError):
        title = f"forecast.missing, {error.subject}"
    send(settings, title, str(error))
    if settings.notify is None:
        logger.warning("Nothing was sent: FORECASTING_NOTIFY has no address.")


def message_checks(settings: Settings) -> dict[str, Callable[[], str]]:
    """The checks of addresses and alerts that are set, by name; as `night_checks`."""

    def alerts() -> str:
        wrong = wrong_alerts(settings)
        if wrong:
            raise UsageError(" ".join(wrong))
        return settings.alerts

    checks: dict[str, Callable[[], str]] = {}
    if settings.notify:
        checks["notify"] = lambda: check_addresses(settings)
    if settings.alerts:
        checks["alerts"] = alerts
    return checks


def _runs_folder(settings: Settings) -> Path:
    """The folder of what runs of this ledger tell the next one.

    Two ledgers on one data folder have the same ids.
    """
    return settings.data_dir.absolute() / "runs" / short_id(connect.place(settings.url))


def _subject(settings: Settings) -> str:
    return f"{short_list(settings.symbols)} {short_list(settings.targets)}"


def send(
    settings: Settings,
    title: str,
    text: str,
    *,
    link: str = "",
    page: str = "",
    kind: str = "failure",
) -> float:
    """The share of usable addresses that did not take a message; a warning names each of them.

    Args:
        settings: With the addresses.
        title: May quote others, as the text.
        text: Cut where it is too long for a service.
        link: Follows the text.
        page: HTML that goes to mail instead, its quotes escaped.
        kind: One of apprise's, the message's colour in chats.
    """
    if settings.notify is None:
        return 0.0
    services, refused = _services(settings)
    if refused:
        logger.warning(refused)
    title = f"forecasting: {title}"
    failed = 0
    for place, service in enumerate(services, 1):
        if not _took(service, title, text, link=link, page=page, kind=kind):
            failed += 1
            which = f"{service.service_name}, {place} of {len(services)}"
            logger.warning("%s was not sent by %s: `apprise -vv` has the reason", title, which)
    return failed / max(len(services), 1)


def _took(service: NotifyBase, title: str, text: str, *, link: str, page: str, kind: str) -> bool:
    from apprise import Apprise, NotifyFormat, NotifyType
    from apprise.plugins.email import NotifyEmail

    form = NotifyFormat.TEXT
    body = f"{_cut(text, service.body_maxlen - len(link) - 1)}\n{link}".strip()
    if page and isinstance(service, NotifyEmail) and len(page) <= service.body_maxlen:
        form = NotifyFormat.HTML
        body = page
    return bool(
        Apprise([service]).notify(
            body, title=unmarked(title), body_format=form, notify_type=NotifyType(kind)
        )
    )


def check_addresses(settings: Settings) -> str:
    """The services that messages go to.

    Raises:
        UsageError: Apprise cannot use an address; it quotes none.
    """
    services, refused = _services(settings)
    if refused:
        raise UsageError(refused)
    return ", ".join(str(service.service_name) for service in services)


def _services(settings: Settings) -> tuple[list[NotifyBase], str]:
    """The services of the addresses that apprise can use, and a sentence on the others."""
    from apprise import Apprise

    # Whose lines have whole URLs, or the path of a webhook
    for name in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(name).disabled = True
    services = Apprise()
    text = settings.notify.get_secret_value() if settings.notify else ""
    # As apprise does, so that each has its place
    addresses = re.split(r"(?i)[\s,]+(?=[a-z0-9]+://)", text.strip())
    refused = list[str]()
    for place, address in enumerate(addresses, 1):
        if not services.add(address):
            scheme = re.match("(?i)[a-z0-9]+://", address)
            refused.append(f"number {place} {scheme[0] if scheme else 'without a scheme'}")
    if not refused:
        return list(services), ""
    found = f"{len(addresses)}, of which it cannot use {', '.join(refused)}" if text else "none"
    return list(services), (
        "Expected URLs of apprise in FORECASTING_NOTIFY, such as ntfys://ntfy.sh/TOPIC or "
        f"slack://A/B/C; found {found}. Its documentation lists those of each service."
    )


def _cut(text: str, limit: int) -> str:
    """The text clean, without its last lines where it is longer than `limit` characters."""
    body = "\n".join(map(unmarked, text.splitlines()))
    if len(body) <= limit:
        return body
    start = body[: limit - 2]
    whole_lines, _, _ = start.rpartition("\n")
    return f"{whole_lines or start}\n…"
