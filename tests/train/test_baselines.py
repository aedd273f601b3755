import numpy as np
import pytest

from forecasting.errors import UsageError
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.linear_model import linear_quantiles
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES
from tests.train.windows import some_windows

EVERY = [(target, name) for target in ("volume", "close", "range") for name in baseline_names(target)]


@pytest.mark.parametrize(("target", "name"), EVERY)
def test_a_baseline_forecasts_ascending_quantiles_in_the_targets_own_unit(target, name):
    windows = some_windows(target)
    quantiles = baseline_quantiles(name, windows)
    assert quantiles.shape == (len(HORIZONS), len(QUANTILES))
    assert (np.diff(quantiles, axis=-1) >= 0.0).all()
    np.testing.assert_allclose(quantiles[:, MEDIAN], windows.last_values[-1], rtol=3.0)


@pytest.mark.parametrize(("target", "name"), EVERY)
def test_a_rows_forecast_does_not_depend_on_the_other_rows_requested(target, name):
    windows = some_windows(target)
    together = baseline_quantiles(name, windows, np.array([200, 250, len(windows) - 1]))
    np.testing.assert_array_equal(together[-1], baseline_quantiles(name, windows))


@pytest.mark.parametrize(("target", "name"), EVERY)
def test_a_baseline_does_not_depend_on_unknown_targets(target, name):
    windows = some_windows(target)
    whole, cut = windows.cut(0, 300, known_to=280), windows.cut(0, 281, known_to=280)
    np.testing.assert_array_equal(
        baseline_quantiles(name, whole, np.array([280])), baseline_quantiles(name, cut, np.array([280]))
    )


def test_last_value_forecasts_the_last_value():
    windows = some_windows()
    np.testing.assert_allclose(baseline_quantiles("last_value", windows)[:, MEDIAN], windows.values[-1])


def test_seasonal_forecasts_the_value_five_sessions_before_the_target():
    windows = some_windows()
    np.testing.assert_allclose(baseline_quantiles("seasonal", windows)[:, MEDIAN], windows.values[-5:])


def test_rolling_median_forecasts_the_median_of_twenty():
    windows = some_windows()
    np.testing.assert_allclose(
        baseline_quantiles("rolling_median", windows)[:, MEDIAN], np.median(windows.values[-20:])
    )


def test_quantiles_of_last_value_are_those_of_its_past_errors():
    windows = some_windows()
    past = np.log(windows.values[windows.warm_up :])
    errors = np.quantile(past[2:] - past[:-2], QUANTILES)
    expected = windows.values[-1] * np.exp(errors - errors[MEDIAN])
    np.testing.assert_allclose(baseline_quantiles("last_value", windows)[1], expected)


def test_random_walk_forecasts_the_quantiles_of_past_returns():
    windows = some_windows("close")
    past = np.log(windows.values[windows.warm_up :])
    expected = windows.values[-1] * np.exp(np.quantile(past[3:] - past[:-3], QUANTILES))
    np.testing.assert_allclose(baseline_quantiles("random_walk", windows)[2], expected)


def test_ridge_beats_the_last_value_where_volume_is_mean_reverting():
    windows = some_windows(rows=1200)
    rows = np.arange(1000, 1190)
    known = windows.cut(0, 1200, known_to=999)
    actual = windows.scale(rows).from_model(windows.scaled[rows])

    def mae(name: str) -> float:
        return float(np.abs(baseline_quantiles(name, known, rows)[..., MEDIAN] - actual).mean())

    assert mae("ridge") < 0.9 * mae("last_value")


def test_an_unknown_baseline_is_refused_by_name():
    with pytest.raises(UsageError, match="one of random_walk; found 'ridge'"):
        baseline_quantiles("ridge", some_windows("close"))


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_linear_model_depends_on_known_targets_alone_and_forecasts_ascending_quantiles(target):
    windows = some_windows(target)
    whole, cut = windows.cut(0, 300, known_to=280), windows.cut(0, 281, known_to=280)
    quantiles = linear_quantiles(whole, np.array([280]))
    np.testing.assert_array_equal(quantiles[0], linear_quantiles(cut))
    assert (np.diff(quantiles, axis=-1) >= 0.0).all()
