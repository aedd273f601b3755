"""Whether its night can use a fetch: usable, late, too short or held back.

A history that differs from the stored one is refused until the user accepts it.
"""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import DataLateError, HistoryError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import BEFORE, FEWEST_BEFORE, Finding, is_other_unit, newest_run
from forecasting.ingest.bars import check_bars
from forecasting.ingest.revisions import Revision, StoredBars, explain, nothing_changed
from forecasting.ingest.sources import Request, Response
from forecasting.ingest.splits import ACCEPTED, on_one_basis
from forecasting.sessions import after

SWITCH = "`forecasting run` with --switch-source"
_UNTIL_ACCEPTED = (
    "The hold ends when the source returns to the stored history. Correct the symbol or the file; "
    f"forecast another company in another data folder; {SWITCH} accepts the new history, once."
)
_BY_ITSELF = "The hold ends by itself after a few sessions, or once its newest rows are corrected."


def assess(response: Response, stored: StoredBars) -> Revision:
    """What a response changes about the stored bars, or the error by which no night can use it.

    Of an index never an error: older bars are stored without the newest. Its jumps are news (the
    VIX doubled on 2018-02-05): no split is searched, no jump held and no volume judged.
    """
    request = response.request
    if not request.of_index:
        response = on_one_basis(response, known=stored.bars, known_actions=stored.actions)
    bars, findings = check_bars(response, known=stored.bars)
    unit = _other_volume_unit(response.bars["volume"], stored.bars)
    if not request.of_index:
        checked = replace(response, bars=bars)
        refusal = _refused(checked, findings, unit, stored.bars, days=response.bars.index)
        if refusal is not None:
            return refusal
    revision = explain(
        stored,
        bars,
        actions=response.actions,
        exchange=request.exchange,
        of_index=request.of_index,
        accept=request.accept,
    )
    if unit is not None:
        findings = [*findings, replace(unit, rule=ACCEPTED, severity="flag")]
    revision = replace(revision, findings=[*findings, *revision.findings])
    if request.of_index or request.last not in revision.held:
        return revision
    return _held_back(request, bars, revision)


def _refused(
    checked: Response,
    findings: list[Finding],
    unit: Finding | None,
    stored: pd.DataFrame,
    *,
    days: pd.Index,
) -> Revision | None:
    """The refusal of volumes in another unit, of too few bars, or of a history that is apart.

    The user may have accepted the first and the last.

    Args:
        checked: The response without the bars that a rule rejects.
        findings: On these, and on doubtful ones.
        unit: That on the newest volumes, where they are in another unit.
        stored: The stored bars.
        days: The sessions of the response, before it was checked.
    """
    request = checked.request
    if unit is not None and not request.accept:
        usable = days[days < str(unit.session)]
        return nothing_changed(_held(request, unit.detail, _UNTIL_ACCEPTED, usable), [unit])
    unusable = _unusable(checked, findings, stored)
    if unusable is not None:
        return nothing_changed(unusable, findings)
    apart = None if request.accept else _detached(checked, stored)
    if apart is None:
        return None
    error = _held(request, apart.detail, _UNTIL_ACCEPTED, checked.bars.index[:0])
    return nothing_changed(error, [*findings, apart])


def prices_alone(response: Response) -> Response:
    """The response without volume, Adj Close, dividends and splits, which no index has."""
    bars = response.bars.assign(volume=np.nan, adj_close=np.nan)
    return replace(response, bars=bars, actions=make_actions([]))


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
    return Finding(session, "volume_unit", "reject", times, detail)


def _held(request: Request, detail: str, ends: str, usable: pd.Index) -> DataLateError:
    why = f"{request.symbol}'s bar of {request.last} is held back, not stored: {detail} {ends}"
    return DataLateError(why, usable[-1].date() if len(usable) else None, why)


def _unusable(
    checked: Response, findings: list[Finding], stored: pd.DataFrame
) -> DataLateError | HistoryError | None:
    """The error of a response without the newest bar, or with too few for a forecast."""
    request = checked.request
    # Where newer bars follow, a value that is missing still will not come any more.
    complete = _with_values(checked, stored) if checked.live else checked.bars
    newest = complete.index[-1].date() if len(complete) else None
    if newest != request.last:
        return _late(checked, findings, newest)
    days = stored.index
    sessions = len(checked.bars.index.union(days[days <= pd.Timestamp(request.last)]))
    if sessions >= request.sessions_needed:
        return None
    return HistoryError(
        f"Expected at least {request.sessions_needed} sessions of bars for a forecast of "
        f"{request.symbol} at {request.last}; found {sessions}. Use a source with a longer history."
    )


def _late(checked: Response, findings: list[Finding], newest: date | None) -> DataLateError:
    """The error of a response whose newest bar with every value needed is an earlier one."""
    request = checked.request
    session = request.last
    why = _rejection(findings, session)
    if newest and checked.bars.index[-1].date() == session:
        why = f"The bar of {session} came without its {' and '.join(request.columns)}. "
    ends = f"ends at {newest}" if newest else "has no usable bar of the span requested"
    return DataLateError(
        f"{request.symbol} has no usable bar for the session {session} yet; {request.source} "
        f"{ends}. {why}Wait for the bar, choose a session that has its bar, or correct its newest "
        "rows.",
        newest,
        why.rstrip(),
    )


def _with_values(checked: Response, stored: pd.DataFrame) -> pd.DataFrame:
    """The bars whose needed values are known, here or stored; all if none are, as of an index."""
    bars = checked.bars
    names = checked.request.columns
    values = bars[names].fillna(stored[names].reindex(bars.index))
    complete = bars[values.notna().all(axis=1)]
    return complete if len(complete) else bars


def _rejection(findings: list[Finding], session: date) -> str:
    """The rule that keeps the session's bar out, with its number, as a sentence and a space."""
    for finding in findings:
        if finding.session == session and finding.severity == "reject":
            value = "" if finding.value is None else f", {finding.value:.6g}"
            return f"The bar of {session} is kept out ({finding.rule}{value}): {finding.detail} "
    return ""


def _detached(checked: Response, stored: pd.DataFrame) -> Finding | None:
    """The finding on bars that begin sessions after the stored ones, which were requested too."""
    request = checked.request
    if stored.empty or request.first > stored.index[-1].date():
        return None
    ends = stored.index[-1].date()
    begins = checked.bars.index[0].date()
    missing = len(after(ends, begins, request.exchange)) - 1
    if missing < 1:
        return None
    detail = (
        f"The stored bars end at {ends}; those of {request.source} begin at {begins}, with "
        f"{missing} missing between, though the stored ones were requested too: its response is "
        "cut off, or the symbol is another company's now."
    )
    # On the first session of the response, which it covers once it is accepted, so that its fetch
    # clears the finding.
    return Finding(begins, "history_detached", "reject", float(missing), detail)


def _held_back(request: Request, bars: pd.DataFrame, revision: Revision) -> Revision:
    """The refusal of a response whose newest bar is among those held."""
    detail = f"{revision.detail}."
    if revision.until_accepted:
        detail = revision.findings[-1].detail
        ends = _UNTIL_ACCEPTED
    else:
        ends = f"{_rejection(revision.findings, revision.held[0])}{_BY_ITSELF}"
    usable = bars.index.difference(pd.DatetimeIndex(revision.held))
    return nothing_changed(_held(request, detail, ends, usable), revision.findings)
