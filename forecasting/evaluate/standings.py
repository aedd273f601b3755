"""How the champion stands against each baseline over its newest origins: the running sums behind live_skill.

A night changes a handful of the 250 origins that are looked back over, so sums are carried on: what an origin counted
before is taken out, what it counts now is put in. Sums of floats would keep a trace of what was taken out; losses
rounded to a power of two have sums without any rounding, so that a sum carried on for years is the sum made anew, to
the bit.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import NamedTuple

from forecasting.vocabulary import CHAMPION, PUBLISHED_LINE, Target

WINDOWS = (20, 60, 250)
"""Nights that are looked back over, to the newest that the champion was scored on; not all need have a score."""


_GRAIN: dict[Target, float] = {"volume": 2.0**-10, "close": 2.0**-20, "range": 2.0**-40}
"""What losses are rounded to, in the target's unit: far below what anybody reads, and far above 2^-53 of any sum."""

Spot = tuple[int, date]
"""Horizon and origin session."""

Counter = tuple[int, int, str]
"""Horizon, sessions of the window, and line."""


class Scored(NamedTuple):
    """What of a score says whether it counts, and as what."""

    horizon: int
    origin_session: date
    model_id: str
    stage: str
    bar_version: int
    role: str
    model: str
    issued_at: datetime
    error: float
    pinball: float
    inside_80: bool
    inside_90: bool


class Loss(NamedTuple):
    """What one line lost at one spot: absolute error and pinball in the target's unit, and whether inside, 0 or 1."""

    error: float
    pinball: float
    inside_80: int
    inside_90: int


class Tally(NamedTuple):
    """Sums over the origins of a window that both the line and the champion have a score of; n is how many."""

    n: int = 0
    error: float = 0.0
    pinball: float = 0.0
    inside_80: int = 0
    inside_90: int = 0
    champion_error: float = 0.0
    champion_pinball: float = 0.0

    def changed(self, line: Loss, champion: Loss, by: int) -> "Tally":
        """With one origin put in (by 1) or taken out (by -1)."""
        return Tally(
            self.n + by,
            self.error + by * line.error,
            self.pinball + by * line.pinball,
            self.inside_80 + by * line.inside_80,
            self.inside_90 + by * line.inside_90,
            self.champion_error + by * champion.error,
            self.champion_pinball + by * champion.pinball,
        )


Since = Mapping[tuple[int, int], date]
"""The first origin of each horizon's window."""

Judged = Mapping[Spot, Mapping[str, Loss]]
"""What counts at each spot, of each line."""


def rounded(loss: float, target: Target) -> float:
    """The loss to the nearest multiple of the target's grain."""
    return round(loss / _GRAIN[target]) * _GRAIN[target]


def judged(scores: Iterable[Scored], target: Target) -> Judged:
    """What counts at each spot of the scores.

    A line counts once a spot: by its settled score where there is one, of several forecasts by the newest, of several
    as new by the model whose id comes first.
    """
    last_counts = sorted(scores, key=lambda score: (score.stage, score.bar_version))
    last_counts.sort(key=lambda score: score.model_id, reverse=True)
    last_counts.sort(key=lambda score: score.issued_at)
    counts = {
        (score.horizon, score.origin_session, PUBLISHED_LINE if score.role == CHAMPION else score.model): score
        for score in last_counts
    }
    found: dict[Spot, dict[str, Loss]] = {}
    for (horizon, origin, line), score in counts.items():
        error, pinball = (rounded(loss, target) for loss in (abs(score.error), score.pinball))
        loss = Loss(error, pinball, int(score.inside_80), int(score.inside_90))
        found.setdefault((horizon, origin), {})[line] = loss
    return found


def carry_on(tallies: dict[Counter, Tally], before: Judged, after: Judged, *, old: Since, new: Since) -> None:
    """Take out of every window what it counted before, and put in what it counts now.

    Args:
        tallies: Changed in place.
        before: What counted at the spots that were touched, or that a window has passed. A spot without the champion
            counts for nobody.
        after: What counts at these spots now.
        old: First origin of each horizon's windows before; where there is none, nothing was counted.
        new: First origins now.
    """
    for spot in {**before, **after}:
        horizon, origin = spot
        was, now = before.get(spot, {}), after.get(spot, {})
        for window in WINDOWS:
            held, holds = (origin >= since.get((horizon, window), date.max) for since in (old, new))
            if held and holds and was == now:
                continue
            for lines, counted, by in ((was, held, -1), (now, holds, 1)):
                if counted and PUBLISHED_LINE in lines:
                    _count(tallies, (horizon, window), lines, by)


def _count(tallies: dict[Counter, Tally], window: tuple[int, int], lines: Mapping[str, Loss], by: int) -> None:
    for line, loss in lines.items():
        counter = (*window, line)
        tallies[counter] = tallies.get(counter, Tally()).changed(loss, lines[PUBLISHED_LINE], by)
