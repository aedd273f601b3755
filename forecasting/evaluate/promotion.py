"""Champion against challenger on the same past origins: who speaks from tomorrow, and why, in words.

The rules, in order:

1. No champion, or one whose weights cannot be loaded and run, no contest: the challenger takes over.
2. Fewer than MIN_ORIGINS common origins: the champion stays, unless it is older than the limit; then the fresh one
   takes over for age.
3. The challenger wins when its pinball loss is lower or within TIE of the champion's, because a tie goes to the fresher
   data; it loses when its loss is higher by more than TIE, or higher at all at p < SIGNIFICANCE: a worse model may not.
4. A champion older than the limit may not speak. A worse challenger then takes over for age too, unless it is behind
   the best baseline by more than TIE; where it is, nothing changes hands and that baseline speaks.
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
"""Relative difference in pinball loss, half a per cent, within which two are level: one more seed moves as much."""

SIGNIFICANCE = 0.05
"""Two-sided p below which even a difference within TIE counts."""


Winner = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Comparison:
    """How the forecasters did on identical origins and horizons.

    Attributes:
        origins: Common origins.
        first: ISO date of the oldest of them, empty when there are none.
        last: ISO date of the newest.
        pinballs: Mean loss of each forecaster that covers them all, over origins of the mean over horizons, in the
            target's unit.
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
    """A row for the ledger's promotions, but for ids and times; None where no origin was common."""

    winner: Winner
    reason: str
    p_value: float | None
    origins: int
    champion_pinball: float | None
    challenger_pinball: float | None
    baseline_pinball: float | None
    best_baseline: str


def decide(losses: pd.DataFrame, *, champion_age: int | None, max_age: int, champion_trouble: str = "") -> Decision:
    """Who is champion from now on.

    Args:
        losses: Columns origin_session, horizon, forecaster (`champion`, `challenger`, or a baseline's name) and
            pinball, each issued before its target session; NaN pinball is left out. May be empty.
        champion_age: Sessions since the champion's last training session; None when there is no champion.
        max_age: Sessions after which a champion may no longer speak.
        champion_trouble: Why the champion cannot be run; empty when it can.

    Raises:
        ValueError: Two losses of one forecaster for one origin and horizon.
    """
    comparison = compare(losses, forecasters=(CHAMPION, CHALLENGER))
    if champion_age is None:
        return _decision(CHALLENGER, "there is no champion, so the challenger takes over", comparison)
    if champion_trouble:
        words = f"the champion cannot be run, so the challenger takes over: {champion_trouble.rstrip('.')}"
        return _decision(CHALLENGER, words, comparison)
    too_old = champion_age > max_age
    age = f"the champion is {_many(champion_age, 'session')} old (limit {max_age})"
    if comparison.test is None:
        few = f"{_many(comparison.origins, 'common origin')}, fewer than {MIN_ORIGINS}, say nothing yet"
        if too_old:
            return _decision(CHALLENGER, f"{age}, so the challenger takes over for age; {few}", comparison)
        return _decision(CHAMPION, f"the champion stays; {few}; {age}", comparison)
    winner, words = _choose_winner(comparison.pinballs, comparison.test)
    if winner == CHAMPION and too_old:
        return _for_age(comparison, f"{age}; {words}")
    return _decision(winner, f"{words}; {age}", comparison)


def compare(losses: pd.DataFrame, *, forecasters: Sequence[str], newest: int | None = None) -> Comparison:
    """Mean losses of `forecasters` and of every baseline on the origins and horizons that `forecasters` have in common.

    Args:
        losses: As for `decide`.
        forecasters: Those that must be present at an origin and horizon for it to count.
        newest: Only that many of the newest common origins; None for all.
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
    """The losses without those of challengers that were fitted on other nights than these sessions'."""
    sessions = pd.to_datetime(sorted(nights))
    other = (losses["forecaster"] == CHALLENGER) & ~losses["origin_session"].isin(sessions)
    return losses[~other]


def _common(losses: pd.DataFrame, forecasters: Sequence[str], newest: int | None) -> pd.DataFrame:
    # pivot, not pivot_table: a duplicate must raise, not be averaged away.
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
        return CHALLENGER, f"a tie ({change:+.2%}, within {TIE:.1%}) goes to the fresher challenger"
    return CHALLENGER, f"the challenger is better by {-change:.1%}"


def _for_age(comparison: Comparison, words: str) -> Decision:
    baseline = comparison.pinballs.get(comparison.best_baseline)
    if baseline is not None and comparison.pinballs[CHALLENGER] > baseline * (1 + TIE):
        return _decision(CHAMPION, f"{words} and behind {comparison.best_baseline}, which speaks instead", comparison)
    return _decision(CHALLENGER, f"{words}, but takes over for age", comparison)


def _decision(winner: Winner, words: str, comparison: Comparison) -> Decision:
    return Decision(
        winner=winner,
        reason=f"{words}. {_figures(comparison)}".strip(),
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
    # Shares run to millions, ranges to thousandths; 2.1e+06 is for neither.
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _p(value: float) -> str:
    return f"p {value:.3f}" if value >= 0.001 else "p below 0.001"


def _day(value: object) -> str:
    return pd.Timestamp(str(value)).date().isoformat()
