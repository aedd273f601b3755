"""Where a fit from scratch starts: from shipped base weights, or from weights that the symbol's companions have taught.

Companions make a base of their own, by the same code as the shipped ones, out of what was known of them at the origin
and of the symbol's own older rows. It is chosen where it is clearly better than the shipped one on the symbol's later
rows, which neither has learned from; `fit` then judges the choice against the linear partner and goes on with the
symbol alone.
"""

from collections.abc import Sequence

from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.base import base_for, fit_base
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import fit, loss_unseen, split
from forecasting.train.loop import Schedule, members
from forecasting.train.prepare import learnable_rows, prepare
from forecasting.train.threads import one_blas_thread

_SCHEDULE = Schedule(4, 3e-3)
# Theirs knows the symbol's older rows, so it must be level with the linear partner: for the S&P 500 the Nasdaq's base
# has 0.98 to 1.00 of that loss, one of five stocks 1.13 to 1.31.
_LEVEL = 1.02
_BETTER = 0.98  # of the shipped base's loss: nearer to it they differ by luck, and the shipped one has seen more


def fit_scratch(windows: Windows, companions: Sequence[Windows], *, settings: Settings) -> tuple[Checkpoint, bool]:
    """A fit from scratch, and whether it starts from weights that the companions taught.

    Args:
        windows: The symbol's rolling window.
        companions: As for `best_base`.
        settings: `members` and `seed` are used.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was made by other code.
        ValueError: Too few rows with a known target.
    """
    base, theirs = best_base(windows, companions, settings=settings)
    tolerance = _LEVEL if theirs else None
    fitted = fit(windows, mode="scratch", parent=None, settings=settings, base=base, tolerance=tolerance)
    return fitted, theirs and bool(fitted.card.base)


@one_blas_thread()
def best_base(windows: Windows, companions: Sequence[Windows], *, settings: Settings) -> tuple[Checkpoint | None, bool]:
    """The base to start from, None where there is none, and whether it is the companions'.

    Args:
        windows: The symbol's rolling window.
        companions: Windows of the same target, each as known at the same origin; none, and the shipped base is it.
        settings: `members` and `seed` are used.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was made by other code.
    """
    shipped = base_for(windows, settings)
    if not companions:
        return shipped, False
    older, _ = split(learnable_rows(windows))
    own = windows.cut(0, len(windows), known_to=int(older[-1]))
    taught = fit_base([own, *companions], settings=settings, schedule=_SCHEDULE)
    if shipped is None:
        return taught, True
    lesson = prepare(windows, method="scratch", settings=settings).lesson
    losses = [
        loss_unseen(members(base.weights, lesson.tensors)[: settings.members], lesson) for base in (shipped, taught)
    ]
    return (taught, True) if losses[1] < _BETTER * losses[0] else (shipped, False)
