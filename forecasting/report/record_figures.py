"""The figures of the track record beyond losses: skill over time, where actuals fell, errors by day, restated bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd

from forecasting.ingest.bars import PRICE_TOLERANCE
from forecasting.losses import EXACT
from forecasting.report.days import as_day
from forecasting.report.track_record import TrackRecord, best_ahead, binomial_band
from forecasting.vocabulary import QUANTILE_COLUMNS, QUANTILES, Target

WINDOW = 20
"""Nights of each value of skill over time."""

ENOUGH_NIGHTS = 30
"""From this many nights on skill is drawn over time: fewer give a line of a few points."""

ENOUGH_FOR_SHARES = 20
"""From this many forecasts on shares of them are shown."""

_SAME: dict[Target, tuple[float, float]] = {
    "volume": (0.0, 0.0),
    "close": (PRICE_TOLERANCE, 0.0),
    "range": (0.0, 2 * PRICE_TOLERANCE),  # a logarithm of two prices
}
"""How far two values may be apart that are the same, relative and absolute: a price on another share basis has other
last digits."""

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def skill_over_time(record: TrackRecord) -> tuple[str, pd.DataFrame]:
    """The best baseline one session ahead, and the skill against it over each WINDOW nights.

    Returns:
        Its name, and session (the window's last target session), skill (in pinball loss, 0.1 for 10 % less); an empty
        name and no rows below ENOUGH_NIGHTS nights with a score of both.
    """
    nothing = pd.DataFrame(columns=["session", "skill"])
    best = best_ahead(record, "pinball")
    if best is None:
        return "", nothing
    name = str(best["forecaster"])
    theirs = record.baselines[record.baselines["name"] == name]
    keys = ["origin_session", "horizon", "kind"]
    pairs = record.ahead(1).merge(theirs[[*keys, "pinball"]], on=keys, suffixes=("", "_theirs"))
    if len(pairs) < ENOUGH_NIGHTS:
        return "", nothing
    sums = pairs[["pinball", "pinball_theirs"]].rolling(WINDOW).sum().iloc[WINDOW - 1 :]
    skill = 1.0 - sums["pinball"] / sums["pinball_theirs"].where(sums["pinball_theirs"] > EXACT * sums["pinball"])
    sessions = pairs["target_session"].iloc[WINDOW - 1 :]
    return name, pd.DataFrame({"session": sessions.to_numpy(), "skill": skill.to_numpy(dtype=float)})


def pit_histogram(record: TrackRecord) -> pd.DataFrame:
    """How many actuals one session ahead fell between each two neighbouring quantiles (Gneiting et al. 2007).

    Returns:
        One row a gap, lowest first: place (`below 5 %`, `5 to 10 %`), expected and share of all n, and the band low to
        high that holds 95 % of such shares if the quantiles are right (binomial); no rows below ENOUGH_FOR_SHARES.
    """
    ahead = record.ahead(1)
    if len(ahead) < ENOUGH_FOR_SHARES:
        return pd.DataFrame(columns=["place", "n", "expected", "share", "low", "high"])
    quantiles = ahead[list(QUANTILE_COLUMNS)].to_numpy(dtype=float)
    gaps = (ahead["actual"].to_numpy(dtype=float)[:, None] > quantiles).sum(axis=1)
    edges = (0.0, *QUANTILES, 1.0)
    rows = []
    for gap, (low, high) in enumerate(pairwise(edges)):
        band = binomial_band(len(ahead), high - low)
        share = float(np.mean(gaps == gap))
        rows.append(
            {"place": _gap(low, high), "n": len(ahead), "expected": high - low, "share": share}
            | {"low": band[0], "high": band[1]}
        )
    return pd.DataFrame(rows)


def errors_by_day(record: TrackRecord, notes_of: Callable[[date], Iterable[str]]) -> pd.DataFrame:
    """Errors one session ahead by weekday, then by special day.

    Args:
        record: The track record.
        notes_of: What is special about a session, as `earnings` or `half day`.

    Returns:
        day, n, mae and bias (mean of forecast minus actual) in the target's unit, inside_80 (share); no rows below
        ENOUGH_FOR_SHARES forecasts.
    """
    ahead = record.ahead(1)
    if len(ahead) < ENOUGH_FOR_SHARES:
        return pd.DataFrame(columns=["day", "n", "mae", "bias", "inside_80"])
    sessions = [as_day(session) for session in ahead["target_session"]]
    days: dict[str, list[int]] = {name: [] for name in _WEEKDAYS}
    for place, session in enumerate(sessions):
        days[_WEEKDAYS[session.weekday()]].append(place)
        for note in notes_of(session):
            days.setdefault(note, []).append(place)
    return pd.DataFrame([_day_row(name, ahead.iloc[places]) for name, places in days.items() if places])


def restated(first: pd.Series[float], now: pd.Series[float], *, target: Target) -> pd.DataFrame:
    """The sessions whose value has changed since its first print, newest first: session, first, now, change (share).

    Args:
        first: The value as first printed, by session; NaN for unknown.
        now: The value as stored now, for the same sessions.
        target: What they are: prices may differ by PRICE_TOLERANCE and are the same, volumes may not.
    """
    both = pd.DataFrame({"first": first, "now": now}).dropna()
    rtol, atol = _SAME[target]
    same = np.isclose(both["now"], both["first"], rtol=rtol, atol=atol)
    changed = both[~same].sort_index(ascending=False)
    return changed.assign(change=changed["now"] / changed["first"] - 1.0).rename_axis("session").reset_index()


def _gap(low: float, high: float) -> str:
    if low == 0.0:
        return f"below {high:.0%}".replace("%", " %")
    if high == 1.0:
        return f"above {low:.0%}".replace("%", " %")
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def _day_row(name: str, rows: pd.DataFrame) -> dict[str, object]:
    errors = rows["error"].astype(float)
    return {
        "day": name,
        "n": len(rows),
        "mae": float(errors.abs().mean()),
        "bias": float(errors.mean()),
        "inside_80": float(rows["inside_80"].astype(float).mean()),
    }
