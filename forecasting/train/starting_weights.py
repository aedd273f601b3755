"""Where a fit from scratch starts: from pretrained weights, or from weights trained on the symbol's companions.

Pretrained weights are shipped, or the user's own (`forecasting pretrain`). Companion-trained weights are made by the
same code, from the companions as known at the origin and the symbol's rows before its validation rows. They are chosen
if they are clearly better than the pretrained ones on the validation rows. Shipped weights were not trained on those;
own ones may have been, which favours them. `fit` then compares the choice with the linear model and trains on the
symbol alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import before_validation, fit, validation_loss
from forecasting.train.prepare import prepare, training_rows
from forecasting.train.pretrained import OwnWeights, pretrain, pretrained_for
from forecasting.train.threads import one_blas_thread
from forecasting.train.training_loop import Hyperparameters, load_members
from forecasting.vocabulary import COMPANION_TRAINED

_HYPERPARAMETERS = Hyperparameters(4, 3e-3)

MAX_LOSS_RATIO_COMPANIONS = 1.02
"""Validation loss of companion-trained weights over the linear model's, above which they are not used.

They have seen the symbol's older rows, so they must come within 2 %: for the S&P 500 weights trained on the Nasdaq have
0.98 to 1.00, on five stocks 1.13 to 1.31.
"""

MAX_RATIO_TO_PRETRAINED = 0.98
"""Validation loss over that of the newest pretrained weights, from which companion-trained weights are not used.

Above it the difference is chance, and those were trained on more symbols.
"""


def fit_scratch(
    windows: Windows, companions: Sequence[Windows], *, settings: Settings, own: Sequence[OwnWeights] = ()
) -> Checkpoint:
    """A fit from scratch; `base` of its card names the pretrained weights.

    Args:
        windows: The symbol's rolling window.
        companions: As for `choose_starting_weights`.
        settings: `members` and `seed` are used.
        own: As for `pretrained_for`.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was written by other code.
        ValueError: Too few rows with a known target.
    """
    start = choose_starting_weights(windows, companions, settings=settings, own=own)
    ratio = MAX_LOSS_RATIO_COMPANIONS if start is not None and start.card.base == COMPANION_TRAINED else None
    return fit(windows, mode="scratch", parent=None, settings=settings, pretrained=start, max_loss_ratio=ratio)


@one_blas_thread()
def choose_starting_weights(
    windows: Windows, companions: Sequence[Windows], *, settings: Settings, own: Sequence[OwnWeights] = ()
) -> Checkpoint | None:
    """The pretrained weights to start from, named in their card; None if there are none.

    Args:
        windows: The symbol's rolling window.
        companions: Windows of the same target, each as known at the same origin; without any the newest of all.
        settings: `members` and `seed` are used.
        own: As for `pretrained_for`.

    Raises:
        ArtifactError: A shipped file is missing or altered, or was written by other code.
    """
    newest = pretrained_for(windows, own)
    if not companions:
        return newest
    before = before_validation(windows, training_rows(windows))
    trained = pretrain([before, *companions], settings=settings, hyperparameters=_HYPERPARAMETERS)
    trained = replace(trained, card=replace(trained.card, base=COMPANION_TRAINED))
    if newest is None:
        return trained
    training = prepare(windows, method="scratch", settings=settings).training
    losses = [
        validation_loss(load_members(checkpoint.weights, training.tensors)[: settings.members], training)
        for checkpoint in (newest, trained)
    ]
    return trained if losses[1] < MAX_RATIO_TO_PRETRAINED * losses[0] else newest
