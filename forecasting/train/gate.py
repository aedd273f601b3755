"""The gate: whether tonight's fit may make the published forecast.

A fit is refused if it is not finite, or by one of the functions below, whose first lines say why.
The limits are measured: benchmarks/gate.py prints how many sound fits are refused, and how many
damaged ones.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from forecasting.losses import Floats, row_losses
from forecasting.preprocess.windows import H, Rows, Windows, from_model
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.linear import linear_quantiles
from forecasting.train.loop import load_members, one_thread, training_losses
from forecasting.train.prepare import member_quantiles, prepare
from forecasting.train.pretrained import pretrained_for
from forecasting.vocabulary import HIGH_80, LOW_80, MEDIAN

SESSIONS = 40  # newest closed origins on which a fit is compared
LIMITS = (0.15, 0.25, 0.3, 1.3)
"""Of two forecasts: the root mean square distance of the medians over the closed origins, the
largest of tonight's, the root mean square of a single member's (all in units of the reference's
mean 80% interval), and the ratio of the mean 80% intervals, the wider over the narrower."""

MIN_GAIN = 0.08
"""Of a fit from pretrained weights: its mean gain on its training rows, in standard deviations of a
row's gain.

Own training has 0.10 and more at 250 to 2,500 rows (526 fits), another symbol's weights less in 9
of 10 (at 2,500).
"""

MAX_LINEAR_RATIO = 1.025
MANY_ROWS = 2000
MAX_LINEAR_RATIO_OF_FEW = 2.0
"""Of a first fit's loss on its training rows over the linear model's: from MANY_ROWS on, and with
fewer.

From so many rows the networks of stocks and an index learn what the linear model does; with 320 of
an index, 1.84.
"""


@dataclass(frozen=True)
class Verdict:
    """What the gate found."""

    refused: str  # why the fit is refused, in words with figures; empty when it passed
    # What was compared, as the JSON of column `gate` of table models: the number of closed origins,
    # the first and last of them, and the mean pinball losses of the fit and of the fit before in
    # the target's unit, null where they are not finite, or without one
    compared: str


def gate_rows(windows: Windows) -> Rows:
    """The SESSIONS newest rows whose targets are all in the past, then tonight's."""
    tonight = len(windows) - 1
    stop = tonight - H + 1
    return np.append(np.arange(stop - SESSIONS, stop), tonight)


@one_thread()
def examine(fitted: Checkpoint, windows: Windows, *, before: Checkpoint | None) -> Verdict:
    """Whether tonight's fit on `windows` may be published.

    `before` is the newest fit that passed, from which a warm fit has started.
    """
    rows = gate_rows(windows)
    closed = rows[:-1]
    quantiles, members = member_quantiles(fitted, windows, rows)
    loss = mean_pinball(quantiles, windows, closed)
    others = None
    other_loss = math.nan
    if before is not None:
        others = member_quantiles(before, windows, rows)[0]
        other_loss = mean_pinball(others, windows, closed)

    def objections() -> Iterator[str]:
        if not np.isfinite(members).all():
            yield "a quantile of a member is not finite"
        if fitted.card.method == "scratch":
            yield learned_nothing(fitted, windows)
        if others is None:
            yield worse_than_linear(fitted, windows)
        elif loss > other_loss and (apart := unlike(members, others)):
            yield f"{apart}, and worse: pinball {loss:.4g} against {other_loss:.4g}"

    origins = windows.origins[closed]
    compared = {
        "origins": len(closed),
        "first": str(origins[0]),
        "last": str(origins[-1]),
        "fit": _finite(loss),
        "before": _finite(other_loss),
    }
    return Verdict(next(filter(None, objections()), ""), json.dumps(compared))


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
    return float(row_losses(actual, from_model(quantiles[: len(closed)], level)).mean())


def learned_nothing(fitted: Checkpoint, windows: Windows) -> str:
    """Whether a fit from pretrained weights gained no more than chance on its rows; empty if not.

    Weights of another symbol that start from the same ones were trained on other rows.
    """
    start = pretrained_for(windows) if fitted.card.base else None
    if start is None:  # random weights
        return ""
    before = _losses(replace(fitted, weights=start.weights), windows)
    after = _losses(fitted, windows)
    gained = before - after
    if gained.mean() >= MIN_GAIN * gained.std() > 0.0:
        return ""
    return (
        f"no clear gain on its training rows: from a loss of {before.mean():.5g} at its start to "
        f"{after.mean():.5g}"
    )


def worse_than_linear(fitted: Checkpoint, windows: Windows) -> str:
    """Whether a fit lost more on its training rows than the linear model of them; empty if not."""
    prepared = prepare(fitted.card, windows)
    rows = prepared.tensors.rows
    linear = linear_quantiles(windows, rows, prepared.adjusted)
    ours = float(_losses(fitted, windows).mean())
    theirs = float(row_losses(prepared.adjusted.truth[rows], linear).mean())
    limit = MAX_LINEAR_RATIO if len(rows) >= MANY_ROWS else MAX_LINEAR_RATIO_OF_FEW
    if ours <= limit * theirs:
        return ""
    return f"it lost {ours:.4g} on its training rows, the linear model {theirs:.4g}"


def unlike(members: Floats, before: Floats) -> str:
    """How quantiles (M, n, H, Q), tonight's last, differ from those of the fit before (n, H, Q).

    Empty where they do not differ by more than a limit.
    """
    ensemble = members.mean(axis=0)
    width = _mean_width(ensemble)
    unit = _mean_width(before)
    if not min(unit, width) > 0.0:  # bars that never move: there is no unit to measure in
        return ""
    apart = np.abs(members[..., MEDIAN] - before[..., MEDIAN]) / unit  # (M, n, H)
    together = np.abs(ensemble[..., MEDIAN] - before[..., MEDIAN]) / unit  # (n, H)
    # Of the medians, of tonight's, of a single member's, and of the widths
    found = (
        _root_mean_square(together[:-1]),
        float(together[-1].max()),
        max(_root_mean_square(one[:-1]) for one in apart),
        max(width, unit) / min(width, unit),
    )
    if all(value <= limit for value, limit in zip(found, LIMITS, strict=True)):
        return ""
    return (
        "its medians differ by {:.2f} of an 80% interval from the fit before, tonight's by {:.2f}, "
        "a member's by {:.2f}, and its intervals are {:.2f} times as wide or narrow"
    ).format(*found)


def _mean_width(quantiles: Floats) -> float:
    """Of the 80% intervals of the closed rows."""
    return float((quantiles[:-1, :, HIGH_80] - quantiles[:-1, :, LOW_80]).mean())


def _losses(fitted: Checkpoint, windows: Windows) -> Floats:
    """(n,) a fit's losses on its training rows, the mean over its members."""
    tensors = prepare(fitted.card, windows).tensors
    networks = load_members(fitted.weights, tensors, fitted.card.members)
    return np.mean([training_losses(network, tensors) for network in networks], axis=0)


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
