"""Changes of a fetch to the stored bars, and their causes.

    first      nothing was stored            dividend   Adj Close moved, no bar did
    extended   new sessions, settled bars equal
    unchanged  no change                     revised    single bars were restated
    split      the share basis changed: new versions of every earlier bar
    held       a jump like a split, unexplained: kept out

A request without usable bars has a verdict too: late, rate_limited, unavailable or bad_data.
Tolerances: prices 1e-5 relative, volumes exact. An absent row or an unknown volume is no change.
"""

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from forecasting.errors import FailedVerdict
from forecasting.ingest.actions import changed_actions, make_actions
from forecasting.ingest.bar_rules import PRICES, Finding
from forecasting.ingest.bars import PRICE_TOLERANCE, changed_rows
from forecasting.ingest.splits import ACCEPTED, MOVED, SAME_RATIO, basis, hold_jumps, rebase, shown_splits

Verdict = Literal["first", "extended", "unchanged", "dividend", "split", "revised", "held"] | FailedVerdict

VOLUME_ALARM = 5e-3  # share beyond which a restated settled volume is a finding; a restated settled price always is
RESTATED = 20
"""Settled bars that one fetch may restate past VOLUME_ALARM, or in price, while the share basis stays.

Yahoo restates single volumes of the last days; another unit, vendor or rounding restates hundreds, and would replace
the record that forecasts were made from.
"""

_ADJUSTMENT = 1e-4  # the smallest dividends move Adj Close / Close ten times as much; jitter a tenth of it

_VERSION_COLUMNS = ["session", "version", *PRICES, "volume"]

_NOTHING_KNOWN = pd.DataFrame(
    {**dict.fromkeys([*PRICES, "volume"], np.zeros(0)), "version": np.zeros(0, int), "settled": np.zeros(0, bool)},
    index=pd.DatetimeIndex([], name="session"),
)


@dataclass(frozen=True)
class Revision:
    """What to write for one fetch."""

    verdict: Verdict  # the most important change
    detail: str  # all changes, in one line
    versions: pd.DataFrame  # columns session, version, open, high, low, close, volume: the rows to append
    settled: list[date]  # sessions whose version, after the append, a later session's fetch has confirmed
    # Session, kind, value: new dividends, or with a new value, and the splits for which this fetch rebased the bars; a
    # split is recorded with the bars that show it, neither before nor after.
    new_actions: pd.DataFrame
    findings: list[Finding]  # restatements past the limits, and held bars
    held: list[date] = field(default_factory=list)  # sessions fetched and kept out for now; with the newest, it is late
    until_accepted: bool = False  # the hold lasts until the source returns to the stored history or the user accepts it


def explain(
    known: pd.DataFrame,
    bars: pd.DataFrame,
    *,
    actions: pd.DataFrame | None,
    known_actions: pd.DataFrame,
    known_adjustment: tuple[date, float] | None = None,
    accept: bool = False,
) -> Revision:
    """The changes of the fetched `bars`, the whole window or any part of it, to the `known` ones.

    `known` has the columns open, high, low, close, volume, version, settled (bool). `actions` is None for an index,
    which has no shares: its jumps are not held. With `accept` a history counts that no split explains, and any number
    of restated bars. Without `known_adjustment` a dividend shows only by its own row.
    """
    known = known if len(known) else _NOTHING_KNOWN
    new_actions = changed_actions(known_actions, make_actions([]) if actions is None else actions)
    new_splits = new_actions[new_actions["kind"] == "split"]
    dividends = new_actions[new_actions["kind"] == "dividend"].reset_index(drop=True)
    factor = basis(known, bars, new_splits)
    if factor is None and not accept:
        ratios = bars["close"] / known["close"]  # NaN where only one of the two has the session
        moved = ratios[(ratios - 1.0).abs() > MOVED]
        detail = f"Prices of {len(moved)} known bars moved (median x{moved.median():.4g}), and no split explains how."
        return _nothing_stored(known, bars, dividends, "rebase_unexplained", float(moved.median()), detail)
    factor = pd.Series(1.0, index=known.index) if factor is None else factor
    expected = rebase(known, factor)
    splits = shown_splits(factor, bars, new_splits, stored=known_actions)
    kept, findings = bars, list[Finding]()
    if actions is not None:
        # A split for which this fetch rebases the bars explains no jump of its session.
        shown = (actions["kind"] == "split") & actions["session"].isin(splits["session"]) & (len(known) > 0)
        kept, findings = hold_jumps(expected, bars, actions[~shown])
    versions = _versions(expected, kept, factor)
    restated = _restated_bars(expected, versions, factor=factor)
    alarming = restated[restated["alarming"]]
    if len(alarming) > RESTATED and not accept:
        ratio, prices = float((1.0 + alarming["volume"]).median()), int((alarming["price"] > PRICE_TOLERANCE).sum())
        detail = (
            f"{len(alarming)} settled bars would be restated by one fetch (volume by a median of x{ratio:.4g}, prices "
            f"of {prices}); expected at most {RESTATED}."
        )
        return _nothing_stored(known, bars, dividends, "history_restated", ratio, detail)
    single = restated[restated["session"].isin(known.index[factor == 1.0]) & restated["differs"]]
    held, new = bars.index[len(kept) :], int((~versions["session"].isin(known.index)).sum())
    rebased, adjusted = factor[factor != 1.0], (kept["adj_close"] / kept["close"]).dropna()
    step = 1.0  # also where one of the two is not known
    if known_adjustment is not None:
        day, before = known_adjustment
        step = float(adjusted.get(pd.Timestamp(day), before)) / before
    verdicts: list[tuple[Verdict, bool]] = [
        ("held", len(held) > 0),
        ("first", known.empty),
        ("split", len(rebased) > 0),
        # A night makes the bar of the night before final; that its volume has moved until then is no news to anybody.
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
        *(f"dividend {row.value:g} on {row.session:%Y-%m-%d}" for row in dividends.tail(3).itertuples()),
        f"{len(dividends) - 3} earlier dividends" if len(dividends) > 3 else "",
        f"Adj Close x{step:.6f}" if abs(step - 1.0) > _ADJUSTMENT else "",
    ]
    newest = f", newest {kept.index[-1]:%Y-%m-%d}" if len(kept) else ""
    return Revision(
        next(verdict for verdict, holds in verdicts if holds),
        (", ".join(filter(None, changes)) or "no change") + newest,
        versions,
        _settled(known, kept, versions, of_index=actions is None),
        pd.concat([dividends, splits], ignore_index=True) if len(splits) else dividends,
        [*findings, *_alarms(alarming, accept=accept)],
        held=[day.date() for day in held],
    )


