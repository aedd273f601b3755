"""The rules that reject an impossible bar or flag a doubtful one, and what they find.

Rules were chosen by their false alarms on 8.2 million bars of liquid US stocks. Reject rules fired on no bar of them,
or on plainly broken rows alone; flag rules fired less than once in 25,000 bars. High volume and moves up to x2 are
news, not faults, and are left alone; an unknown volume is always flagged, because volume is what is forecast.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.ingest.actions import adjustment_mismatch
from forecasting.ingest.usual import OUTLIER_HIGH, OUTLIER_LOW, in_newest_unit, is_inflated, is_partial, volume_multiple
from forecasting.sessions import sessions_index

PRICES = ["open", "high", "low", "close"]

STALE_EARNINGS = "earnings_stale"
"""The rule of the finding on a source that lists no coming earnings date."""

_LASTING = ("missing_session", "volume_unknown", STALE_EARNINGS)
_OUTSIDE = 1e-3  # a close may leave [low, high] by rounding; one in 2 million liquid bars leaves it by more
SPIKE_REJECT, _SPIKE_FLAG = 5.0, 2.0
_JUMP_FLAG, _RANGE_FLAG = 2.0, 2.0
_ADJUSTMENT_FLAG = 1e-3
_MOST_SHARES, _HIGHEST_PRICE = 1e14, 1e12  # past a thousand times the largest of any exchange; 2^63 shares end a night


@dataclass(frozen=True)
class Finding:
    """Something wrong with one session's bar, or with the earnings dates since that session.

    Attributes:
        session: The session of the bar.
        rule: Name of the rule, as stored in table `findings`.
        severity: `reject` keeps the row out of the bars; `flag` only records it.
        value: The offending number; None without one.
        detail: One sentence that explains the rule.
    """

    session: date
    rule: str
    severity: Literal["reject", "flag"]
    value: float | None
    detail: str

    @property
    def is_persistent(self) -> bool:
        """Whether it describes the state of the source's response, so that it stays open until one no longer shows it.

        A flag about a new or changed row describes what happened: it is recorded once, and cleared by its own fetch.
        """
        return self.severity == "reject" or self.rule in _LASTING


class Rule(NamedTuple):
    """A rule on a frame of D bars: its name, (D,) which rows break it, (D,) the offending numbers, and a sentence."""

    name: str
    broken: NDArray[np.bool_]
    value: NDArray[np.float64]
    detail: str


def impossible_rows(bars: pd.DataFrame, exchange: str) -> list[Rule]:
    """The rules that a row breaks by itself, worst first; one that breaks any is rejected."""
    price = bars[PRICES].to_numpy()
    opened, high, low, close = price.T
    volume = bars["volume"].to_numpy()
    traded = sessions_index(bars.index[0].date(), bars.index[-1].date(), exchange) if len(bars) else bars.index
    lowest = np.min(price, axis=1, initial=np.inf)
    highest = np.max(price, axis=1, initial=0.0)
    return [
        Rule("off_calendar", ~bars.index.isin(traded), close, "The exchange did not trade on this day."),
        Rule("price_unknown", np.isnan(price).any(axis=1), volume, "A price is missing; the value is the volume."),
        Rule("price_infinite", highest > _HIGHEST_PRICE, close, "A price is infinite, or above 10^12."),
        Rule("price_not_positive", lowest <= 0.0, lowest, "The lowest of the four prices is not above 0."),
        Rule("high_below_low", high < low, high - low, "High lies below low by the value."),
        Rule("close_outside_range", _outside(close, low, high), close, "Close lies over 0.1 % outside low .. high."),
        Rule("open_outside_range", _outside(opened, low, high), opened, "Open lies over 0.1 % outside low .. high."),
        Rule(
            "volume_impossible",
            (volume < 0) | (volume > _MOST_SHARES),
            volume,
            "Volume is negative, infinite or above 10^14.",
        ),
    ]


def impossible_neighbours(bars: pd.DataFrame, exchange: str, *, live: bool) -> list[Rule]:
    """The rules that a row breaks beside its neighbours; `live` also judges the newest volume, maybe unfinished."""
    partial, inflated = np.zeros(len(bars), dtype=bool), np.zeros(len(bars), dtype=bool)
    if live and len(bars):
        newest = in_newest_unit(bars)  # which the user has accepted
        partial[-1] = is_partial(newest, bars.index[-1].date(), exchange)
        inflated[-1] = is_inflated(newest)
    volume = bars["volume"].to_numpy()
    return [
        spike_rule(bars, SPIKE_REJECT),
        Rule("partial_bar", partial, volume, "The newest volume is below 0.4 of the median of 63."),
        Rule("volume_inflated", inflated, volume, "The newest volume is too high for its price range."),
    ]


def doubts(bars: pd.DataFrame, actions: pd.DataFrame) -> list[Rule]:
    """The rules that are recorded only."""
    close = bars["close"].to_numpy()
    jump, reach = _factor(_ratio(close)), (bars["high"] / bars["low"]).to_numpy()
    whole = bars[[*PRICES, "volume"]].to_numpy()
    repeats = bars.duplicated([*PRICES, "volume"]).to_numpy() & ~np.isnan(whole).any(axis=1)
    gap, multiple = adjustment_mismatch(bars, actions), volume_multiple(bars)
    outlier = (multiple < OUTLIER_LOW) | (multiple > OUTLIER_HIGH)
    return [
        spike_rule(bars, _SPIKE_FLAG),
        Rule("price_jump", jump > _JUMP_FLAG, jump, "Close moved by this factor since the session before."),
        Rule("wide_range", reach > _RANGE_FLAG, reach, "High is this many times low."),
        Rule("volume_outlier", outlier, multiple, "Volume is this multiple of the median of the 63 sessions before."),
        Rule("row_repeats", repeats, close, "All five numbers repeat those of an earlier session."),
        Rule("adj_close_mismatch", np.abs(gap) > _ADJUSTMENT_FLAG, gap, "Adj Close and the dividends named disagree."),
    ]


def spike_rule(bars: pd.DataFrame, limit: float) -> Rule:
    """The rule on a close that left both neighbours by more than the factor `limit` and came back."""
    spike = _spike(bars["close"].to_numpy())
    return Rule("price_spike", spike > limit, spike, "Close left both neighbours by this factor and came back.")


def unknown_volume(bars: pd.DataFrame, known: pd.DataFrame | None) -> Rule:
    """The rule that is broken where neither the response nor the stored bars have a volume."""
    volume = bars["volume"].to_numpy()
    stored = np.full(len(bars), np.nan) if known is None else known["volume"].reindex(bars.index).to_numpy()
    return Rule("volume_unknown", np.isnan(volume) & np.isnan(stored), volume, "The source gives no volume, or 0.")


def without(bars: pd.DataFrame, rules: list[Rule]) -> tuple[pd.DataFrame, list[Finding]]:
    """`bars` without the rows that break a rule, and one finding a row: the first rule that it breaks."""
    broken = np.zeros(len(bars), dtype=bool)
    findings = []
    for rule in rules:
        findings += findings_of(bars, rule, rule.broken & ~broken, "reject")
        broken |= rule.broken
    return (bars[~broken] if broken.any() else bars), findings


def findings_of(
    bars: pd.DataFrame, rule: Rule, rows: NDArray[np.bool_], severity: Literal["reject", "flag"] = "flag"
) -> list[Finding]:
    """One finding on each of the `rows` ((D,) bool) of a rule; its value is None where it is not finite."""
    found = np.flatnonzero(rows).tolist()
    values = [float(rule.value[i]) if np.isfinite(rule.value[i]) else None for i in found]
    return [
        Finding(bars.index[i].date(), rule.name, severity, value, rule.detail)
        for i, value in zip(found, values, strict=True)
    ]


def _outside(price: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (price < low * (1.0 - _OUTSIDE)) | (price > high * (1.0 + _OUTSIDE))


def _ratio(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) close over the close before; 1 for the first."""
    return np.append(1.0, close[1:] / close[:-1]) if len(close) else close


def _factor(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(ratio, 1.0 / ratio)


def _spike(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) factor by which a close left both neighbours in the same direction; 1 at the ends and where it did not."""
    spike = np.ones(len(close))
    if len(close) > 2:
        into, out = close[1:-1] / close[:-2], close[1:-1] / close[2:]
        spike[1:-1] = np.maximum(1.0, np.maximum(np.minimum(into, out), np.minimum(1.0 / into, 1.0 / out)))
    return spike
