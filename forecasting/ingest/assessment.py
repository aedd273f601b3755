"""Whether its night can use a fetch: usable, late, too short, held back, or of another series.

A history that differs from the stored one is refused until the user accepts it.
"""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, DataLateError, HistoryError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import BEFORE, FEWEST_BEFORE, Finding, is_other_unit
from forecasting.ingest.bars import check_bars
from forecasting.ingest.revisions import Revision, StoredBars, explain, nothing_changed
from forecasting.ingest.sources import Fetched
from forecasting.ingest.splits import ACCEPTED, on_one_basis
from forecasting.sessions import after

MATCH = 0.01  # relative difference within which two closes of one session are the same
MATCHING_SHARE = 0.95
"""Least share of the common sessions whose closes match. Of 8,930 pairs of 95 US stocks the best
pair matches on 20% of 2,600 sessions, of 10,000 random pairs on 87% of 63. Two downloads of
SBUX, 19 months apart, match on all of 253."""

FEWEST = 63
"""Common sessions below which closes prove nothing: of 20, 1 in 100 random pairs passes."""

_RETURNS = "The hold ends when the source returns to the stored"
SWITCH = "`forecasting run` with --switch-source"
_UNIT_RETURNS = f"{_RETURNS} unit; {SWITCH} accepts the new one, once."
_HISTORY_RETURNS = f"{_RETURNS} history; {SWITCH} accepts its new history, once."
_OTHERS_RETURN = (
    f"{_RETURNS} history. Forecast another company in another data folder; {SWITCH} joins the two."
)
_BY_ITSELF = "Run again later; the hold ends by itself after a few sessions."
_CORRECT = "Correct or remove its newest rows."


@dataclass(frozen=True)
class Request:
    """A request to a source."""

    session: date  # the newest one, whose bar the night needs
    source: str  # the option that names the source, for messages
    exchange: str
    sessions_needed: int  # fewest that a forecast needs
    is_frame: bool = False  # whether it is of a frame, which no later request changes
    # Take a history that differs from the stored one: the user gave --switch-source
    accept: bool = False
    # Of the session's bar, without whose values the night waits for it
    columns: tuple[str, ...] = ()


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
    """What a fetch changes about the stored bars, or the error by which its night cannot use it."""
    fetched = on_one_basis(
        fetched,
        known=stored.bars,
        known_actions=stored.actions,
        exchange=request.exchange,
    )
    bars, findings = check_bars(fetched, exchange=request.exchange, known=stored.bars)
    unit = _other_volume_unit(fetched.bars, stored.bars)
    case = _Case(
        fetched,
        request,
        stored.bars,
        bars,
        findings,
        unit,
    )
    checks = [_other_series, _other_unit, _unusable, _detached]
    for refused in [_unusable] if request.accept else checks:
        if (refusal := refused(case)) is not None:
            return refusal
    revision = explain(
        stored,
        bars,
        actions=fetched.actions,
        exchange=request.exchange,
        accept=request.accept,
    )
    if unit is not None:
        findings = [*findings, replace(unit, rule=ACCEPTED, severity="flag")]
    revision = replace(revision, findings=[*findings, *revision.findings])
    return _held_back(case, revision) if request.session in revision.held else revision


def assess_index(fetched: Fetched, request: Request, stored: StoredBars) -> Revision:
    """As `assess` for a market series; never an error: older bars are stored without the newest.

    Its jumps are news (the VIX doubled on 2018-02-05): no split is searched, no jump held and no
    volume judged.
    """
    bars, findings = check_bars(
        fetched,
        exchange=request.exchange,
        known=stored.bars,
        of_index=True,
    )
    revision = explain(
        stored,
        bars,
        actions=fetched.actions,
        exchange=request.exchange,
        of_index=True,
        accept=request.accept,
    )
    return replace(revision, findings=[*findings, *revision.findings])


def prices_alone(fetched: Fetched) -> Fetched:
    """The fetch without volume, Adj Close, dividends and splits, which an index does not have."""
    return replace(
        fetched, bars=fetched.bars.assign(volume=np.nan, adj_close=np.nan), actions=make_actions([])
    )


