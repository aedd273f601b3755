"""The assessment of a fetch for its night: usable, late, too short, held or of another series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, DataLateError, HistoryError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import check_bars, check_shape, no_bars
from forecasting.ingest.revisions import Revision, explain, nothing_changed
from forecasting.ingest.same_series import FEWEST, MATCH, MATCHING_SHARE, compare
from forecasting.ingest.sources import Fetched
from forecasting.ingest.splits import ACCEPTED, on_newest_basis
from forecasting.ingest.usual import BEFORE, FEWEST_BEFORE, is_other_unit
from forecasting.sessions import after


@dataclass(frozen=True)
class StoredBars:
    """The stored bars of a symbol before a fetch.

    Attributes:
        bars: Current versions, columns as `read.bars`.
        actions: Dividends and splits, the newest value of each: columns session, kind, value.
        adjustment: Session and Adj Close / Close of the newest fetch that has one; None without.
    """

    bars: pd.DataFrame
    actions: pd.DataFrame
    adjustment: tuple[date, float] | None


NOTHING_STORED = StoredBars(no_bars(), make_actions([]), None)


@dataclass(frozen=True)
class Request:
    """A request to a source.

    Attributes:
        session: The newest session, whose bar the night needs.
        source: The option that names the source, for messages.
        exchange: Exchange of the sessions.
        sessions_needed: Fewest sessions that a forecast needs.
        accept: Take a history that differs from the stored one: the user gave --switch-source.
    """

    session: date
    source: str
    exchange: str
    sessions_needed: int
    accept: bool = False


@dataclass(frozen=True)
class Assessment:
    """What to write for a fetch.

    Attributes:
        revision: What it changes about the stored bars; with an error, its findings alone.
        error: Why the night cannot use the fetch; None when it can.
        note: A doubt about the fetch that stops nothing; empty without one.
    """

    revision: Revision
    error: DataLateError | HistoryError | BadDataError | None = None
    note: str = ""


def assess(fetched: Fetched, request: Request, stored: StoredBars) -> Assessment:
    """What the fetched bars change about the stored ones, with every finding, and whether the night can use them.

    Raises:
        BadDataError: The source returned bars of another shape than the canonical one.
    """
    fetched = on_one_basis(fetched, stored)
    bars, findings = check_bars(fetched, exchange=request.exchange, known=stored.bars)
    other = None if fetched.names_symbol or request.accept else other_series(bars, stored.bars)
    if other is not None:
        refused = other_series_error(other, fetched)
        return Assessment(nothing_changed(refused.verdict, str(refused), [other]), refused)
    unit = other_volume_unit(fetched.bars, stored.bars)
    if unit is not None and not request.accept:
        held = unit_error(unit, fetched, request)
        return Assessment(nothing_changed(held.verdict, str(held), [unit]), held)
    error = late_error(bars, fetched.symbol, request, findings) or short_history_error(
        bars, stored.bars, fetched.symbol, request
    )
    if error is not None:
        return Assessment(nothing_changed(error.verdict, str(error), findings), error)
    apart = None if request.accept else detached(bars, stored.bars, fetched, request)
    if apart is not None:
        held = detached_error(apart, fetched.symbol, request)
        return Assessment(nothing_changed(held.verdict, str(held), [*findings, apart]), held)
    revision = explain(
        stored.bars,
        bars,
        actions=fetched.actions,
        known_actions=stored.actions,
        known_adjustment=stored.adjustment,
        accept=request.accept,
    )
    accepted = [] if unit is None else [replace(unit, rule=ACCEPTED, severity="flag")]
    revision = replace(revision, findings=[*findings, *accepted, *revision.findings])
    if request.session in revision.held:
        held = held_error(bars, revision, fetched.symbol, request)
        return Assessment(nothing_changed(held.verdict, str(held), revision.findings), held)
    return Assessment(revision, note=unnamed_note(bars, stored.bars, fetched))


def other_series(bars: pd.DataFrame, stored: pd.DataFrame) -> Finding | None:
    """The finding on bars whose closes do not match the stored ones of their symbol; None where they do."""
    match = compare(stored, bars)
    if not match.is_other:
        return None
    newest = stored.index.intersection(bars.index)[-1].date()
    detail = (
        f"Of {match.sessions} common sessions {match.share:.0%} have the stored close within {MATCH:.0%} (median ratio "
        f"x{match.ratio:.4g}); expected at least {MATCHING_SHARE:.0%}."
    )
    return Finding(newest, "other_series", "reject", match.share, detail)


def other_series_error(finding: Finding, fetched: Fetched) -> BadDataError:
    """The error of bars of another series, with the numbers."""
    return BadDataError(
        f"{fetched.source} has no symbol column, and its rows are not the stored series of {fetched.symbol}. "
        f"{finding.detail} Correct --symbol or the file; --switch-source accepts the new series."
    )


def unnamed_note(bars: pd.DataFrame, stored: pd.DataFrame, fetched: Fetched) -> str:
    """The note on bars without a symbol of their own that too few stored ones confirm; empty for all others."""
    if fetched.names_symbol or compare(stored, bars).sessions >= FEWEST:
        return ""
    return (
        f"{fetched.source} has no symbol column, and fewer than {FEWEST} of its sessions were stored for "
        f"{fetched.symbol} before: check that it is the series of {fetched.symbol}."
    )


def on_one_basis(fetched: Fetched, stored: StoredBars) -> Fetched:
    """The fetch with its bars on their newest share basis, whatever splits its source leaves out of its history."""
    check_shape(fetched)
    bars, actions = on_newest_basis(fetched.bars, fetched.actions, known=stored.bars, known_actions=stored.actions)
    return replace(fetched, bars=bars, actions=actions)


def other_volume_unit(bars: pd.DataFrame, stored: pd.DataFrame) -> Finding | None:
    """The finding on the newest volumes, two or more, that are all in another unit than the stored ones; else None.

    Once the user has accepted them, the newest stored volume is in that unit too.
    """
    known = stored["volume"].dropna().tail(BEFORE)
    if len(known) < FEWEST_BEFORE:
        return None
    new = bars["volume"][bars.index > stored.index[-1]].dropna()
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


def unit_error(finding: Finding, fetched: Fetched, request: Request) -> DataLateError:
    """The error of bars whose volumes are in another unit; it names the newest session before them."""
    why = (
        f"{fetched.symbol}'s bars are held back from {finding.session} on, not stored: {finding.detail} The hold ends "
        f"when {request.source} returns to the stored unit; --switch-source accepts the new one, once."
    )
    before = fetched.bars.index[fetched.bars.index < pd.Timestamp(finding.session)]
    return DataLateError(why, before[-1].date() if len(before) else None, why)


def late_error(
    bars: pd.DataFrame, symbol: str, request: Request, findings: Sequence[Finding] = ()
) -> DataLateError | None:
    """The error of a fetch without the newest bar; None with it."""
    newest = bars.index[-1].date() if len(bars) else None
    if newest == request.session:
        return None
    why = refusal(findings, request.session)
    what = f"ends at {newest}" if newest else "has no usable bar of the span requested"
    return DataLateError(
        f"{symbol} has no usable bar for the session {request.session} yet; {request.source} {what}. "
        f"{why}Run again later, or give --as-of a session that has its bar.",
        newest,
        why.rstrip(),
    )


def refusal(findings: Sequence[Finding], session: date) -> str:
    """The rule that keeps the session's bar out, with its number, as a sentence and a space; empty without one."""
    for finding in findings:
        if finding.session == session and finding.severity == "reject":
            value = "" if finding.value is None else f", {finding.value:.6g}"
            return f"The bar of {session} is kept out ({finding.rule}{value}): {finding.detail} "
    return ""


