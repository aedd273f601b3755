import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Reference
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from forecasting.losses import weighted_quantiles
from forecasting.preprocess.future_covariates import (
    CALENDAR_PARTS,
    EVENT_NAMES,
    EVENTS,
    calendar_part,
)
from forecasting.preprocess.windows import (
    lag_features,
    long_memory_features,
    past_column,
)
from forecasting.train import linear
from forecasting.train.baselines import baseline_quantiles
from forecasting.train.fit import fit_scratch
from forecasting.train.linear import (
    CalendarEffect,
    fit_ridge,
    fit_ridges,
    unusual_quarters_before,
)
from forecasting.train.loop import one_thread
from forecasting.vocabulary import QUANTILES
from tests.train.windows import (
    some_windows,
    windows_with_hole,
    with_other_sessions_after,
    without_events,
)

RNG = np.random.default_rng(0)
# The last is constant
FEATURES = RNG.normal(size=(60, 4)) * [1.0, 5.0, 0.1, 0.0] + [0.0, 2.0, 0.0, 3.0]
TRUTH = FEATURES @ [1.0, -0.2, 3.0, 0.0] + 0.5 + RNG.normal(size=60)
WEIGHTS = 0.5 ** (np.arange(60)[::-1] / 20)

TARGETS = pytest.mark.parametrize("target", ["volume", "range"])


@TARGETS
def test_the_effect_of_flags_is_that_of_three_passes_against_a_centred_mean(target):
    windows = windows_with_hole(target).known_to(590)
    last = windows.warm_up + 590
    series = windows.steps[: last + 1, past_column(target)]
    flags = windows.flags[: last + 1]
    known = np.flatnonzero(np.isfinite(windows.values[: last + 1]))
    half_life = 1000.0 if target == "volume" else np.inf
    weights = 0.5 ** (np.arange(len(known))[::-1] / half_life)
    removed = np.zeros(last + 1)
    for _ in range(3):
        adjusted = series - removed
        usual = [adjusted[max(t - 10, 0) : t + 11].mean() for t in range(last + 1)]
        deviation = (series - usual)[known]
        ridge = fit_ridge(flags[known], deviation, weights / weights.mean(), penalty=50.0)
        removed = ridge.forecast(flags)
    effect = linear.fit_effect(windows)
    np.testing.assert_allclose(effect.of(flags), removed, atol=1e-12)
    np.testing.assert_allclose(effect.coefficients, ridge.slopes, atol=1e-12)


def some_effect(windows):
    return CalendarEffect(RNG.normal(0.0, 0.1, size=windows.flags.shape[1]), 0.3)


@TARGETS
@pytest.mark.parametrize("changed", [lambda windows: windows, without_events])
def test_an_adjusted_row_is_that_of_loops_over_sessions(target, changed):
    windows = changed(windows_with_hole(target))
    effect = some_effect(windows)
    found = linear.adjust(windows, effect)
    removed = windows.flags @ effect.coefficients + 0.3
    steps = windows.steps.copy()
    steps[:, past_column(target)] -= removed
    series = steps[:, past_column(target)]
    past = [lag_features(steps, target), long_memory_features(steps, target)]
    quarters = np.zeros((600, 5, 20))
    if not windows.has_events:
        quarters = unusual_quarters_before(windows, steps[:, 0])
    for row in (-60, 0, 333, 599):
        t = windows.warm_up + row
        level = series[t - 21 : t + 1].mean()
        usual = windows.steps[t - 21 : t + 1, :2].mean(axis=0)
        following = windows.future_flags[row, 0] if row >= 0 else windows.flags[t + 1]
        expected = [
            *(series[t] - level, series[t - 119 : t + 1].mean() - level),
            *(windows.steps[t, :2] - usual),
            *windows.steps[t, 2:],
            *(removed[t], following @ effect.coefficients + 0.3),
            *(windows.flags[t, windows.flag_names.index(name)] for name in FLAGS),
        ]
        np.testing.assert_allclose(found.steps[t], expected, atol=1e-12)
        if row < 0:
            continue
        ahead = windows.future_flags[row] @ effect.coefficients + 0.3
        centre = level - windows.level[row] + ahead
        np.testing.assert_allclose(found.centre[row], centre, atol=1e-12)
        events = windows.future_flags[row, :, EVENTS]
        inputs = np.column_stack([ahead, quarters[row], events])
        np.testing.assert_allclose(found.future[row], inputs, atol=1e-12)
        lags = np.concatenate([part[t] for part in past] + [windows.flags[t, EVENTS]])
        np.testing.assert_allclose(found.past[row], lags)
    returned = found.from_adjusted(found.truth[..., None], np.arange(600))[..., 0]
    np.testing.assert_allclose(returned, windows.scaled)


FLAGS = (*(f"weekday_{day}" for day in ("tue", "wed", "thu", "fri")), "earnings+0", "earnings+1")


