"""The gate: whether a fit may take over from the champion, decided before it forecasts anything that is published.

A fit is refused if it is not finite; if its card has another scaler or effect than its parent or its rows give; if its
weights moved further from its start than its training can move them; if it gained nothing clear on its own training
rows over the pretrained weights it started from; if it is unlike the champion on the newest closed sessions and on
tonight's inputs, and worse than it there; or, without a champion, if it lost more on its training rows than the linear
model. The limits are measured: benchmarks/gate.py prints how many sound fits are refused, and how many damaged ones.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

import numpy as np
from torch import Tensor

from forecasting.losses import Floats, row_losses
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.calendar_effects import Rows
from forecasting.train.checkpoint import Card, Checkpoint
from forecasting.train.ensemble import member_quantiles
from forecasting.train.fit import PRETRAINED, WARM
from forecasting.train.linear import linear_quantiles
from forecasting.train.loop import TrainingRows, load_members, sequences_in, training_losses
from forecasting.train.prepare import prepare, prepare_like, training_rows
from forecasting.train.pretrained import OwnWeights, pretrained_for
from forecasting.train.ridge import one_blas_thread
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES

SESSIONS = 40  # newest closed origins on which a fit is compared
MAX_DISTANCE = 0.15
"""Of two medians, root mean square over the closed origins, in units of the reference's mean 80 % interval."""

MAX_DISTANCE_TONIGHT = 0.25  # the largest distance of two medians of tonight's forecast, in the same unit
MAX_WIDTH_RATIO = 1.3  # of the mean 80 % intervals, the wider over the narrower
MAX_MEMBER_DISTANCE = 0.3  # the root mean square distance of any single network's median
MIN_GAIN = 0.08
"""Of a fit from pretrained weights: its mean gain on its training rows, in standard deviations of a row's gain.

Own training has 0.10 and more at 250 to 2,500 rows (526 fits), another symbol's weights less in 9 of 10 (at 2,500).
"""

MAX_LINEAR_RATIO, MANY_ROWS, MAX_LINEAR_RATIO_OF_FEW = 1.025, 2000, 2.0
"""Of a first fit's loss on its training rows over the linear model's: from MANY_ROWS on, and with fewer.

From so many rows the networks of stocks and an index learn what the linear model does; with 320 of an index, 1.84.
"""

_ESTIMATED = (
    *("flag_names", "effect", "effect_intercept", "market_mean", "market_effect"),
    *("step_mean", "step_scale", "past_mean", "past_scale"),
)
_LOW, _HIGH = QUANTILES.index(0.10), QUANTILES.index(0.90)


@dataclass(frozen=True)
class Verdict:
    """What the gate found."""

    refused: str  # why the fit is refused, in words with figures; empty when it passed
    origins: int  # closed ones that were compared
    first: date
    last: date
    challenger: float | None  # mean pinball loss of the fit, in the target's unit; None where it is not finite
    champion: float | None  # the champion's; None without one

    def text(self) -> str:
        """What was compared, as the JSON of column `gate` of table models."""
        found = {name: value for name, value in asdict(self).items() if name != "refused"}
        return json.dumps(found | {name: found[name].isoformat() for name in ("first", "last")})


def gate_rows(windows: Windows) -> Rows:
    """The SESSIONS newest rows whose targets are all in the past, then tonight's."""
    tonight = len(windows) - 1
    return np.append(np.arange(max(0, tonight - HORIZONS[-1] + 1 - SESSIONS), tonight - HORIZONS[-1] + 1), tonight)


@one_blas_thread()
def examine(
    fitted: Checkpoint,
    windows: Windows,
    *,
    settings: Settings,
    champion: Checkpoint | None,
    own: Sequence[OwnWeights] = (),
) -> Verdict:
    """Whether tonight's fit on `windows`, whose newest row is tonight's, may take over.

    `champion` are the weights in use, from which a warm fit started; None where there are none that run.
    """
    rows = gate_rows(windows)
    closed = rows[:-1]
    members = member_quantiles(fitted, windows, rows)
    loss, theirs = mean_pinball(members.mean(), windows, closed), None
    warm = champion if fitted.card.method == "warm" else None
    start = warm or _start(fitted, windows, own)
    expected = warm.card if warm else prepare(windows, method="scratch", settings=settings).card
    refused = not_finite(members.adjusted) or other_card(fitted.card, expected)
    refused = refused or moved_too_far(fitted, start) or learned_nothing(fitted, start, windows)
    if champion is None:
        refused = refused or worse_than_linear(fitted, windows)
    else:
        quantiles = member_quantiles(champion, windows, rows).mean()
        theirs = mean_pinball(quantiles, windows, closed)
        if not refused and loss > theirs and (refused := unlike(members.each(), quantiles)):
            refused = f"{refused}, and worse: pinball {loss:.4g} against {theirs:.4g}"
    first, last = (windows.origins[closed[place]].astype(object) for place in (0, -1))
    return Verdict(refused, len(closed), first, last, loss if np.isfinite(loss) else None, theirs)


def mean_pinball(quantiles: Floats, windows: Windows, closed: Rows) -> float:
    """The mean pinball loss of the closed rows of quantiles (n, H, Q), in the target's own unit; NaN if one is NaN."""
    if not np.isfinite(quantiles).all():
        return float("nan")
    scale = windows.scale(closed)
    actual = scale.from_model(windows.scaled[closed][..., None])[..., 0]
    return float(row_losses(actual, scale.from_model(quantiles[: len(closed)])).mean())


