"""Standings: losses of every forecaster summed over the newest nights, which `live_skill` divides.

Losses are rounded to a target's grain, and gaps to a part of the largest: their sums, and those of
the squares of 250 gaps, are then exact in any order, on both databases and after any restart.
"""

import numpy as np
import pandas as pd

from forecasting.losses import Floats
from forecasting.store.frames import Row
from forecasting.vocabulary import HORIZONS, PUBLISHED, PUBLISHED_LINE

WINDOWS = (20, 60, 250)
"""Newest nights with a score of what was published that standings and costs are summed over."""

LOSSES = ("error", "pinball", "inside_80", "inside_90")
PUBLISHED_LOSSES = ("published_error", "published_pinball")
_GAP_UNITS = 2**22
_WHOLE = 1.5 * 2.0**52  # added and subtracted again, it rounds to whole numbers


def standings_of(scores: pd.DataFrame, grain: float) -> list[Row]:
    """Rows for the table `standings` of one symbol, target and kind, but for these columns.

    Args:
        scores: Columns origin_session, horizon, role, model and LOSSES, those that count before
            others of the same origin, horizon and forecaster.
        grain: What losses are rounded to, in the target's unit.
    """
    nights, night = np.unique(scores["origin_session"], return_inverse=True)
    models, line = np.unique(scores["model"].astype(str), return_inverse=True)
    losses = scores[list(LOSSES)].to_numpy(dtype=np.float64)
    rounding = _WHOLE * grain
    losses[:, :2] = np.abs(losses[:, :2]) + rounding - rounding
    # (H, nights, lines, losses), the published line first; of an index repeated the last is kept
    placed = np.full((len(HORIZONS), len(nights), len(models) + 1, len(LOSSES)), np.nan)
    at = (scores["horizon"].to_numpy() - min(HORIZONS), night)
    placed[(*(index[::-1] for index in at), line[::-1] + 1)] = losses[::-1]
    is_published = np.flatnonzero(scores["role"] == PUBLISHED)[::-1]
    placed[(*(index[is_published] for index in at), 0)] = losses[is_published]
    days = pd.DatetimeIndex(nights).date
    rows = []
    for horizon, of_horizon in zip(HORIZONS, placed, strict=True):
        newest = np.flatnonzero(np.isfinite(of_horizon[:, 0, 0]))
        unit, gaps = _gaps(of_horizon[..., 1])
        for window in WINDOWS:
            some = newest[-window:]
            if not len(some):
                continue
            sums = _sums(of_horizon[some]) | {"squared_gap": unit**2 * (gaps[some] ** 2).sum(0)}
            span = {"first_origin": days[some[0]], "last_origin": days[some[-1]]}
            about = {"horizon": horizon, "window_sessions": window, **span}
            for place, name in enumerate([PUBLISHED_LINE, *models]):
                if sums["n"][place]:
                    of_line = {column: values[place] for column, values in sums.items()}
                    rows.append(about | {"line": name} | of_line)
    return rows


def _gaps(pinball: Floats) -> tuple[Floats, Floats]:
    """(lines,) units, and (nights, lines) whole multiples of them by which published lost more."""
    gap = np.nan_to_num(pinball[:, :1] - pinball)
    unit = np.abs(gap).max(axis=0, initial=0.0) / _GAP_UNITS
    return unit, gap / np.where(unit > 0.0, unit, 1.0) + _WHOLE - _WHOLE


def _sums(losses: Floats) -> dict[str, Floats]:
    """(lines,) sums over nights (nights, lines, losses), and of published on the same nights."""
    known = np.isfinite(losses[..., 0])
    sums = np.nansum(losses, axis=0)
    published = np.where(known[..., None], losses[:, :1, :2], 0.0).sum(axis=0)
    return {
        "n": known.sum(axis=0),
        **dict(zip(LOSSES, sums.T, strict=True)),
        **dict(zip(PUBLISHED_LOSSES, published.T, strict=True)),
    }
