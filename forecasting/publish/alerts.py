"""Alerts of FORECASTING_ALERTS, judged on the newest nights, and wrong ones."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from forecasting.conditions import Condition
from forecasting.plain_text import named
from forecasting.report.digest import HeldAlert
from forecasting.report.night_view import NightView
from forecasting.report.units import Unit, percent, unit_for
from forecasting.report.words import sentence_of
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

    def is_of(self, night: NightView) -> bool:
        """Whether it is of a night's symbol and target."""
        return self.target == night.target and self.symbol in ("", night.symbol)

    def holds(self, value: float) -> bool:
        """Whether a value is beyond its limit; not of NaN."""
        return value > self.number if self.sign == ">" else value < self.number


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


def alert_findings(settings: Settings, unjudged: Sequence[str]) -> list[str]:
    """What a person should know of FORECASTING_ALERTS, of `unjudged` series and wrong ones."""
    findings = wrong_alerts(settings)
    if unjudged and parse_alerts(settings.alerts)[0]:
        condition = Condition("unjudged", {"series": named(unjudged, 3)})
        findings.insert(0, sentence_of(condition))
    return findings


def held_alerts(settings: Settings, nights: Sequence[NightView]) -> list[HeldAlert]:
    """What holds of FORECASTING_ALERTS on each night.

    None holds of a value that is unknown, as the skill of too few nights.
    """
    alerts, _ = parse_alerts(settings.alerts)
    held = []
    for night in nights:
        values = {alert: value_of(alert, night) for alert in alerts if alert.is_of(night)}
        holding = [alert for alert, value in values.items() if alert.holds(value)]
        if holding:
            shown = [_shown(alert, values[alert], night.target) for alert in holding]
            each = zip(holding, shown, strict=True)
            texts = "; ".join(f"{alert.text} (is {value})" for alert, value in each)
            usual = " usual" if holding[0].of_usual else ""
            brief = f"{night.series} {holding[0].value} {shown[0]}{usual}"
            held.append(HeldAlert(night.series, brief, f"{night.series}: {texts}"))
    return held


def value_of(alert: ForecastAlert, night: NightView) -> float:
    """What an alert compares, in usual values where it says so; NaN where it is unknown."""
    value, usual = _compared(alert.value, night)
    if alert.of_usual:
        return value / usual if usual else math.nan
    return value


def _shown(alert: ForecastAlert, value: float, target: Target) -> str:
    """The value that an alert compares: in usual values, the target's unit, or percent."""
    if alert.value == "skill":
        return percent(value, signed=True)
    unit = Unit(decimals=3) if alert.of_usual else unit_for(target, usual=value)
    return unit.brief(value)


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