def compare(known: pd.DataFrame, bars: pd.DataFrame) -> tuple[int, float, float]:
    """Sessions in common, the share whose closes match, and the median of fetched / stored close.

    Each divided by the median ratio they match too: another unit, or wholly rebased; after a split
    in two parts.
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
            from_one = np.abs(part - 1.0)
            from_median = np.abs(part / np.nanmedian(part) - 1.0)
            apart = from_one if np.nanmedian(from_one) <= np.nanmedian(from_median) else from_median
            matching += int((apart <= MATCH).sum())
    return len(common), matching / len(common), float(np.nanmedian(ratio))


def _other_volume_unit(bars: pd.DataFrame, stored: pd.DataFrame) -> Finding | None:
    """The finding on two or more newest volumes, all in another unit than the stored ones."""
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
        f"The {len(new) - first} volumes from this session on are x{times:.4g} of the stored ones: "
        "another unit, as thousands of shares."
    )
    return Finding(
        new.index[first].date(),
        "volume_unit",
        "reject",
        times,
        detail,
    )


def _held(subject: str, detail: str, ends: str, usable: pd.Index) -> DataLateError:
    why = f"{subject}, not stored: {detail} {ends}"
    return DataLateError(why, usable[-1].date() if len(usable) else None, why)


def _other_series(case: _Case) -> Revision | None:
    """The refusal of bars without a symbol whose closes are not the stored ones."""
    if case.fetched.names_symbol:
        return None
    common, share, ratio = compare(case.stored, case.bars)
    if common < FEWEST or share >= MATCHING_SHARE:
        return None
    detail = (
        f"Of {common} common sessions {share:.0%} have the stored close within {MATCH:.0%} (median "
        f"ratio x{ratio:.4g}); expected at least {MATCHING_SHARE:.0%}."
    )
    error = BadDataError(
        f"{case.fetched.source} has no symbol column, and its rows are not the stored series of "
        f"{case.fetched.symbol}. {detail} Correct the symbol or the file; {SWITCH} accepts the new "
        "series."
    )
    newest = case.stored.index.intersection(case.bars.index)[-1].date()
    return nothing_changed(
        error,
        [
            Finding(
                newest,
                "other_series",
                "reject",
                share,
                detail,
            )
        ],
    )


def _other_unit(case: _Case) -> Revision | None:
    """The refusal of volumes in another unit than the stored ones."""
    unit = case.unit
    if unit is None:
        return None
    days = case.fetched.bars.index
    subject = f"{case.fetched.symbol}'s bars are held back from {unit.session} on"
    usable = days[days < pd.Timestamp(unit.session)]
    return nothing_changed(
        _held(
            subject,
            unit.detail,
            _UNIT_RETURNS,
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
    advice = "Run again later, or as of a session that has its bar."
    return DataLateError(
        f"{case.fetched.symbol} has no usable bar for the session {session} yet; {request.source} "
        f"{ends}. {why}{_CORRECT if request.is_frame else advice}",
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
        f"The stored bars end at {ends}; those of {request.source} begin at {begins}, with "
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
        _bar_is_held(case),
        detail,
        _OTHERS_RETURN,
        case.bars.index[:0],
    )
    return nothing_changed(error, [*case.findings, apart])


def _held_back(case: _Case, revision: Revision) -> Revision:
    """The refusal of a fetch whose newest bar is among those held."""
    detail = f"{revision.detail}."
    if revision.until_accepted:
        detail = revision.findings[-1].detail
        ends = _HISTORY_RETURNS
    else:
        ends = _refusal(revision.findings, revision.held[0])
        ends += _CORRECT if case.request.is_frame else _BY_ITSELF
    usable = case.bars.index.difference(pd.DatetimeIndex(revision.held))
    error = _held(
        _bar_is_held(case),
        detail,
        ends,
        usable,
    )
    return nothing_changed(error, revision.findings)


def _bar_is_held(case: _Case) -> str:
    return f"{case.fetched.symbol}'s bar of {case.request.session} is held back"
