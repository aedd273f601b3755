"""The gate: whether a fit may take over from the champion, decided before it forecasts anything that is published.

A fit is refused if it is not finite, or by one of the functions below, whose first lines say why.
The limits are
measured: benchmarks/gate.py prints how many sound fits are refused, and how many damaged ones.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import date

import numpy as np
from torch import Tensor

from forecasting.losses import Floats, row_losses
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import PRETRAINED, WARM
from forecasting.train.linear import Rows, linear_quantiles, one_blas_thread
from forecasting.train.loop import load_members, training_losses
from forecasting.train.prepare import member_quantiles, prepare, prepare_like, training_rows
from forecasting.train.pretrained import pretrained_for
from forecasting.vocabulary import HIGH_80, HORIZONS, LOW_80, MEDIAN

SESSIONS = 40  # newest closed origins on which a fit is compared
MAX_DISTANCE = 0.15
"""Of two medians, root mean square over the closed origins, in units of the reference's mean 80%
interval."""

# The largest distance of two medians of tonight's forecast, in the same unit
MAX_DISTANCE_TONIGHT = 0.25
MAX_WIDTH_RATIO = 1.3  # of the mean 80% intervals, the wider over the narrower
MAX_MEMBER_DISTANCE = 0.3  # the root mean square distance of any single network's median
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

_ESTIMATED = (
    *("flag_names", "effect", "effect_intercept", "market_mean", "market_effect"),
    *("step_mean", "step_scale", "past_mean", "past_scale"),
)


@dataclass(frozen=True)
class Verdict:
    """What the gate found."""

    refused: str  # why the fit is refused, in words with figures; empty when it passed
    origins: int  # closed ones that were compared
    first: date
    last: date
    # Mean pinball loss of the fit, in the target's unit; None where it is not finite
    challenger: float | None
    champion: float | None  # the champion's; None without one

    def text(self) -> str:
        """What was compared, as the JSON of column `gate` of table models."""
        found = {name: value for name, value in asdict(self).items() if name != "refused"}
        return json.dumps(found | {name: found[name].isoformat() for name in ("first", "last")})


def gate_rows(windows: Windows) -> Rows:
    """The SESSIONS newest rows whose targets are all in the past, then tonight's."""
    tonight = len(windows) - 1
    stop = tonight - HORIZONS[-1] + 1
    return np.append(np.arange(max(0, stop - SESSIONS), stop), tonight)


@one_blas_thread()
def examine(
    fitted: Checkpoint,
    windows: Windows,
    *,
    settings: Settings,
    champion: Checkpoint | None,
) -> Verdict:
    """Whether tonight's fit on `windows` may take over from the weights in use, from which a warm fit started."""
    rows = gate_rows(windows)
    closed = rows[:-1]
    quantiles, of_members = member_quantiles(fitted, windows, rows)
    loss = mean_pinball(quantiles, windows, closed)
    theirs = None
    refused = "" if np.isfinite(of_members).all() else "a quantile of a member is not finite"
    refused = refused or other_training(
        fitted,
        windows,
        settings,
        champion=champion,
    )
    if champion is None:
        refused = refused or worse_than_linear(fitted, windows)
    else:
        champions = member_quantiles(champion, windows, rows)[0]
        theirs = mean_pinball(champions, windows, closed)
        if not refused and loss > theirs and (refused := unlike(of_members, champions)):
            refused = f"{refused}, and worse: pinball {loss:.4g} against {theirs:.4g}"
    first, last = (windows.origins[closed[place]].astype(object) for place in (0, -1))
    return Verdict(
        refused,
        len(closed),
        first,
        last,
        loss if np.isfinite(loss) else None,
        theirs,
    )


def mean_pinball(quantiles: Floats, windows: Windows, closed: Rows) -> float:
    """The mean pinball loss of the closed rows of quantiles (n, H, Q), in the target's own unit.

    NaN if one is NaN.
    """
    if not np.isfinite(quantiles).all():
        return float("nan")
    scale = windows.scale(closed)
    actual = scale.from_model(windows.scaled[closed][..., None])[..., 0]
    return float(row_losses(actual, scale.from_model(quantiles[: len(closed)])).mean())


def other_training(
    fitted: Checkpoint, windows: Windows, settings: Settings, *, champion: Checkpoint | None
) -> str:
    """Why a fit was not trained on these rows from its start, in words.

    Empty where it may have been.
    """
    parent = champion if fitted.card.method == "warm" else None
    expected = parent.card if parent else prepare(windows, method="scratch", settings=settings).card
    others = [name for name in _ESTIMATED if getattr(fitted.card, name) != getattr(expected, name)]
    if others:
        return f"its card has another {', '.join(others)} than its {'parent' if parent else 'rows'}"
    newest = pretrained_for(windows) if fitted.card.base and parent is None else None
    start = newest if newest is not None and newest.card.base == fitted.card.base else parent
    if start is None:  # random weights, or unknown ones
        return ""
    return moved_too_far(fitted, start) or (
        "" if parent else learned_nothing(fitted, start, windows)
    )


