"""Decision between champion and challenger: which is champion next, with the reason as text.

A challenger takes over when it passed the gate (train/gate.py) and its weights can be run. No scores are compared. The
champion is refreshed every night, so no fit has ever issued enough forecasts of its own to be judged by; and the losses
of two fits a night apart differ by less than any test finds. What differs is the procedure: warm chains, cadence of
fits from scratch, combination, fallback. That is chosen by replaying nights over many symbols and years
(docs/experiments.md), and guarded by the control charts and the fallback, which watch the published forecasts.
"""

from dataclasses import dataclass
from typing import Literal

from forecasting.vocabulary import CHALLENGER, CHAMPION

Winner = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Facts:
    """The facts that decide whether a challenger takes over.

    Attributes:
        has_champion: Whether there is a champion.
        method: How the challenger was fitted: scratch or warm.
        refused: Why the gate refused it; empty when it passed.
        damage: Why its weights cannot be loaded and run now; empty when they can.
    """

    has_champion: bool
    method: str
    refused: str
    damage: str = ""


@dataclass(frozen=True)
class Decision:
    """The next champion, None where there is still none, and the reason."""

    winner: Winner | None
    reason: str


def decide(facts: Facts) -> Decision:
    """The next champion, with the reason."""
    obstacle = f"the gate refused the fit: {facts.refused}" if facts.refused else facts.damage.rstrip(".")
    if obstacle:
        stays = "The champion stays" if facts.has_champion else "There is still no champion"
        return Decision(CHAMPION if facts.has_champion else None, f"{stays}; {obstacle}.")
    if not facts.has_champion:
        return Decision(CHALLENGER, "There was no champion; this fit passed the gate.")
    what = "A fit from scratch" if facts.method == "scratch" else "A refresh of the champion"
    return Decision(CHALLENGER, f"{what} that passed the gate takes over.")
