"""Changes of a fetch to the stored bars, their causes, and whether its night can use it.

    first      nothing was stored            dividend   a new dividend, no bar moved
    extended   new sessions, settled bars equal
    unchanged  no change                     revised    single bars were restated
    split      the share basis changed: new versions of every earlier bar
    held       a jump like a split, unexplained, or another series or unit: kept out

A request without usable bars has a verdict too: late, rate_limited, unavailable or bad_data.
Tolerances: prices 1e-5 relative, volumes exact. An absent row or an unknown volume is no change.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, get_args

import pandas as pd

from forecasting.errors import DataLateError, FailedVerdict, HistoryError, SourceError
from forecasting.ingest.actions import changed_actions, make_actions
from forecasting.ingest.bar_rules import PRICES, VALUES, Finding, findings_on
from forecasting.ingest.bars import changed_rows, no_bars
from forecasting.ingest.splits import (
    ACCEPTED,
    SAME_RATIO,
    basis,
    has_moved,
    hold_jumps,
    rebase,
    shown_splits,
)
from forecasting.targets import PRICE_TOLERANCE

Refusal = DataLateError | HistoryError | SourceError
"""Why a night cannot use a fetch."""

Change = Literal["held", "first", "split", "revised", "dividend", "extended", "unchanged"]
"""What a fetch changes about the stored bars, the most important first."""

Verdict = Change | FailedVerdict

_IMPORTANCE = get_args(Change)

# Share beyond which a restated settled volume is a finding; a restated settled price always is
VOLUME_ALARM = 5e-3
RESTATED = 20
"""Settled bars that one fetch may restate past VOLUME_ALARM, or in price, while the share basis
stays.