def nothing_changed(verdict: Verdict, detail: str, findings: list[Finding] | None = None) -> Revision:
    """The revision of a request without usable bars: a verdict, the error's message, its findings; nothing to store."""
    no_actions = make_actions([])
    return Revision(verdict, detail, pd.DataFrame(columns=_VERSION_COLUMNS), [], no_actions, findings or [])


def adjustment(bars: pd.DataFrame) -> tuple[date, float] | None:
    """The newest session and its Adj Close / Close, which the next fetch's dividends will lower; None without one."""
    factor = (bars["adj_close"] / bars["close"]).dropna()
    return (factor.index[-1].date(), float(factor.iloc[-1])) if len(factor) else None


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


def _nothing_stored(
    known: pd.DataFrame, bars: pd.DataFrame, dividends: pd.DataFrame, rule: str, value: float, detail: str
) -> Revision:
    # On the newest known session: it stays the newest while no bar is stored, so later nights add no other finding.
    newest = known.index.intersection(bars.index)[-1].date()
    return replace(
        nothing_changed("held", f"nothing stored: {detail}", [Finding(newest, rule, "reject", value, detail)]),
        new_actions=dividends,
        held=[day.date() for day in bars.index.difference(known.index)],
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


def _restated_bars(expected: pd.DataFrame, versions: pd.DataFrame, *, factor: pd.Series) -> pd.DataFrame:
    """The known bars that get a new version: columns session, price, volume (relative changes), differs, alarming.

    Of a rebased bar, a price within SAME_RATIO and a volume within one share are no change: ratio and source round.
    Alarming are changes of settled bars, in price or past VOLUME_ALARM; a provisional bar may move.
    """
    now = versions[versions["session"].isin(expected.index)].set_index("session")
    before = expected.loc[now.index]
    price = (now[PRICES] / before[PRICES] - 1.0).abs().max(axis=1)
    volume = now["volume"] / before["volume"] - 1.0
    rebased = factor.loc[now.index] != 1.0
    price = price.mask(rebased & (price < SAME_RATIO), 0.0)
    volume = volume.mask(rebased & ((now["volume"] - before["volume"]).abs() <= 1.0), 0.0)
    filled, settled = before["volume"].isna() & now["volume"].notna(), before["settled"].astype(bool)
    moved = (price > PRICE_TOLERANCE) | (volume.abs() > VOLUME_ALARM)
    columns = {"price": price, "volume": volume, "settled": settled, "alarming": settled & moved}
    differs = (price > PRICE_TOLERANCE) | (volume.abs() > 0) | filled
    return pd.DataFrame(columns | {"differs": differs}).rename_axis("session").reset_index()


def _alarms(settled: pd.DataFrame, *, accept: bool) -> list[Finding]:
    """Findings on restated settled bars; one for all of them where the user accepted more than RESTATED."""
    if accept and len(settled) > RESTATED:
        detail = f"{len(settled)} settled bars were restated up to this session, as --switch-source permitted."
        return [Finding(settled["session"].iloc[-1].date(), ACCEPTED, "flag", float(len(settled)), detail)]
    return [
        Finding(day.date(), f"{what}_restated", "flag", share, f"A settled {what} was restated by this share.")
        for what, least in (("price", PRICE_TOLERANCE), ("volume", VOLUME_ALARM))
        for day, share in zip(settled["session"], settled[what].tolist(), strict=True)
        if abs(share) > least
    ]
