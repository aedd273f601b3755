"""The network against the best baseline on the same past origins: the evidence for publishing a baseline instead."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from forecasting.evaluate.significance import diebold_mariano
from forecasting.predict.fallback import MIN_ORIGINS, WINDOW_ORIGINS, Deficit
from forecasting.vocabulary import CHAMPION, HORIZONS


def best_baseline(losses: pd.DataFrame) -> str:
    """The baseline of least mean pinball loss on the origins and horizons that all of them have; empty without any.

    Args:
        losses: Columns `evidence.LOSS_COLUMNS`.

    Raises:
        ValueError: Two losses of one forecaster for one origin and horizon.
    """
    means = _table(losses).drop(columns=CHAMPION, errors="ignore").dropna().mean()
    return str(means.idxmin()) if len(means) and means.notna().all() else ""


def deficit_of(losses: pd.DataFrame) -> Deficit | None:
    """How the network did against the best baseline; None with fewer than MIN_ORIGINS origins to compare.

    Compared are the newest WINDOW_ORIGINS origins of which every horizon has a loss of the network (published or not)
    and of every baseline; losses are means over the horizons, then over the origins.

    Args:
        losses: As for `best_baseline`.
    """
    table = _table(losses)
    if CHAMPION not in table.columns or table.shape[1] == 1:
        return None
    horizons = table.dropna().groupby(level="origin_session")
    by_origin = horizons.mean()[horizons.size() == len(HORIZONS)].iloc[-WINDOW_ORIGINS:]
    if len(by_origin) < MIN_ORIGINS:
        return None
    means = by_origin.mean()
    best = str(means.drop(CHAMPION).idxmin())
    test = diebold_mariano(by_origin[CHAMPION].to_numpy(), by_origin[best].to_numpy(), horizon=HORIZONS[-1])
    return Deficit(best, len(by_origin), float(means[CHAMPION]), float(means[best]), test.statistic)


def fallback_baseline(losses: pd.DataFrame, deficit: Deficit | None, usable: Sequence[str]) -> str:
    """The baseline to publish in the network's place: the best by these losses, else the last of the usable ones.

    Args:
        losses: As for `best_baseline`.
        deficit: `deficit_of(losses)`.
        usable: Baselines with a finite forecast tonight, one or more; the strongest on most symbols is listed last.
    """
    best = deficit.baseline if deficit else best_baseline(losses)
    return best if best in usable else usable[-1]


def _table(losses: pd.DataFrame) -> pd.DataFrame:
    # pivot, not pivot_table: a duplicate must raise, not be averaged.
    known = losses.dropna(subset=["pinball"])
    table = known.pivot(index=["origin_session", "horizon"], columns="forecaster", values="pinball")
    return table.sort_index()
