"""Decision between champion and challenger on the same past origins: which is champion next, with the reason as text.

The rules, in order:

1. Without a champion, or with one whose weights cannot be loaded and run, the challenger takes over uncompared.
2. Fewer than MIN_ORIGINS common origins: the champion stays, unless it is older than the limit; then the challenger
   takes over because of age.
3. The challenger wins when its pinball loss is lower or within TIE of the champion's, because it was fitted on newer
   data; it loses when its loss is higher by more than TIE, or higher at all with p < SIGNIFICANCE.
4. A champion older than the limit is not published. A worse challenger then takes over because of age too, unless its
   loss is above the best baseline's by more than TIE; in that case the champion stays and that baseline is published.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import pandas as pd

from forecasting.evaluate.scores import skill
from forecasting.evaluate.significance import DieboldMariano, diebold_mariano
from forecasting.vocabulary import CHALLENGER, CHAMPION, MIN_ORIGINS

TIE = 0.005
"""Relative difference in pinball loss, half a per cent, within which two models tie: another seed changes as much."""

SIGNIFICANCE = 0.05
"""Two-sided p below which even a difference within TIE counts."""


Winner = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Comparison:
    """Mean losses of the forecasters on identical origins and horizons.

    Attributes:
        origins: Number of common origins.
        first: ISO date of the oldest of them; empty when there are none.
        last: ISO date of the newest.
        pinballs: Loss of each forecaster that covers them all, in the target's unit: mean over horizons, then origins.
        best_baseline: The baseline with the lowest loss; empty when none covers them all.
        left_out: Baselines that do not cover them all.
        test: Challenger against champion, negative when the challenger lost less; None below MIN_ORIGINS.
    """

    origins: int
    first: str
    last: str
    pinballs: dict[str, float]
    best_baseline: str
    left_out: tuple[str, ...]
    test: DieboldMariano | None


@dataclass(frozen=True)
class Decision:
    """A row of table promotions without ids and times; None in a field where there is no common origin."""

    winner: Winner
    reason: str
    p_value: float | None
    origins: int
    champion_pinball: float | None
    challenger_pinball: float | None
    baseline_pinball: float | None
    best_baseline: str


def decide(
    losses: pd.DataFrame,
    *,
    champion_age: int | None,
    max_age: int,
    champion_trouble: str = "",
    champion_outdated: str = "",
) -> Decision:
    """The next champion, with the reason and the figures it rests on.

    Args:
        losses: Columns origin_session, horizon, forecaster (`champion`, `challenger`, or a baseline's name) and
            pinball, each issued before its target session; rows with NaN pinball are ignored. May be empty.
        champion_age: Sessions since the champion's last training session; None when there is no champion.
        max_age: Sessions after which a champion is no longer published.
        champion_trouble: Why the champion cannot be run; empty when it can.
        champion_outdated: What the challenger was fitted with and the champion was not, so that the champion's scores
            are no evidence about the sessions to come; empty without such a difference.

    Raises:
        ValueError: Two losses of one forecaster for one origin and horizon.
    """
    comparison = compare(losses, forecasters=(CHAMPION, CHALLENGER))
    if champion_age is None:
        return _decision(CHALLENGER, "there is no champion, so the challenger takes over", comparison)
    if champion_trouble:
        text = f"the champion cannot be run, so the challenger takes over: {champion_trouble.rstrip('.')}"
        return _decision(CHALLENGER, text, comparison)
    if champion_outdated:
        return _decision(CHALLENGER, f"{champion_outdated}, so the challenger takes over", comparison)
    too_old = champion_age > max_age
    age = f"the champion is {_many(champion_age, 'session')} old (limit {max_age})"
    if comparison.test is None:
        few = f"{_many(comparison.origins, 'common origin')}, at least {MIN_ORIGINS} are needed to compare"
        if too_old:
            return _decision(CHALLENGER, f"{age}, so the challenger takes over; {few}", comparison)
        return _decision(CHAMPION, f"the champion stays; {few}; {age}", comparison)
    winner, text = _choose_winner(comparison.pinballs, comparison.test)
    if winner == CHAMPION and too_old:
        return _decide_by_age(comparison, f"{age}; {text}")
    return _decision(winner, f"{text}; {age}", comparison)


def compare(losses: pd.DataFrame, *, forecasters: Sequence[str], newest: int | None = None) -> Comparison:
    """Mean losses of `forecasters` and of every baseline on the origins and horizons that `forecasters` have in common.

    Args:
        losses: As for `decide`.
        forecasters: Those that must be present at an origin and horizon for it to count.
        newest: Number of newest common origins to use; None for all.
    """
    common = _common(losses, forecasters, newest)
    if common.empty:
        return Comparison(0, "", "", {}, "", tuple(_baselines(losses)), None)
    whole = common.dropna(axis="columns")
    by_origin = whole.groupby(level="origin_session").mean()
    pinballs = {str(forecaster): float(value) for forecaster, value in by_origin.mean().items()}
    baselines = {
        forecaster: value for forecaster, value in pinballs.items() if forecaster not in (CHAMPION, CHALLENGER)
    }
    longest = int(common.index.get_level_values("horizon").max())
    return Comparison(
        origins=len(by_origin),
        first=_day(by_origin.index[0]),
        last=_day(by_origin.index[-1]),
        pinballs=pinballs,
        best_baseline=min(baselines, key=lambda name: (baselines[name], name), default=""),
        left_out=tuple(name for name in _baselines(losses) if name not in baselines),
        test=_test(by_origin, longest),
    )


def only_of_nights(losses: pd.DataFrame, nights: Collection[date]) -> pd.DataFrame:
    """The losses without those of challengers at origins that are not among `nights`."""
    sessions = pd.to_datetime(sorted(nights))
    excluded = (losses["forecaster"] == CHALLENGER) & ~losses["origin_session"].isin(sessions)
    return losses[~excluded]


def _common(losses: pd.DataFrame, forecasters: Sequence[str], newest: int | None) -> pd.DataFrame:
    # pivot, not pivot_table: a duplicate must raise, not be averaged.
    table = losses.dropna(subset=["pinball"]).pivot(
        index=["origin_session", "horizon"], columns="forecaster", values="pinball"
    )
    if any(name not in table.columns for name in forecasters):
        return table.iloc[:0]
    table = table.dropna(subset=list(forecasters)).sort_index()
    origins = table.index.get_level_values("origin_session")
    return table if newest is None else table[origins.isin(origins.unique()[-newest:])]


def _baselines(losses: pd.DataFrame) -> list[str]:
    return sorted(set(losses["forecaster"].astype(str)) - {CHAMPION, CHALLENGER})


def _test(by_origin: pd.DataFrame, longest: int) -> DieboldMariano | None:
    if len(by_origin) < MIN_ORIGINS or not {CHAMPION, CHALLENGER} <= set(by_origin.columns):
        return None
    return diebold_mariano(by_origin[CHALLENGER].to_numpy(), by_origin[CHAMPION].to_numpy(), horizon=longest)


def _choose_winner(pinballs: dict[str, float], test: DieboldMariano) -> tuple[Winner, str]:
    change = -skill(pinballs[CHALLENGER], pinballs[CHAMPION]) if pinballs[CHAMPION] else 0.0
    worse = pinballs[CHALLENGER] > pinballs[CHAMPION]
    if worse and (change > TIE or test.p_value < SIGNIFICANCE):
        return CHAMPION, f"the challenger is worse by {change:.1%}"
    if worse or abs(change) <= TIE:
        return CHALLENGER, f"a tie ({change:+.2%}, within {TIE:.1%}) goes to the newer challenger"
    return CHALLENGER, f"the challenger is better by {-change:.1%}"


def _decide_by_age(comparison: Comparison, text: str) -> Decision:
    name = comparison.best_baseline
    baseline = comparison.pinballs.get(name)
    if baseline is not None and comparison.pinballs[CHALLENGER] > baseline * (1 + TIE):
        return _decision(CHAMPION, f"{text} and worse than {name}, which is published instead", comparison)
    return _decision(CHALLENGER, f"{text}, but takes over because of the champion's age", comparison)


def _decision(winner: Winner, text: str, comparison: Comparison) -> Decision:
    return Decision(
        winner=winner,
        reason=f"{text}. {_figures(comparison)}".strip(),
        p_value=comparison.test.p_value if comparison.test else None,
        origins=comparison.origins,
        champion_pinball=comparison.pinballs.get(CHAMPION),
        challenger_pinball=comparison.pinballs.get(CHALLENGER),
        baseline_pinball=comparison.pinballs.get(comparison.best_baseline),
        best_baseline=comparison.best_baseline,
    )


def _figures(comparison: Comparison) -> str:
    if not comparison.origins:
        return ""
    forecasters = [name for name in (CHAMPION, CHALLENGER, comparison.best_baseline) if name in comparison.pinballs]
    losses = ", ".join(f"{name} {_number(comparison.pinballs[name])}" for name in forecasters)
    text = f"Mean pinball on {_many(comparison.origins, 'origin')}, {comparison.first} to {comparison.last}: {losses}."
    if comparison.test:
        test = comparison.test
        text += f" Diebold-Mariano {test.statistic:+.2f}, {_p(test.p_value)}, lag {test.lag}."
    if comparison.left_out:
        text += f" Not on all of these origins: {', '.join(comparison.left_out)}."
    return text


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _number(value: float) -> str:
    # Shares run to millions, ranges to thousandths; scientific notation suits neither.
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _p(value: float) -> str:
    return f"p {value:.3f}" if value >= 0.001 else "p below 0.001"


def _day(value: object) -> str:
    return pd.Timestamp(str(value)).date().isoformat()