Yahoo restates single volumes of the last days; another unit, vendor or rounding restates hundreds,
and would replace the record that forecasts were made from.
"""

_VERSION_COLUMNS = ["session", "version", *VALUES]
_NO_VERSIONS = pd.DataFrame(columns=_VERSION_COLUMNS)


@dataclass(frozen=True)
class StoredBars:
    """The stored bars of a symbol before a fetch."""

    bars: pd.DataFrame  # current versions, columns as `read.bars`
    # Dividends and splits, the newest value of each: columns session, kind, value
    actions: pd.DataFrame


NOTHING_STORED = StoredBars(no_bars().assign(version=0, settled=False), make_actions([]))


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


def explain(
    stored: StoredBars,
    bars: pd.DataFrame,
    *,
    actions: pd.DataFrame,
    exchange: str,
    of_index: bool = False,
    accept: bool = False,
) -> Revision:
    """The changes of the fetched `bars`, the whole window or any part of it, to the stored ones.

    No jump of an index is held. With `accept` a history counts that no split explains.
    """
    known = stored.bars
    new_actions = changed_actions(stored.actions, actions)
    new_splits = new_actions[new_actions["kind"] == "split"]
    dividends = new_actions[new_actions["kind"] == "dividend"].reset_index(drop=True)
    factor = basis(known, bars, new_splits)
    if factor is None and not accept:
        return _nothing_stored(known, bars, dividends, _unexplained(known, bars))
    if factor is None:
        factor = pd.Series(1.0, index=known.index)
    expected = rebase(known, factor)
    splits = shown_splits(factor, bars, new_splits, stored=stored.actions)
    kept = bars
    findings = list[Finding]()
    if not of_index:
        kept, findings = hold_jumps(expected, bars, actions, shown=splits, exchange=exchange)
    versions = _versions(expected, kept, factor)
    restated = _restated_bars(expected, versions, factor=factor)
    alarming = restated[restated["alarming"]]
    if len(alarming) > RESTATED and not accept:
        return _nothing_stored(known, bars, dividends, _history_restated(alarming))
    is_single = restated["session"].isin(known.index[factor == 1.0])
    held = [day.date() for day in bars.index[len(kept) :]]
    changes = _changes(
        known,
        versions,
        held=len(held),
        rebased=factor[factor != 1.0],
        restated=restated[is_single],
    )
    changes += _dividends(dividends)
    verdict, detail = _summary(changes, kept)
    return Revision(
        verdict,
        detail,
        versions,
        _settled(known, kept, versions),
        pd.concat([dividends, splits], ignore_index=True),
        [*findings, *_alarms(alarming, accept=accept)],
        held=held,
    )


def _summary(changes: list[tuple[Change, str]], kept: pd.DataFrame) -> tuple[Change, str]:
    """The most important kind of change, and all changes in one line."""
    if not changes:
        changes = [("unchanged", "no change")]
    words = [text for _, text in changes]
    if len(kept):
        words.append(f"newest {kept.index[-1]:%Y-%m-%d}")
    kinds = [kind for kind, _ in changes]
    return min(kinds, key=_IMPORTANCE.index), ", ".join(words)


def _changes(
    known: pd.DataFrame,
    versions: pd.DataFrame,
    *,
    held: int,
    rebased: pd.Series,
    restated: pd.DataFrame,
) -> list[tuple[Change, str]]:
    """Kind of each change of the bars, and its words."""
    changes: list[tuple[Change, str]] = []
    new = int((~versions["session"].isin(known.index)).sum())
    if new:
        changes.append(("first" if known.empty else "extended", f"{new} new"))
    if held:
        changes.append(("held", f"{held} held"))
    if len(rebased):
        changes.append(("split", f"split x{rebased.iloc[-1]:g}"))
    if len(restated):
        # A night makes the bar of the night before final; that its volume has moved until then is
        # no news to anybody.
        is_news = restated["settled"].any() or not new
        changes.append(("revised" if is_news else "extended", f"{len(restated)} restated"))
    return changes


def _dividends(dividends: pd.DataFrame) -> list[tuple[Change, str]]:
    """The changes that new dividends are, in words: the newest three, then how many before."""
    newest = dividends.tail(3).itertuples()
    words = [f"dividend {row.value:g} on {row.session:%Y-%m-%d}" for row in newest]
    if len(dividends) > 3:
        words.append(f"{len(dividends) - 3} earlier dividends")
    return [("dividend", text) for text in words]


def nothing_changed(error: Refusal, findings: Sequence[Finding] = ()) -> Revision:
    """The revision of a request without usable bars, with the error's verdict and message."""
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
    """The newest session that has an Adj Close / Close, and that, which dividends will lower."""
    factor = (bars["adj_close"] / bars["close"]).dropna()
    return (factor.index[-1].date(), float(factor.iloc[-1])) if len(factor) else None


def _versions(expected: pd.DataFrame, kept: pd.DataFrame, factor: pd.Series) -> pd.DataFrame:
    """New and restated bars, and after a split all earlier ones, rebased if not fetched."""
    rebased = factor.index[factor != 1.0]
    rows = kept.loc[changed_rows(kept, expected) | kept.index.isin(rebased), VALUES]
    rows = rows.assign(volume=rows["volume"].fillna(expected["volume"].reindex(rows.index)))
    absent = rebased.difference(kept.index)
    if len(absent):
        rows = pd.concat([expected.loc[absent, rows.columns], rows]).sort_index()
    before = expected["version"].reindex(rows.index).fillna(0)
    rows.insert(0, "version", before.astype("int64") + 1)
    return rows.rename_axis("session").reset_index()[_VERSION_COLUMNS]


def _settled(known: pd.DataFrame, kept: pd.DataFrame, versions: pd.DataFrame) -> list[date]:
    """The sessions that this fetch makes final: of known volume, but for its newest one."""
    if kept.empty:
        return []
    done = known.index[known["settled"].astype(bool)]
    written = pd.DatetimeIndex(versions["session"])
    volume = kept["volume"].fillna(known["volume"].reindex(kept.index))
    without_volume = bool(volume.isna().all())  # an index or a currency
    complete = kept.index[(kept.index < kept.index[-1]) & (volume.notna() | without_volume)]
    confirmed = complete[~complete.isin(done) | complete.isin(written)]
    rebased = written[written.isin(done) & ~written.isin(kept.index)]  # without being fetched again
    return pd.DatetimeIndex(confirmed.union(rebased)).date.tolist()