def test_unusual_volume_of_earlier_quarters_is_that_of_the_sessions_a_quarter_before_the_target():
    windows = windows_with_hole()
    volume = RNG.normal(size=len(windows.steps))

    def unusual(t):
        if not 22 <= t < len(volume):
            return 0.0
        return np.clip(volume[t] - volume[t - 22 : t].mean(), -0.5, 1.5)

    found = unusual_quarters_before(windows, volume)
    for row, h in ((0, 1), (100, 3), (333, 2), (599, 5)):
        target = windows.sessions[windows.warm_up + row + h]
        expected = []
        for weeks in (13, 26, 39, 52):
            at = int((windows.sessions < target - np.timedelta64(7 * weeks, "D")).sum())
            near = [unusual(at + offset) for offset in range(-5, 6)]
            expected += [near[5], max(near[4], near[6]), max(near), near[0], near[-1]]
        np.testing.assert_allclose(found[row, h - 1], expected)


@TARGETS
def test_the_inputs_of_the_linear_model_are_those_of_loops_over_sessions(target):
    windows = windows_with_hole(target)
    adjusted = linear.adjust(windows, some_effect(windows))
    rows = [0, 333, 599]
    past = adjusted.past[rows]
    for h, fit in enumerate(linear.fit_horizons(windows, adjusted)):
        future = adjusted.future[rows, h]
        expected = np.column_stack([windows.market_inputs[rows], past, future])
        np.testing.assert_allclose(fit.features(rows), expected, atol=1e-12)


@TARGETS
def test_the_linear_model_adds_weighted_quantiles_of_left_out_errors_to_its_point(target):
    windows = windows_with_hole(target)
    adjusted = linear.adjust(windows, linear.fit_effect(windows))
    expected = []
    for h, fit in enumerate(linear.fit_horizons(windows, adjusted)):
        truth = adjusted.truth[:, h]
        rows = np.flatnonzero(np.isfinite(truth))
        weights = 0.5 ** ((599 - h - 1 - rows) / 1000.0)
        ridge = fit_ridge(fit.features(rows), truth[rows], weights, penalty=100.0)
        offsets = weighted_quantiles(ridge.loo_residuals, QUANTILES, weights)
        point = adjusted.centre[-1, h] + ridge.forecast(fit.features(-1))
        expected.append(np.exp(windows.level[-1] + point + offsets))
    np.testing.assert_allclose(linear.linear_forecast(windows).quantiles, expected)


@pytest.mark.parametrize(
    ("target", "changed"), [("volume", without_events), ("range", lambda windows: windows)]
)
def test_the_effects_are_those_of_a_sum_over_flags_and_inputs(target, changed):
    windows = windows_with_hole(target)
    flags = windows.flags.copy()
    ahead = windows.future_flags.copy()
    flags[-1] = RNG.integers(2, size=flags[-1].shape)
    ahead[-1] = RNG.integers(2, size=ahead[-1].shape)
    windows = changed(replace(windows, flags=flags, future_flags=ahead))
    flags = windows.flags
    ahead = windows.future_flags
    effect = linear.fit_effect(windows)
    fits = linear.fit_horizons(windows, linear.adjust(windows, effect))
    parts = [calendar_part(name) for name in windows.flag_names[: EVENTS.start]]
    expected = {name: np.zeros(5) for name in (*CALENDAR_PARTS, "report", "quarter", "market")}
    for place, part in enumerate(parts + ["report"] * len(EVENT_NAMES)):
        usual = 0.0 if part == "report" else flags[-20:, place].mean()
        expected[part] += (ahead[-1, :, place] - usual) * effect.coefficients[place]
    removed = dict(list(expected.items())[:-2])
    for h, fit in enumerate(fits):
        newest = fit.features(-1)
        slopes = fit.ridge.coefficients / fit.ridge.scale
        terms = slopes * newest
        for part, of_session in removed.items():
            expected[part][h] += slopes[-31] * of_session[h]
        expected["report"][h] += terms[-41:-31].sum() + terms[-10:].sum()
        expected["quarter"][h] = terms[-30:-10].sum()
        expected["market"][h] = (slopes * (newest - fit.ridge.mean))[:4].sum()
    found = linear.linear_forecast(windows).effects
    assert found.keys() == expected.keys()
    for part, values in expected.items():
        np.testing.assert_allclose(found[part], values, atol=1e-12, err_msg=part)


@TARGETS
def test_an_adjusted_row_does_not_depend_on_later_sessions(target):
    windows = some_windows(target)
    effect = linear.fit_effect(windows)
    row = 200
    before, after = (
        vars(linear.adjust(one, effect))
        for one in (windows, with_other_sessions_after(windows, row))
    )
    ends = dict.fromkeys(("past", "future", "centre"), row + 1)
    for name, end in {**ends, "steps": windows.warm_up + row}.items():
        np.testing.assert_array_equal(before[name][:end], after[name][:end], err_msg=name)


