"""Changes of a fetch to the stored bars, and their causes.

    first      nothing was stored            dividend   Adj Close moved, no bar did
    extended   new sessions, settled bars equal
    unchanged  no change                     revised    single bars were restated
    split      the share basis changed: new versions of every earlier bar
    held       a jump like a split, unexplained: kept out

A request without usable bars has a verdict too: late, rate_limited, unavailable or bad_data.
Tolerances: prices 1e-5 relative, volumes exact. An absent row or an unknown volume is no change.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from forecasting.errors import FailedVerdict
from forecasting.ingest.actions import changed_actions, make_actions
from forecasting.ingest.bar_rules import PRICES, Finding
from forecasting.ingest.bars import PRICE_TOLERANCE, changed_rows
from forecasting.ingest.restatements import RESTATED, alarming, alarms, restated_bars
from forecasting.ingest.splits import MOVED, basis, hold_jumps, rebase, shown_splits, split_factor

Verdict = Literal["first", "extended", "unchanged", "dividend", "split", "revised", "held"] | FailedVerdict

_ADJUSTMENT = 1e-4  # the smallest dividends move Adj Close / Close ten times as much; jitter a tenth of it

_VERSION_COLUMNS = ["session", "version", *PRICES, "volume"]

_NOTHING_KNOWN = pd.DataFrame(
    {**dict.fromkeys([*PRICES, "volume"], np.zeros(0)), "version": np.zeros(0, int), "settled": np.zeros(0, bool)},
    index=pd.DatetimeIndex([], name="session"),
)


@dataclass(frozen=True)
class Revision:
    """What to write for one fetch.

    Attributes:
        verdict: The most important change.
        detail: All changes, in one line.
        versions: Columns session, version, open, high, low, close, volume: the rows to append.
        settled: Sessions whose current version, after the append, a later session's fetch has confirmed.
        new_actions: Columns session, kind, value: new dividends, or with a new value, and the splits for which this
            fetch rebased the bars; a split is recorded with the bars that show it, neither before nor after.
        findings: Restatements past the limits, and held bars.
        held: Sessions whose bars were fetched and kept out for now; with the newest among them the night is late.
        until_accepted: Whether the hold lasts until the source returns to the stored history or the user accepts it.
    """

    verdict: Verdict
    detail: str
    versions: pd.DataFrame
    settled: list[date]
    new_actions: pd.DataFrame
    findings: list[Finding]
    held: list[date] = field(default_factory=list)
    until_accepted: bool = False


class _Changes(NamedTuple):
    held: int
    new: int
    restated: pd.DataFrame
    dividends: pd.DataFrame
    adjustment: float
    factor: float | None


def explain(
    known: pd.DataFrame,
    bars: pd.DataFrame,
    *,
    actions: pd.DataFrame | None,
    known_actions: pd.DataFrame,
    known_adjustment: tuple[date, float] | None = None,
    accept: bool = False,
) -> Revision:
    """The changes of the fetched `bars` to the `known` ones.

    Args:
        known: The current view: index session; columns open, high, low, close, volume, version, settled (bool).
        bars: The fetched bars that check_bars accepted: the whole window or any part of it.
        actions: The fetched dividends and splits; None for an index, which has no shares: its jumps are not held.
        known_actions: The stored ones, newest value of each.
        known_adjustment: `adjustment` of the fetch before; without it a dividend shows only by its own row.
        accept: Take a history that no split explains, and any number of restated bars: the user asked for it.
    """
    known = known if len(known) else _NOTHING_KNOWN
    new_actions = changed_actions(known_actions, make_actions([]) if actions is None else actions)
    new_splits = new_actions[new_actions["kind"] == "split"]
    dividends = new_actions[new_actions["kind"] == "dividend"].reset_index(drop=True)
    factor = basis(known, bars, new_splits)
    if factor is None and not accept:
        return _held_whole(known, bars, dividends)
    factor = pd.Series(1.0, index=known.index) if factor is None else factor
    expected = rebase(known, factor)
    splits = shown_splits(factor, bars, new_splits, stored=known_actions)
    kept, findings = bars, list[Finding]()
    if actions is not None:
        kept, findings = hold_jumps(expected, bars, actions if known.empty else _not_shown(actions, splits))
    versions = _versions(expected, kept, factor)
    restated = restated_bars(expected, versions, factor=factor)
    if alarming(restated).sum() > RESTATED and not accept:
        return _restated_whole(known, bars, restated, dividends)
    changes = _Changes(
        held=len(bars) - len(kept),
        new=int((~versions["session"].isin(known.index)).sum()),
        restated=restated[restated["session"].isin(known.index[factor == 1.0]) & restated["differs"]],
        dividends=dividends,
        adjustment=_adjustment_step(kept, known_adjustment),
        factor=split_factor(factor),
    )
    return Revision(
        _verdict(known, changes),
        _detail(kept, changes),
        versions,
        _settled(known, kept, versions, of_index=actions is None),
        pd.concat([dividends, splits], ignore_index=True) if len(splits) else dividends,
        [*findings, *alarms(restated, accept=accept)],
        held=[day.date() for day in bars.index[len(kept) :]],
    )


def nothing_changed(verdict: Verdict, detail: str, findings: list[Finding] | None = None) -> Revision:
    """The revision of a request without usable bars: a verdict, the error's message, its findings; nothing to store."""
    no_actions = make_actions([])
    return Revision(verdict, detail, pd.DataFrame(columns=_VERSION_COLUMNS), [], no_actions, findings or [])


