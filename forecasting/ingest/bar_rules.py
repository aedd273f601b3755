"""The rules that reject an impossible bar or flag a doubtful one, and what they find.

Rules were chosen by their false alarms on 8.2 million bars of liquid US stocks. Reject rules fired
on no bar of them, or on plainly broken rows alone; flag rules fired less than once in 25,000 bars.
High volume and moves up to x2 are news and left alone; an unknown volume is always flagged, because
volume is what is forecast. Limits against the usual of the 63 sessions before carry their false
alarms over 575,920 bars of 95 liquid US stocks, 2000 to 2024.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.ingest.actions import adjustment_mismatch, dividends_on
from forecasting.sessions import early_closes, sessions_index

PRICES = ["open", "high", "low", "close"]
VALUES = [*PRICES, "volume"]

# The rule of the finding on listed days of reports to which volume did not react
QUIET_EARNINGS = "earnings_quiet"
# The rule of the finding, of a night's session, on a list that cannot be read
UNREAD_EARNINGS = "earnings_unread"
_LASTING = ("missing_session", "volume_unknown", QUIET_EARNINGS, UNREAD_EARNINGS)
# A close may leave [low, high] by rounding; one in 2 million liquid bars leaves it by more
_OUTSIDE = 1e-3
SPIKE_REJECT = 5.0
_SPIKE_FLAG = 2.0
_JUMP_FLAG = 2.0
_RANGE_FLAG = 2.0
_ADJUSTMENT_FLAG = 1e-3
# past a thousand times the largest of any exchange; 2^63 shares end a night
_MOST_SHARES = 1e14
_HIGHEST_PRICE = 1e12

PARTIAL_VOLUME = 0.4
"""Share of the usual volume below which the newest full session counts as unfinished: 1 in 424
finished bars."""

INFLATED_QUIET = 5.0
INFLATED = 20.0
"""Multiples of the usual volume past which the newest bar is held: 5 where its range is below twice
the usual (1 in 1,570; of true volumes times 10 it holds 94%), 20 whatever the range (1 in
38,000). The hold ends with the next bar."""

OUTLIER_LOW = 0.05
OUTLIER_HIGH = 30.0
"""Multiples of the usual volume outside which any new bar is flagged: 12 bars, 1 in 47,993."""

QUIET_MOVE = 0.06
QUIET_SIGMAS = 4.0
"""Log move from the last close to both open and close, and in standard deviations of daily log
returns, past which a session of usual range and volume is doubtful: no market moves that far
without trading."""

OTHER_UNIT = 300.0
"""Multiple of the usual volume past which, or under its inverse, two sessions in a row are in
another unit, as thousands of shares: of two sessions in a row the largest multiple in 577,915
bars was 36, the least 0.14."""

# sessions whose median is the usual, and the fewest that have one
BEFORE = 63
FEWEST_BEFORE = 20
_ORDINARY = 4
"""Sessions of the 63 past a limit of volume from which on passing it is ordinary: of simulated
volumes whose logs vary by 0.9, as small caps' do, 1 in 85 is held as unfinished, before it was 1
in 9. Of liquid stocks it spares 1 in 30."""

_QUIET_RANGE = 2.0  # times the usual log(high / low)
# a split multiplies volume too, by 1.2 to 1.5
_QUIET_VOLUME = 2.0
_BUSY_VOLUME = 3.0
_BUSY_MOVE = 0.15


UNREADABLE = "row_unreadable"
"""Rule of a row of a file that cannot be read: its value is the line, its session as written."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with one session's bar, or with the earnings dates since that session."""

    session: date | None  # None of a row of a file whose date cannot be read
    rule: str  # as stored in table `findings`
    # `reject` keeps the row out of the bars, `flag` only records it
    severity: Literal["reject", "flag"]
    value: float | None  # the offending number
    detail: str  # one sentence that explains the rule

    @property
    def place(self) -> date | float | None:
        """Its session, or of a row without a readable date its line."""
        return self.value if self.session is None else self.session

    @property
    def is_persistent(self) -> bool:
        """Whether it stays open until a response no longer shows it, not only for its own fetch."""
        return self.severity == "reject" or self.rule in _LASTING


