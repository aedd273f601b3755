"""R² of log dollar volume over its mean of five sessions, the measure of the literature on daily volume.

Goyenko, Kelly, Moskowitz, Su and Zhang (2024), "Trading Volume Alpha", NBER working paper 33037: with y the log of
shares traded times the closing price, R² = 1 - sum (y - forecast of y)² / sum (y - mean of the five newest y)².

A forecast of shares becomes one of dollars at the close of its origin: the price is taken for a random walk, and its
move until the target session is part of the error, of the forecast's and of the mean's. Both sides of a split have the
same dollars. Differences from the paper: the forecast is the median, not the mean of the log; one symbol at a time,
where the paper pools stocks and sessions; horizons beyond the first, against the mean that the origin has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forecasting.evaluate.scores import skill
from forecasting.losses import Floats

if TYPE_CHECKING:
    import pandas as pd

MEAN_SESSIONS = 5
"""The newest sessions with a known dollar volume whose mean log is the forecast to be better than."""


@dataclass(frozen=True)
class DollarVolumes:
    """What R² needs beside the forecasts, for n origins; dollars stand for the currency of the bars.

    Attributes:
        close: (n,) close of the newest session up to the origin with a known dollar volume.
        mean: (n,) mean log dollar volume of that session and the four known ones before it.
        actual: (n, H) log dollar volume of the target sessions; NaN where unknown.
    """

    close: Floats
    mean: Floats
    actual: Floats


def dollar_volumes(
    bars: pd.DataFrame, origins: NDArray[np.datetime64], target_sessions: NDArray[np.datetime64]
) -> DollarVolumes:
    """The dollar volumes at n origins and of their target sessions.

    Args:
        bars: Canonical bars, index session, columns close and volume; a zero counts as unknown.
        origins: (n,) days; each uses bars up to itself.
        target_sessions: (n, H) days.
    """
    import pandas as pd

    known = bars[(bars["close"] > 0.0) & (bars["volume"] > 0.0)]
    closes, volumes = (known[name].to_numpy(dtype=np.float64) for name in ("close", "volume"))
    series = pd.DataFrame({"close": closes, "log": np.log(closes * volumes)}, index=known.index)
    series["mean"] = series["log"].rolling(MEAN_SESSIONS, min_periods=1).mean()
    at_origin = series.reindex(pd.DatetimeIndex(origins), method="ffill")
    ahead = series["log"].reindex(pd.DatetimeIndex(target_sessions.ravel()))
    return DollarVolumes(
        close=at_origin["close"].to_numpy(dtype=np.float64),
        mean=at_origin["mean"].to_numpy(dtype=np.float64),
        actual=ahead.to_numpy(dtype=np.float64).reshape(target_sessions.shape),
    )


def dollar_volume_r2(volumes: DollarVolumes, shares: Floats) -> float:
    """R² over the mean of five sessions: 1 is exact, 0 as good as the mean, negative worse.

    Args:
        volumes: Of n origins and H horizons.
        shares: (n, H) median forecasts of shares.

    Returns:
        Over all known values; with several horizons, of the mean over horizons of the mean squared errors.
    """
    ours = np.log(shares) + np.log(volumes.close)[:, None] - volumes.actual
    means = volumes.mean[:, None] - volumes.actual
    return skill(*(float(np.nanmean(errors**2, axis=0).mean()) for errors in (ours, means)))
