"""Changes of a fetch to the stored bars, their causes, and whether its night can use it.

    first      nothing was stored            dividend   Adj Close moved, no bar did
    extended   new sessions, settled bars equal
    unchanged  no change                     revised    single bars were restated
    split      the share basis changed: new versions of every earlier bar
    held       a jump like a split, unexplained, or another series or unit: kept out

A request without usable bars has a verdict too: late, rate_limited, unavailable or bad_data.
Tolerances: prices 1e-5 relative, volumes exact. An absent row or an unknown volume is no change.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, DataLateError, FailedVerdict, HistoryError, SourceError
from forecasting.ingest.actions import changed_actions, make_actions
from forecasting.ingest.bar_rules import BEFORE, FEWEST_BEFORE, PRICES, Finding, is_other_unit
from forecasting.ingest.bars import changed_rows, check_bars, no_bars
from forecasting.ingest.sources import Fetched
from forecasting.ingest.splits import (
    ACCEPTED,
    MOVED,
    SAME_RATIO,
    basis,
    hold_jumps,
    on_one_basis,
    rebase,
    shown_splits,
)
from forecasting.sessions import after
from forecasting.targets import PRICE_TOLERANCE

Refusal = DataLateError | HistoryError | SourceError
"""Why a night cannot use a fetch."""

Verdict = (
    Literal["first", "extended", "unchanged", "dividend", "split", "revised", "held"]
    | FailedVerdict
)

# Share beyond which a restated settled volume is a finding; a restated settled price always is
VOLUME_ALARM = 5e-3
RESTATED = 20
"""Settled bars that one fetch may restate past VOLUME_ALARM, or in price, while the share basis
stays.