_Why = tuple[str, float, str]
"""Rule, value and detail of the finding on a history that is held."""


def _unexplained(known: pd.DataFrame, bars: pd.DataFrame) -> _Why:
    """The finding that prices moved as no split explains."""
    ratios = bars["close"] / known["close"]  # NaN where only one of the two has the session
    moved = ratios[has_moved(ratios)]
    ratio = float(moved.median())
    detail = (
        f"Prices of {len(moved)} known bars moved (median x{ratio:.4g}), and no split explains how."
    )
    return "rebase_unexplained", ratio, detail


def _history_restated(alarming: pd.DataFrame) -> _Why:
    """The finding that more settled bars than RESTATED would change."""
    ratio = float((1.0 + alarming["volume"]).median())
    prices = int((alarming["price"] > PRICE_TOLERANCE).sum())
    detail = (
        f"One fetch would restate {len(alarming)} settled bars; expected at most {RESTATED}. "
        f"At the median their volume is multiplied by {ratio:.4g}; {prices} have other prices."
    )
    return "history_restated", ratio, detail


def _nothing_stored(
    known: pd.DataFrame, bars: pd.DataFrame, dividends: pd.DataFrame, why: _Why
) -> Revision:
    rule, ratio, detail = why
    # It stays the newest while no bar is stored, so later nights add no other finding.
    newest_known = known.index.intersection(bars.index)[-1].date()
    return Revision(
        "held",
        f"nothing stored: {detail}",
        _NO_VERSIONS,
        [],
        dividends,
        [Finding(newest_known, rule, "reject", ratio, detail)],
        held=[day.date() for day in bars.index.difference(known.index)],
        until_accepted=True,
    )


def _restated_bars(
    expected: pd.DataFrame, versions: pd.DataFrame, *, factor: pd.Series
) -> pd.DataFrame:
    """The known bars that get a new version.

    Columns session, price, volume (relative changes), settled, alarming.
    """
    now = versions[versions["session"].isin(expected.index)].set_index("session")
    before = expected.loc[now.index]
    price = (now[PRICES] / before[PRICES] - 1.0).abs().max(axis=1)
    volume = now["volume"] / before["volume"] - 1.0
    rebased = factor.loc[now.index] != 1.0
    price = price.mask(rebased & (price < SAME_RATIO), 0.0)
    volume = volume.mask(rebased & ((now["volume"] - before["volume"]).abs() <= 1.0), 0.0)
    settled = before["settled"].astype(bool)
    moved = (price > PRICE_TOLERANCE) | (volume.abs() > VOLUME_ALARM)
    columns = {"price": price, "volume": volume, "settled": settled, "alarming": settled & moved}
    return pd.DataFrame(columns).rename_axis("session").reset_index()


def _alarms(settled: pd.DataFrame, *, accept: bool) -> list[Finding]:
    """Findings on restated settled bars; one for all where the user accepted more than RESTATED."""
    if accept and len(settled) > RESTATED:
        newest = settled["session"].iloc[-1].date()
        count = len(settled)
        detail = (
            f"{count} settled bars were restated up to this session, as --switch-source permitted."
        )
        return [Finding(newest, ACCEPTED, "flag", float(count), detail)]
    findings = []
    for what, least in (("price", PRICE_TOLERANCE), ("volume", VOLUME_ALARM)):
        shares = settled.set_index("session")[what]
        detail = f"A settled {what} was restated by this share."
        findings += findings_on(shares[shares.abs() > least], f"{what}_restated", detail)
    return findings
