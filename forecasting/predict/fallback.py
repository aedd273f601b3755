"""Choose the published forecast: the champion's, or the best baseline's with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forecasting.vocabulary import CHAMPION, MIN_ORIGINS

WINDOW_ORIGINS = 60
"""Newest scored origins over which the champion is compared with the best baseline; about a quarter."""

TOLERANCE = 0.02
"""Relative excess of the champion's pinball loss that is tolerated; two seeds of one model differ by half of this."""


@dataclass(frozen=True)
class ChampionFacts:
    """The facts that decide whether the champion is published.

    Attributes:
        champion: Its model id; None without a champion.
        baseline: The best baseline by the scores so far, or the default one while there are none.
        damage: Why its artifact could not be loaded or run; empty if it could.
        age_sessions: Sessions from its last training session to the origin; None if unknown, which is no objection.
        max_age_sessions: Sessions after which it is no longer published.
        finite: Whether each of tonight's quantiles is a finite number.
        champion_pinball: Mean loss over the newest WINDOW_ORIGINS scored origins; None without scores.
        baseline_pinball: The baseline's on the same origins and horizons; None without scores.
        origins: Number of origins in those means.
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
    """The forecaster that is published, with the status and reason of its rows.

    Attributes:
        forecaster: `champion`, or the baseline's name.
        status: `ok` or `fallback`.
        reason: Text with figures; empty if ok.
    """

    forecaster: str
    status: Literal["ok", "fallback"]
    reason: str


def choose_published(facts: ChampionFacts) -> Published:
    """The champion, or the best baseline where there is an objection; the first objection is the reason.

    In order: no champion; artifact damaged; older than the limit; forecast not finite; pinball loss above the best
    baseline's by more than TOLERANCE over at least MIN_ORIGINS of the newest scored origins.
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
        return f"champion {facts.champion} made a forecast that is not finite"
    return _behind(facts)


def _behind(facts: ChampionFacts) -> str:
    champion, baseline = facts.champion_pinball, facts.baseline_pinball
    if champion is None or baseline is None or facts.origins < MIN_ORIGINS or champion <= baseline * (1 + TOLERANCE):
        return ""
    excess = f" by {champion / baseline - 1:.1%} (limit {TOLERANCE:.0%})" if baseline else ""
    return (
        f"champion {facts.champion} is behind{excess}: mean pinball {_number(champion)} against {_number(baseline)}"
        f" of {facts.baseline} over the last {facts.origins} scored origins"
    )


def _number(value: float) -> str:
    # Shares run to millions, ranges to thousandths; scientific notation suits neither.
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