Yahoo restates single volumes of the last days; another unit, vendor or rounding restates hundreds,
and would replace the record that forecasts were made from.
"""

# The smallest dividends move Adj Close / Close ten times as much; jitter a tenth of it
_ADJUSTMENT = 1e-4

_VERSION_COLUMNS = ["session", "version", *PRICES, "volume"]
_NO_VERSIONS = pd.DataFrame(columns=_VERSION_COLUMNS)

_NOTHING_KNOWN = pd.DataFrame(
    {
        **dict.fromkeys([*PRICES, "volume"], np.zeros(0)),
        "version": np.zeros(0, int),
        "settled": np.zeros(0, bool),
    },
    index=pd.DatetimeIndex([], name="session"),
)

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
class StoredBars:
    """The stored bars of a symbol before a fetch."""

    bars: pd.DataFrame  # current versions, columns as `read.bars`
    # Dividends and splits, the newest value of each: columns session, kind, value
    actions: pd.DataFrame
    # Session and Adj Close / Close of the newest fetch that has one
    adjustment: tuple[date, float] | None


NOTHING_STORED = StoredBars(no_bars(), make_actions([]), None)


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
class Revision:
    """What to write for one fetch."""

    verdict: Verdict  # the most important change
    detail: str  # all changes, in one line
    # Columns session, version, open, high, low, close, volume: the rows to append
    versions: pd.DataFrame
    # Sessions whose version, after the append, a later session's fetch has confirmed
    settled: list[date]
    # Session, kind, value: new dividends, or with a new value, and the splits for which this fetch
    # rebased the bars; a split is recorded with the bars that show it, neither before nor after.
    new_actions: pd.DataFrame
    findings: list[Finding]  # restatements past the limits, and held bars
    # Sessions fetched and kept out for now; with the newest, it is late
    held: list[date] = field(default_factory=list)
    # The hold lasts until the source returns to the stored history or the user accepts it
    until_accepted: bool = False
    error: Refusal | None = None  # with one, only the findings are stored


def assess(fetched: Fetched, request: Request, stored: StoredBars) -> Revision:
    """What the fetched bars change about the stored ones, with every finding, and whether the night can use them."""
    exchange = request.exchange
    fetched = on_one_basis(
        fetched,
        known=stored.bars,
        known_actions=stored.actions,
        exchange=exchange,
    )
    symbol = fetched.symbol
    accept = request.accept
    bars, findings = check_bars(fetched, exchange=exchange, known=stored.bars)
    common, share, ratio = (
        (FEWEST, 1.0, 1.0) if fetched.names_symbol else compare(stored.bars, bars)
    )
    if common >= FEWEST and share < MATCHING_SHARE and not accept:
        detail = (
            f"Of {common} common sessions {share:.0%} have the stored close within {MATCH:.0%} "
            "(median ratio "
            f"x{ratio:.4g}); expected at least {MATCHING_SHARE:.0%}."
        )
        other = BadDataError(
            f"{fetched.source} has no symbol column, and its rows are not the stored series of "
            f"{symbol}. {detail} "
            f"Correct the symbol or the file; {SWITCH} accepts the new series."
        )
        newest = stored.bars.index.intersection(bars.index)[-1].date()
        return nothing_changed(
            other,
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
    unit = _other_volume_unit(fetched.bars, stored.bars)
    if unit is not None and not accept:
        usable = fetched.bars.index[fetched.bars.index < pd.Timestamp(unit.session)]
        subject = f"{symbol}'s bars are held back from {unit.session} on"
        return nothing_changed(
            _held(
                subject,
                unit.detail,
                _UNIT_RETURNS,
                usable,
            ),
            [unit],
        )
    error = _unusable(
        bars,
        stored.bars,
        fetched,
        request,
        findings,
    )
    if error is not None:
        return nothing_changed(error, findings)
    subject = f"{symbol}'s bar of {request.session} is held back"
    apart = (
        None
        if accept
        else _detached(
            bars,
            stored.bars,
            fetched,
            request,
        )
    )
    if apart is not None:
        return nothing_changed(
            _held(
                subject,
                apart.detail,
                _OTHERS_RETURN,
                bars.index[:0],
            ),
            [*findings, apart],
        )
    revision = explain(
        stored,
        bars,
        actions=fetched.actions,
        exchange=exchange,
        accept=accept,
    )
    accepted = [] if unit is None else [replace(unit, rule=ACCEPTED, severity="flag")]
    revision = replace(revision, findings=[*findings, *accepted, *revision.findings])
    if request.session in revision.held:
        advice = _CORRECT if request.is_frame else _BY_ITSELF
        ends = f"{_refusal(revision.findings, revision.held[0])}{advice}"
        ends = _HISTORY_RETURNS if revision.until_accepted else ends
        usable = bars.index.difference(pd.DatetimeIndex(revision.held))
        return nothing_changed(
            _held(
                subject,
                f"{revision.detail.rstrip('.')}.",
                ends,
                usable,
            ),
            revision.findings,
        )
    return revision


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
        actions=None,
        exchange=request.exchange,
        accept=request.accept,
    )
    return replace(revision, findings=[*findings, *revision.findings])


def prices_alone(fetched: Fetched) -> Fetched:
    """The fetch without volume, Adj Close, dividends and splits, which an index does not have."""
    return replace(
        fetched, bars=fetched.bars.assign(volume=np.nan, adj_close=np.nan), actions=make_actions([])
    )


def compare(known: pd.DataFrame, bars: pd.DataFrame) -> tuple[int, float, float]:
    """Sessions in common, the share of them whose closes match, and the median of fetched over stored close.

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
        f"The {len(new) - first} volumes from this session on are x{times:.4g} of the stored ones: "
        "another unit, "
        "as thousands of shares."
    )
    return Finding(
        new.index[first].date(),
        "volume_unit",
        "reject",
        times,
        detail,
    )


def _held(subject: str, detail: str, ends: str, usable: pd.Index) -> DataLateError:
    why = f"{subject}, not stored: {detail.removeprefix('nothing stored: ')} {ends}"
    return DataLateError(why, usable[-1].date() if len(usable) else None, why)


def _unusable(
    bars: pd.DataFrame,
    stored: pd.DataFrame,
    fetched: Fetched,
    request: Request,
    findings: list[Finding],
) -> DataLateError | HistoryError | None:
    """The error of a fetch without the newest bar, or with too few for a forecast.

    None of any other.
    """
    symbol = fetched.symbol
    # Where newer bars follow, a value that is missing still will not come any more.
    complete = _with_values(bars, stored, request.columns) if fetched.live else bars
    newest = complete.index[-1].date() if len(complete) else None
    if newest != request.session:
        why = _refusal(findings, request.session)
        if newest and bars.index[-1].date() == request.session:
            why = f"The bar of {request.session} came without its {' and '.join(request.columns)}. "
        what = f"ends at {newest}" if newest else "has no usable bar of the span requested"
        advice = (
            _CORRECT
            if request.is_frame
            else "Run again later, or as of a session that has its bar."
        )
        return DataLateError(
            f"{symbol} has no usable bar for the session {request.session}{'' if why else ' yet'}; "
            f"{request.source} {what}. {why}{advice}",
            newest,
            why.rstrip(),
        )
    found = len(bars.index.union(stored.index[stored.index <= pd.Timestamp(request.session)]))
    if found >= request.sessions_needed:
        return None
    return HistoryError(
        f"Expected at least {request.sessions_needed} sessions of bars for a forecast of {symbol} "
        "at "
        f"{request.session}; found {found}. Use a source with a longer history, or wait."
    )


