"""Drift of the network: control charts of its skill and its interval coverage, not of its inputs.

A network that loses its lead over the best baseline, or whose 80% intervals no longer cover 80%,
raises an alarm. Both are monitored with an exponentially weighted moving average (Roberts 1959;
limits as in Montgomery, "Introduction to Statistical Quality Control"). Scores of neighbouring
sessions share shocks, so the spread of a chart comes from the long-run variance (Newey and West
1987); the plain variance would raise false alarms.
"""

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from forecasting.evaluate.significance import long_run_variance
from forecasting.vocabulary import LSTM

SMOOTHING = 0.05
"""Weight of the newest session: a mean over about the last 40, slow because one session is mostly
noise."""

LIMIT = 3.0
"""Standard deviations of the moving average between the centre and a limit.

On 1,000 simulated stationary histories 0.8% of nights are outside. A loss that grows by a fifth is
detected after 28 sessions at the median, coverage that falls to 65% after 19.
"""

REFERENCE_SESSIONS = 250  # at most, before the watched ones: their usual level and spread
MIN_REFERENCE = 60  # fewer do not estimate the usual level well enough
WATCHED_SESSIONS = 60  # the newest sessions, over which the moving average runs
MIN_WATCHED = 20  # with fewer the chart only repeats its starting value
DRIFT_ORIGINS = 400  # newest scored origins that the charts are given
_LAG = 10
_NOMINAL = 0.80
# Five forecasts close on a session; even if they were independent, the share inside would have this
# deviation.
_COVERAGE_SPREAD = math.sqrt(_NOMINAL * (1 - _NOMINAL) / 5)


@dataclass(frozen=True)
class ControlChart:
    """A moving average at the newest session, and its limits."""

    average: float
    centre: float  # its starting value: the mean of the reference, or the nominal coverage
    lower: float  # lower limit; an alarm below it
    upper: float  # upper limit; infinite where higher is better
    # First session of the run outside the limits that lasts until now; None when inside
    since: date | None


@dataclass(frozen=True)
class DriftCharts:
    """Both charts."""

    skill: ControlChart  # of log(baseline's pinball loss / network's)
    coverage: ControlChart  # of the share inside the 80% interval


def watch(days: pd.DataFrame) -> DriftCharts | None:
    """The charts at the newest session in `days`, against one baseline; None with too few sessions.

    Args:
        days: the session of the targets as index, ascending, and columns pinball and
            baseline_pinball (means over the forecasts that closed on it, same unit) and inside_80
            (share of them inside). Sessions with a NaN, or with a loss of 0, are left out.
    """
    whole = days[(days["pinball"] > 0) & (days["baseline_pinball"] > 0) & days["inside_80"].notna()]
    watched = min(WATCHED_SESSIONS, len(whole) - MIN_REFERENCE)
    if watched < MIN_WATCHED:
        return None
    whole = whole.iloc[-(REFERENCE_SESSIONS + watched) :].astype(np.float64)
    # A ratio, so that a more volatile market, which raises both losses alike, changes nothing.
    gain = (whole["baseline_pinball"] / whole["pinball"]).apply(np.log)
    usual = gain.iloc[:-watched]
    # The centre is itself an estimate: its uncertainty widens the limit.
    skill = _chart(
        gain.iloc[-watched:],
        float(usual.mean()),
        spread=_deviation(usual),
        centre_variance=1 / len(usual),
    )
    inside = whole["inside_80"]
    # The centre is the nominal coverage, not the usual one: intervals that were always too narrow
    # raise an alarm too.
    coverage = _chart(
        inside.iloc[-watched:],
        _NOMINAL,
        spread=max(_deviation(inside.iloc[:-watched]), _COVERAGE_SPREAD),
        two_sided=True,
    )
    return DriftCharts(skill, coverage)


def drift_reason(losses: pd.DataFrame, *, newest_scratch: date | None) -> str:
    """Why the network is out of bounds, against the best baseline of `losses`; empty if it is not.

    Also where a fit from scratch has answered it: `newest_scratch` is the last training session of
    the newest one.
    """
    is_network = losses["forecaster"] == LSTM
    network = losses[is_network].groupby("target_session")[["pinball", "inside_80"]].mean()
    means = losses[~is_network].groupby("forecaster")["pinball"].mean()
    best = str(means.idxmin()) if len(means) else ""
    of_best = losses[losses["forecaster"] == best].groupby("target_session")["pinball"].mean()
    days = network.join(of_best.rename("baseline_pinball"), how="inner").sort_index()
    charts = watch(days)
    if charts is None:
        return ""
    since = min(filter(None, (charts.skill.since, charts.coverage.since)), default=None)
    if since is None or (newest_scratch is not None and newest_scratch > since):
        return ""
    return _words(charts, best)


def _words(charts: DriftCharts, baseline: str) -> str:
    gained = -math.expm1(-charts.skill.average)
    usual = -math.expm1(-charts.skill.centre)
    covered = charts.coverage.average
    return (
        f"pinball skill against {baseline} is {gained:+.1%} (usual {usual:+.1%})"
        f"{_outside(charts.skill)}; 80% intervals cover {covered:.0%}{_outside(charts.coverage)}"
    )


def _outside(chart: ControlChart) -> str:
    return f", outside since {chart.since}" if chart.since else ""


def _deviation(values: pd.Series) -> float:
    return math.sqrt(long_run_variance(values.to_numpy(), _LAG))


def _chart(
    series: pd.Series,
    centre: float,
    *,
    spread: float,
    centre_variance: float = 0.0,
    two_sided: bool = False,
) -> ControlChart:
    steps = np.arange(1, len(series) + 1)
    average = np.empty(len(series))
    level = centre
    for at, value in enumerate(series):
        level += SMOOTHING * (value - level)
        average[at] = level
    share = SMOOTHING / (2 - SMOOTHING) * (1 - (1 - SMOOTHING) ** (2 * steps))
    reach = LIMIT * spread * np.sqrt(share + centre_variance) + 1e-12  # rounding is not drift
    lower = centre - reach
    upper = centre + reach if two_sided else np.full(len(series), math.inf)
    outside = (average < lower) | (average > upper)
    inside_at = np.flatnonzero(~outside)
    first = int(inside_at[-1]) + 1 if len(inside_at) else 0
    since = pd.Timestamp(series.index[first]).date() if outside[-1] else None
    return ControlChart(
        average=float(average[-1]),
        centre=centre,
        lower=float(lower[-1]),
        upper=float(upper[-1]),
        since=since,
    )
