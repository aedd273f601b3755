"""Where a fit from scratch starts: from shipped base weights, or from weights that the symbol's companions have taught.

Companions make a base of their own, by the same code as the shipped ones, out of what was known of them at the origin
and of the symbol's own older rows. It is chosen where it is clearly better than the shipped one on the symbol's later
rows, which neither has learned from; `fit` then judges the choice against the linear partner and goes on with the
symbol alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.base import base_for, fit_base
from forecasting.train.checkpoint import THEIRS, Checkpoint
from forecasting.train.fit import before_later, fit, loss_unseen
from forecasting.train.loop import Schedule, members
from forecasting.train.prepare import learnable_rows, prepare
from forecasting.train.threads import one_blas_thread

_SCHEDULE = Schedule(4, 3e-3)
# Theirs knows the symbol's older rows, so it must be level with the linear partner: for the S&P 500 the Nasdaq's base
# has 0.98 to 1.00 of that loss, one of five stocks 1.13 to 1.31.
_LEVEL = 1.02
_BETTER = 0.98  # of the shipped base's loss: nearer to it they differ by luck, and the shipped one has seen more


def fit_scratch(windows: Windows, companions: Sequence[Windows], *, settings: Settings) -> Checkpoint:
    """A fit from scratch; its card says from which base.

    Args:
        windows: The symbol's rolling window.
        companions: As for `best_base`.
        settings: `members` and `seed` are used.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was made by other code.
        ValueError: Too few rows with a known target.
    """
    base = best_base(windows, companions, settings=settings)
    tolerance = _LEVEL if base is not None and base.card.base == THEIRS else None
    return fit(windows, mode="scratch", parent=None, settings=settings, base=base, tolerance=tolerance)


@one_blas_thread()
def best_base(windows: Windows, companions: Sequence[Windows], *, settings: Settings) -> Checkpoint | None:
    """The base to start from, named in its card; None where there is none.

    Args:
        windows: The symbol's rolling window.
        companions: Windows of the same target, each as known at the same origin; none, and the shipped base is it.
        settings: `members` and `seed` are used.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was made by other code.
    """
    shipped = base_for(windows, settings)
    if not companions:
        return shipped
    own = before_later(windows, learnable_rows(windows))
    taught = fit_base([own, *companions], settings=settings, schedule=_SCHEDULE)
    taught = replace(taught, card=replace(taught.card, base=THEIRS))
    if shipped is None:
        return taught
    lesson = prepare(windows, method="scratch", settings=settings).lesson
    losses = [
        loss_unseen(members(base.weights, lesson.tensors)[: settings.members], lesson) for base in (shipped, taught)
    ]
    return taught if losses[1] < _BETTER * losses[0] else shipped
