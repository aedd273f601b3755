"""Choose the published forecast: the champion's, or the best baseline's with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forecasting.vocabulary import CHAMPION, MIN_ORIGINS

WINDOW_ORIGINS = 60
"""Newest scored origins over which the champion is held against the best baseline; about a quarter."""


HYSTERESIS = 0.02
"""How much higher, relatively, the champion's pinball loss must be: two seeds of one model differ by half of this."""


@dataclass(frozen=True)
class ChampionFacts:
    """What decides whether the champion is published.

    Attributes:
        champion: Its model id; None when there is none.
        baseline: The best baseline by the scores so far, or the one that stands in while there are none.
        damage: Why its artifact could not be loaded or run; empty when it could.
        age_sessions: Sessions from its last training session to the origin; None when unknown, which is no objection.
        max_age_sessions: Sessions after which it is no longer published.
        finite: Whether each of tonight's quantiles is a finite number.
        champion_pinball: Mean loss over the newest WINDOW_ORIGINS scored origins; None when unscored.
        baseline_pinball: The baseline's on the same origins and horizons; None when unscored.
        origins: How many origins those means cover.
    """

    champion: str | None
    baseline: str
    damage: str = ""
    age_sessions: int | None = None
    max_age_sessions: int = 63
    finite: bool = True
    champion_pinball: float | None = None
    baseline_pinball: float | None = None
    origins: int = 0


@dataclass(frozen=True)
class Published:
    """The forecaster that is published, with the status and reason that its rows carry.

    Attributes:
        forecaster: `champion`, or the baseline's name.
        status: `ok` or `fallback`.
        reason: In words, with figures; empty when ok.
    """

    forecaster: str
    status: Literal["ok", "fallback"]
    reason: str


def choose_published(facts: ChampionFacts) -> Published:
    """The champion, unless an objection stands; then the best baseline, with the first objection as the reason.

    In order: no champion; artifact damaged; older than the limit; forecast not finite; behind the best baseline by more
    than HYSTERESIS over at least MIN_ORIGINS of the newest scored origins.
    """
    objection = _objection(facts)
    if objection:
        return Published(facts.baseline, "fallback", f"{objection}; {facts.baseline} is published instead")
    return Published(CHAMPION, "ok", "")


def _objection(facts: ChampionFacts) -> str:
    if facts.champion is None:
        return "there is no champion yet"
    if facts.damage:
        return f"champion {facts.champion} cannot be used: {facts.damage.strip().rstrip('.')}"
    if facts.age_sessions is not None and facts.age_sessions > facts.max_age_sessions:
        limit = f"limit {facts.max_age_sessions}"
        return f"champion {facts.champion} was trained {facts.age_sessions} sessions before the origin ({limit})"
    if not facts.finite:
        return f"champion {facts.champion} gave a forecast that is not finite"
    return _behind(facts)


def _behind(facts: ChampionFacts) -> str:
    ours, theirs = facts.champion_pinball, facts.baseline_pinball
    if ours is None or theirs is None or facts.origins < MIN_ORIGINS or ours <= theirs * (1 + HYSTERESIS):
        return ""
    lead = f" by {ours / theirs - 1:.1%} (limit {HYSTERESIS:.0%})" if theirs else ""
    return (
        f"champion {facts.champion} is behind{lead}: mean pinball {_number(ours)} against {_number(theirs)}"
        f" of {facts.baseline} over the last {facts.origins} scored origins"
    )


def _number(value: float) -> str:
    # Shares run to millions, ranges to thousandths; 2.1e+06 is for neither.
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
