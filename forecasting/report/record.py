"""The record of past forecasts: scores that count, skill, coverage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from forecasting.evaluate.scores import nearest_level, quantile_at
from forecasting.evaluate.significance import p_value_of_enough
from forecasting.losses import EXACT
from forecasting.vocabulary import HORIZONS, LSTM, PUBLISHED, QUANTILE_COLUMNS

_NIGHT = ["origin_session", "horizon"]
_PAIR = [*_NIGHT, "kind"]


@dataclass(frozen=True)
class TrackRecord:
    """One score per origin and horizon, oldest first."""

    published: pd.DataFrame  # of what was published, whichever forecaster made it
    others: pd.DataFrame  # of each baseline, and the network's own; of a page one session ahead

    @property
    def baselines(self) -> pd.DataFrame:
        """The scores of the baselines alone."""
        return self.others[self.others["forecaster"] != LSTM]

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

    @cached_property
    def skills(self) -> pd.DataFrame:
        """Losses of the published forecasts and of each forecaster on the same sessions.

        A row a forecaster and horizon, 0 for all pooled: n, our and their losses, skill (1 - ours /
        theirs: positive when ours is better, NaN when theirs is 0), p_value of Diebold and
        Mariano's test of equal pinball loss, two-sided; NaN below ten origins for each session of
        the horizon, where its size is off.
        """
        pairs = _pairs(self.published, self.others)
        return _skills(pd.concat([pairs.assign(horizon=0), pairs]))

    @property
    def comparisons(self) -> pd.DataFrame:
        """The rows of `skills` that are shown, one session ahead.

        Those of the network alone count only where a baseline was published in its place.
        """
        others = self.others if self.fallbacks else self.baselines
        return _skills(_pairs(self.ahead(1), others[others["horizon"] == 1]))


def _pairs(published: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Losses of what was published and of each other forecaster on the same origin and horizon."""
    ours = published[[*_PAIR, "error", "pinball"]]
    theirs = others[[*_PAIR, "forecaster", "error", "pinball"]]
    pairs = ours.merge(theirs, on=_PAIR, suffixes=("", "_theirs"))
    return pairs.assign(absolute=pairs["error"].abs(), absolute_theirs=pairs["error_theirs"].abs())


def _skills(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `TrackRecord.skills`, of `_pairs`."""
    means = {"absolute": "mae", "pinball": "pinball"}
    means |= {f"{name}_theirs": f"their_{mean}" for name, mean in means.items()}
    groups = pairs.groupby(["forecaster", "horizon"])
    losses = groups[list(means)].mean().rename(columns=means)  # a third of the time of `agg`
    losses.insert(0, "n", groups.size())
    losses = losses.reset_index()
    for loss in ("mae", "pinball"):
        losses[f"skill_{loss}"] = _skill_of(losses[loss], losses[f"their_{loss}"])
    by_origin = pairs.groupby(["forecaster", "horizon", "origin_session"])
    # Over the horizons, where all are pooled
    means_of = by_origin[["pinball", "pinball_theirs"]].mean()
    p_values = [
        p_value_of_enough(*means_of.loc[key].to_numpy().T, horizon=key[1] or max(HORIZONS))
        for key in zip(losses["forecaster"], losses["horizon"], strict=True)
    ]
    return losses.assign(p_value=np.array(p_values, dtype=float))


def track_record(scored: pd.DataFrame) -> TrackRecord:
    """The record of scores that count, as `read.scored` returns them."""
    days = {
        name: pd.to_datetime(scored[name]).dt.date for name in ("origin_session", "target_session")
    }
    rows = scored.assign(**days).sort_values([*_NIGHT, "forecaster"], ignore_index=True)
    is_published = rows["forecaster"] == PUBLISHED
    return TrackRecord(
        rows[is_published].reset_index(drop=True), rows[~is_published].reset_index(drop=True)
    )


def _skill_of(ours: pd.Series[float], theirs: pd.Series[float]) -> pd.Series[float]:
    return 1.0 - ours / theirs.where(theirs > EXACT * ours)


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
