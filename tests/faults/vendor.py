"""A vendor whose answers change from morning to morning as Yahoo's do, served to the real yfinance code."""

from __future__ import annotations

from datetime import date

import pandas as pd

from forecasting.ingest.actions import make_actions
from tests.builders import random_bars
from tests.yahoo_stand_in import PAYLOADS, Edit, StandIn

PRICES = ["open", "high", "low", "close", "adj_close"]
HISTORY = 520
"""Sessions before the first morning: the shortest training window, and what its first row looks back on."""

BROKEN = ("500", "502", "down", "truncated", "empty", "short", "dropped", *PAYLOADS)
"""Answers without a bar, other than a refusal."""


class Vendor(StandIn):
    """Several symbols' true bars, and what is served of them this morning.

    Attributes:
        edits_of: Faults of one symbol's rows, until they are removed.
        mistaken: Symbols for which another symbol's rows are served.
    """

    def __init__(self, symbols: tuple[str, ...], last: date, *, days: int, seed: int) -> None:
        """Bars of each symbol for the `days` sessions up to `last`."""
        true = {name: random_bars(days, seed=31 * seed + place, last=last) for place, name in enumerate(symbols)}
        super().__init__(true[symbols[0]], symbol=symbols[0])
        for name in symbols[1:]:
            self.add(name, true[name])
        self.edits_of: dict[str, list[Edit]] = {name: [] for name in symbols}
        self.mistaken: dict[str, str] = {}

    def told(self, symbol: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows and actions that are served as of `today`."""
        rows, actions = super().told(self.mistaken.get(symbol, symbol))
        for edit in self.edits_of.get(symbol, []):
            rows = edit(rows)
        return rows, actions

    def split(self, symbol: str, session: date, ratio: float) -> None:
        """From `session` on, `ratio` new shares for each old one."""
        bars, actions = self.series[symbol]
        bars = bars.copy()
        bars[PRICES] /= ratio  # bars are on the newest share basis
        bars["volume"] = (bars["volume"] * ratio).round()
        before = actions.assign(value=actions["value"].where(actions["kind"] == "split", actions["value"] / ratio))
        self.series[symbol] = bars, _with(before, session, "split", ratio)

    def dividend(self, symbol: str, session: date, value: float) -> None:
        """A dividend whose ex-date is `session`."""
        bars, actions = self.series[symbol]
        self.series[symbol] = bars, _with(actions, session, "dividend", value)

    def restate(self, symbol: str, session: date, factor: float) -> None:
        """The volume of `session` times `factor`, for good."""
        bars, actions = self.series[symbol]
        bars = bars.copy()
        at = pd.Timestamp(session)
        bars.loc[at, "volume"] = round(bars.loc[at, "volume"] * factor)
        self.series[symbol] = bars, actions


def _with(actions: pd.DataFrame, session: date, kind: str, value: float) -> pd.DataFrame:
    known = [(row.session, row.kind, row.value) for row in actions.itertuples()]
    return make_actions([*known, (pd.Timestamp(session), kind, value)])