def adjustment(bars: pd.DataFrame) -> tuple[date, float] | None:
    """The newest session and its Adj Close / Close, which the next fetch's dividends will lower; None without one."""
    factor = (bars["adj_close"] / bars["close"]).dropna()
    return (factor.index[-1].date(), float(factor.iloc[-1])) if len(factor) else None


def _not_shown(actions: pd.DataFrame, shown: pd.DataFrame) -> pd.DataFrame:
    """`actions` without the splits for which this fetch rebases the bars: they explain no jump of their session."""
    rest: pd.DataFrame = actions[(actions["kind"] != "split") | ~actions["session"].isin(shown["session"])]
    return rest


def _versions(expected: pd.DataFrame, kept: pd.DataFrame, factor: pd.Series) -> pd.DataFrame:
    """New and restated bars, and after a split all earlier ones; bars outside the fetch are rebased by the factor."""
    rebased = factor.index[factor != 1.0]
    rows = kept.loc[changed_rows(kept, expected) | kept.index.isin(rebased), [*PRICES, "volume"]]
    rows = rows.assign(volume=rows["volume"].fillna(expected["volume"].reindex(rows.index)))
    absent = rebased.difference(kept.index)
    if len(absent):
        rows = pd.concat([expected.loc[absent, rows.columns], rows]).sort_index()
    before = expected["version"].reindex(rows.index).fillna(0)
    rows.insert(0, "version", before.astype("int64") + 1)
    return rows.rename_axis("session").reset_index()[_VERSION_COLUMNS]


def _settled(known: pd.DataFrame, kept: pd.DataFrame, versions: pd.DataFrame, *, of_index: bool) -> list[date]:
    """The sessions that this fetch makes final: all but its newest, if their volume is known or no session has one."""
    if kept.empty:
        return []
    done = known.index[known["settled"].astype(bool)]
    written = pd.DatetimeIndex(versions["session"])
    volume = kept["volume"].fillna(known["volume"].reindex(kept.index))
    without_volume = of_index or bool(volume.isna().all())  # a currency, and some indices
    complete = kept.index[(kept.index < kept.index[-1]) & (volume.notna() | without_volume)]
    confirmed = complete[~complete.isin(done) | complete.isin(written)]
    rebased = written[written.isin(done) & ~written.isin(kept.index)]  # without being fetched again
    days: list[date] = pd.DatetimeIndex(confirmed.union(rebased)).date.tolist()
    return days


def _adjustment_step(kept: pd.DataFrame, known_adjustment: tuple[date, float] | None) -> float:
    """Adj Close / Close on the newest session of the fetch before, the new value over the old; 1 when unknown."""
    if known_adjustment is None or pd.Timestamp(known_adjustment[0]) not in kept.index:
        return 1.0
    factor = kept["adj_close"] / kept["close"]
    step = float(factor[pd.Timestamp(known_adjustment[0])]) / known_adjustment[1]
    return step if np.isfinite(step) else 1.0


