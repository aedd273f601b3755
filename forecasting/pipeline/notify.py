"""Messages to people about nights, sent by apprise to the addresses in FORECASTING_NOTIFY."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from forecasting.errors import StoreError, UsageError
from forecasting.pipeline.symbols import NAMED, joined
from forecasting.plain_text import plain_text
from forecasting.settings import Settings
from forecasting.store import connect, read
from forecasting.store.connect import Connection
from forecasting.store.frames import Row

if TYPE_CHECKING:
    from apprise import NotifyBase

logger = logging.getLogger("forecasting.notify")

Kind = Literal[
    "night.failed",  # a run ended with an error
    "night.late",  # the newest session's bar is not there yet
    "forecast.missing",  # `check --notify` found no live forecast
    "forecast.fallback",  # a baseline was published in the champion's place
    "data.revised",  # bars that were stored have been restated, rebased by a split, or held back
    "drift",  # the champion is outside its control chart
    "promotion",  # a fit from scratch is published from now on; the refresh of every night is none
    "fit.refused",  # the gate refused tonight's fit
]

ALERT_VERDICTS = ("split", "revised", "held")
"""Verdicts about stored bars that a person should see; dividends and new bars are routine."""

# What chat services make mentions, links and code of, each in its own way, beside HTML, which apprise escapes; as signs
# that look alike.
_SIGNS = str.maketrans("<>[]`@", "\u2039\u203a()'\uff20")


@dataclass(frozen=True)
class Alert:
    """One message: what happened to whose night, in a sentence that may quote others.

    `symbol` may name several together, and `session` is the newest of theirs; None where it is about none.
    """

    kind: Kind
    symbol: str
    target: str
    session: date | None
    words: str


def send(settings: Settings, alerts: Sequence[Alert], *, link: str = "") -> None:
    """Send the alerts, those of one kind and more than three symbols as one, with a link; warn of those not sent."""
    if settings.notify is None or not alerts:
        return
    from apprise import Apprise, NotifyFormat

    services, refused = _services(settings)
    if refused:
        logger.warning(refused)
    for alert in together(alerts):
        subject = f"{alert.symbol} {alert.target}"
        session = f", session {alert.session}" if alert.session else ""
        title, body = f"forecasting: {alert.kind}, {subject}", _plain(f"{subject}{session}: {alert.words}")
        for service in services:
            one = Apprise()
            with _silent():
                one.add(service)
                sent = one.notify(f"{body}\n{link}".strip(), title=_plain(title), body_format=NotifyFormat.TEXT)
            if not sent:
                logger.warning("%s was not sent by %s: `apprise -vv` has the reason", title, service.service_name)


def check_addresses(settings: Settings) -> str:
    """The services that messages go to; a UsageError, which quotes no address, where apprise cannot use one."""
    services, refused = _services(settings)
    if refused:
        raise UsageError(refused)
    return ", ".join(str(service.service_name) for service in services)


def together(alerts: Sequence[Alert]) -> list[Alert]:
    """One alert for a kind of more than three symbols, which quotes the first three: nobody reads 500 e-mails."""
    by_kind: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        by_kind.setdefault((alert.kind, alert.target), []).append(alert)
    kept: list[Alert] = []
    for same in by_kind.values():
        symbols = list(dict.fromkeys(alert.symbol for alert in same))
        if len(symbols) <= NAMED:
            kept += same
            continue
        quoted = " ".join(f"{alert.symbol}: {alert.words.rstrip('.')}." for alert in same[:NAMED])
        words = f"{len(symbols)} symbols, among them {quoted}"
        newest = max((alert.session for alert in same if alert.session), default=None)
        kept.append(Alert(same[0].kind, joined(symbols), same[0].target, newest, words))
    return kept


def send_notable(settings: Settings, run_ids: Sequence[str], *, link: str = "") -> None:
    """Send what a person should see of completed nights, by the ids of their rows in `runs`; `link` as for `send`."""
    if settings.notify is None or not run_ids:
        return
    with connect.reading(settings.url) as connection:
        rows = [row for run_id in run_ids if (row := read.run(connection, run_id)) is not None]
        alerts = [
            Alert(kind, row["symbol"], row["target"], row["as_of"], words)
            for row in rows
            for kind, words in _of_night(connection, row)
        ]
    send(settings, alerts, link=link)


def _of_night(connection: Connection, run: Row) -> Iterator[tuple[Kind, str]]:
    fetch = read.newest_fetch(connection, run["symbol"], run_id=run["id"])
    decision = read.decision_of_run(connection, run["id"])
    fit = read.model_of_run(connection, run["id"])
    if fetch is not None and fetch["verdict"] in ALERT_VERDICTS:
        yield "data.revised", f"{fetch['verdict']}: {fetch['detail']}"
    if run["mode_reason"].startswith("drift: "):
        yield "drift", run["mode_reason"]
    if fallback := _fallback_reason(connection, run):
        yield "forecast.fallback", fallback
    if fit is not None and fit["refused"]:
        yield "fit.refused", f"{fit['id']} is not published: {fit['refused']}"
    new = decision is not None and decision["champion"] and decision["winner"] != decision["champion"]
    if decision is not None and new and fit is not None and fit["method"] == "scratch":
        place = f"in place of {decision['champion']}"
        yield "promotion", f"{fit['id']}, a fit from scratch ({run['mode_reason']}), is published {place} from now on"


def _fallback_reason(connection: Connection, run: Row) -> str:
    """Why a baseline was published on the night of a row of `runs`, or an empty text when the champion was."""
    try:
        published = read.published(connection, run["symbol"], run["target"], origin=run["as_of"])
    except StoreError:
        return ""  # the night failed before it had a forecast; night.failed reports it
    fallback = published[(published["status"] == "fallback") & (published["run_id"] == run["id"])]
    return str(fallback["reason"].iloc[0]) if len(fallback) else ""


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