def test_a_weighted_ridge_equals_that_of_scikit_learn_and_a_left_out_residual_that_of_a_fit_without_the_row():
    ridge = fit_ridge(FEATURES, TRUTH, WEIGHTS, penalty=7.0)
    standard = StandardScaler().fit(FEATURES, sample_weight=WEIGHTS).transform(FEATURES)
    reference = Reference(alpha=7.0).fit(standard, TRUTH, sample_weight=WEIGHTS)
    np.testing.assert_allclose(ridge.coefficients, reference.coef_, atol=1e-10)
    np.testing.assert_allclose(ridge.forecast(FEATURES), reference.predict(standard))
    # Whatever is beside it
    np.testing.assert_array_equal(ridge.forecast(FEATURES)[7:8], ridge.forecast(FEATURES[7:8]))
    without = np.delete(np.arange(60), 50)
    refitted = Reference(alpha=7.0).fit(
        standard[without], TRUTH[without], sample_weight=WEIGHTS[without]
    )
    assert ridge.loo_residuals[50] == pytest.approx(TRUTH[50] - refitted.predict(standard[[50]])[0])


@pytest.mark.parametrize(
    "unknown", [range(57, 60), range(0, 60, 2)], ids=["newest", "no common row"]
)
def test_ridges_that_share_rows_and_features_equal_those_fitted_alone(unknown):
    further = RNG.normal(size=(60, 2, 3)) + 40.0
    truths = np.column_stack([TRUTH, TRUTH + further[:, 1, 0]])
    truths[59, 0] = np.nan
    truths[unknown, 1] = np.nan
    if unknown == range(0, 60, 2):
        truths[1::2, 0] = np.nan
    shared = FEATURES + np.array([0.0, 1e4, 0.0, 0.0])
    ridges = fit_ridges(shared, further, truths, WEIGHTS, penalties=(7.0, 0.5))
    for h, penalty in enumerate((7.0, 0.5)):
        known = np.isfinite(truths[:, h])
        features = np.column_stack([shared, further[:, h]])[known]
        standard = StandardScaler().fit(features, sample_weight=WEIGHTS[known])
        reference = Reference(alpha=penalty).fit(
            standard.transform(features), truths[known, h], sample_weight=WEIGHTS[known]
        )
        alone = fit_ridge(features, truths[known, h], WEIGHTS[known], penalty=penalty)
        np.testing.assert_allclose(ridges[h].coefficients, reference.coef_, atol=1e-9)
        for name, value in vars(ridges[h]).items():
            np.testing.assert_allclose(value, getattr(alone, name), atol=1e-9, err_msg=name)


def blas_threads():
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


def test_every_ridge_is_solved_on_one_thread_and_the_number_is_restored(monkeypatch):
    """On a machine that would use two."""
    windows = some_windows()
    threads_of_ridges = []

    invert = np.linalg.inv

    def recorded(matrix):
        threads_of_ridges.append(blas_threads())
        return invert(matrix)

    monkeypatch.setattr(np.linalg, "inv", recorded)
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        baseline_quantiles("ridge", windows)
        linear.linear_forecast(windows)
        fit_scratch(windows, pretrained=None)
        assert blas_threads() == before
    assert len(threads_of_ridges) > 10
    assert set().union(*threads_of_ridges) == {1}


@pytest.mark.parametrize(
    ("context", "numbers"),
    [(linear.one_blas_thread, blas_threads), (one_thread, lambda: {torch.get_num_threads()})],
)
def test_two_threads_of_a_process_take_turns(context, numbers):
    """Else the one that leaves first restores the number for the other.

    Threadpoolctl heeds one thread at a time.
    """
    entered = threading.Event()
    left = threading.Event()
    found = []

    def second():
        with context():
            entered.set()
            left.wait(10)
            found.append(numbers())

    thread = threading.Thread(target=second)
    with context():
        thread.start()
        assert not entered.wait(0.1)
    left.set()
    thread.join(10)
    assert found == [{1}]


@TARGETS
def test_the_linear_model_depends_on_known_targets_alone_and_forecasts_ascending_quantiles(target):
    windows = some_windows(target)
    known = windows.known_to(280)
    before, after = (
        linear.linear_forecast(one, np.array([280])).quantiles
        for one in (known, with_other_sessions_after(known, 280))
    )
    np.testing.assert_array_equal(before, after)
    assert (np.diff(before, axis=-1) >= 0.0).all()


def test_quantiles_of_rows_are_those_of_the_forecast_less_the_centre_that_a_network_adds_back():
    windows = some_windows()
    rows = np.array([3, 280])
    adjusted = linear.adjust(windows, linear.fit_effect(windows))
    forecast = np.log(linear.linear_forecast(windows, rows).quantiles)
    scaled = forecast - (windows.level[rows][:, None] + adjusted.centre[rows])[..., None]
    found = linear.linear_quantiles(windows, rows, adjusted)
    np.testing.assert_allclose(found, scaled, rtol=1e-9, atol=1e-9)