def _held_whole(known: pd.DataFrame, bars: pd.DataFrame, dividends: pd.DataFrame) -> Revision:
    ratios = bars["close"] / known["close"]  # NaN where only one of the two has the session
    moved = ratios[(ratios - 1.0).abs() > MOVED]
    ratio = float(moved.median())
    detail = f"Prices of {len(moved)} known bars moved (median x{ratio:.4g}), and no split explains how."
    return _nothing_stored(known, bars, dividends, "rebase_unexplained", ratio, detail)


def _restated_whole(
    known: pd.DataFrame, bars: pd.DataFrame, restated: pd.DataFrame, dividends: pd.DataFrame
) -> Revision:
    settled = restated[alarming(restated)]
    ratio = float((1.0 + settled["volume"]).median())
    prices = int((settled["price"] > PRICE_TOLERANCE).sum())
    detail = (
        f"{len(settled)} settled bars would be restated by one fetch (volume by a median of x{ratio:.4g}, prices of "
        f"{prices}); expected at most {RESTATED}."
    )
    return _nothing_stored(known, bars, dividends, "history_restated", ratio, detail)


def _nothing_stored(
    known: pd.DataFrame, bars: pd.DataFrame, dividends: pd.DataFrame, rule: str, value: float, detail: str
) -> Revision:
    # On the newest known session: it stays the newest while no bar is stored, so later nights add no other finding.
    newest = known.index.intersection(bars.index)[-1].date()
    return Revision(
        "held",
        f"nothing stored: {detail}",
        pd.DataFrame(columns=_VERSION_COLUMNS),
        [],
        dividends,
        [Finding(newest, rule, "reject", value, detail)],
        held=[day.date() for day in bars.index.difference(known.index)],
        until_accepted=True,
    )


def _verdict(known: pd.DataFrame, changes: _Changes) -> Verdict:
    if changes.held:
        return "held"
    if known.empty:
        return "first"
    if changes.factor is not None:
        return "split"
    # A night makes the bar of the night before final; that its volume has moved until then is no news to anybody.
    if changes.restated["settled"].any() or (len(changes.restated) and not changes.new):
        return "revised"
    if len(changes.dividends) or abs(changes.adjustment - 1.0) > _ADJUSTMENT:
        return "dividend"
    return "extended" if changes.new else "unchanged"


def _largest(restated: pd.DataFrame) -> str:
    """The largest of the restatements: of a known volume, else of a price, else a volume that was unknown."""
    for column, least, form in (("volume", 0.0, "+.2%"), ("price", PRICE_TOLERANCE, ".2%")):
        change = restated[column].abs().fillna(0.0)
        worst = restated.iloc[int(np.argmax(change))]
        if change.max() > least:
            return f"{column} by up to {worst[column]:{form}} on {worst['session']:%Y-%m-%d}"
    return f"a volume that was unknown on {restated['session'].iloc[0]:%Y-%m-%d}"


def _detail(kept: pd.DataFrame, changes: _Changes) -> str:
    parts = [f"{changes.new} new"] if changes.new else []
    if changes.held:
        parts.append(f"{changes.held} held")
    if changes.factor is not None:
        parts.append(f"split x{changes.factor:g}")
    if len(changes.restated):
        parts.append(f"{len(changes.restated)} restated ({_largest(changes.restated)})")
    parts += [f"dividend {row.value:g} on {row.session:%Y-%m-%d}" for row in changes.dividends.tail(3).itertuples()]
    if len(changes.dividends) > 3:
        parts.append(f"{len(changes.dividends) - 3} earlier dividends")
    if abs(changes.adjustment - 1.0) > _ADJUSTMENT:
        parts.append(f"Adj Close x{changes.adjustment:.6f}")
    newest = f", newest {kept.index[-1]:%Y-%m-%d}" if len(kept) else ""
    return (", ".join(parts) or "no change") + newest