_DETAILS = {
    "volume_unknown": "The source gives no volume, or 0.",
    "price_spike": "Close left both neighbours by this factor and came back.",
    "off_calendar": "The exchange did not trade on this day.",
    "price_unknown": "A price is missing; the value is the volume.",
    "price_infinite": "A price is infinite, or above 10^12.",
    "price_not_positive": "The lowest of the four prices is not above 0.",
    "high_below_low": "High lies below low by the value.",
    "close_outside_range": "Close lies over 0.1% outside low .. high.",
    "open_outside_range": "Open lies over 0.1% outside low .. high.",
    "volume_impossible": "Volume is negative, infinite or above 10^14.",
    "partial_bar": "The newest volume is below 0.4 of the median of 63.",
    "volume_inflated": "The newest volume is too high for its price range.",
    "price_jump": "Close moved by this factor since the session before.",
    "wide_range": "High is this many times low.",
    "volume_outlier": "Volume is this multiple of the median of the 63 sessions before.",
    "row_repeats": "All five numbers repeat those of an earlier session.",
    "adj_close_mismatch": "Adj Close and the dividends named disagree.",
}


@dataclass(frozen=True)
class Rule:
    """A rule on a frame of D bars."""

    name: str
    broken: NDArray[np.bool_] | pd.Series  # (D,)
    value: NDArray[np.float64] | pd.Series  # (D,) the offending numbers


def impossible_rows(bars: pd.DataFrame, exchange: str, *, of_index: bool = False) -> list[Rule]:
    """The rules that a row breaks by itself, worst first; one that breaks any is rejected."""
    prices = bars[PRICES]
    opened, high, low, close = (prices[name] for name in PRICES)
    volume = bars["volume"]
    traded = bars.index
    if len(bars):
        traded = sessions_index(traded[0].date(), traded[-1].date(), exchange)
    lowest = prices.min(axis=1)
    is_opened_outside = _outside(opened, low, high) & (not of_index)
    no_volume = (volume < 0) | (volume > _MOST_SHARES)
    return [
        Rule("off_calendar", ~bars.index.isin(traded), close),
        Rule("price_unknown", prices.isna().any(axis=1), volume),
        Rule("price_infinite", prices.max(axis=1) > _HIGHEST_PRICE, close),
        Rule("price_not_positive", lowest <= 0.0, lowest),
        Rule("high_below_low", high < low, high - low),
        Rule("close_outside_range", _outside(close, low, high), close),
        Rule("open_outside_range", is_opened_outside, opened),
        Rule("volume_impossible", no_volume, volume),
    ]


def impossible_neighbours(bars: pd.DataFrame, exchange: str, *, live: bool) -> list[Rule]:
    """The rules that a row breaks beside its neighbours; of `live` bars the newest volume's too."""
    partial = np.zeros(len(bars), dtype=bool)
    inflated = np.zeros(len(bars), dtype=bool)
    if live and len(bars):
        # Where the newest sessions, several, have volumes in another unit, the user has accepted
        # it.
        in_unit = newest_run(is_other_unit(volume_multiple(bars.iloc[-2 * BEFORE :])))
        newest = bars.iloc[-in_unit:] if in_unit > 1 else bars
        partial[-1] = is_partial(newest, exchange)
        inflated[-1] = is_inflated(newest)
    volume = bars["volume"]
    return [
        spike_rule(bars, SPIKE_REJECT),
        Rule("partial_bar", partial, volume),
        Rule("volume_inflated", inflated, volume),
    ]


