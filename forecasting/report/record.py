"""The record of what was published: its scores that count, and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecasting.evaluate.scores import nearest_level, quantile_at
from forecasting.vocabulary import LSTM, QUANTILE_COLUMNS


@dataclass(frozen=True)
class TrackRecord:
    """What was published, whichever forecaster made it: a score per origin and horizon."""

    published: pd.DataFrame  # oldest first

    @property
    def kinds(self) -> dict[str, int]:
        """The number of published origins of each kind that count."""
        kinds = self.published.groupby("kind")["origin_session"].nunique()
        return {str(kind): int(count) for kind, count in kinds.items()}

    @property
    def origins(self) -> int:
        """The number of origins with a score."""
        return int(self.published["origin_session"].nunique())

    @property
    def fallbacks(self) -> int:
        """The number of these origins on which a baseline was published in the network's place."""
        return int(self.published.loc[self.published["name"] != LSTM, "origin_session"].nunique())

    def ahead(self, horizon: int) -> pd.DataFrame:
        """The published forecasts of one horizon, oldest first."""
        return self.published[self.published["horizon"] == horizon].reset_index(drop=True)


def track_record(scored: pd.DataFrame) -> TrackRecord:
    """The record of scores as `read.scored` returns them."""
    days = {
        name: pd.to_datetime(scored[name]).dt.date for name in ("origin_session", "target_session")
    }
    rows = scored.assign(**days).sort_values(["origin_session", "horizon"], ignore_index=True)
    return TrackRecord(rows)


def coverages(record: TrackRecord) -> pd.DataFrame:
    """The share of actuals inside the 80 and 90% intervals by horizon, and its `binomial_band`."""
    rows = []
    for level, column in ((0.8, "inside_80"), (0.9, "inside_90")):
        for horizon, inside in record.published.groupby("horizon")[column]:
            low, high = binomial_band(len(inside), level)
            share = float(inside.astype(float).mean())
            rows.append((level, horizon, len(inside), share, low, high))
    return pd.DataFrame(rows, columns=["level", "horizon", "n", "share", "low", "high"])


def binomial_band(n: int, level: float) -> tuple[float, float]:
    """The central 95% of the share of hits in `n` tries, each a hit with probability `level`."""
    from scipy.special import bdtr  # scipy.stats takes most of a second to import

    at_most = bdtr(np.arange(n + 1), n, level)  # P(hits <= k)
    return int(np.searchsorted(at_most, 0.025)) / n, int(np.searchsorted(at_most, 0.975)) / n


def cost_quantiles(rows: pd.DataFrame, ratio: float) -> pd.Series[float]:
    """The quantile of least expected cost of each forecast.

    An overestimate costs `ratio` times as much as an underestimate.
    """
    quantiles = quantile_at(rows[list(QUANTILE_COLUMNS)], nearest_level(ratio))
    return pd.Series(quantiles, rows.index, dtype=float)
