"""Drift of the champion: control charts of its skill and its interval coverage, not of its inputs.

A champion that loses its lead over the best baseline, or whose 80% intervals no longer cover 80%,
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

from forecasting.losses import Floats
from forecasting.vocabulary import CHAMPION

SMOOTHING = 0.05
"""Weight of the newest session: a mean over about the last 40, slow because one session is mostly
noise."""

LIMIT = 3.0
"""Standard deviations of the moving average between the centre and a limit.

On 1,000 simulated stationary histories 0.8% of nights are outside. A loss that grows by a fifth is
detected after 28 sessions at the median, coverage that falls to 65% after 19.
"""

# Maximum number of sessions before the watched ones that estimate the usual level and spread
REFERENCE_SESSIONS = 250
# Minimum number of reference sessions; fewer do not estimate the usual level well enough
MIN_REFERENCE = 60
WATCHED_SESSIONS = 60  # the newest sessions, over which the moving average runs
# Minimum number of watched sessions; with fewer the chart only repeats its starting value
MIN_WATCHED = 20
# Newest scored origins that the charts are given: their reference and what they watch
DRIFT_ORIGINS = 400
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
    """Both charts, and the number of sessions that they are made of."""

    skill: ControlChart  # of log(baseline's pinball loss / champion's)
    coverage: ControlChart  # of the share inside the 80% interval
    reference: int
    watched: int


def watch(days: pd.DataFrame) -> DriftCharts | None:
    """The charts at the newest session in `days`, against one baseline; None with too few sessions.

    `days` have the session of the targets as index, ascending, and columns pinball and
    baseline_pinball (means over the forecasts that closed on it, same unit) and inside_80 (share of
    them inside). Sessions with a NaN, or with a loss of 0, are left out.
    """
    whole = days[(days["pinball"] > 0) & (days["baseline_pinball"] > 0) & days["inside_80"].notna()]
    watched = min(WATCHED_SESSIONS, len(whole) - MIN_REFERENCE)
    if watched < MIN_WATCHED:
        return None
    whole = whole.iloc[-(REFERENCE_SESSIONS + watched) :]
    # A ratio, so that a more volatile market, which raises both losses alike, changes nothing.
    gain = pd.Series(np.log(whole["baseline_pinball"] / whole["pinball"]), index=whole.index)
    usual = np.asarray(gain.iloc[:-watched], dtype=np.float64)
    centre = float(usual.mean())
    spread = long_run_deviation(usual)
    # The centre is itself an estimate: its uncertainty widens the limit.
    skill = _chart(
        gain.iloc[-watched:],
        centre,
        spread=spread,
        centre_variance=1 / len(usual),
    )
    inside = whole["inside_80"]
    # The centre is the nominal coverage, not the usual one: intervals that were always too narrow
    # raise an alarm too.
    spread = max(
        long_run_deviation(np.asarray(inside.iloc[:-watched], dtype=np.float64)), _COVERAGE_SPREAD
    )
    coverage = _chart(
        inside.iloc[-watched:],
        _NOMINAL,
        spread=spread,
        two_sided=True,
    )
    return DriftCharts(
        skill,
        coverage,
        len(usual),
        watched,
    )


def drift_reason(losses: pd.DataFrame, *, newest_scratch: date | None) -> str:
    """Why the champion is out of bounds, against the baseline that is best over all of `losses`.

    Empty where it is not.

    Also where a fit from scratch has answered it: `newest_scratch` is the last training session of
    the newest one.
    """
    baselines = losses[losses["forecaster"] != CHAMPION]
    means = baselines.groupby("forecaster")["pinball"].mean()
    best = str(means.idxmin()) if len(means) else ""
    champion = (
        losses[losses["forecaster"] == CHAMPION]
        .groupby("target_session")[["pinball", "inside_80"]]
        .mean()
    )
    baseline = (
        baselines[baselines["forecaster"] == best].groupby("target_session")["pinball"].mean()
    )
    days = pd.concat(
        [champion, baseline.rename("baseline_pinball")], axis=1, join="inner"
    ).sort_index()
    if (charts := watch(days)) is None:
        return ""
    skill = charts.skill
    coverage = charts.coverage
    since = min(filter(None, (skill.since, coverage.since)), default=None)
    if since is None or (newest_scratch or date.min) > since:
        return ""
    gained, usual, least = (
        -math.expm1(-value) for value in (skill.average, skill.centre, skill.lower)
    )
    above = f" or above {coverage.upper:.0%}" if coverage.upper < 1 else ""
    skills, coverages = (
        f", outside since {chart.since}" if chart.since else "" for chart in (skill, coverage)
    )
    return (
        f"drift: Drift: pinball skill against {best} is {gained:+.1%} (usual {usual:+.1%}, alarm "
        f"below {least:+.1%})"
        f"{skills}; 80% intervals cover {coverage.average:.0%} (alarm below "
        f"{max(coverage.lower, 0.0):.0%}{above})"
        f"{coverages}; moving averages over {charts.watched} sessions after {charts.reference} "
        "reference sessions."
    )


def long_run_deviation(values: Floats) -> float:
    """Square root of the long-run variance of `values` (n,), Bartlett weights up to the lag.

    At least 0.
    """
    centred = values - values.mean()
    n = len(centred)
    lags = range(1, min(_LAG, n - 1) + 1)
    variance = centred @ centred / n + sum(
        2 * (1 - k / (_LAG + 1)) * (centred[k:] @ centred[:-k]) / n for k in lags
    )
    return math.sqrt(max(float(variance), 0.0))


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
    for i, value in enumerate(series.to_numpy(dtype=float)):
        level = average[i] = level + SMOOTHING * (value - level)
    share = SMOOTHING / (2 - SMOOTHING) * (1 - (1 - SMOOTHING) ** (2 * steps))
    reach = LIMIT * spread * np.sqrt(share + centre_variance) + 1e-12  # rounding is not drift
    lower = centre - reach
    upper = centre + reach if two_sided else np.full(len(series), math.inf)
    outside = (average < lower) | (average > upper)
    inside_at = np.flatnonzero(~outside)
    first = int(inside_at[-1]) + 1 if len(inside_at) else 0
    since = pd.Timestamp(series.index[first]).date() if outside[-1] else None
    return ControlChart(
        float(average[-1]),
        centre,
        float(lower[-1]),
        float(upper[-1]),
        since,
    )