def doubts(
    bars: pd.DataFrame,
    actions: pd.DataFrame,
    known: pd.DataFrame,
    changed: NDArray[np.bool_],
) -> list[Finding]:
    """The findings recorded only: on `changed` rows ((D,) bool), and on volumes unknown so far."""
    close = bars["close"]
    moved = (close / close.shift()).fillna(1.0)
    jump = np.maximum(moved, 1.0 / moved)
    reach = bars["high"] / bars["low"]
    repeats = bars.duplicated(VALUES) & bars[VALUES].notna().all(axis=1)
    gap = adjustment_mismatch(bars, actions)
    multiple = volume_multiple(bars)
    outlier = (multiple < OUTLIER_LOW) | (multiple > OUTLIER_HIGH)
    rules = [
        spike_rule(bars, _SPIKE_FLAG),
        Rule("price_jump", jump > _JUMP_FLAG, jump),
        Rule("wide_range", reach > _RANGE_FLAG, reach),
        Rule("volume_outlier", outlier, multiple),
        Rule("row_repeats", repeats, close),
        Rule("adj_close_mismatch", np.abs(gap) > _ADJUSTMENT_FLAG, gap),
    ]
    unknown = bars["volume"].isna() & known["volume"].reindex(bars.index).isna()
    no_volume = Rule("volume_unknown", unknown, pd.Series(np.nan, bars.index))
    findings = []
    for rule in rules:
        findings += _findings_of(bars, rule, rule.broken & changed)
    return findings + _findings_of(bars, no_volume, no_volume.broken)


def spike_rule(bars: pd.DataFrame, limit: float) -> Rule:
    """The rule on a close that left both neighbours by more than the factor `limit` one way."""
    into, out = (bars["close"] / bars["close"].shift(by) for by in (1, -1))
    spike = np.fmax(1.0, np.maximum(np.minimum(into, out), np.minimum(1.0 / into, 1.0 / out)))
    return Rule("price_spike", spike > limit, spike)


def without(bars: pd.DataFrame, rules: list[Rule]) -> tuple[pd.DataFrame, list[Finding]]:
    """`bars` without the rows that break a rule, and a finding of each by the first one broken."""
    broken = pd.Series(False, bars.index)
    findings = []
    for rule in rules:
        findings += _findings_of(bars, rule, rule.broken & ~broken, "reject")
        broken |= rule.broken
    return (bars[~broken] if broken.any() else bars), findings


def findings_on(
    values: pd.Series, rule: str, detail: str, severity: Literal["reject", "flag"] = "flag"
) -> list[Finding]:
    """One finding of a rule on each session of the offending numbers; its value finite or None."""
    return [
        Finding(day.date(), rule, severity, value if np.isfinite(value) else None, detail)
        for day, value in zip(pd.DatetimeIndex(values.index), values.tolist(), strict=True)
    ]


def _findings_of(
    bars: pd.DataFrame,
    rule: Rule,
    rows: NDArray[np.bool_] | pd.Series,
    severity: Literal["reject", "flag"] = "flag",
) -> list[Finding]:
    values = pd.Series(rule.value, bars.index)[rows]
    return findings_on(values, rule.name, _DETAILS[rule.name], severity)


def _outside(price: pd.Series, low: pd.Series, high: pd.Series) -> pd.Series:
    return (price < low * (1.0 - _OUTSIDE)) | (price > high * (1.0 + _OUTSIDE))


def volume_multiple(bars: pd.DataFrame) -> NDArray[np.float64]:
    """(D,) volume over the median of the 63 sessions before; NaN with fewer than 20 known ones."""
    return (bars["volume"] / _usual(bars["volume"])).to_numpy()


def is_other_unit(multiple: NDArray[np.float64] | pd.Series) -> NDArray[np.bool_]:
    """(D,) which multiples of the usual volume no trading explains, but another unit."""
    return np.asarray((multiple > OTHER_UNIT) | (multiple < 1.0 / OTHER_UNIT))


def newest_run(is_true: NDArray[np.bool_]) -> int:
    """How many are true in a row, from the newest one back."""
    return int(np.logical_and.accumulate(is_true[::-1]).sum())


def is_partial(bars: pd.DataFrame, exchange: str = "XNYS") -> bool:
    """Whether the newest bar, of a full session, has so little volume that it looks unfinished.

    Not an early close, whose median is 0.38 of the usual; nor a volume as low as that of the full
    session before, which is finished, or of four of the 63. On SBUX it would have held 3 finished
    bars in 14 years, each a day.
    """
    session = bars.index[-1].date()
    if session in early_closes(session, session, exchange):
        return False
    newest = bars.iloc[-BEFORE - 2 :]
    multiple = volume_multiple(newest)[-2:]
    low = multiple < PARTIAL_VOLUME
    before = newest.index[-2:][0].date()
    after_full = before not in early_closes(before, before, exchange)
    is_usual = (after_full and low.all() and _is_level(multiple)) or _is_ordinary(
        newest["volume"], PARTIAL_VOLUME
    )
    return bool(low[-1] and not is_usual)


