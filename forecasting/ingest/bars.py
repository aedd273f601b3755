"""The canonical frame of bars, and the rules that reject an impossible row or flag a doubtful one.

Rules were chosen by their false alarms on 8.2 million bars of liquid US stocks. Reject rules fired on no bar of them,
or on plainly broken rows alone; flag rules fired less than once in 25,000 bars. High volume and moves up to x2 are
news, not faults, and are left alone; an unknown volume is always flagged, because volume is what is forecast.
"""

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.ingest.actions import adjustment_mismatch, make_actions
from forecasting.ingest.sources import Fetched
from forecasting.ingest.sources.shape import COLUMNS, check_shape
from forecasting.ingest.usual import OUTLIER_HIGH, OUTLIER_LOW, is_inflated, is_partial, volume_multiple
from forecasting.sessions import sessions_index

PRICES = ["open", "high", "low", "close"]

LEAST_VOLUME = 0.5
"""Shares below which a volume is 0, which is unknown: the ledger has whole shares."""

PRICE_TOLERANCE = 1e-5
"""Relative difference up to which two prices are the same; prices in Yahoo's responses jitter below it."""

STALE_EARNINGS = "earnings_stale"
"""The rule of the finding on a source that lists no coming earnings date."""

_LASTING = ("missing_session", "volume_unknown", STALE_EARNINGS)
_OUTSIDE = 1e-3  # a close may leave [low, high] by rounding; one in 2 million liquid bars leaves it by more
_SPIKE_REJECT, _SPIKE_FLAG = 5.0, 2.0
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


class _Rule(NamedTuple):
    name: str
    broken: NDArray[np.bool_]
    value: NDArray[np.float64]
    detail: str


def canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` as canonical bars: naive midnight index `session`, ascending; six float64 columns; volume 0 becomes NaN.

    Yahoo writes 0 for an unknown volume, and every liquid stock trades each session: 0 is unknown, never a number.
    """
    bars = frame.reindex(columns=COLUMNS).astype("float64")
    bars.index = pd.DatetimeIndex(frame.index).as_unit("ns").rename("session")
    bars["volume"] = bars["volume"].where(bars["volume"].abs() >= LEAST_VOLUME)
    return bars.sort_index()


def no_bars() -> pd.DataFrame:
    """Canonical bars without a row."""
    return canonical(pd.DataFrame(index=pd.DatetimeIndex([])))


def nothing_fetched(source: str, symbol: str, first: date, last: date) -> Fetched:
    """The result of a failed request: no bars, for the requested span."""
    return Fetched(source, symbol, first, last, no_bars(), make_actions([]), library_version="", title="")


def check_bars(fetched: Fetched, *, exchange: str, known: pd.DataFrame | None) -> tuple[pd.DataFrame, list[Finding]]:
    """The bars that no rule rejects, and the findings on rejected and doubtful ones.

    Args:
        fetched: The response of a source.
        exchange: Exchange whose calendar defines the sessions.
        known: The stored current bars. Only rows that are new or changed against them are flagged; a persistent finding
            (`Finding.is_persistent`) is reported while the response shows it and the stored bars lack it. None: all.

    Returns:
        The canonical bars without rejected rows, and the findings, ascending by session.

    Raises:
        BadDataError: The source returned bars of another shape than the canonical one.
    """
    check_shape(fetched)
    bars, findings = _without(fetched.bars, _impossible_rows(fetched.bars, exchange))
    bars, more = _without(bars, _impossible_neighbours(bars, exchange, live=fetched.live))
    changed = changed_rows(bars, known)
    flags = [flag for rule in _doubts(bars, fetched.actions) for flag in _findings(bars, rule, rule.broken & changed)]
    unknown = _unknown_volume(bars, known)
    flags += _findings(bars, unknown, unknown.broken)
    return bars, _in_order([*findings, *more, *flags, *_left_out(fetched, known, exchange=exchange)])


def check_index_bars(
    fetched: Fetched, *, exchange: str, known: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[Finding]]:
    """As `check_bars` for an index: impossible rows are rejected; no volume is expected, and no move is doubtful.

    An index is calculated on holidays too (the VIX since 2022): those rows are left out without a finding. Its open is
    calculated by itself, and on 47 of 8,623 sessions of the VIX lies outside low .. high.
    """
    check_shape(fetched)
    days = fetched.bars.index
    traded = days[days.isin(sessions_index(days[0].date(), days[-1].date(), exchange))] if len(days) else days
    rules = [rule for rule in _impossible_rows(fetched.bars.loc[traded], exchange) if rule.name != "open_outside_range"]
    bars, findings = _without(fetched.bars.loc[traded], rules)
    bars, spikes = _without(bars, [_spike_rule(bars, _SPIKE_REJECT)])
    return bars, _in_order([*findings, *spikes, *_left_out(fetched, known, exchange=exchange)])


def _left_out(fetched: Fetched, known: pd.DataFrame | None, *, exchange: str) -> list[Finding]:
    """Findings on rows that the source left out as unreadable, and on sessions without a row."""
    unreadable = [
        Finding(row.session, "row_unreadable", "reject", float(row.line), f"Left out, {row.reason}.")
        for row in fetched.unreadable
        if fetched.first_asked <= row.session <= fetched.last_asked
    ]
    gaps = [
        Finding(day, "missing_session", "flag", None, "The exchange traded, but no bar of it has come yet.")
        for day in _unexplained_gaps(fetched, known, exchange)
    ]
    return [*unreadable, *gaps]


def _in_order(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (finding.session, finding.rule))


def missing_sessions(bars: pd.DataFrame, first: date, last: date, exchange: str = "XNYS") -> list[date]:
    """The sessions from `first` to `last` that `bars` lacks, ascending; they are never filled with imputed values."""
    expected = sessions_index(first, last, exchange)
    return [day.date() for day in expected[~expected.isin(bars.index)]]


def payload_hash(fetched: Fetched) -> str:
    """64 hex digits over symbol, sessions, prices to 4 decimals, volumes and actions.

    Adj Close is excluded: every dividend rewrites it, and Yahoo's responses differ in its sixth digit.
    """
    digest = hashlib.sha256(fetched.symbol.encode())
    digest.update(pd.DatetimeIndex(fetched.bars.index).as_unit("s").asi8.tobytes())
    digest.update(np.round(fetched.bars[[*PRICES, "volume"]].to_numpy(), 4).tobytes())
    digest.update(fetched.actions.round({"value": 4}).to_csv(index=False).encode())
    return digest.hexdigest()


def changed_rows(bars: pd.DataFrame, known: pd.DataFrame | None) -> NDArray[np.bool_]:
    """(D,) whether a row is new, or differs from the known one: prices beyond 1e-5 relative, volume at all.

    An unknown volume is no difference: it never overwrites a known one.
    """
    if known is None or known.empty:
        return np.ones(len(bars), dtype=bool)
    before = known[[*PRICES, "volume"]].reindex(bars.index).to_numpy()
    now = bars[[*PRICES, "volume"]].to_numpy()
    same = np.isclose(now, before, rtol=PRICE_TOLERANCE, atol=0.0, equal_nan=True)
    same[:, 4] = (now[:, 4] == before[:, 4]) | np.isnan(now[:, 4])
    return np.asarray(~(same.all(axis=1) & bars.index.isin(known.index)))


def _impossible_rows(bars: pd.DataFrame, exchange: str) -> list[_Rule]:
    price = bars[PRICES].to_numpy()
    opened, high, low, close = price.T
    volume = bars["volume"].to_numpy()
    traded = sessions_index(bars.index[0].date(), bars.index[-1].date(), exchange) if len(bars) else bars.index
    lowest = np.min(price, axis=1, initial=np.inf)
    highest = np.max(price, axis=1, initial=0.0)
    return [
        _Rule("off_calendar", ~bars.index.isin(traded), close, "The exchange did not trade on this day."),
        _Rule("price_unknown", np.isnan(price).any(axis=1), volume, "A price is missing; the value is the volume."),
        _Rule("price_infinite", highest > _HIGHEST_PRICE, close, "A price is infinite, or above 10^12."),
        _Rule("price_not_positive", lowest <= 0.0, lowest, "The lowest of the four prices is not above 0."),
        _Rule("high_below_low", high < low, high - low, "High lies below low by the value."),
        _Rule("close_outside_range", _outside(close, low, high), close, "Close lies over 0.1 % outside low .. high."),
        _Rule("open_outside_range", _outside(opened, low, high), opened, "Open lies over 0.1 % outside low .. high."),
        _Rule(
            "volume_impossible",
            (volume < 0) | (volume > _MOST_SHARES),
            volume,
            "Volume is negative, infinite or above 10^14.",
        ),
    ]


def _impossible_neighbours(bars: pd.DataFrame, exchange: str, *, live: bool) -> list[_Rule]:
    partial, inflated = np.zeros(len(bars), dtype=bool), np.zeros(len(bars), dtype=bool)
    if live and len(bars):
        partial[-1] = is_partial(bars, bars.index[-1].date(), exchange)
        inflated[-1] = is_inflated(bars)
    volume = bars["volume"].to_numpy()
    return [
        _spike_rule(bars, _SPIKE_REJECT),
        _Rule("partial_bar", partial, volume, "The newest volume is below 0.4 of the median of 63."),
        _Rule("volume_inflated", inflated, volume, "The newest volume is too high for its price range."),
    ]


def _doubts(bars: pd.DataFrame, actions: pd.DataFrame) -> list[_Rule]:
    close = bars["close"].to_numpy()
    jump, reach = _apart(_ratio(close)), (bars["high"] / bars["low"]).to_numpy()
    whole = bars[[*PRICES, "volume"]].to_numpy()
    repeats = bars.duplicated([*PRICES, "volume"]).to_numpy() & ~np.isnan(whole).any(axis=1)
    gap, multiple = adjustment_mismatch(bars, actions), volume_multiple(bars)
    outlier = (multiple < OUTLIER_LOW) | (multiple > OUTLIER_HIGH)
    return [
        _spike_rule(bars, _SPIKE_FLAG),
        _Rule("price_jump", jump > _JUMP_FLAG, jump, "Close moved by this factor since the session before."),
        _Rule("wide_range", reach > _RANGE_FLAG, reach, "High is this many times low."),
        _Rule("volume_outlier", outlier, multiple, "Volume is this multiple of the median of the 63 sessions before."),
        _Rule("row_repeats", repeats, close, "All five numbers repeat those of an earlier session."),
        _Rule("adj_close_mismatch", np.abs(gap) > _ADJUSTMENT_FLAG, gap, "Adj Close and the dividends named disagree."),
    ]


def _spike_rule(bars: pd.DataFrame, limit: float) -> _Rule:
    spike = _spike(bars["close"].to_numpy())
    return _Rule("price_spike", spike > limit, spike, "Close left both neighbours by this factor and came back.")


def _unknown_volume(bars: pd.DataFrame, known: pd.DataFrame | None) -> _Rule:
    """The rule that is broken where neither the response nor the stored bars have a volume."""
    volume = bars["volume"].to_numpy()
    stored = np.full(len(bars), np.nan) if known is None else known["volume"].reindex(bars.index).to_numpy()
    return _Rule("volume_unknown", np.isnan(volume) & np.isnan(stored), volume, "The source gives no volume, or 0.")


def _without(bars: pd.DataFrame, rules: list[_Rule]) -> tuple[pd.DataFrame, list[Finding]]:
    """`bars` without the rows that break a rule, and one finding a row: the first rule that it breaks."""
    broken = np.zeros(len(bars), dtype=bool)
    findings = []
    for rule in rules:
        findings += _findings(bars, rule, rule.broken & ~broken, "reject")
        broken |= rule.broken
    return (bars[~broken] if broken.any() else bars), findings


def _findings(
    bars: pd.DataFrame, rule: _Rule, rows: NDArray[np.bool_], severity: Literal["reject", "flag"] = "flag"
) -> list[Finding]:
    found = np.flatnonzero(rows).tolist()
    values = [float(rule.value[i]) if np.isfinite(rule.value[i]) else None for i in found]
    return [
        Finding(bars.index[i].date(), rule.name, severity, value, rule.detail)
        for i, value in zip(found, values, strict=True)
    ]


def _unexplained_gaps(fetched: Fetched, known: pd.DataFrame | None, exchange: str) -> list[date]:
    if fetched.bars.empty:
        return []
    seen = fetched.bars if known is None else fetched.bars.index.union(known.index).to_frame()
    return missing_sessions(seen, fetched.bars.index[0].date(), fetched.last_asked, exchange)


def _outside(price: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (price < low * (1.0 - _OUTSIDE)) | (price > high * (1.0 + _OUTSIDE))


def _ratio(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) close over the close before; 1 for the first."""
    return np.append(1.0, close[1:] / close[:-1]) if len(close) else close


def _apart(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(ratio, 1.0 / ratio)


def _spike(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) factor by which a close left both neighbours in the same direction; 1 at the ends and where it did not."""
    spike = np.ones(len(close))
    if len(close) > 2:
        into, out = close[1:-1] / close[:-2], close[1:-1] / close[2:]
        spike[1:-1] = np.maximum(1.0, np.maximum(np.minimum(into, out), np.minimum(1.0 / into, 1.0 / out)))
    return spike