def short_history_error(bars: pd.DataFrame, stored: pd.DataFrame, symbol: str, request: Request) -> HistoryError | None:
    """The error of fewer sessions than a forecast needs; None with enough."""
    found = len(bars.index.union(stored.index[stored.index <= pd.Timestamp(request.session)]))
    if found >= request.sessions_needed:
        return None
    return HistoryError(
        f"Expected at least {request.sessions_needed} sessions of bars for a forecast of {symbol} at "
        f"{request.session}; found {found}. Use a source with a longer history, or wait."
    )


def detached(bars: pd.DataFrame, stored: pd.DataFrame, fetched: Fetched, request: Request) -> Finding | None:
    """The finding on bars that begin sessions after the stored ones end, which were requested too; None for any other.

    Nothing confirms that they continue the stored series: they may be another company's, on another share basis.
    """
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


def detached_error(finding: Finding, symbol: str, request: Request) -> DataLateError:
    """The error of bars that no stored one confirms: no bar of them can be used, nor an older one."""
    why = (
        f"{symbol}'s bar of {request.session} is held back, not stored: {finding.detail} The hold ends when the source "
        "returns to the stored history. Forecast another company in another data folder; --switch-source joins the two."
    )
    return DataLateError(why, None, why)


def held_error(bars: pd.DataFrame, revision: Revision, symbol: str, request: Request) -> DataLateError:
    """The error of a fetch whose newest bar is held back; it names the newest session with a usable bar."""
    sessions = [session.date() for session in pd.DatetimeIndex(bars.index)]
    ends = (
        "The hold ends when the source returns to the stored history; --switch-source accepts its new history, once."
        if revision.until_accepted
        else "Run again later; the hold ends by itself after a few sessions."
    )
    why = f"{symbol}'s bar of {request.session} is held back, not stored: {revision.detail.rstrip('.')}. "
    why += f"{'' if revision.until_accepted else refusal(revision.findings, revision.held[0])}{ends}"
    return DataLateError(why, next((day for day in reversed(sessions) if day not in revision.held), None), why)