def _with_values(bars: pd.DataFrame, stored: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The bars whose values in `columns` are known, here or stored.

    All where none are, as an index has no volumes.
    """
    names = list(columns)
    values = bars[names].fillna(stored[names].reindex(bars.index))
    complete = bars[values.notna().all(axis=1)]
    return complete if len(complete) else bars


def _refusal(findings: list[Finding], session: date) -> str:
    """The rule that keeps the session's bar out, with its number, as a sentence and a space.

    Empty without one.
    """
    for finding in findings:
        if finding.session == session and finding.severity == "reject":
            value = "" if finding.value is None else f", {finding.value:.6g}"
            return f"The bar of {session} is kept out ({finding.rule}{value}): {finding.detail} "
    return ""


def _detached(
    bars: pd.DataFrame, stored: pd.DataFrame, fetched: Fetched, request: Request
) -> Finding | None:
    """The finding on bars that begin sessions after the stored ones, which were requested too.

    None for any other.
    """
    if stored.empty or bars.empty or fetched.first_asked > stored.index[-1].date():
        return None
    ends = stored.index[-1].date()
    begins = bars.index[0].date()
    missing = len(after(ends, begins, request.exchange)) - 1
    if missing < 1:
        return None
    detail = (
        f"The stored bars end at {ends}; those of {request.source} begin at {begins}, with "
        f"{missing} missing between, "
        "though the stored ones were requested too: its response is cut off, or the symbol is "
        "another company's now."
    )
    # On the first session of the response, which it covers once it is accepted, so that its fetch
    # clears the finding.
    return Finding(
        begins,
        "history_detached",
        "reject",
        float(missing),
        detail,
    )


def explain(
    stored: StoredBars,
    bars: pd.DataFrame,
    *,
    actions: pd.DataFrame | None,
    exchange: str,
    accept: bool = False,
) -> Revision:
    """The changes of the fetched `bars`, the whole window or any part of it, to the stored ones.

    `actions` is None for an index, whose jumps are not held. With `accept` a history counts that no
    split explains.
    """
    known = stored.bars if len(stored.bars) else _NOTHING_KNOWN
    new_actions = changed_actions(stored.actions, make_actions([]) if actions is None else actions)
    new_splits = new_actions[new_actions["kind"] == "split"]
    dividends = new_actions[new_actions["kind"] == "dividend"].reset_index(drop=True)
    factor = basis(known, bars, new_splits)
    if factor is None and not accept:
        ratios = bars["close"] / known["close"]  # NaN where only one of the two has the session
        moved = ratios[(ratios - 1.0).abs() > MOVED]
        detail = (
            f"Prices of {len(moved)} known bars moved (median x{moved.median():.4g}), and no "
            "split explains how."
        )
        return _nothing_stored(
            known,
            bars,
            dividends,
            "rebase_unexplained",
            float(moved.median()),
            detail,
        )
    factor = pd.Series(1.0, index=known.index) if factor is None else factor
    expected = rebase(known, factor)
    splits = shown_splits(
        factor,
        bars,
        new_splits,
        stored=stored.actions,
    )
    kept = bars
    findings = list[Finding]()
    if actions is not None:
        # A split for which this fetch rebases the bars explains no jump of its session.
        shown = (
            (actions["kind"] == "split")
            & actions["session"].isin(splits["session"])
            & (len(known) > 0)
        )
        kept, findings = hold_jumps(
            expected,
            bars,
            actions[~shown],
            exchange=exchange,
        )
    versions = _versions(expected, kept, factor)
    restated = _restated_bars(expected, versions, factor=factor)
    alarming = restated[restated["alarming"]]
    if len(alarming) > RESTATED and not accept:
        ratio = float((1.0 + alarming["volume"]).median())
        prices = int((alarming["price"] > PRICE_TOLERANCE).sum())
        detail = (
            f"{len(alarming)} settled bars would be restated by one fetch (volume by a median of "
            f"x{ratio:.4g}, prices "
            f"of {prices}); expected at most {RESTATED}."
        )
        return _nothing_stored(
            known,
            bars,
            dividends,
            "history_restated",
            ratio,
            detail,
        )
    single = restated[restated["session"].isin(known.index[factor == 1.0]) & restated["differs"]]
    held = bars.index[len(kept) :]
    new = int((~versions["session"].isin(known.index)).sum())
    rebased = factor[factor != 1.0]
    adjusted = (kept["adj_close"] / kept["close"]).dropna()
    step = 1.0  # also where one of the two is not known
    if stored.adjustment is not None:
        day, before = stored.adjustment
        step = float(adjusted.get(pd.Timestamp(day), before)) / before
    verdicts: list[tuple[Verdict, bool]] = [
        ("held", len(held) > 0),
        ("first", known.empty),
        ("split", len(rebased) > 0),
        # A night makes the bar of the night before final; that its volume has moved until then is
        # no news to anybody.
        ("revised", bool(single["settled"].any()) or (len(single) > 0 and not new)),
        ("dividend", len(dividends) > 0 or abs(step - 1.0) > _ADJUSTMENT),
        ("extended", new > 0),
        ("unchanged", True),
    ]
    changes = [
        f"{new} new" if new else "",
        f"{len(held)} held" if len(held) else "",
        f"split x{rebased.iloc[-1]:g}" if len(rebased) else "",
        f"{len(single)} restated ({_largest(single)})" if len(single) else "",
        *(
            f"dividend {row.value:g} on {row.session:%Y-%m-%d}"
            for row in dividends.tail(3).itertuples()
        ),
        f"{len(dividends) - 3} earlier dividends" if len(dividends) > 3 else "",
        f"Adj Close x{step:.6f}" if abs(step - 1.0) > _ADJUSTMENT else "",
    ]
    newest = f", newest {kept.index[-1]:%Y-%m-%d}" if len(kept) else ""
    return Revision(
        next(verdict for verdict, holds in verdicts if holds),
        (", ".join(filter(None, changes)) or "no change") + newest,
        versions,
        _settled(
            known,
            kept,
            versions,
            of_index=actions is None,
        ),
        pd.concat([dividends, splits], ignore_index=True) if len(splits) else dividends,
        [*findings, *_alarms(alarming, accept=accept)],
        held=[day.date() for day in held],
    )


def nothing_changed(error: Refusal, findings: Sequence[Finding] = ()) -> Revision:
    """The revision of a request without usable bars.

    The error's verdict and message, and its findings.
    """
    return Revision(
        error.verdict,
        str(error),
        _NO_VERSIONS,
        [],
        make_actions([]),
        [*findings],
        error=error,
    )


def adjustment(bars: pd.DataFrame) -> tuple[date, float] | None:
    """The newest session and its Adj Close / Close, which the next fetch's dividends will lower.

    None without one.
    """
    factor = (bars["adj_close"] / bars["close"]).dropna()
    return (factor.index[-1].date(), float(factor.iloc[-1])) if len(factor) else None


def _versions(expected: pd.DataFrame, kept: pd.DataFrame, factor: pd.Series) -> pd.DataFrame:
    """New and restated bars, and after a split all earlier ones.

    Bars outside the fetch are rebased by the factor.
    """
    rebased = factor.index[factor != 1.0]
    rows = kept.loc[changed_rows(kept, expected) | kept.index.isin(rebased), [*PRICES, "volume"]]
    rows = rows.assign(volume=rows["volume"].fillna(expected["volume"].reindex(rows.index)))
    absent = rebased.difference(kept.index)
    if len(absent):
        rows = pd.concat([expected.loc[absent, rows.columns], rows]).sort_index()
    before = expected["version"].reindex(rows.index).fillna(0)
    rows.insert(0, "version", before.astype("int64") + 1)
    return rows.rename_axis("session").reset_index()[_VERSION_COLUMNS]


def _settled(
    known: pd.DataFrame, kept: pd.DataFrame, versions: pd.DataFrame, *, of_index: bool
) -> list[date]:
    """The sessions that this fetch makes final.

    All but its newest, if their volume is known or no session has one.
    """
    if kept.empty:
        return []
    done = known.index[known["settled"].astype(bool)]
    written = pd.DatetimeIndex(versions["session"])
    volume = kept["volume"].fillna(known["volume"].reindex(kept.index))
    without_volume = of_index or bool(volume.isna().all())  # a currency, and some indices
    complete = kept.index[(kept.index < kept.index[-1]) & (volume.notna() | without_volume)]
    confirmed = complete[~complete.isin(done) | complete.isin(written)]
    rebased = written[written.isin(done) & ~written.isin(kept.index)]  # without being fetched again
    return pd.DatetimeIndex(confirmed.union(rebased)).date.tolist()


def _nothing_stored(
    known: pd.DataFrame,
    bars: pd.DataFrame,
    dividends: pd.DataFrame,
    rule: str,
    value: float,
    detail: str,
) -> Revision:
    # On the newest known session: it stays the newest while no bar is stored, so later nights add
    # no other finding.
    newest = known.index.intersection(bars.index)[-1].date()
    held = [day.date() for day in bars.index.difference(known.index)]
    finding = Finding(
        newest,
        rule,
        "reject",
        value,
        detail,
    )
    detail = f"nothing stored: {detail}"
    return Revision(
        "held",
        detail,
        _NO_VERSIONS,
        [],
        dividends,
        [finding],
        held=held,
        until_accepted=True,
    )


def _largest(restated: pd.DataFrame) -> str:
    """The largest of the restatements: of a known volume, else of a price, else a volume that was unknown."""
    for column, least, form in (("volume", 0.0, "+.2%"), ("price", PRICE_TOLERANCE, ".2%")):
        change = restated[column].abs().fillna(0.0)
        worst = restated.iloc[int(np.argmax(change))]
        if change.max() > least:
            return f"{column} by up to {worst[column]:{form}} on {worst['session']:%Y-%m-%d}"
    return f"a volume that was unknown on {restated['session'].iloc[0]:%Y-%m-%d}"


def _restated_bars(
    expected: pd.DataFrame, versions: pd.DataFrame, *, factor: pd.Series
) -> pd.DataFrame:
    """The known bars that get a new version.

    Columns session, price, volume (relative changes), differs, alarming.
    """
    now = versions[versions["session"].isin(expected.index)].set_index("session")
    before = expected.loc[now.index]
    price = (now[PRICES] / before[PRICES] - 1.0).abs().max(axis=1)
    volume = now["volume"] / before["volume"] - 1.0
    rebased = factor.loc[now.index] != 1.0
    price = price.mask(rebased & (price < SAME_RATIO), 0.0)
    volume = volume.mask(rebased & ((now["volume"] - before["volume"]).abs() <= 1.0), 0.0)
    filled = before["volume"].isna() & now["volume"].notna()
    settled = before["settled"].astype(bool)
    moved = (price > PRICE_TOLERANCE) | (volume.abs() > VOLUME_ALARM)
    columns = {"price": price, "volume": volume, "settled": settled, "alarming": settled & moved}
    differs = (price > PRICE_TOLERANCE) | (volume.abs() > 0) | filled
    return pd.DataFrame(columns | {"differs": differs}).rename_axis("session").reset_index()


def _alarms(settled: pd.DataFrame, *, accept: bool) -> list[Finding]:
    """Findings on restated settled bars.

    One for all of them where the user accepted more than RESTATED.
    """
    if accept and len(settled) > RESTATED:
        detail = (
            f"{len(settled)} settled bars were restated up to this session, as "
            "--switch-source permitted."
        )
        return [
            Finding(
                settled["session"].iloc[-1].date(),
                ACCEPTED,
                "flag",
                float(len(settled)),
                detail,
            )
        ]
    return [
        Finding(
            day.date(),
            f"{what}_restated",
            "flag",
            share,
            f"A settled {what} was restated by this share.",
        )
        for what, least in (("price", PRICE_TOLERANCE), ("volume", VOLUME_ALARM))
        for day, share in zip(settled["session"], settled[what].tolist(), strict=True)
        if abs(share) > least
    ]
