"""The gate: whether tonight's fit may make the published forecast.

A fit is refused if it is not finite, or if it lost clearly more over the newest closed origins than
what it is compared with: a warm fit with the fit that it continues, one from scratch with the
linear model. The limits are measured: benchmarks/gate.py prints how many sound fits are refused,
and how many damaged ones.
"""

import json
import math
from dataclasses import dataclass

import numpy as np

from forecasting.losses import Floats, row_losses
from forecasting.preprocess.windows import H, Rows, Windows, from_model, to_model
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.linear import linear_forecast
from forecasting.train.loop import one_thread
from forecasting.train.prepare import member_quantiles

SESSIONS = 40  # newest closed origins on which a fit is compared

MAX_WARM_RATIO = 1.02
"""Of a warm fit's loss over that of the fit before. Of 160 sound ones of two stocks' volume it was
at most 1.003; of 96 with another median, twice the width or a member of noise, at least 1.21."""

MAX_LINEAR_RATIO = 1.25
MANY_ROWS = 2000
MAX_LINEAR_RATIO_OF_FEW = 2.0
"""Of a fit from scratch over the linear model's loss, from MANY_ROWS on and with fewer.

From so many rows the networks of ten stocks, 236 of both targets in 2015 to 2023, had 0.94 to 1.20,
but for one with 1.31 in April 2020; with 320 of an index the largest of 14 was 1.39.
"""


@dataclass(frozen=True)
class Verdict:
    """What the gate found."""

    refused: str  # why the fit is refused, in words with figures; empty when it passed
    # What was compared, as the JSON of column `gate` of table models: the number of closed origins,
    # the first and last of them, and the mean pinball losses of the fit and of what it is compared
    # with in the target's unit, null where they are not finite
    compared: str


@one_thread()
def examine(fitted: Checkpoint, windows: Windows, *, before: Checkpoint | None) -> Verdict:
    """Whether tonight's fit on `windows` may be published.

    `before` is the fit that it continues; None for one from scratch.
    """
    tonight = len(windows) - 1
    stop = tonight - H + 1  # all targets of the rows before it are in the past
    closed = np.arange(stop - SESSIONS, stop)
    quantiles, members = member_quantiles(fitted, windows, np.append(closed, tonight))
    loss = mean_pinball(quantiles[:-1], windows, closed)
    if before is None:
        name = "linear"
        rival = to_model(linear_forecast(windows, closed).quantiles, windows.level[closed])
        limit = MAX_LINEAR_RATIO if len(windows) >= MANY_ROWS else MAX_LINEAR_RATIO_OF_FEW
    else:
        name = "before"
        rival = member_quantiles(before, windows, closed)[0]
        limit = MAX_WARM_RATIO
    rival_loss = mean_pinball(rival, windows, closed)
    refused = ""
    if not np.isfinite(members).all():
        refused = "a quantile of a member is not finite"
    elif loss > limit * rival_loss:
        refused = (
            f"it lost {loss:.4g} over the newest {SESSIONS} closed origins, "
            f"{_NAMES[name]} {rival_loss:.4g}"
        )
    origins = windows.origins[closed]
    compared = {
        "origins": len(closed),
        "first": str(origins[0]),
        "last": str(origins[-1]),
        "fit": _finite(loss),
        name: _finite(rival_loss),
    }
    return Verdict(refused, json.dumps(compared))


_NAMES = {"linear": "the linear model", "before": "the fit before"}


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def mean_pinball(quantiles: Floats, windows: Windows, closed: Rows) -> float:
    """The mean pinball loss of the closed rows of quantiles (n, H, Q), in the target's own unit.

    NaN where a quantile is not finite.
    """
    if not np.isfinite(quantiles).all():
        return math.nan
    level = windows.level[closed]
    actual = from_model(windows.scaled[closed], level)
    return float(row_losses(actual, from_model(quantiles, level)).mean())
