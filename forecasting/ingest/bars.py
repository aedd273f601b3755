"""Bars of a response: checked by bar_rules.py, compared with those stored, and hashed."""

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.errors import BadDataError
from forecasting.ingest.bar_rules import (
    VALUES,
    Finding,
    doubts,
    findings_on,
    impossible_neighbours,
    impossible_rows,
    without,
)
from forecasting.ingest.sources import Response, canonical
from forecasting.sessions import sessions_index
from forecasting.targets import PRICE_TOLERANCE

OFF_CALENDAR_SHARE = 0.01  # largest share of bars that may lie on days without a session


def no_bars() -> pd.DataFrame:
    """Canonical bars without a row."""
    return canonical(pd.DataFrame(index=pd.DatetimeIndex([])))


def check_bars(response: Response, *, known: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """The bars without rows that a rule rejects, and the findings on those and on doubtful ones.

    Flagged is only what is new or changed against the `known` current bars. Of
    an index no volume is expected, and no move is doubtful; it is calculated on holidays too (the
    VIX since 2022), and its open by itself: on 47 of 8,623 sessions of the VIX it lies outside low
    .. high. A BadDataError for other days.
    """
    exchange = response.request.exchange
    of_index = response.request.of_index
    untraded = _untraded(response)
    bars = response.bars[~untraded] if of_index else response.bars
    bars, findings = without(bars, impossible_rows(bars, exchange, of_index=of_index))
    bars, more = without(bars, impossible_neighbours(bars, exchange, live=response.live))
    findings += more + _left_out(response, known)
    if not of_index:
        findings += doubts(bars, response.actions, known, changed_rows(bars, known))
    return bars, sorted(findings, key=lambda one: (one.session is None, one.session, one.rule))


def _untraded(response: Response) -> NDArray[np.bool_]:
    """(D,) whether a bar is of a day without a session.

    A BadDataError above 1%: a time zone has shifted every date.
    """
    bars = response.bars
    request = response.request
    days = pd.DatetimeIndex(bars.index)
    if days.empty:
        return np.zeros(0, dtype=bool)
    untraded = ~days.isin(sessions_index(days[0].date(), days[-1].date(), request.exchange))
    # Weekdays count with a volume alone: indices are calculated on holidays too, and Yahoo has
    # empty rows of holidays.
    off = untraded & (bars["volume"].notna().to_numpy() | (days.day_of_week >= 5))
    if off.sum() > OFF_CALENDAR_SHARE * len(days):
        raise BadDataError(
            f"{off.sum()} of {len(days)} bars of {request.symbol} from {request.source} lie on "
            f"days on which {request.exchange} does not trade, the newest on "
            f"{days[off][-1]:%A, %Y-%m-%d}; expected at most {OFF_CALENDAR_SHARE:.0%}. Correct "
            "dates that a time zone has moved by a day, or name the exchange in "
            "FORECASTING_EXCHANGES."
        )
    return untraded


def _left_out(response: Response, known: pd.DataFrame) -> list[Finding]:
    """The findings on rows that could not be read and on sessions without a bar."""
    request = response.request
    findings = list(response.findings)
    if response.bars.empty:
        return findings
    seen = response.bars.index
    first = seen[0].date()
    if len(known):
        # Also between the stored bars and these
        first = min(first, max(request.first, known.index[-1].date()))
        seen = seen.union(known.index)
    expected = sessions_index(first, request.last, request.exchange)
    missing = pd.Series(np.nan, expected[~expected.isin(seen)])
    detail = "The exchange traded, but no bar of it has come yet."
    return findings + findings_on(missing, "missing_session", detail)


def payload_hash(response: Response) -> str:
    """64 hex digits of symbol, sessions, prices to 4 decimals, volumes and actions."""
    digest = hashlib.sha256(response.request.symbol.encode())
    digest.update(pd.DatetimeIndex(response.bars.index).as_unit("s").asi8.tobytes())
    digest.update(np.round(response.bars[VALUES].to_numpy(), 4).tobytes())
    digest.update(response.actions.round({"value": 4}).to_csv(index=False).encode())
    return digest.hexdigest()


def changed_rows(bars: pd.DataFrame, known: pd.DataFrame) -> NDArray[np.bool_]:
    """(D,) whether a row is new or differs: in a price by over 1e-5, in a known volume at all."""
    before = known[VALUES].reindex(bars.index).to_numpy()
    now = bars[VALUES].to_numpy()
    same = np.isclose(now, before, rtol=PRICE_TOLERANCE, atol=0.0, equal_nan=True)
    same[:, 4] = (now[:, 4] == before[:, 4]) | np.isnan(now[:, 4])
    return np.asarray(~(same.all(axis=1) & bars.index.isin(known.index)))
