"""Alerts of FORECASTING_ALERTS, judged on the newest nights, and wrong ones."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from forecasting.report.night_view import NightView
from forecasting.report.wording import JudgedAlert
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read
from forecasting.store.connect import Connection
from forecasting.values import SYMBOL
from forecasting.vocabulary import HORIZONS, QUANTILE_COLUMNS, Target

_FORM = (
    "[SYMBOL] [TARGET] median, width, q05 to q95, total (of volume) or skill, > or <, NUMBER "
    "[usual] (not of a skill), as `SBUX q90 > 20e6`"
)
_TARGETS = "|".join(get_args(Target))
_ALERT = re.compile(
    rf"(?:(?!(?:{_TARGETS})\s)((?i:{SYMBOL.pattern}))\s+)?(?:({_TARGETS})\s+)?"
    rf"(median|width|total|skill|{'|'.join(QUANTILE_COLUMNS)})\s*([<>])"
    r"\s*(\d{1,15}(?:\.\d{1,15})?(?:e\d{1,2})?)(\s+usual)?",
    re.ASCII,
)


_QUANTILE_OF = {"median": "q50", **{name: name for name in QUANTILE_COLUMNS}}


@dataclass(frozen=True)
class ForecastAlert:
    """A condition on a published forecast one session ahead, on a total, or on the skill."""

    text: str  # as the user wrote it
    symbol: str  # whose forecast; empty for every symbol's
    target: str  # of what; volume where the user names none
    # median, width (of the 80% interval) or a quantile, as q90; total (the median of the next five
    # sessions together); or skill
    value: str
    sign: str  # > or <
    number: float  # in the target's own unit, of a skill a share, or times the usual value
    of_usual: bool  # whether it is times the usual value


def parse_alerts(text: str) -> tuple[list[ForecastAlert], list[str]]:
    """The conditions of a text, as `median > 1.5 usual; SBUX q90 > 20e6`, and its other parts."""
    alerts = list[ForecastAlert]()
    refused = list[str]()
    for part in (part.strip() for part in text.split(";") if part.strip()):
        match = _ALERT.fullmatch(part)
        if match is None or _is_of_nothing(*match.group(2, 3, 6)):
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


def _is_of_nothing(target: str | None, value: str, usual: str | None) -> bool:
    """Whether there is no such value: volume alone has totals, and no skill is usual."""
    return (value == "total" and target == "range") or (value == "skill" and usual is not None)


def wrong_alerts(settings: Settings) -> list[str]:
    """A sentence on each kind of alert of FORECASTING_ALERTS that cannot be judged."""
    alerts, refused = parse_alerts(settings.alerts)
    if not alerts or migrate.is_missing(settings.url):
        return _wrong(refused, [])
    with connect.reading(settings.url) as connection:
        unknown = _unknown_names(connection, settings, alerts)
    return _wrong(refused, unknown)


def judged_alerts(settings: Settings, nights: Sequence[NightView]) -> list[JudgedAlert]:
    """Each of FORECASTING_ALERTS on each night with a forecast that it is of.

    None holds of a value that is unknown, as the skill of too few nights.
    """
    alerts, _ = parse_alerts(settings.alerts)
    judged = []
    for night in nights:
        if night.forecasts:
            judged += [_judged(alert, night) for alert in alerts if _is_of(alert, night)]
    return judged


def _is_of(alert: ForecastAlert, night: NightView) -> bool:
    return alert.target == night.target and alert.symbol in ("", night.symbol)


def _judged(alert: ForecastAlert, night: NightView) -> JudgedAlert:
    value, usual = _compared(alert.value, night)
    if alert.of_usual:
        value = value / usual if usual else math.nan
    return JudgedAlert(
        symbol=night.symbol,
        target=night.target,
        alert=alert.text,
        compared=alert.value,
        of_usual=alert.of_usual,
        value=value,
        holds=value > alert.number if alert.sign == ">" else value < alert.number,
    )


def _compared(name: str, night: NightView) -> tuple[float, float]:
    """What an alert names, and its usual value; each NaN where it is unknown."""
    row = night.forecasts[0]
    if name == "skill":
        skill = night.skill
        if skill is None or not skill.is_known:
            return math.nan, math.nan
        return skill.share, math.nan
    if name == "total":
        totals = {total.horizon: total.q50 for total in night.totals}
        return totals.get(HORIZONS[-1], math.nan), HORIZONS[-1] * night.usual
    if name == "width":
        return row.q90 - row.q10, night.usual_width
    return getattr(row, _QUANTILE_OF[name]), night.usual


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
