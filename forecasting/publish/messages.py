"""Messages to people: the digest of a morning, and what went wrong, sent by apprise to FORECASTING_NOTIFY."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from forecasting.errors import ForecastingError, LockedError, NoLiveForecastError, UsageError
from forecasting.night.failures import explained, quoted
from forecasting.night.folders import INDEX, page_address, runs_folder
from forecasting.night.health import live_states
from forecasting.night.night import Night
from forecasting.night.run_log import notes_of
from forecasting.night.symbols import NAMED, joined, own_settings
from forecasting.plain_text import named, plain_text
from forecasting.publish.alerts import alert_counts, wrong_alerts
from forecasting.publish.export import check_known
from forecasting.publish.pages import newest_nights
from forecasting.report.digest import Digest, digest_in, make_digest
from forecasting.report.night_view import SymbolLine
from forecasting.report.page import environment
from forecasting.report.units import as_day, short_day
from forecasting.report.wording import without_bar
from forecasting.sessions import after, last_completed
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, migrate, read
from forecasting.store.frames import Row
from forecasting.vocabulary import CHAMPION, KINDS, Clock, short_id

if TYPE_CHECKING:
    from apprise import NotifyBase

logger = logging.getLogger("forecasting.notify")

# What chat services make mentions, links and code of, each in its own way, beside HTML, which
# apprise escapes; as signs that look alike. A > alone opens nothing, nor does < before a space or a
# digit, as in an alert.
_SIGNS = str.maketrans("[]`@", "()'\uff20")


def newest_digest(settings: Settings, *, now: Clock) -> Digest:
    """The message about the newest night of each symbol."""
    migrate.check_ready(settings.url, writes=False)
    lines = newest_nights(settings)
    if not any(line.run for line in lines):  # as of a misspelt symbol
        check_known(settings, None, advice=" Name them by --symbol.")
    return _digest(
        settings,
        lines,
        (),
        now(),
    )


def send_digest(settings: Settings, nights: Sequence[Night], *, now: Clock, link: str = "") -> bool:
    """Send the one message of a run about its nights, ended or not.

    Without any that of the newest if the last failed.

    None where nothing is new: a symbol that fails for good is tried by every run of a morning.
    False, with a warning,
    where it cannot be made: the run goes on, or is about to end with errors of its nights, which
    this would hide.
    """
    try:
        _send_digest(
            settings,
            nights,
            now=now,
            link=link,
        )
    except Exception as error:
        logger.warning("the digest of the run was not made: %s", explained(error, now=now))
        return False
    return True


def _send_digest(settings: Settings, nights: Sequence[Night], *, now: Clock, link: str) -> None:
    sent = runs_folder(settings) / f"digest-{settings.target}"
    last = sent.read_text(encoding="utf-8") if sent.is_file() else None  # empty: it was not sent
    if settings.notify is None or not (nights or last == ""):
        return
    digest = _digest(
        settings,
        newest_nights(settings, nights),
        nights,
        now(),
    )
    text = digest_in("text", digest)
    session = last_completed(now(), settings.exchange_of(settings.symbols[0]))
    if last == (of_text := short_id("digest", session.isoformat(), text)):
        return
    link = page_address(settings, INDEX) or link
    kind = "warning" if digest.problems or digest.stale or digest.alerts else "info"
    failed = send(
        settings,
        digest.title,
        text,
        link=link,
        page=digest_in("html", digest, link=link),
        kind=kind,
    )
    # Because of one address, the others get it twice at most
    is_sent = failed == 0.0 or (last == "" and failed < 1.0)
    sent.parent.mkdir(parents=True, exist_ok=True)
    sent.write_text(of_text if is_sent else "", encoding="utf-8")


def _digest(
    settings: Settings, lines: Sequence[SymbolLine], nights: Sequence[Night], at: datetime
) -> Digest:
    run_ids = [night.id for night in nights] or [line.run["id"] for line in lines if line.run]
    stored = [line for line in lines if line.forecast]
    requests = dict[str, str]()
    replayed = dict[str, list[str]]()
    due = {line.symbol: _due(line, settings, at) for line in stored}
    told = " ".join(str(line.forecast["reason"]) for line in stored)  # why a baseline is published
    with connect.reading(settings.url) as connection:
        of_runs = _of_runs(connection, run_ids, told)
        for line in stored:
            if as_day(line.forecast["origin_session"]) < due[line.symbol]:
                if asked := read.newest_fetch(connection, line.symbol, with_bars=False):
                    request = (
                        "Its newest request, on {fetched_at:%Y-%m-%d}, was {verdict}: {detail}"
                    ).format(**asked)
                    requests[line.symbol] = f"{request.rstrip('.')}."
            elif days := _without_live(
                connection, line, own_settings(settings, line.symbol).exchange
            ):
                what = (
                    f"replay. No live forecast of {named([*map(short_day, days)], NAMED)}: "
                    "made afterwards."
                )
                replayed.setdefault(what, []).append(f"{line.symbol} {line.target}")
    of_replays = [f"{named(names, NAMED)}: {what}" for what, names in replayed.items()]
    findings = [*wrong_alerts(settings), *of_replays, *of_runs]
    last = max((night.session for night in nights), default=date.max)
    alerts = alert_counts(settings, last=last) if settings.alerts else []
    return make_digest(
        lines,
        newest_sessions=due,
        requests=requests,
        findings=findings,
        alerts=alerts,
    )


def _due(line: SymbolLine, settings: Settings, at: datetime) -> date:
    """The newest completed session, from which a forecast is current.

    Of a run of the past the line's own.
    """
    if line.is_past:
        return as_day(line.forecast["origin_session"])
    return last_completed(at, own_settings(settings, line.symbol).exchange)


def _without_live(connection: connect.Connection, line: SymbolLine, exchange: str) -> list[date]:
    """The scored sessions since the newest one with a live forecast, where the newest of all has a replay alone."""
    if line.is_past or not line.result:
        return []
    of = {"symbol": line.symbol, "target": line.target, "horizon": 1, "role": CHAMPION}
    live, late, replay = (
        read.newest(
            connection,
            "scores",
            "target_session",
            of | {"kind": kind},
        )
        for kind in KINDS
    )
    return (
        after(live, replay, exchange)
        if live and replay and replay > max(live, late or live)
        else []
    )


def _of_runs(connection: connect.Connection, run_ids: Sequence[str], told: str) -> list[str]:
    """What a person should see of completed runs, at most NAMED sentences of a kind: nobody reads 500."""
    found = dict[str, list[str]]()
    findings = list[str]()
    runs = (read.row(connection, "runs", {"id": run_id, "status": "done"}) for run_id in run_ids)
    for run in filter(None, runs):
        for kind, words in _notable(connection, run, told):
            night = f"{run['symbol']} {run['target']}, session {run['as_of']}"
            found.setdefault(kind, []).append(f"{kind}, {night}: {words}")
    for kind, sentences in found.items():
        more = len(sentences) - NAMED
        findings += sentences[:NAMED] + [f"{kind}: {more} more, in view night_log."] * (more > 0)
    return findings


def _notable(connection: connect.Connection, run: Row, told: str) -> Iterator[tuple[str, str]]:
    """What a person should see of a completed night beside its forecasts, status and what is `told`: kind and words."""
    of_run = {"symbol": run["symbol"], "run_id": run["id"]}
    fetch = read.newest_fetch(connection, run["symbol"], run_id=run["id"])
    decision = read.row(connection, "promotions", {"run_id": run["id"]})
    fit = read.row(
        connection,
        "models",
        {"symbol": run["symbol"], "target": run["target"], "run_id": run["id"]},
    )
    if fetch is not None:
        if fetch["verdict"] in ("split", "revised", "held"):  # dividends and new bars are routine
            yield "data.revised", f"{fetch['verdict']}: {fetch['detail']}"
        # New since the first of the night's requests.
        began = pd.Timestamp(
            read.values(
                connection,
                "fetches",
                "fetched_at",
                of_run,
            )[0]
        )
        found = read.findings(connection, fetch["id"])
        if new := without_bar(found[found["since"] >= began]):
            yield "data.missing", f"{new}."
    if market := notes_of(run).get("market"):
        yield "market", market
    if run["mode_kind"] == "drift":
        yield "drift", run["mode_reason"]
    if fit is not None and fit["refused"] and fit["refused"] not in told:
        yield "fit.refused", f"{fit['id']} is not published: {fit['refused']}"
    before = (
        decision["champion"] if decision and decision["winner"] != decision["champion"] else None
    )
    if before and fit is not None and fit["method"] == "scratch":
        yield (
            "promotion",
            f"{fit['id']}, a fit from scratch ({run['mode_reason']}), replaces {before} from now on",
        )


def send_failed(settings: Settings, error: ForecastingError) -> None:
    """Send what stopped a run; not that another one has the lock, which is told to the person who has started it."""
    if not isinstance(error, LockedError):
        subject = f"{joined(settings.symbols)} {settings.target}"
        send(
            settings,
            f"{subject}: the run failed (night.failed)",
            f"The run of {subject} failed. {error}",
        )


def check_fresh(*, now: Clock, sends: bool = False) -> str:
    """A sentence that names symbols and sessions with a live forecast; `sends` remembers and sends it.

    Raises:
        NoLiveForecastError: A symbol lacks the live forecast of its newest completed session.
    """
    settings = read_settings()
    rows = live_states(settings, now=now)
    missing = [row for row in rows if row["cause"]]
    shown = {"rows": rows, "missing": missing, "target": settings.target, "quoted": quoted}
    lines = environment().get_template("check.txt").render(shown).splitlines()
    if missing:
        if sends:
            mark_missing(settings)
        subject = f"{joined([row['symbol'] for row in missing])} {settings.target}"
        raise NoLiveForecastError(subject, *([" ".join(lines)] if len(rows) == 1 else lines))
    if sends:
        send_fresh(settings, " ".join(lines))
    return " ".join(lines)


def message_checks(settings: Settings) -> dict[str, Callable[[], str]]:
    """The checks of addresses and alerts that are set, by name; as `night_checks`."""

    def alerts() -> str:
        if wrong := wrong_alerts(settings):
            raise UsageError(" ".join(wrong))
        return settings.alerts

    checks: dict[str, Callable[[], str]] = {}
    if settings.notify:
        checks["notify"] = lambda: check_addresses(settings)
    if settings.alerts:
        checks["alerts"] = alerts
    return checks


def mark_missing(settings: Settings) -> None:
    """Remember in a file, where one can be written, that a check missed a forecast of these symbols."""
    with suppress(OSError):
        _mark(settings).parent.mkdir(parents=True, exist_ok=True)
        _mark(settings).touch()


def send_fresh(settings: Settings, text: str) -> None:
    """Send, once after a check that missed a forecast, that none is missing.

    Raises as `check_addresses`.
    """
    check_addresses(settings)
    over = f"forecast.missing is over, {joined(settings.symbols)} {settings.target}"
    if (
        _mark(settings).is_file()
        and send(
            settings,
            over,
            text,
            kind="success",
        )
        < 1.0
    ):
        _mark(settings).unlink()


def _mark(settings: Settings) -> Path:
    return runs_folder(settings) / f"missing-{short_id(settings.target, *settings.symbols)}"


def send(
    settings: Settings,
    title: str,
    text: str,
    *,
    link: str = "",
    page: str = "",
    kind: str = "failure",
) -> float:
    """Send one message, to mail as the HTML `page` if there is one.

    The share of usable addresses without it.

    Title and text may quote others, whose texts the page has escaped; a text too long for a service
    is cut. `kind`, one of apprise's, is the message's colour in chats. A warning names each address
    that did not take it.
    """
    if settings.notify is None:
        return 0.0
    from apprise import Apprise, NotifyFormat, NotifyType
    from apprise.plugins.email import NotifyEmail

    services, refused = _services(settings)
    if refused not in text:  # of a check, it may be the message itself
        logger.warning(refused)
    title = f"forecasting: {title}"
    failed = 0
    for place, service in enumerate(services, 1):
        as_page = (
            bool(page) and isinstance(service, NotifyEmail) and len(page) <= service.body_maxlen
        )
        body = (
            page
            if as_page
            else f"{_cut(text, service.body_maxlen - len(link) - 1)}\n{link}".strip()
        )
        form = NotifyFormat.HTML if as_page else NotifyFormat.TEXT
        if not Apprise([service]).notify(
            body,
            title=_plain(title),
            body_format=form,
            notify_type=NotifyType(kind),
        ):
            failed += 1
            which = f"{service.service_name}, {place} of {len(services)}"
            logger.warning("%s was not sent by %s: `apprise -vv` has the reason", title, which)
    return failed / max(len(services), 1)


def check_addresses(settings: Settings) -> str:
    """The services that messages go to.

    A UsageError, which quotes no address, where apprise cannot use one.
    """
    services, refused = _services(settings)
    if refused:
        raise UsageError(refused)
    return ", ".join(str(service.service_name) for service in services)


def _services(settings: Settings) -> tuple[list[NotifyBase], str]:
    """The services of the addresses that apprise can use, and a sentence about those that it cannot."""
    from apprise import Apprise

    # Whose lines have whole URLs, or the path of a webhook
    for name in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(name).disabled = True
    services = Apprise()
    text = settings.notify.get_secret_value() if settings.notify else ""
    # As apprise does, so that each has its place
    addresses = re.split(r"(?i)[\s,]+(?=[a-z0-9]+://)", text.strip())
    refused = [
        f"number {place} {(re.match('(?i)[a-z0-9]+://', address) or ['without a scheme'])[0]}"
        for place, address in enumerate(addresses, 1)
        if not services.add(address)
    ]
    found = f"{len(addresses)}, of which it cannot use {', '.join(refused)}" if text else "none"
    expected = (
        "Expected URLs of apprise in FORECASTING_NOTIFY, such as ntfys://ntfy.sh/TOPIC or "
        "slack://A/B/C; found"
    )
    return list(
        services
    ), f"{expected} {found}. Its documentation lists those of each service." if refused else ""


def _plain(text: str) -> str:
    return re.sub(r"<(?![ \d])", "\u2039", plain_text(text)).translate(_SIGNS)


def _cut(text: str, limit: int) -> str:
    """The text clean, without its last lines where it is longer than `limit` characters."""
    body = "\n".join(map(_plain, text.splitlines()))
    return (
        body
        if len(body) <= limit
        else f"{body[: limit - 2].rpartition(chr(10))[0] or body[: limit - 2]}\n…"
    )