def moved_too_far(fitted: Checkpoint, start: Checkpoint) -> str:
    """Whether a weight is further from its start than training moves it, in words.

    Empty where not.
    """
    limit = (WARM if fitted.card.method == "warm" else PRETRAINED).reach(fitted.card.rows)
    starts = starting_weights(fitted, start)
    moved = max(
        float((weight - starts[name]).abs().max()) for name, weight in fitted.weights.items()
    )
    if moved <= limit:
        return ""
    return (
        f"a weight is {moved:.2g} from where the fit started, which training moves by "
        f"{limit:.2g} at most"
    )


def learned_nothing(fitted: Checkpoint, start: Checkpoint, windows: Windows) -> str:
    """Whether a fit from pretrained weights gained no more than chance on its training rows.

    Empty where it did.

    Weights of another symbol that start from the same ones are within reach, but were trained on
    other rows.
    """
    begun = replace(fitted, weights=starting_weights(fitted, start))
    before, after = (_losses(one, windows) for one in (begun, fitted))
    gained = before - after
    if gained.mean() >= MIN_GAIN * gained.std() > 0.0:
        return ""
    return (
        f"no clear gain on its training rows: from a loss of {before.mean():.5g} at its start "
        f"to {after.mean():.5g}"
    )


def worse_than_linear(fitted: Checkpoint, windows: Windows) -> str:
    """Whether a fit lost more on its training rows than the linear model fitted on them, in words.

    Empty where not.
    """
    rows = training_rows(windows)
    adjusted = prepare_like(fitted, windows).adjusted
    linear = adjusted.to_adjusted(
        windows.scale(rows).to_model(linear_quantiles(windows, rows)), rows
    )
    ours = float(_losses(fitted, windows).mean())
    theirs = float(row_losses(adjusted.truth[rows], linear).mean())
    limit = MAX_LINEAR_RATIO if len(rows) >= MANY_ROWS else MAX_LINEAR_RATIO_OF_FEW
    return (
        ""
        if ours <= limit * theirs
        else f"it lost {ours:.4g} on its training rows, the linear model {theirs:.4g}"
    )


def unlike(members: Floats, theirs: Floats) -> str:
    """How the quantiles (M, n, H, Q), tonight's last, differ from the champion's beyond the limits.

    Empty if not.
    """
    ensemble = members.mean(axis=0)
    unit, own = (
        float((made[:-1, :, HIGH_80] - made[:-1, :, LOW_80]).mean()) for made in (theirs, ensemble)
    )
    if not min(unit, own) > 0.0:  # bars that never move: there is no unit to measure in
        return ""
    apart = np.abs(members[..., MEDIAN] - theirs[..., MEDIAN]) / unit  # (M, n, H)
    together = np.abs(ensemble[..., MEDIAN] - theirs[..., MEDIAN]) / unit  # (n, H)
    by = "by {:.2f} of an 80% interval from the champion's"
    found = (
        (f"its medians differ {by}", _root_mean_square(together[:-1]), MAX_DISTANCE),
        (f"tonight's median differs {by}", float(together[-1].max()), MAX_DISTANCE_TONIGHT),
        (
            f"a member's medians differ {by}",
            max(_root_mean_square(one[:-1]) for one in apart),
            MAX_MEMBER_DISTANCE,
        ),
        (
            "its 80% intervals are {:.2f} times as wide as the champion's, or as narrow",
            max(own, unit) / min(own, unit),
            MAX_WIDTH_RATIO,
        ),
    )
    return next((text.format(value) for text, value, limit in found if value > limit), "")


def starting_weights(fitted: Checkpoint, start: Checkpoint) -> dict[str, Tensor]:
    """The weight that each of the fit's started from, by its name; members start in turn."""
    members = start.card.members
    parts = {name: name.split(".", 1) for name in fitted.weights}
    return {
        name: start.weights[f"{int(member) % members}.{part}"]
        for name, (member, part) in parts.items()
    }


def _losses(fitted: Checkpoint, windows: Windows) -> Floats:
    """(n,) a fit's losses on its training rows, the mean over its members."""
    tensors = replace(prepare_like(fitted, windows).tensors, rows=training_rows(windows))
    networks = load_members(fitted.weights, tensors)
    return np.mean([training_losses(network, tensors) for network in networks], axis=0)


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
