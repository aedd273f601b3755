"""Numbers and days as text: 12.3 M shares, 1.93%."""

import math
from dataclasses import dataclass, replace
from datetime import date, datetime

import pandas as pd

from forecasting.targets import TARGETS
from forecasting.vocabulary import Target

GAP = "\N{NO-BREAK SPACE}"  # between a number and its unit
SHARES = "shares"  # the unit of a volume, which its context often states already
_MINUS = "\N{MINUS SIGN}"
_SIZES = ((1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, ""))


@dataclass(frozen=True)
class Unit:
    """How values are written: divided by `scale`, with `decimals`, and `name` behind them.

    A page has one, so that columns can be compared.
    """

    scale: float = 1.0
    decimals: int = 2
    name: str = ""  # which a column's head has alone: `M shares`, `%`

    def number(self, value: float) -> str:
        """The bare number; a dash for NaN."""
        if not math.isfinite(value):
            return "\N{EN DASH}"
        return f"{value / self.scale:,.{self.decimals}f}".replace("-", _MINUS)

    def span(self, low: float, high: float) -> str:
        """An interval of bare numbers."""
        return f"{self.number(low)}\N{EN DASH}{self.number(high)}"

    def text(self, *values: float) -> str:
        """A number with its unit, or the two of an interval."""
        gap = "" if self.name in ("", "%") else GAP
        return "\N{EN DASH}".join(map(self.number, values)) + gap + self.name

    def brief(self, *values: float) -> str:
        """A value or an interval as by `text`, without the word `shares`."""
        return replace(self, name=self.name.removesuffix(SHARES).rstrip()).text(*values)


def unit_for(target: Target, *, usual: float) -> Unit:
    """The unit of a target with the usual value `usual`, maybe NaN: about three digits."""
    if TARGETS[target].unit == "percent":
        return Unit(0.01, name="%")
    typical = max(1.0, usual)  # 1.0 for a NaN
    scale, letter = next((scale, letter) for scale, letter in _SIZES if typical >= scale)
    decimals = max(0, 2 - int(math.log10(typical / scale)))
    return Unit(scale, decimals, name=f"{letter} {SHARES}".strip())


def relative(value: float, other: float) -> float:
    """The change from `other` as a share of it; NaN where that is unknown."""
    return value / other - 1.0 if other else math.nan


def percent(share: float, *, signed: bool = False, decimals: int = 0) -> str:
    """A share as a percentage; a dash for NaN."""
    if not math.isfinite(share):
        return "\N{EN DASH}"
    rounded = round(100 * share, decimals) or 0.0  # no sign of a share that rounds to nothing
    return f"{rounded:{'+' if signed and rounded else ''}.{decimals}f}%".replace("-", _MINUS)


def change(value: float, other: float) -> str:
    """The relative change from `other`, signed; a dash where that is unknown."""
    return percent(relative(value, other), signed=True)


def as_sentence(text: str) -> str:
    """The text with a capital letter and one full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def p_value(value: float | None) -> str:
    """A test's p to two decimals; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    return "< 0.01" if value < 0.005 else f"{value:.2f}"


def as_day(value: object) -> date:
    """The calendar day of a date, timestamp or ISO text."""
    return pd.Timestamp(value).date()  # type: ignore[arg-type]  # whatever pandas can read


def full_day(session: date) -> str:
    """Like Mon 11 Mar 2024."""
    return f"{short_day(session)} {session.year}"


def short_day(session: date) -> str:
    """Like Mon 11 Mar."""
    return f"{session:%a} {session.day} {session:%b}"


def near_day(session: date, year: int) -> str:
    """A day as `short_day` has it in the current `year`, else as `full_day` does."""
    return short_day(session) if session.year == year else full_day(session)


def instant(value: datetime | None) -> str:
    """Like Sat 9 Mar 2024 10:31 UTC; a dash when unknown."""
    return "\N{EN DASH}" if value is None else f"{full_day(value)} {value:%H:%M} UTC"


def span_of_days(first: object, last: object) -> str:
    """Like Mon 31 Mar 2014 to Fri 8 Mar 2024; a dash when either is unknown."""
    if first is None or last is None:
        return "\N{EN DASH}"
    return f"{full_day(as_day(first))} to {full_day(as_day(last))}"
