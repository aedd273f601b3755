"""The assessment of a fetch for its night: usable, late, too short, held or of another series; and of an index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, DataLateError, HistoryError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import BEFORE, FEWEST_BEFORE, Finding, is_other_unit
from forecasting.ingest.bars import check_bars, check_index_bars, check_shape, no_bars
from forecasting.ingest.revisions import Revision, explain, nothing_changed
from forecasting.ingest.sources import Fetched
from forecasting.ingest.splits import ACCEPTED, on_newest_basis
from forecasting.sessions import after

MATCH = 0.01  # relative difference within which two closes of one session are the same
MATCHING_SHARE = 0.95
"""Least share of the common sessions whose closes match. Of 8,930 pairs of 95 US stocks the best pair matches on 20%
of 2,600 sessions, of 10,000 random pairs on 87% of 63. Two downloads of SBUX, 19 months apart, match on all of 253."""

FEWEST = 63
"""Common sessions below which closes prove nothing (of 20, 1 in 100 random pairs passes); then there is a note."""

_RETURNS = "The hold ends when the source returns to the stored"
_UNIT_RETURNS = f"{_RETURNS} unit; --switch-source accepts the new one, once."
_HISTORY_RETURNS = f"{_RETURNS} history; --switch-source accepts its new history, once."
_OTHERS_RETURN = f"{_RETURNS} history. Forecast another company in another data folder; --switch-source joins the two."
_BY_ITSELF = "Run again later; the hold ends by itself after a few sessions."


@dataclass(frozen=True)
class StoredBars:
    """The stored bars of a symbol before a fetch."""

    bars: pd.DataFrame  # current versions, columns as `read.bars`
    actions: pd.DataFrame  # dividends and splits, the newest value of each: columns session, kind, value
    adjustment: tuple[date, float] | None  # session and Adj Close / Close of the newest fetch that has one


NOTHING_STORED = StoredBars(no_bars(), make_actions([]), None)


@dataclass(frozen=True)
class Request:
    """A request to a source."""

    session: date  # the newest one, whose bar the night needs
    source: str  # the option that names the source, for messages
    exchange: str
    sessions_needed: int  # fewest that a forecast needs
    accept: bool = False  # take a history that differs from the stored one: the user gave --switch-source


@dataclass(frozen=True)
class Assessment:
    """What to write for a fetch."""

    revision: Revision  # what it changes about the stored bars; with an error, its findings alone
    error: DataLateError | HistoryError | BadDataError | None = None  # why the night cannot use the fetch
    note: str = ""  # a doubt about the fetch that stops nothing


def assess(fetched: Fetched, request: Request, stored: StoredBars) -> Assessment:
    """What the fetched bars change about the stored ones, with every finding, and whether the night can use them."""
    fetched = on_one_basis(fetched, stored)
    symbol, accept = fetched.symbol, request.accept
    bars, findings = check_bars(fetched, exchange=request.exchange, known=stored.bars)
    common, share, ratio = (FEWEST, 1.0, 1.0) if fetched.names_symbol else compare(stored.bars, bars)
    if common >= FEWEST and share < MATCHING_SHARE and not accept:
        detail = (
            f"Of {common} common sessions {share:.0%} have the stored close within {MATCH:.0%} (median ratio "
            f"x{ratio:.4g}); expected at least {MATCHING_SHARE:.0%}."
        )
        other = BadDataError(
            f"{fetched.source} has no symbol column, and its rows are not the stored series of {symbol}. {detail} "
            "Correct --symbol or the file; --switch-source accepts the new series."
        )
        newest = stored.bars.index.intersection(bars.index)[-1].date()
        return _stopped(other, [Finding(newest, "other_series", "reject", share, detail)])
    unit = _other_volume_unit(fetched.bars, stored.bars)
    if unit is not None and not accept:
        usable = fetched.bars.index[fetched.bars.index < pd.Timestamp(unit.session)]
        subject = f"{symbol}'s bars are held back from {unit.session} on"
        return _stopped(_held(subject, unit.detail, _UNIT_RETURNS, usable), [unit])
    error = _unusable(bars, stored.bars, symbol, request, findings)
    if error is not None:
        return _stopped(error, findings)
    subject = f"{symbol}'s bar of {request.session} is held back"
    apart = None if accept else _detached(bars, stored.bars, fetched, request)
    if apart is not None:
        return _stopped(_held(subject, apart.detail, _OTHERS_RETURN, bars.index[:0]), [*findings, apart])
    revision = explain(
        stored.bars,
        bars,
        actions=fetched.actions,
        known_actions=stored.actions,
        known_adjustment=stored.adjustment,
        accept=accept,
    )
    accepted = [] if unit is None else [replace(unit, rule=ACCEPTED, severity="flag")]
    revision = replace(revision, findings=[*findings, *accepted, *revision.findings])
    if request.session in revision.held:
        ends = f"{_refusal(revision.findings, revision.held[0])}{_BY_ITSELF}"
        ends = _HISTORY_RETURNS if revision.until_accepted else ends
        usable = bars.index.difference(pd.DatetimeIndex(revision.held))
        return _stopped(_held(subject, f"{revision.detail.rstrip('.')}.", ends, usable), revision.findings)
    note = (
        f"{fetched.source} has no symbol column, and fewer than {FEWEST} of its sessions were stored for {symbol} "
        f"before: check that it is the series of {symbol}."
    )
    return Assessment(revision, note=note if common < FEWEST else "")


def assess_market(fetched: Fetched, request: Request, stored: StoredBars) -> Assessment:
    """As `assess` for a market series; never an error: older bars are stored without the newest.

    An index has prices alone, and its jumps are news: the VIX doubled on 2018-02-05. So no split is searched, no jump
    held and no volume judged; an impossible row is still refused, and a history of another series is not stored.
    """
    bars, findings = check_index_bars(fetched, exchange=request.exchange, known=stored.bars)
    revision = explain(stored.bars, bars, actions=None, known_actions=stored.actions, accept=request.accept)
    return Assessment(replace(revision, findings=[*findings, *revision.findings]))


def prices_alone(fetched: Fetched) -> Fetched:
    """The fetch without volume, Adj Close, dividends and splits, which an index does not have."""
    return replace(fetched, bars=fetched.bars.assign(volume=np.nan, adj_close=np.nan), actions=make_actions([]))


def on_one_basis(fetched: Fetched, stored: StoredBars) -> Fetched:
    """The fetch with its bars on their newest share basis, whatever splits its source leaves out of its history."""
    check_shape(fetched)
    bars, actions = on_newest_basis(fetched.bars, fetched.actions, known=stored.bars, known_actions=stored.actions)
    return replace(fetched, bars=bars, actions=actions)


def compare(known: pd.DataFrame, bars: pd.DataFrame) -> tuple[int, float, float]:
    """Sessions in common, the share of them whose closes match, and the median of fetched over stored close.

    A history in another unit, or wholly rebased, is still the same series: closes match too where each divided by the
    median ratio does. After a split within the span they match in two parts, each by its own median.
    """
    common = known.index.intersection(bars.index)
    if common.empty:
        return 0, 1.0, np.nan
    ratio = (bars["close"].reindex(common) / known["close"].reindex(common)).to_numpy()
    steps = np.abs(np.diff(np.log(ratio)))
    at = int(np.nanargmax(steps)) + 1 if len(steps) and np.nanmax(steps) > MATCH else 0
    matching = 0
    for part in (ratio[:at], ratio[at:]):
        if len(part):
            from_one, from_median = np.abs(part - 1.0), np.abs(part / np.nanmedian(part) - 1.0)
            apart = from_one if np.nanmedian(from_one) <= np.nanmedian(from_median) else from_median
            matching += int((apart <= MATCH).sum())
    return len(common), matching / len(common), float(np.nanmedian(ratio))


def _stopped(error: DataLateError | HistoryError | BadDataError, findings: list[Finding]) -> Assessment:
    return Assessment(nothing_changed(error.verdict, str(error), findings), error)


def _other_volume_unit(bars: pd.DataFrame, stored: pd.DataFrame) -> Finding | None:
    """The finding on the newest volumes, two or more, that are all in another unit than the stored ones; else None."""
    known = stored["volume"].dropna().tail(BEFORE)
    if len(known) < FEWEST_BEFORE:
        return None
    new = bars["volume"][bars.index > stored.index[-1]].dropna()
    # Once the user has accepted them, the newest stored volume is in that unit too.
    is_other = is_other_unit(new / known.median()) & is_other_unit(new / known.iloc[-1])
    first = len(new) - int(np.logical_and.accumulate(is_other[::-1]).sum())
    if len(new) - first < 2:
        return None
    times = float(new.iloc[first:].median() / known.median())
    detail = (
        f"The {len(new) - first} volumes from this session on are x{times:.4g} of the stored ones: another unit, "
        "as thousands of shares."
    )
    return Finding(new.index[first].date(), "volume_unit", "reject", times, detail)


def _held(subject: str, detail: str, ends: str, usable: pd.Index) -> DataLateError:
    """The error of a held fetch; it names the newest session with a usable bar."""
    why = f"{subject}, not stored: {detail} {ends}"
    return DataLateError(why, usable[-1].date() if len(usable) else None, why)


def _unusable(
    bars: pd.DataFrame, stored: pd.DataFrame, symbol: str, request: Request, findings: list[Finding]
) -> DataLateError | HistoryError | None:
    """The error of a fetch without the newest bar, or with too few for a forecast; None of any other."""
    newest = bars.index[-1].date() if len(bars) else None
    if newest != request.session:
        why = _refusal(findings, request.session)
        what = f"ends at {newest}" if newest else "has no usable bar of the span requested"
        return DataLateError(
            f"{symbol} has no usable bar for the session {request.session} yet; {request.source} {what}. "
            f"{why}Run again later, or give --as-of a session that has its bar.",
            newest,
            why.rstrip(),
        )
    found = len(bars.index.union(stored.index[stored.index <= pd.Timestamp(request.session)]))
    if found >= request.sessions_needed:
        return None
    return HistoryError(
        f"Expected at least {request.sessions_needed} sessions of bars for a forecast of {symbol} at "
        f"{request.session}; found {found}. Use a source with a longer history, or wait."
    )


def _refusal(findings: list[Finding], session: date) -> str:
    """The rule that keeps the session's bar out, with its number, as a sentence and a space; empty without one."""
    for finding in findings:
        if finding.session == session and finding.severity == "reject":
            value = "" if finding.value is None else f", {finding.value:.6g}"
            return f"The bar of {session} is kept out ({finding.rule}{value}): {finding.detail} "
    return ""


def _detached(bars: pd.DataFrame, stored: pd.DataFrame, fetched: Fetched, request: Request) -> Finding | None:
    """The finding on bars that begin sessions after the stored ones, which were requested too; None for any other."""
    if stored.empty or bars.empty or fetched.first_asked > stored.index[-1].date():
        return None
    ends, begins = stored.index[-1].date(), bars.index[0].date()
    missing = len(after(ends, begins, request.exchange)) - 1
    if missing < 1:
        return None
    detail = (
        f"The stored bars end at {ends}; those of {request.source} begin at {begins}, with {missing} missing between, "
        "though the stored ones were requested too: its response is cut off, or the symbol is another company's now."
    )
    # On the first session of the response, which it covers once it is accepted, so that its fetch clears the finding.
    return Finding(begins, "history_detached", "reject", float(missing), detail)
