"""Alerts of FORECASTING_ALERTS, how often each held on published forecasts, and wrong ones."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import get_args

import numpy as np
import pandas as pd

from forecasting.report.wording import alert_value
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.targets import TARGETS
from forecasting.values import SYMBOL
from forecasting.vocabulary import QUANTILE_COLUMNS, Target

NIGHTS = 250
"""Newest nights of a symbol over which an alert is counted: a year."""
FEWEST = 60  # nights below which they do not show what a forecast can reach

_FORM = (
    "[SYMBOL] [TARGET] median, width or q05 to q95, > or <, NUMBER [usual], as `SBUX q90 > 20e6`"
)
_OF_VOLUME = "An alert without a target is of volume."
_ALERT = re.compile(
    rf"(?:({SYMBOL.pattern})\s+)?(?:({'|'.join(get_args(Target))})\s+)?"
    rf"(median|width|{'|'.join(QUANTILE_COLUMNS)})\s*([<>])"
    r"\s*(\d{1,15}(?:\.\d{1,15})?(?:e\d{1,2})?)(\s+usual)?",
    re.ASCII,
)


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
            symbol,
            target or "volume",
            value,
            sign,
            number=float(number),
            of_usual=usual != "",
        )
        alerts.append(alert)
    return alerts, refused


def judged_alerts(settings: Settings, *, last: date = date.max) -> tuple[list[Row], list[str]]:
    """How often each of FORECASTING_ALERTS held over the newest NIGHTS of each symbol, and faults.

    Args:
        settings: Its alerts, of any target.
        last: Newest session of the nights.

    Returns:
        A row an alert and symbol, with the sessions on which it held, the newest first, and the
        newest and the most extreme value of what it compares, and `reach`, what it could have been;
        and a sentence on each kind of alert that cannot hold.
    """
    alerts, refused = parse_alerts(settings.alerts)
    if not alerts or migrate.is_missing(settings.url):
        return [], _wrong(refused, [], [])
    targets = list(dict.fromkeys(alert.target for alert in alerts))
    counts = list[Row]()
    with connect.reading(settings.url) as connection:
        for target in targets:
            nights = read.published_nights(
                connection,
                settings.symbols,
                target,
                limit=NIGHTS,
                last=last,
            )
            counts += _counts(alerts, _with_compared(nights, target), target)
        unknown = _unknown_names(connection, settings, alerts)
    return counts, _wrong(refused, unknown, counts)


def _with_compared(nights: pd.DataFrame, target: str) -> pd.DataFrame:
    """The nights with the values that alerts compare, and the usual ones of level and width."""
    part = nights["usual"]
    width = nights["q90"] - nights["q10"]
    compared = nights.assign(median=nights["q50"], width=width, usual_width=part)
    if not TARGETS[target].moves_width:
        return compared
    log_width = np.log(nights["q90"] / nights["q10"])  # its part is the usual one
    return compared.assign(usual=nights["last_value"], usual_width=width * part / log_width)


def _counts(alerts: Sequence[ForecastAlert], nights: pd.DataFrame, target: str) -> list[Row]:
    counts = list[Row]()
    for alert in alerts:
        if alert.target != target:
            continue
        for symbol, of_symbol in nights.groupby("symbol"):
            if alert.symbol in ("", symbol):
                of = {"symbol": symbol, "target": target}
                counts.append(of | _count(alert, of_symbol))
    return counts


def _count(alert: ForecastAlert, nights: pd.DataFrame) -> Row:
    """How often an alert held over a symbol's nights, the newest first."""
    above = alert.sign == ">"
    value = nights[alert.value]
    outermost = nights["q95" if above else "q05"]
    usual = nights["usual"]
    if alert.value == "width":
        outermost = nights["q95"] - nights["q05"] if above else nights["q75"] - nights["q25"]
        usual = nights["usual_width"]
    if alert.of_usual:
        value = value / usual
        outermost = outermost / usual
    reach = float(outermost.max() if above else outermost.min())
    holds = value > alert.number if above else value < alert.number
    held_on = list(nights["target_session"][holds].dt.date)
    return {
        "alert": alert.text,
        "compared": alert.value,
        "of_usual": alert.of_usual,
        "number": alert.number,
        "nights": int(value.count()),
        "held": len(held_on),
        "held_on": held_on,
        "newest": bool(holds.iloc[0]),
        "value": float(value.iloc[0]),
        "extreme": float(value.max() if above else value.min()),
        "reach": reach,
        "could_hold": reach > alert.number if above else reach < alert.number,
    }


def _wrong(refused: Sequence[str], unknown: Sequence[str], counts: Sequence[Row]) -> list[str]:
    """A sentence each on alerts that are no conditions, of unknown names and beyond reach."""
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
            f"found {found}. Correct them. {_OF_VOLUME}"
        )
    beyond = _beyond_reach(counts)
    if beyond:
        found = ", ".join(
            f"{row['alert']!r} ({row['nights']} nights reached {alert_value(row, 'reach')})"
            for row in beyond
        )
        wrong.append(
            f"Expected in FORECASTING_ALERTS numbers that a forecast can reach; found {found}. "
            f"Correct the number or its unit. {_OF_VOLUME}"
        )
    return wrong


def _beyond_reach(counts: Sequence[Row]) -> list[Row]:
    """Of each alert whose number no symbol's forecasts came near on enough nights, the nearest."""
    beyond = list[Row]()
    for _, group in groupby(counts, key=itemgetter("alert")):
        rows = list(group)
        if all(row["nights"] >= FEWEST and not row["could_hold"] for row in rows):
            beyond.append(min(rows, key=lambda row: abs(row["reach"] - row["number"])))
    return beyond


def _unknown_names(
    connection: Connection, settings: Settings, alerts: Sequence[ForecastAlert]
) -> list[str]:
    """The symbols and targets of alerts that neither the settings nor the ledger have."""
    named = {one.symbol for one in alerts} | {one.target for one in alerts}
    unknown = named - {"", *settings.targets, *settings.symbols}
    for column in ("symbol", "target"):
        unknown -= set(
            read.values(
                connection,
                "runs",
                column,
                {column: list(unknown)},
            )
        )
    return sorted(unknown)
