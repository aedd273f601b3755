"""Alerts of FORECASTING_ALERTS, judged on the newest published forecasts, and wrong ones."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import get_args

from forecasting.report.wording import JudgedAlert
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.store.rows import ForecastRow
from forecasting.values import SYMBOL
from forecasting.vocabulary import QUANTILE_COLUMNS, Target

_FORM = (
    "[SYMBOL] [TARGET] median, width or q05 to q95, > or <, NUMBER [usual], as `SBUX q90 > 20e6`"
)
_TARGETS = "|".join(get_args(Target))
_ALERT = re.compile(
    rf"(?:(?!(?:{_TARGETS})\s)((?i:{SYMBOL.pattern}))\s+)?(?:({_TARGETS})\s+)?"
    rf"(median|width|{'|'.join(QUANTILE_COLUMNS)})\s*([<>])"
    r"\s*(\d{1,15}(?:\.\d{1,15})?(?:e\d{1,2})?)(\s+usual)?",
    re.ASCII,
)


_QUANTILE_OF = {"median": "q50", **{name: name for name in QUANTILE_COLUMNS}}


@dataclass(frozen=True)
class ForecastAlert:
    """A condition on a published forecast one session ahead."""

    text: str  # as the user wrote it
    symbol: str  # whose forecast; empty for every symbol's
    target: str  # of what; volume where the user names none
    value: str  # median, width (of the 80% interval) or a quantile, as q90
    sign: str  # > or <
    number: float  # in the target's own unit, or times the usual value
    of_usual: bool  # whether it is times the usual value


def parse_alerts(text: str) -> tuple[list[ForecastAlert], list[str]]:
    """The conditions of a text, as `median > 1.5 usual; SBUX q90 > 20e6`, and its other parts."""
    alerts = list[ForecastAlert]()
    refused = list[str]()
    for part in (part.strip() for part in text.split(";") if part.strip()):
        match = _ALERT.fullmatch(part)
        if match is None:
            refused.append(part)
            continue
        symbol, target, value, sign, number, usual = match.groups("")
        alert = ForecastAlert(
            part,
            symbol.upper(),
            target or "volume",
            value,
            sign,
            number=float(number),
            of_usual=usual != "",
        )
        alerts.append(alert)
    return alerts, refused


def judged_alerts(
    settings: Settings, *, last: date = date.max
) -> tuple[list[JudgedAlert], list[str]]:
    """Each of FORECASTING_ALERTS on each symbol's newest published forecast, and what is wrong.

    Args:
        settings: Its alerts, of any target.
        last: Newest session that a forecast may be made on.

    Returns:
        One an alert and symbol, and a sentence on each kind of alert that cannot be judged.
    """
    alerts, refused = parse_alerts(settings.alerts)
    if not alerts or migrate.is_missing(settings.url):
        return [], _wrong(refused, [])
    with connect.reading(settings.url) as connection:
        targets = {alert.target for alert in alerts}
        newest = {one: _newest(connection, settings, one, last) for one in targets}
        unknown = _unknown_names(connection, settings, alerts)
    judged = [row for alert in alerts for row in _judged(alert, newest[alert.target])]
    return judged, _wrong(refused, unknown)


def _newest(
    connection: Connection, settings: Settings, target: str, last: date
) -> list[ForecastRow]:
    """Each symbol's newest published forecast one session ahead, of those that have one."""
    weeks = [read.published(connection, one, target, last=last) for one in settings.symbols]
    return [week[0] for week in weeks if week]


def _judged(alert: ForecastAlert, newest: Sequence[ForecastRow]) -> list[JudgedAlert]:
    """The alert on the forecast of each symbol that it is of."""
    judged = []
    for row in newest:
        if alert.symbol not in ("", row.symbol):
            continue
        value = _compared(alert, row)
        one = JudgedAlert(
            symbol=row.symbol,
            target=row.target,
            alert=alert.text,
            compared=alert.value,
            of_usual=alert.of_usual,
            value=value,
            holds=value > alert.number if alert.sign == ">" else value < alert.number,
        )
        judged.append(one)
    return judged


def _compared(alert: ForecastAlert, row: ForecastRow) -> float:
    """The value that an alert compares, in usual values or in the target's unit."""
    value = row.q90 - row.q10
    if alert.value != "width":
        value = getattr(row, _QUANTILE_OF[alert.value])
    if not alert.of_usual:
        return value
    return math.nan if row.usual is None else value / row.usual


def _wrong(refused: Sequence[str], unknown: Sequence[str]) -> list[str]:
    """A sentence each on alerts that are no conditions and on unknown names."""
    wrong = list[str]()
    if refused:
        found = ", ".join(repr(part[:40]) for part in refused)
        wrong.append(
            f"Expected in FORECASTING_ALERTS conditions with ; between, each {_FORM}; found "
            f"{found}. Correct it; the others are judged."
        )
    if unknown:
        found = ", ".join(name[:40] for name in unknown)
        wrong.append(
            "Expected in FORECASTING_ALERTS symbols and targets of the settings or of the ledger; "
            f"found {found}. Correct them. An alert without a target is of volume."
        )
    return wrong


def _unknown_names(
    connection: Connection, settings: Settings, alerts: Sequence[ForecastAlert]
) -> list[str]:
    """The symbols and targets of alerts that neither the settings nor the ledger have."""
    named = {one.symbol for one in alerts} | {one.target for one in alerts}
    unknown = named - {"", *settings.targets, *settings.symbols}
    for column in ("symbol", "target"):
        unknown -= set(read.values(connection, "runs", column, {column: list(unknown)}))
    return sorted(unknown)
