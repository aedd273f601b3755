import threading
from dataclasses import replace

import numpy as np
import pytest
import sklearn.preprocessing  # noqa: F401 - loads the BLAS of scipy before its threads are counted
import torch
from sklearn.linear_model import Ridge as Reference
from threadpoolctl import threadpool_info, threadpool_limits

from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import MIN_ROWS, STEP_NAMES, WARM_UP
from forecasting.targets import TARGETS
from forecasting.train import baselines, linear
from forecasting.train.baselines import baseline_quantiles
from forecasting.train.fit import fit_scratch
from forecasting.train.linear import fit_ridge
from forecasting.train.loop import one_thread
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES
from tests.builders import PRICES, no_events, random_bars
from tests.train.windows import (
    SETTINGS,
    newest_windows,
    some_windows,
    windows_with_gaps,
    with_other_sessions_after,
    young_windows,
)


def widths(windows):
    """Log width of the 80% interval of the next close.

    Mean over targets that react to earnings, and over all.
    """
    rows = np.arange(len(windows) - 300, len(windows) - 1)
    width = np.log(np.divide(*linear.linear_forecast(windows, rows).quantiles[:, 0, [5, 1]].T))
    reacts = windows.future_flags[rows, 0, windows.flag_names.index(EVENT_NAMES[3])] > 0.0
    return float(width[reacts].mean()), float(width.mean())


def test_the_interval_of_a_close_is_wider_where_earnings_have_caused_opening_gaps_that_no_range_includes():
    with_gaps, usual = widths(windows_with_gaps(0.08))
    without, usual_without = widths(windows_with_gaps(0.0))
    assert with_gaps > 1.5 * usual
    assert without < 1.3 * usual_without


def test_a_report_that_made_the_intervals_of_a_close_wide_is_a_part_of_the_next_one_of_its_session_alone():
    windows = windows_with_gaps(0.08)
    flags = windows.future_flags.copy()
    flags[-1, :, -len(EVENT_NAMES) :] = 0.0
    flags[-1, 2, windows.flag_names.index("earnings+0")] = 1.0
    report = linear.linear_forecast(replace(windows, future_flags=flags)).effects["report"]
    assert report[2] > 0.3
    np.testing.assert_allclose(report[:2], report[0], atol=0.1)


def test_a_week_that_doubles_volume_is_a_part_of_its_own_and_not_the_weekday_s():
    windows = some_windows()
    week = windows.flag_names.index("triple_witching_week")
    steps = windows.steps.copy()
    ahead = windows.future_flags.copy()
    steps[:, 0] += np.log(2.0) * windows.flags[:, week]
    ahead[-1, :, week] = 1.0
    busier = linear.linear_forecast(replace(windows, steps=steps, future_flags=ahead)).effects
    ordinary = linear.linear_forecast(windows).effects
    assert (busier["expiry"] - ordinary["expiry"] > 0.2).all()
    np.testing.assert_allclose(busier["weekday"], ordinary["weekday"], atol=0.05)


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_an_adjusted_row_does_not_depend_on_later_sessions(target):
    windows = some_windows(target)
    effect = linear.fit_effect(windows)
    row = 200
    before, after = (
        vars(linear.adjust(one, effect))
        for one in (windows, with_other_sessions_after(windows, row))
    )
    ends = dict.fromkeys(("past", "future", "centre", "width"), row + 1)
    for name, end in {**ends, "steps": windows.warm_up + row}.items():
        np.testing.assert_array_equal(before[name][:end], after[name][:end], err_msg=name)


def test_the_quarterly_volume_feature_is_the_unusual_volume_thirteen_weeks_before_the_target():
    windows = replace(some_windows(), flags=np.zeros_like(some_windows().flags))
    row = 250
    horizon = 3
    target = windows.sessions[windows.warm_up + row + horizon]
    at = int(np.searchsorted(windows.sessions, target - np.timedelta64(91, "D")))
    steps = windows.steps.copy()
    steps[at, 0] += 1.0
    effect = linear.fit_effect(windows)
    before = linear.adjust(windows, effect)
    after = linear.adjust(replace(windows, steps=steps), effect)
    gained = after.future[row, horizon - 1, 1:6] - before.future[row, horizon - 1, 1:6]
    np.testing.assert_allclose(gained[0], 1.0, atol=0.3)
    assert gained[2] > 0.0
    # The level of the sessions after it has risen a little
    np.testing.assert_allclose(gained[3:], 0.0, atol=0.1)


def test_the_squared_move_of_a_session_counts_its_range_and_its_gap():
    steps = np.zeros((2, len(STEP_NAMES)))
    steps[:, STEP_NAMES.index("log_range")] = np.log([0.02, 0.02])
    steps[:, STEP_NAMES.index("gap")] = [0.0, -0.03]
    np.testing.assert_allclose(
        linear.squared_moves(steps), [0.0004, 0.0004 + 4 * np.log(2) * 0.0009]
    )


RNG = np.random.default_rng(0)
# The last is constant
FEATURES = RNG.normal(size=(60, 4)) * [1.0, 5.0, 0.1, 0.0] + [0.0, 2.0, 0.0, 3.0]
TRUTH = FEATURES @ [1.0, -0.2, 3.0, 0.0] + 0.5 + RNG.normal(size=60)
WEIGHTS = 0.5 ** (np.arange(60)[::-1] / 20)


