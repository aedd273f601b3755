"""What came of a run, symbol by symbol: the message of its state and its tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pandas as pd

from forecasting.plain_text import named
from forecasting.report.days import as_day
from forecasting.report.tables import unusual
from forecasting.report.units import Unit, short_day, unit_for
from forecasting.vocabulary import Target

SHOWN = 3
"""Symbols that a sentence names."""

TAGGED = 5
"""Most symbols of a run that become tags of it."""


@dataclass(frozen=True)
class SymbolNight:
    """A symbol's newest night, and the forecast that is published now.

    Attributes:
        symbol: Yahoo's ticker.
        target: What is forecast.
        run: The newest row of `runs`; None before the first night.
        published: The published rows of the newest origin; None before the first forecast.
        opens: When the first session of these opens; None before the first forecast.
        currency: Of prices; empty where it is unknown.
    """

    symbol: str
    target: Target
    run: Mapping[str, Any] | None
    published: pd.DataFrame | None
    opens: datetime | None
    currency: str

    @property
    def status(self) -> str:
        """That of the newest night."""
        return str(self.run["status"]) if self.run else "no night yet"

    @property
    def reason(self) -> str:
        """Why it failed or waits, or what is to be known of it."""
        return str(self.run["error"] or self.run["note"] or "") if self.run else ""

    @cached_property
    def tomorrow(self) -> Mapping[Any, Any] | None:
        """The published row of the next session."""
        if self.published is None:
            return None
        row: Mapping[Any, Any] = self.published.sort_values("horizon").iloc[0].to_dict()
        return row

    @property
    def session(self) -> str:
        """The session of that row, like Mon 11 Mar; empty without one."""
        return short_day(as_day(self.tomorrow["target_session"])) if self.tomorrow else ""

    @property
    def unit(self) -> Unit:
        """In which its forecast is written."""
        median = float(self.tomorrow["q50"]) if self.tomorrow else float("nan")  # the last value may be unknown
        return unit_for(self.target, usual=median, symbol=self.symbol, currency=self.currency)


def outcome_sentence(nights: Sequence[SymbolNight]) -> str:
    """What the run brought, for its state: the first forecasts of each symbol."""
    shown = [_tomorrow(night) for night in nights if night.tomorrow is not None]
    return f"{counts_of(nights)}. {named(shown, SHOWN, separator='; ')}".strip()


def subject_tags(symbols: Sequence[str], target: str) -> list[str]:
    """The tags by which a run can be found: its target, and its symbols where they are few."""
    return [target, *(symbols if len(symbols) <= TAGGED else [])]


def outcome_tags(nights: Sequence[SymbolNight]) -> list[str]:
    """What is unusual about the nights: failed, late, fallback, replay; sorted."""
    found = {night.status for night in nights if night.status in ("failed", "late")}
    return sorted(found.union(*(unusual(night.tomorrow) for night in nights if night.tomorrow)))


def counts_of(nights: Sequence[SymbolNight]) -> str:
    """How many symbols ended how, the worst first; of one symbol its name and status."""
    statuses = [night.status for night in nights]
    if len(nights) == 1:
        return f"{nights[0].symbol} {statuses[0]}"
    each = ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses), key=_severity))
    return f"{len(nights)} symbols: {each}"


def names_of(symbols: Sequence[str]) -> str:
    """The first symbols, and how many more there are."""
    return named(symbols, SHOWN)


def _severity(status: str) -> int:
    order = ("failed", "late", "running", "no night yet")
    return order.index(status) if status in order else len(order)


def _tomorrow(night: SymbolNight) -> str:
    row, unit = night.tomorrow or {}, night.unit
    return (
        f"{night.symbol} {night.session} {unit.text(float(row['q50']))}, "
        f"80 % {unit.span(float(row['q10']), float(row['q90']))}"
    )