def is_inflated(bars: pd.DataFrame) -> bool:
    """Whether the newest volume is too high for its range; after one as high it is finished."""
    newest = bars.iloc[-BEFORE - 2 :]
    multiple = volume_multiple(newest)[-2:]
    reach = _range_multiple(newest)[-1]
    high = multiple[-1] > INFLATED or (multiple[-1] > INFLATED_QUIET and reach < _QUIET_RANGE)
    is_usual = (multiple > INFLATED_QUIET).all() and _is_level(multiple)
    return bool(
        high and not is_usual and not _is_ordinary(1.0 / newest["volume"], 1.0 / INFLATED_QUIET)
    )


def quiet_moves(
    bars: pd.DataFrame, known: pd.DataFrame, actions: pd.DataFrame, *, exchange: str
) -> NDArray[np.bool_]:
    """(D,) whether open and close are far from the close before, on usual range and volume.

    An unnamed 3:2, 4:3, 5:4 or 6:5 split, a bar in another currency and a bar of another series
    look like this. False alarms: 10 in 575,920. Found, on the same bars: 90 to 93% of such splits,
    85% of prices times 1.16 or 0.86, 57% of prices times 0.93. Left out are a session of a named
    split, and one whose session before has a close neither in `bars` nor in the `known` ones: over
    a week a market moves that far.
    """
    close = bars["close"]
    closes = close.combine_first(known["close"])
    days = sessions_index(closes.index[0].date(), closes.index[-1].date(), exchange)
    last = closes.reindex(days).shift().reindex(bars.index)
    # A dividend counts where it brings the two closes nearer: some are in another currency, or a
    # hundredfold.
    ex_dividend = last - dividends_on(bars.index, actions)
    split = bars.index.isin(actions.loc[actions["kind"] == "split", "session"])
    # A dividend above the close is another rule's finding
    with np.errstate(invalid="ignore", divide="ignore"):
        is_nearer = np.abs(np.log(close / ex_dividend)) < np.abs(np.log(close / last))
        last = last.mask(is_nearer, ex_dividend)
        to_open = pd.Series(np.log(bars["open"] / last))
        to_close = pd.Series(np.log(close / last))
    nearest = np.minimum(to_open.abs(), to_close.abs())
    move = np.where(np.sign(to_open) == np.sign(to_close), nearest, 0.0)
    spread = to_close.shift().rolling(BEFORE, min_periods=FEWEST_BEFORE).std()
    volume = volume_multiple(bars)
    usual_volume = (volume < _QUIET_VOLUME) | ((move > _BUSY_MOVE) & (volume < _BUSY_VOLUME))
    far = (move > QUIET_MOVE) & (move > QUIET_SIGMAS * spread)
    return np.asarray(far & usual_volume & (_range_multiple(bars) < _QUIET_RANGE) & ~split)


def _is_level(multiple: NDArray[np.float64]) -> bool:
    """Whether two multiples of the usual volume are in its unit and of no wrong row."""
    return bool(((multiple > OUTLIER_LOW) & (multiple < OUTLIER_HIGH)).all())


def _is_ordinary(volumes: pd.Series, share: float) -> bool:
    """Whether several volumes before the last were under `share` of the usual too, one further."""
    before = volumes.iloc[-BEFORE - 1 : -1]
    past = before[before < share * before.median()]
    return len(past) >= _ORDINARY and bool(past.min() < volumes.iloc[-1])


def _range_multiple(bars: pd.DataFrame) -> NDArray[np.float64]:
    """(D,) log(high / low) over the median of the 63 sessions before; NaN with fewer than 20."""
    reach = pd.Series(np.log(bars["high"] / bars["low"]))
    return (reach / _usual(reach)).to_numpy()


def _usual(values: pd.Series) -> pd.Series:
    return values.shift().rolling(BEFORE, min_periods=FEWEST_BEFORE).median()