def test_a_weighted_ridge_equals_that_of_scikit_learn_and_a_left_out_residual_that_of_a_fit_without_the_row():
    ridge = fit_ridge(FEATURES, TRUTH, WEIGHTS, penalty=7.0)
    standard = (FEATURES - ridge.mean) / ridge.scale
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


def blas_threads():
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


def test_every_ridge_is_solved_on_one_thread_and_the_number_is_restored(monkeypatch):
    """On a machine that would use two."""
    windows = some_windows()
    threads_of_ridges = []

    def recorded(*args, **keywords):
        threads_of_ridges.append(blas_threads())
        return fit_ridge(*args, **keywords)

    for module in (baselines, linear):
        monkeypatch.setattr(module, "fit_ridge", recorded)
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        baseline_quantiles("ridge", windows)
        linear.linear_forecast(windows)
        fit_scratch(windows, settings=SETTINGS, pretrained=None)
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


EVERY = [(target, name) for target, rules in TARGETS.items() for name in rules.baselines]


@pytest.mark.parametrize(("target", "name"), EVERY)
def test_a_baseline_forecasts_ascending_quantiles_in_the_targets_own_unit(target, name):
    windows = some_windows(target)
    quantiles = baseline_quantiles(name, windows)
    assert quantiles.shape == (len(HORIZONS), len(QUANTILES))
    assert (np.diff(quantiles, axis=-1) >= 0.0).all()
    np.testing.assert_allclose(quantiles[:, MEDIAN], windows.values[-1], rtol=3.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("last_value", lambda values: values[-1]),
        ("seasonal", lambda values: values[-5:]),
        ("rolling_median", lambda values: np.median(values[-20:])),
    ],
)
def test_the_median_of_a_rule_is_its_value(name, expected):
    windows = some_windows()
    np.testing.assert_allclose(
        baseline_quantiles(name, windows)[:, MEDIAN], expected(windows.values)
    )


# How a quantile is interpolated: that of the few errors of a young symbol lies further out
@pytest.mark.parametrize(("made", "method"), [(some_windows, "linear"), (young_windows, "weibull")])
@pytest.mark.parametrize(
    ("target", "name", "h", "centred"),
    [("volume", "last_value", 1, 1), ("close", "random_walk", 2, 0)],
)
def test_quantiles_of_a_rule_are_those_of_its_past_errors(target, name, h, centred, made, method):
    windows = made(target)
    past = np.log(windows.values[windows.warm_up :])
    errors = np.quantile(past[h + 1 :] - past[: -h - 1], QUANTILES, method=method)
    expected = windows.values[-1] * np.exp(errors - centred * errors[MEDIAN])
    np.testing.assert_allclose(baseline_quantiles(name, windows)[h], expected)


@pytest.mark.parametrize(("made", "method"), [(some_windows, "linear"), (young_windows, "weibull")])
def test_har_volatility_forecasts_past_returns_over_their_leave_one_out_volatility_times_tonights(
    made, method
):
    windows = made("close")
    h = 2
    closes = windows.values[windows.warm_up :]
    newest = len(windows) - 1
    known = np.arange(max(0, 65 - windows.warm_up), newest - h)  # with 66 ranges
    features = np.array([har_features(windows, row, h) for row in range(newest + 1)])
    moves = linear.squared_moves(windows.steps)[windows.warm_up :]
    log_sums = np.array([0.5 * np.log(moves[row + 1 : row + 2 + h].sum()) for row in known])
    ridge = fit_ridge(features[known], log_sums, np.ones(len(known)))
    shape = np.log(closes[known + 1 + h] / closes[known]) / np.exp(log_sums - ridge.loo_residuals)
    tonight = np.exp(ridge.forecast(features[newest]))
    expected = closes[-1] * np.exp(np.quantile(shape, QUANTILES, method=method) * tonight)
    np.testing.assert_allclose(baseline_quantiles("har_volatility", windows)[h], expected)


def har_features(windows, row, h):
    """Means of 1, 5, 22 and 66 log ranges and returns, and the flags that any of the sessions ahead
    has."""
    past = windows.steps[: windows.warm_up + row + 1]
    series = [past[:, STEP_NAMES.index(name)] for name in ("log_range", "return")]
    means = [values[-sessions:].mean() for values in series for sessions in (1, 5, 22, 66)]
    return means + list(windows.future_flags[row, : h + 1].max(axis=0))


@pytest.mark.parametrize("rows", [MIN_ROWS, 600])
def test_after_a_standstill_of_thirty_sessions_the_interval_of_har_volatility_is_not_closed(rows):
    bars = random_bars(days=rows + WARM_UP, seed=5)
    usual = log_interval(bars)
    bars.iloc[-30:, [bars.columns.get_loc(name) for name in PRICES]] = bars["close"].iloc[-31]
    assert (log_interval(bars) > 0.15 * usual).all()


def log_interval(bars):
    """(H,) log of the ratio of the 80% interval's ends."""
    windows = newest_windows(bars, no_events(), target="close", rows=len(bars))
    quantiles = baseline_quantiles("har_volatility", windows)
    return np.log(quantiles[:, -2] / quantiles[:, 1])


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_linear_model_depends_on_known_targets_alone_and_forecasts_ascending_quantiles(target):
    windows = some_windows(target)
    known = windows.known_to(280)
    before, after = (
        linear.linear_forecast(one, np.array([280])).quantiles
        for one in (known, with_other_sessions_after(known, 280))
    )
    np.testing.assert_array_equal(before, after)
    assert (np.diff(before, axis=-1) >= 0.0).all()
