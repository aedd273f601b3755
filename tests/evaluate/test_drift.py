import math

import numpy as np
import pandas as pd
import pytest

from forecasting.evaluate.drift import MIN_REFERENCE, MIN_WATCHED, long_run_deviation, watch
from tests.builders import random_bars


def scored_days(n=250, *, seed=0, skill=0.1, covered=0.8):
    """Scored sessions: losses with a shared heavy-tailed shock, champion ahead by `skill`, coverage `covered`."""
    rng = np.random.default_rng(seed)
    shock = np.exp(rng.normal(0, 0.5, n))
    memory = np.convolve(rng.normal(0, 0.15, n + 4), np.ones(5) / math.sqrt(5), mode="valid")
    return pd.DataFrame(
        {
            "pinball": shock * (1 - skill) * np.exp(memory),
            "baseline_pinball": shock,
            "inside_80": rng.binomial(5, covered, n) / 5,
        },
        index=random_bars(days=n).index,
    )


def test_a_steady_champion_is_no_drift_and_the_verdict_has_the_figures():
    verdict = watch(scored_days(), baseline="ridge")
    assert (verdict.alarm, verdict.since) == (False, None)
    assert (verdict.reference, verdict.watched) == (190, 60)
    assert verdict.words.startswith("No drift: pinball skill against ridge is +")
    assert "moving averages over 60 sessions after 190 reference sessions" in verdict.words
    assert "80 % intervals cover" in verdict.words


def test_a_lost_lead_is_drift_and_since_names_its_first_session_outside():
    days = scored_days()
    days.iloc[-50:, 0] *= 1.5
    verdict = watch(days, baseline="ridge")
    assert verdict.alarm
    assert days.index[-50].date() < verdict.since < days.index[-1].date()
    assert verdict.skill.average < verdict.skill.lower
    assert verdict.coverage.since is None
    assert verdict.words.startswith("Drift: ")
    assert f"outside since {verdict.since}" in verdict.words


def test_a_growing_lead_is_no_alarm():
    days = scored_days()
    days.iloc[-50:, 0] *= 0.5
    assert not watch(days, baseline="ridge").alarm


def test_intervals_that_cover_too_little_are_drift():
    days = scored_days()
    days.iloc[-50:, 2] = 0.4
    verdict = watch(days, baseline="ridge")
    assert verdict.alarm
    assert verdict.skill.since is None
    assert verdict.coverage.average < verdict.coverage.lower


def test_intervals_that_were_always_too_narrow_are_drift():
    assert watch(scored_days(covered=0.5), baseline="ridge").alarm


def test_a_market_ten_times_more_volatile_is_no_alarm():
    days = scored_days()
    volatile = days.copy()
    volatile.iloc[-60:, :2] *= 10.0
    assert watch(volatile, baseline="ridge").skill.average == pytest.approx(watch(days, baseline="ridge").skill.average)
    assert not watch(volatile, baseline="ridge").alarm


def test_one_extreme_session_is_no_alarm():
    days = scored_days()
    days.iloc[-1, 0] *= 5.0
    days.iloc[-1, 2] = 0.0
    assert not watch(days, baseline="ridge").alarm


def test_too_few_sessions_give_no_verdict_and_the_text_names_how_many_are_needed():
    enough = MIN_REFERENCE + MIN_WATCHED
    few = watch(scored_days(enough - 1, skill=-5.0), baseline="ridge")
    assert (few.alarm, few.skill, few.coverage) == (False, None, None)
    assert few.words == "Too few scored sessions for a drift verdict: 79, 80 needed."
    verdict = watch(scored_days(enough), baseline="ridge")
    assert (verdict.reference, verdict.watched) == (MIN_REFERENCE, MIN_WATCHED)


def test_no_scored_session_gives_no_alarm():
    assert not watch(scored_days(80).iloc[:0], baseline="ridge").alarm


def test_unscored_sessions_are_left_out():
    days = scored_days(251)
    holed = days.copy()
    holed.iloc[100, 0] = np.nan
    assert watch(holed, baseline="ridge") == watch(days.drop(days.index[100]), baseline="ridge")


def test_sessions_before_the_reference_change_nothing():
    days = scored_days(500)
    altered = days.copy()
    altered.iloc[: 500 - 310] *= 3.0
    assert watch(altered, baseline="ridge") == watch(days, baseline="ridge")


def test_the_moving_average_and_its_limit_equal_a_naive_computation():
    days = scored_days()
    gain = [math.log(b / a) for a, b in zip(days["pinball"], days["baseline_pinball"], strict=True)]
    level = centre = sum(gain[:-60]) / 190
    for value in gain[-60:]:
        level = 0.05 * value + 0.95 * level
    chart = watch(days, baseline="ridge").skill
    spread = long_run_deviation(np.array(gain[:-60]))
    assert chart.average == pytest.approx(level)
    assert chart.centre == pytest.approx(centre)
    assert chart.lower == pytest.approx(
        centre - 3 * spread * math.sqrt(0.05 / 1.95 * (1 - 0.95**120) + 1 / 190), abs=1e-9
    )
    assert chart.upper == math.inf


def test_constant_scores_are_no_drift():
    days = scored_days().assign(pinball=0.9, baseline_pinball=1.0, inside_80=0.8)
    assert not watch(days, baseline="ridge").alarm


def test_the_long_run_deviation_of_white_noise_is_the_plain_one_and_of_moving_sums_larger():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=4000)
    assert long_run_deviation(noise) == pytest.approx(noise.std(), rel=0.1)
    sums = np.convolve(noise, np.ones(5), mode="valid")
    assert long_run_deviation(sums, lag=60) == pytest.approx(5.0, rel=0.25)
    assert long_run_deviation(np.ones(5)) == 0.0
