import numpy as np
import pytest

from forecasting.preprocess.features import STEP_NAMES, WARM_UP
from forecasting.preprocess.windows import MIN_ROWS, Windows
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.linear import linear_forecast, linear_quantiles, squared_moves
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES
from tests.builders import no_events, random_bars
from tests.train.windows import PRICES, close_windows, some_windows

EVERY = [(target, name) for target in ("volume", "close", "range") for name in baseline_names(target)]


@pytest.mark.parametrize(("target", "name"), EVERY)
def test_a_baseline_forecasts_ascending_quantiles_in_the_targets_own_unit(target, name):
    windows = some_windows(target)
    quantiles = baseline_quantiles(name, windows)
    assert quantiles.shape == (len(HORIZONS), len(QUANTILES))
    together = baseline_quantiles(name, windows, np.array([200, 250, len(windows) - 1]))
    np.testing.assert_array_equal(together[-1], quantiles)  # whichever other rows are requested
    assert (np.diff(quantiles, axis=-1) >= 0.0).all()
    np.testing.assert_allclose(quantiles[:, MEDIAN], windows.values[-1], rtol=3.0)


@pytest.mark.parametrize(("target", "name"), EVERY)
def test_a_baseline_does_not_depend_on_unknown_targets(target, name):
    windows = some_windows(target)
    whole, cut = windows.cut(0, 300, known_to=280), windows.cut(0, 281, known_to=280)
    np.testing.assert_array_equal(
        baseline_quantiles(name, whole, np.array([280])), baseline_quantiles(name, cut, np.array([280]))
    )


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
    np.testing.assert_allclose(baseline_quantiles(name, windows)[:, MEDIAN], expected(windows.values))


@pytest.mark.parametrize(
    ("target", "name", "h", "centred"), [("volume", "last_value", 1, 1), ("close", "random_walk", 2, 0)]
)
def test_quantiles_of_a_rule_are_those_of_its_past_errors(target, name, h, centred):
    windows = some_windows(target)
    past = np.log(windows.values[windows.warm_up :])
    errors = np.quantile(past[h + 1 :] - past[: -h - 1], QUANTILES)
    expected = windows.values[-1] * np.exp(errors - centred * errors[MEDIAN])
    np.testing.assert_allclose(baseline_quantiles(name, windows)[h], expected)


def test_har_volatility_forecasts_past_returns_over_their_leave_one_out_volatility_times_tonights():
    windows, h, horizon = some_windows("close"), 2, 3
    closes, newest = windows.values[windows.warm_up :], len(windows) - 1
    known = np.arange(newest + 1 - horizon)
    features = np.array([har_features(windows, row, horizon) for row in range(newest + 1)])
    centre, deviation = features[known].mean(axis=0), features[known].std(axis=0)
    design = (features - centre) / np.where(deviation > 0.0, deviation, 1.0)
    design = np.column_stack([design, np.ones(newest + 1)])
    penalty = np.diag([100.0] * features.shape[1] + [0.0])
    moves = squared_moves(windows.steps)[windows.warm_up :]
    log_sums = np.array([0.5 * np.log(moves[row + 1 : row + 1 + horizon].sum()) for row in known])

    def forecast(row: int, fitted_on: np.ndarray) -> float:
        gram = design[fitted_on].T @ design[fitted_on] + penalty
        return float(np.exp(design[row] @ np.linalg.solve(gram, design[fitted_on].T @ log_sums[fitted_on])))

    shape = [np.log(closes[row + horizon] / closes[row]) / forecast(row, known[known != row]) for row in known]
    expected = closes[-1] * np.exp(np.quantile(shape, QUANTILES) * forecast(newest, known))
    np.testing.assert_allclose(baseline_quantiles("har_volatility", windows)[h], expected)


def har_features(windows: Windows, row: int, horizon: int) -> list[float]:
    """Means of 1, 5, 22 and 66 log ranges and returns, and the flags that any of the sessions ahead has."""
    past = windows.steps[: windows.warm_up + row + 1]
    series = [past[:, STEP_NAMES.index(name)] for name in ("log_range", "return")]
    means = [values[-sessions:].mean() for values in series for sessions in (1, 5, 22, 66)]
    return means + list(windows.future_flags[row, :horizon].max(axis=0))


@pytest.mark.parametrize("rows", [MIN_ROWS, 600])
def test_after_a_standstill_of_thirty_sessions_the_interval_of_har_volatility_is_not_closed(rows):
    bars = random_bars(days=rows + WARM_UP, seed=5)
    usual = log_interval(close_windows(bars, no_events()))
    bars.iloc[-30:, [bars.columns.get_loc(name) for name in PRICES]] = bars["close"].iloc[-31]
    assert (log_interval(close_windows(bars, no_events())) > 0.15 * usual).all()


def test_har_volatility_of_a_price_that_never_moves_is_finite():
    bars = random_bars(days=MIN_ROWS + WARM_UP, seed=5)
    bars[PRICES] = 0.0015
    np.testing.assert_allclose(baseline_quantiles("har_volatility", close_windows(bars, no_events())), 0.0015)


def log_interval(windows: Windows) -> np.ndarray:
    """(H,) log of the ratio of the 80% interval's ends."""
    quantiles = baseline_quantiles("har_volatility", windows)
    return np.log(quantiles[:, -2] / quantiles[:, 1])


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_linear_model_depends_on_known_targets_alone_and_forecasts_ascending_quantiles(target):
    windows = some_windows(target)
    whole, cut = windows.cut(0, 300, known_to=280), windows.cut(0, 281, known_to=280)
    quantiles = linear_quantiles(whole, np.array([280]))
    np.testing.assert_array_equal(quantiles[0], linear_forecast(cut).quantiles)
    assert (np.diff(quantiles, axis=-1) >= 0.0).all()
