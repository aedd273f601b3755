"""Whether its night can use a fetch: usable, late, too short or held back.

A history that differs from the stored one is refused until the user accepts it.
"""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import DataLateError, HistoryError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import (
    BEFORE,
    FEWEST_BEFORE,
    Finding,
    is_other_unit,
    newest_run,
)
from forecasting.ingest.bars import check_bars
from forecasting.ingest.revisions import Revision, StoredBars, explain, nothing_changed
from forecasting.ingest.sources import Fetched
from forecasting.ingest.splits import ACCEPTED, on_one_basis
from forecasting.sessions import after

SWITCH = "`forecasting run` with --switch-source"
_UNTIL_ACCEPTED = (
    "The hold ends when the source returns to the stored history. Correct the symbol or the file; "
    f"forecast another company in another data folder; {SWITCH} accepts the new history, once."
)
_BY_ITSELF = "The hold ends by itself after a few sessions, or once its newest rows are corrected."


@dataclass(frozen=True)
class Request:
    """A request to a source."""

    session: date  # the newest one, whose bar the night needs
    exchange: str
    sessions_needed: int  # fewest that a forecast needs
    # Take a history that differs from the stored one: the user gave --switch-source
    accept: bool = False
    # Of the session's bar, without whose values the night waits for it
    columns: tuple[str, ...] = ()
    of_index: bool = False  # whether it is of a market series


@dataclass(frozen=True)
class _Case:
    """A fetch on one share basis beside the stored bars, its checked bars and their findings."""

    fetched: Fetched
    request: Request
    stored: pd.DataFrame
    bars: pd.DataFrame
    findings: list[Finding]
    unit: Finding | None  # that the newest volumes are in another unit


def assess(fetched: Fetched, request: Request, stored: StoredBars) -> Revision:
    """What a fetch changes about the stored bars, or the error by which its night cannot use it.

    Of an index never an error: older bars are stored without the newest. Its jumps are news (the
    VIX doubled on 2018-02-05): no split is searched, no jump held and no volume judged.
    """
    exchange = request.exchange
    refusals = [_other_unit, _unusable, _detached]
    if request.accept:
        refusals = [_unusable]
    if request.of_index:
        refusals = []
    else:
        fetched = on_one_basis(
            fetched,
            known=stored.bars,
            known_actions=stored.actions,
            exchange=exchange,
        )
    bars, findings = check_bars(
        fetched,
        exchange=exchange,
        known=stored.bars,
        of_index=request.of_index,
    )
    case = _Case(
        fetched,
        request,
        stored.bars,
        bars,
        findings,
        _other_volume_unit(fetched.bars["volume"], stored.bars),
    )
    for refusal_of in refusals:
        if (refusal := refusal_of(case)) is not None:
            return refusal
    revision = explain(
        stored,
        bars,
        actions=fetched.actions,
        exchange=exchange,
        of_index=request.of_index,
        accept=request.accept,
    )
    if case.unit is not None:
        findings = [*findings, replace(case.unit, rule=ACCEPTED, severity="flag")]
    revision = replace(revision, findings=[*findings, *revision.findings])
    if request.of_index or request.session not in revision.held:
        return revision
    return _held_back(case, revision)


def prices_alone(fetched: Fetched) -> Fetched:
    """The fetch without volume, Adj Close, dividends and splits, which an index does not have."""
    return replace(
        fetched, bars=fetched.bars.assign(volume=np.nan, adj_close=np.nan), actions=make_actions([])
    )


def _other_volume_unit(volume: pd.Series, stored: pd.DataFrame) -> Finding | None:
    """The finding on two or more newest volumes, all in another unit than the stored ones."""
    known = stored["volume"].dropna().tail(BEFORE)
    if len(known) < FEWEST_BEFORE:
        return None
    new = volume[volume.index > stored.index[-1]].dropna()
    # Once the user has accepted them, the newest stored volume is in that unit too.
    is_other = is_other_unit(new / known.median()) & is_other_unit(new / known.iloc[-1])
    count = newest_run(is_other)
    if count < 2:
        return None
    newest = new.tail(count)
    session = newest.index[0].date()
    times = float(newest.median() / known.median())
    detail = (
        f"The {count} volumes from {session} on are x{times:.4g} of the stored ones: another unit, "
        "as thousands of shares."
    )
    return Finding(
        session,
        "volume_unit",
        "reject",
        times,
        detail,
    )


