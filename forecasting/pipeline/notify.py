"""Messages to people about nights, sent by apprise to the addresses in FORECASTING_NOTIFY."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from forecasting.errors import UsageError
from forecasting.plain_text import plain_text
from forecasting.settings import Settings

if TYPE_CHECKING:
    from apprise import NotifyBase

logger = logging.getLogger("forecasting.notify")

# What chat services make mentions, links and code of, each in its own way, beside HTML, which apprise escapes; as signs
# that look alike.
_SIGNS = str.maketrans("<>[]`@", "\u2039\u203a()'\uff20")


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
