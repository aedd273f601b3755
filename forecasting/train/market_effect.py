"""The effect of the market series on a symbol's targets: estimated with the linear model, removed before the network.

As an input of the network, a series that all symbols share says which day it is: networks pretrained on 94 stocks
learned its past by heart, and lost 6 % (close) where a ridge gains 1 %. So its effect is estimated as the calendar's
is, in closed form and for each symbol, and the network learns what remains.
"""

from dataclasses import dataclass, replace

import numpy as np

from forecasting.losses import Floats
from forecasting.preprocess.market_features import MARKET_NAMES, features_of_rows
from forecasting.preprocess.windows import Windows
from forecasting.train.calendar_effects import AdjustedWindows, CalendarEffect
from forecasting.train.linear_model import fit_ridges
from forecasting.vocabulary import HORIZONS


@dataclass(frozen=True)
class MarketEffect:
    """The effect of the market's features on the centre of the targets; for close on the log of their width.

    Attributes:
        mean: (M,) of the features `MARKET_NAMES`, at which the effect is 0.
        coefficients: (H, M) one per horizon and feature.
    """

    mean: Floats
    coefficients: Floats

    def of(self, market: Floats) -> Floats:
        """(N, H) the effect of features (N, M); one that is unknown counts as its mean."""
        deviation = np.nan_to_num(market - self.mean)
        # Not a matrix product: its bits may depend on the number of rows.
        effect: Floats = (deviation[:, None] * self.coefficients).sum(axis=-1)
        return effect


NO_EFFECT = MarketEffect(np.zeros(len(MARKET_NAMES)), np.zeros((len(HORIZONS), len(MARKET_NAMES))))
"""Of a symbol without a market series."""


def fit_market_effect(windows: Windows, effect: CalendarEffect, adjusted: AdjustedWindows) -> MarketEffect:
    """The part that the market's features have in the ridges of the linear model; `NO_EFFECT` without the series.

    Args:
        windows: The rows to fit on.
        effect: The calendar effect.
        adjusted: The windows with it removed.
    """
    if not windows.has_market:
        return NO_EFFECT
    market = slice(len(MARKET_NAMES))
    ridges = fit_ridges(windows, effect, adjusted)
    coefficients = [ridge.coefficients[market] / ridge.scale[market] for ridge in ridges]
    return MarketEffect(ridges[0].mean[market], np.stack(coefficients))


def without_market(adjusted: AdjustedWindows, windows: Windows, effect: MarketEffect) -> AdjustedWindows:
    """The adjusted windows with `effect` removed from their targets."""
    if not effect.coefficients.any():
        return adjusted
    moved = effect.of(features_of_rows(windows))
    if windows.target == "close":
        width, centre = adjusted.width * np.exp(moved), adjusted.centre
    else:
        width, centre = adjusted.width, adjusted.centre + moved
    return replace(adjusted, centre=centre, width=width, truth=(windows.scaled - centre) / width)