def not_finite(quantiles: Floats) -> str:
    """Why these quantiles cannot be published; empty where every one is a finite number."""
    return "" if np.isfinite(quantiles).all() else "a quantile of a member is not finite"


def other_card(card: Card, expected: Card) -> str:
    """Which estimates of a card are not the expected ones, in words; empty where all are."""
    others = [name for name in _ESTIMATED if getattr(card, name) != getattr(expected, name)]
    whose = "its parent" if card.method == "warm" else "its rows"
    return f"its card has another {', '.join(others)} than {whose}" if others else ""


def moved_too_far(fitted: Checkpoint, start: Checkpoint | None) -> str:
    """Whether a weight is further from its start, None for random weights, than training moves it; empty where not."""
    if start is None:
        return ""
    hyperparameters = WARM if fitted.card.method == "warm" else PRETRAINED
    limit = hyperparameters.reach(sequences_in(fitted.card.rows))
    moved = max(float((weight - _weight_of(start, name)).abs().max()) for name, weight in fitted.weights.items())
    if moved <= limit:
        return ""
    return f"a weight is {moved:.2g} from where the fit started, which training moves by {limit:.2g} at most"


def learned_nothing(fitted: Checkpoint, start: Checkpoint | None, windows: Windows) -> str:
    """Whether a fit from pretrained weights gained no more than chance on its training rows; empty where it did.

    Weights of another symbol that start from the same ones are within reach, but were trained on other rows.
    """
    if start is None or fitted.card.method == "warm":
        return ""
    at_start = replace(fitted, weights={name: _weight_of(start, name) for name in fitted.weights})
    before, after = _losses(at_start, windows), _losses(fitted, windows)
    gained = before - after
    clear = gained.mean() >= MIN_GAIN * gained.std() > 0.0
    found = f"from a loss of {before.mean():.5g} at its start to {after.mean():.5g}"
    return "" if clear else f"no clear gain on its training rows: {found}"


def worse_than_linear(fitted: Checkpoint, windows: Windows) -> str:
    """Whether a fit lost more on its training rows than the linear model fitted on them, in words; empty where not."""
    rows = training_rows(windows)
    adjusted = prepare_like(fitted, windows).adjusted
    linear = adjusted.to_adjusted(windows.scale(rows).to_model(linear_quantiles(windows, rows)), rows)
    ours, theirs = float(_losses(fitted, windows).mean()), float(row_losses(adjusted.truth[rows], linear).mean())
    limit = MAX_LINEAR_RATIO if len(rows) >= MANY_ROWS else MAX_LINEAR_RATIO_OF_FEW
    return "" if ours <= limit * theirs else f"it lost {ours:.4g} on its training rows, the linear model {theirs:.4g}"


def unlike(members: Floats, theirs: Floats) -> str:
    """How the quantiles (M, n, H, Q), tonight's last, differ from the champion's beyond the limits; empty if not."""
    ensemble = members.mean(axis=0)
    unit, own = (float((made[:-1, :, _HIGH] - made[:-1, :, _LOW]).mean()) for made in (theirs, ensemble))
    if not min(unit, own) > 0.0:  # bars that never move: there is no unit to measure in
        return ""
    apart = np.abs(members[..., MEDIAN] - theirs[..., MEDIAN]) / unit  # (M, n, H)
    together = np.abs(ensemble[..., MEDIAN] - theirs[..., MEDIAN]) / unit  # (n, H)
    found = {
        "its medians differ by {:.2f} of an 80 % interval from the champion's": (
            _root_mean_square(together[:-1]),
            MAX_DISTANCE,
        ),
        "tonight's median differs by {:.2f} of an 80 % interval from the champion's": (
            float(together[-1].max()),
            MAX_DISTANCE_TONIGHT,
        ),
        "a member's medians differ by {:.2f} of an 80 % interval from the champion's": (
            max(_root_mean_square(one[:-1]) for one in apart),
            MAX_MEMBER_DISTANCE,
        ),
        "its 80 % intervals are {:.2f} times as wide as the champion's, or as narrow": (
            max(own, unit) / min(own, unit),
            MAX_WIDTH_RATIO,
        ),
    }
    return next((text.format(value) for text, (value, limit) in found.items() if value > limit), "")


def _losses(fitted: Checkpoint, windows: Windows) -> Floats:
    """(n,) a fit's losses on its training rows, the mean over its members."""
    training = TrainingRows(prepare_like(fitted, windows).training.tensors, training_rows(windows))
    networks = load_members(fitted.weights, training.tensors)
    losses: Floats = np.mean([training_losses(network, training) for network in networks], axis=0)
    return losses


def _start(fitted: Checkpoint, windows: Windows, own: Sequence[OwnWeights]) -> Checkpoint | None:
    """The pretrained weights that the fit started from; None for random ones."""
    newest = pretrained_for(windows, own) if fitted.card.base else None
    return newest if newest is not None and newest.card.base == fitted.card.base else None


def _weight_of(start: Checkpoint, name: str) -> Tensor:
    """The weight that the fit's `member.parameter` started from; members start in turn."""
    member, parameter = name.split(".", 1)
    return start.weights[f"{int(member) % start.card.members}.{parameter}"]


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
