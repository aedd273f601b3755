"""The published forecasts against each forecaster over the newest origins: the running sums behind view live_skill.

A night changes a handful of the 250 origins of a window, so sums are updated: what an origin counted before is
subtracted, what it counts now is added. Sums of floats would keep a remainder of what was subtracted; losses rounded to
a power of two add up without any rounding, so that a sum updated for years equals the sum rebuilt from all scores, bit
for bit.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from math import isfinite
from typing import NamedTuple

from forecasting.evaluate.lines import lines_of
from forecasting.vocabulary import PUBLISHED_LINE, Target

WINDOWS = (20, 60, 250)
"""Nights in a window, up to the newest with a score of a published forecast; not every night needs one."""


_GRAIN: dict[Target, float] = {"volume": 2.0**-10, "close": 2.0**-30, "range": 2.0**-40}
"""Unit that losses are rounded to, in the target's unit: far below what a reader needs, of a price of 0.0001 too, and
far above 2^-53 of any sum, of 250 errors of 30,000 won too."""

Slot = tuple[int, date]
"""Horizon and origin session."""

TallyKey = tuple[int, int, str]
"""Horizon, sessions of the window, and line: a forecaster's name, or PUBLISHED_LINE."""


class Score(NamedTuple):
    """The columns of table scores that decide whether a score counts, and its losses."""

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
    """Losses of one line in one slot: absolute error and pinball in the target's unit, and whether inside, 0 or 1."""

    error: float
    pinball: float
    inside_80: int
    inside_90: int


class Tally(NamedTuple):
    """Sums over the n origins of a window for which both the line and the published line have a score."""

    n: int = 0
    error: float = 0.0
    pinball: float = 0.0
    inside_80: int = 0
    inside_90: int = 0
    champion_error: float = 0.0
    champion_pinball: float = 0.0

    def changed(self, line: Loss, champion: Loss, by: int) -> "Tally":
        """The tally with one origin added (by 1) or subtracted (by -1)."""
        return Tally(
            self.n + by,
            self.error + by * line.error,
            self.pinball + by * line.pinball,
            self.inside_80 + by * line.inside_80,
            self.inside_90 + by * line.inside_90,
            self.champion_error + by * champion.error,
            self.champion_pinball + by * champion.pinball,
        )


WindowStarts = Mapping[tuple[int, int], date]
"""First origin of each window, by horizon and sessions of the window."""

CountedLosses = Mapping[Slot, Mapping[str, Loss]]
"""The losses that count in each slot, by line."""


def rounded(loss: float, target: Target) -> float:
    """The loss to the nearest multiple of the target's grain."""
    grains = loss / _GRAIN[target]
    return round(grains) * _GRAIN[target] if isfinite(grains) else loss  # a float so large is a multiple of it


def counted_losses(scores: Iterable[Score], target: Target) -> CountedLosses:
    """The losses that count in each slot of the scores.

    A line counts once a slot: of several forecasts the newest, of several issued at the same instant that of the model
    whose id sorts first; by its settled score where there is one. Lines: `lines.lines_of`.
    """
    last_counts = sorted(scores, key=lambda score: (score.stage, score.bar_version))
    last_counts.sort(key=lambda score: score.model_id, reverse=True)
    last_counts.sort(key=lambda score: score.issued_at)
    counted = {
        (score.horizon, score.origin_session, line): score
        for score in last_counts
        for line in lines_of(score.role, score.model)
    }
    losses: dict[Slot, dict[str, Loss]] = {}
    for (horizon, origin, line), score in counted.items():
        error, pinball = (rounded(loss, target) for loss in (abs(score.error), score.pinball))
        loss = Loss(error, pinball, int(score.inside_80), int(score.inside_90))
        losses.setdefault((horizon, origin), {})[line] = loss
    return losses


def update_tallies(
    tallies: dict[TallyKey, Tally],
    before: CountedLosses,
    after: CountedLosses,
    *,
    old: WindowStarts,
    new: WindowStarts,
) -> None:
    """Subtract from every window what it counted before, and add what it counts now.

    Args:
        tallies: Changed in place.
        before: What counted in the slots that have new scores, or that entered or left a window. A slot without a
            published forecast counts for no line.
        after: What counts in these slots now.
        old: First origin of each horizon's windows before; a window without one counted nothing.
        new: First origins now.
    """
    for slot in {**before, **after}:
        horizon, origin = slot
        was, now = before.get(slot, {}), after.get(slot, {})
        for window in WINDOWS:
            in_old, in_new = (origin >= starts.get((horizon, window), date.max) for starts in (old, new))
            if in_old and in_new and was == now:
                continue
            for lines, in_window, by in ((was, in_old, -1), (now, in_new, 1)):
                if in_window and PUBLISHED_LINE in lines:
                    _count(tallies, (horizon, window), lines, by)


def _count(tallies: dict[TallyKey, Tally], window: tuple[int, int], lines: Mapping[str, Loss], by: int) -> None:
    for line, loss in lines.items():
        key = (*window, line)
        tallies[key] = tallies.get(key, Tally()).changed(loss, lines[PUBLISHED_LINE], by)
