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
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import before_validation, fit, validation_loss_of
from forecasting.train.prepare import prepare, training_rows
from forecasting.train.pretrained import pretrain, pretrained_for
from forecasting.train.threads import one_blas_thread
from forecasting.train.training_loop import Hyperparameters, load_members
from forecasting.vocabulary import COMPANION_TRAINED

_HYPERPARAMETERS = Hyperparameters(4, 3e-3)
# Theirs knows the symbol's older rows, so it must be level with the linear partner: for the S&P 500 the Nasdaq's base
# has 0.98 to 1.00 of that loss, one of five stocks 1.13 to 1.31.
MAX_LOSS_RATIO_COMPANIONS = 1.02
MAX_RATIO_TO_SHIPPED = (
    0.98  # of the shipped base's loss: nearer to it they differ by luck, and the shipped one has seen more
)


def fit_scratch(windows: Windows, companions: Sequence[Windows], *, settings: Settings) -> Checkpoint:
    """A fit from scratch; its card says from which base.

    Args:
        windows: The symbol's rolling window.
        companions: As for `choose_starting_weights`.
        settings: `members` and `seed` are used.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was made by other code.
        ValueError: Too few rows with a known target.
    """
    base = choose_starting_weights(windows, companions, settings=settings)
    tolerance = MAX_LOSS_RATIO_COMPANIONS if base is not None and base.card.base == COMPANION_TRAINED else None
    return fit(windows, mode="scratch", parent=None, settings=settings, base=base, tolerance=tolerance)


@one_blas_thread()
def choose_starting_weights(
    windows: Windows, companions: Sequence[Windows], *, settings: Settings
) -> Checkpoint | None:
    """The base to start from, named in its card; None where there is none.

    Args:
        windows: The symbol's rolling window.
        companions: Windows of the same target, each as known at the same origin; none, and the shipped base is it.
        settings: `members` and `seed` are used.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was made by other code.
    """
    shipped = pretrained_for(windows, settings)
    if not companions:
        return shipped
    own = before_validation(windows, training_rows(windows))
    taught = pretrain([own, *companions], settings=settings, hyperparameters=_HYPERPARAMETERS)
    taught = replace(taught, card=replace(taught.card, base=COMPANION_TRAINED))
    if shipped is None:
        return taught
    training = prepare(windows, method="scratch", settings=settings).training
    losses = [
        validation_loss_of(load_members(base.weights, training.tensors)[: settings.members], training)
        for base in (shipped, taught)
    ]
    return taught if losses[1] < MAX_RATIO_TO_SHIPPED * losses[0] else shipped
