import math
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.evaluate.drift import (
    MIN_REFERENCE,
    MIN_WATCHED,
    drift_reason,
    watch,
)
from forecasting.evaluate.significance import long_run_variance
from tests.builders import random_bars


def scored_days(n=250, *, seed=0, skill=0.1, covered=0.8):
    """Scored sessions: losses with a shared heavy-tailed shock, network ahead by `skill`, coverage
    `covered`."""
    rng = np.random.default_rng(seed)
    shock = np.exp(rng.normal(0, 0.5, n))
    memory = np.convolve(rng.normal(0, 0.15, n + 4), np.ones(5) / math.sqrt(5), mode="valid")
    days = {"pinball": shock * (1 - skill) * np.exp(memory), "baseline_pinball": shock}
    return pd.DataFrame(
        days | {"inside_80": rng.binomial(5, covered, n) / 5}, index=random_bars(days=n).index
    )


def losses_of(days):
    """The losses that make `days`, in any order.

    Two horizons a session, and forecasters that are not compared.
    """
    rows = [
        {
            "target_session": session,
            "horizon": h,
            "forecaster": name,
            "pinball": factor * loss,
            "inside_80": inside,
        }
        for session, row in days.iterrows()
        for h, factor in ((1, 0.75), (2, 1.25))
        for name, loss, inside in (
            ("lstm", row["pinball"], row["inside_80"]),
            ("har", 1.1 * row["baseline_pinball"], 0.0),
            ("ridge", row["baseline_pinball"], 0.0),
            ("usual", 2.0 * row["baseline_pinball"], 0.0),
        )
    ]
    return pd.DataFrame(rows).sample(frac=1.0, random_state=1)


def test_an_alarm_begins_on_the_session_that_leaves_the_limits():
    days = scored_days().assign(inside_80=0.8)
    sinces = []
    # The average of two sessions without a hit is still inside: 72%, where 71% is the limit.
    for outside in (2, 3, 5, 60):
        missed = days.copy()
        missed.iloc[-outside:, 2] = 0.0
        charts = watch(missed)
        sinces.append((charts.skill.since, charts.coverage.since))
    # Of the last case every session is outside: the first one's limit is 77%.
    expected = [None, *(days.index[place].date() for place in (-1, -3, -60))]
    assert sinces == [(None, since) for since in expected]


def test_too_few_sessions_give_no_charts():
    enough = MIN_REFERENCE + MIN_WATCHED
    assert drift_reason(losses_of(scored_days(enough - 1, skill=-5.0)), newest_scratch=None) == ""
    assert watch(scored_days(enough - 1)) is None
    assert watch(scored_days(enough)) is not None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((name, value) for name in ("pinball", "baseline_pinball") for value in (np.nan, 0.0)),
        ("inside_80", np.nan),
    ],
)
def test_sessions_without_a_score_or_with_a_loss_of_0_are_left_out(column, value):
    days = scored_days(251)
    holed = days.copy()
    holed.iloc[100, holed.columns.get_loc(column)] = value
    assert watch(holed) == watch(days.drop(days.index[100]))


def naive_chart(values, centre, spread, centre_variance=0.0):
    """Average of the newest 60 values, centre and lower limit."""
    level = centre
    for value in values[-60:]:
        level = 0.05 * value + 0.95 * level
    share = 0.05 / 1.95 * (1 - 0.95**120)
    return level, centre, centre - 3 * spread * math.sqrt(share + centre_variance)


@pytest.mark.parametrize("varied", [True, False])
def test_both_charts_equal_a_naive_computation(varied):
    """The spread of coverage is that of the reference, or of five independent forecasts where the
    reference has less."""
    days = scored_days().assign(inside_80=np.repeat([0.0, 1.0, 1.0, 0.6, 0.8], 50))
    if not varied:
        days.iloc[:-60, 2] = 0.6
    gain = np.log(days["baseline_pinball"] / days["pinball"]).to_numpy()
    inside = days["inside_80"].to_numpy()
    usual, of_inside = (math.sqrt(long_run_variance(one[:-60], 10)) for one in (gain, inside))
    spread = of_inside if varied else math.sqrt(0.16 / 5)
    assert (of_inside > 1.2 * math.sqrt(0.16 / 5)) == varied
    charts = watch(days)
    skill, coverage = (
        (chart.average, chart.centre, chart.lower) for chart in (charts.skill, charts.coverage)
    )
    expected = naive_chart(gain, gain[:-60].mean(), usual, 1 / 190)
    assert skill == pytest.approx(expected, abs=1e-9)
    expected = naive_chart(inside, 0.8, spread)
    assert coverage == pytest.approx(expected, rel=1e-9)
    assert charts.coverage.upper == pytest.approx(1.6 - expected[2])


def test_constant_scores_are_no_drift_until_their_coverage_leaves_its_limits():
    constant = scored_days().assign(pinball=0.9, baseline_pinball=1.0, inside_80=0.8)
    assert drift_reason(losses_of(constant), newest_scratch=None) == ""
    constant.iloc[-3:, 2] = 0.0
    since = f"outside since {constant.index[-1].date()}"
    assert since in drift_reason(losses_of(constant), newest_scratch=None)


def test_drift_against_the_best_baseline_is_a_reason_until_a_fit_from_scratch_has_seen_its_first_session():
    days = scored_days()
    days.iloc[-50:, 0] *= 1.5
    losses = losses_of(days)
    charts = watch(days)
    since = charts.skill.since
    assert days.index[-50].date() < since < days.index[-1].date()
    assert (charts.skill.average < charts.skill.lower, charts.coverage.since) == (True, None)
    reason = drift_reason(losses, newest_scratch=None)
    assert reason.startswith("pinball skill against ridge is -25.4%")
    assert f"outside since {since}" in reason
    assert drift_reason(losses, newest_scratch=since) == reason
    assert drift_reason(losses, newest_scratch=since + timedelta(days=1)) == ""
    assert drift_reason(losses_of(scored_days()), newest_scratch=None) == ""


def test_the_long_run_variance_equals_a_naive_computation():
    values = np.random.default_rng(3).normal(size=30)
    centred = values - values.mean()
    pairs = [(i, j) for i in range(30) for j in range(30) if abs(i - j) <= 10]
    variance = sum(centred[i] * centred[j] * (1 - abs(i - j) / 11) for i, j in pairs) / 30
    assert long_run_variance(values, 10) == pytest.approx(variance)