def _held(case: _Case, detail: str, ends: str, usable: pd.Index) -> DataLateError:
    why = (
        f"{case.fetched.symbol}'s bar of {case.request.session} is held back, not stored: {detail} "
        f"{ends}"
    )
    return DataLateError(why, usable[-1].date() if len(usable) else None, why)


def _other_unit(case: _Case) -> Revision | None:
    """The refusal of volumes in another unit than the stored ones."""
    unit = case.unit
    if unit is None:
        return None
    days = case.fetched.bars.index
    usable = days[days < pd.Timestamp(unit.session)]
    return nothing_changed(
        _held(
            case,
            unit.detail,
            _UNTIL_ACCEPTED,
            usable,
        ),
        [unit],
    )


def _unusable(case: _Case) -> Revision | None:
    """The refusal of a fetch without the newest bar, or with too few for a forecast."""
    session = case.request.session
    # Where newer bars follow, a value that is missing still will not come any more.
    complete = _with_values(case) if case.fetched.live else case.bars
    newest = complete.index[-1].date() if len(complete) else None
    if newest != session:
        return nothing_changed(_late(case, newest), case.findings)
    stored = case.stored.index
    sessions = len(case.bars.index.union(stored[stored <= pd.Timestamp(session)]))
    if sessions >= case.request.sessions_needed:
        return None
    error = HistoryError(
        f"Expected at least {case.request.sessions_needed} sessions of bars for a forecast of "
        f"{case.fetched.symbol} at {session}; found {sessions}. Use a source with a longer "
        "history."
    )
    return nothing_changed(error, case.findings)


def _late(case: _Case, newest: date | None) -> DataLateError:
    """The error of a fetch whose newest bar with every value that is needed is an earlier one."""
    request = case.request
    session = request.session
    why = _refusal(case.findings, session)
    if newest and case.bars.index[-1].date() == session:
        why = f"The bar of {session} came without its {' and '.join(request.columns)}. "
    ends = f"ends at {newest}" if newest else "has no usable bar of the span requested"
    return DataLateError(
        f"{case.fetched.symbol} has no usable bar for the session {session} yet; "
        f"{case.fetched.source} {ends}. {why}Wait for the bar, choose a session that has its bar, "
        "or correct its newest rows.",
        newest,
        why.rstrip(),
    )


def _with_values(case: _Case) -> pd.DataFrame:
    """The bars whose needed values are known, here or stored; all if none are, as of an index."""
    names = list(case.request.columns)
    values = case.bars[names].fillna(case.stored[names].reindex(case.bars.index))
    complete = case.bars[values.notna().all(axis=1)]
    return complete if len(complete) else case.bars


def _refusal(findings: list[Finding], session: date) -> str:
    """The rule that keeps the session's bar out, with its number, as a sentence and a space."""
    for finding in findings:
        if finding.session == session and finding.severity == "reject":
            value = "" if finding.value is None else f", {finding.value:.6g}"
            return f"The bar of {session} is kept out ({finding.rule}{value}): {finding.detail} "
    return ""


def _detached(case: _Case) -> Revision | None:
    """The refusal of bars that begin sessions after the stored ones, which were requested too."""
    request = case.request
    if case.stored.empty or case.fetched.first_asked > case.stored.index[-1].date():
        return None
    ends = case.stored.index[-1].date()
    begins = case.bars.index[0].date()
    missing = len(after(ends, begins, request.exchange)) - 1
    if missing < 1:
        return None
    detail = (
        f"The stored bars end at {ends}; those of {case.fetched.source} begin at {begins}, with "
        f"{missing} missing between, though the stored ones were requested too: its response is "
        "cut off, or the symbol is another company's now."
    )
    # On the first session of the response, which it covers once it is accepted, so that its fetch
    # clears the finding.
    apart = Finding(
        begins,
        "history_detached",
        "reject",
        float(missing),
        detail,
    )
    error = _held(
        case,
        detail,
        _UNTIL_ACCEPTED,
        case.bars.index[:0],
    )
    return nothing_changed(error, [*case.findings, apart])


def _held_back(case: _Case, revision: Revision) -> Revision:
    """The refusal of a fetch whose newest bar is among those held."""
    detail = f"{revision.detail}."
    if revision.until_accepted:
        detail = revision.findings[-1].detail
        ends = _UNTIL_ACCEPTED
    else:
        ends = f"{_refusal(revision.findings, revision.held[0])}{_BY_ITSELF}"
    usable = case.bars.index.difference(pd.DatetimeIndex(revision.held))
    return nothing_changed(
        _held(
            case,
            detail,
            ends,
            usable,
        ),
        revision.findings,
    )
