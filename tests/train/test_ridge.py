import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference

from forecasting.train.ridge import fit_ridge

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(60, 4)) * [1.0, 5.0, 0.1, 0.0] + [0.0, 2.0, 0.0, 3.0]  # the last is constant
TRUTH = FEATURES @ [1.0, -0.2, 3.0, 0.0] + 0.5 + RNG.normal(size=60)
WEIGHTS = 0.5 ** (np.arange(60)[::-1] / 20)


def test_a_weighted_ridge_equals_that_of_scikit_learn():
    ridge = fit_ridge(FEATURES, TRUTH, penalty=7.0, weights=WEIGHTS)
    standard = (FEATURES - ridge.mean) / ridge.scale
    reference = Reference(alpha=7.0).fit(standard, TRUTH, sample_weight=WEIGHTS)
    np.testing.assert_allclose(ridge.coefficients, reference.coef_, atol=1e-10)
    np.testing.assert_allclose(ridge.forecast(FEATURES), reference.predict(standard))


def test_a_leave_one_out_residual_is_that_of_a_fit_without_the_row():
    ridge = fit_ridge(FEATURES, TRUTH, penalty=7.0, weights=WEIGHTS)
    standard = (FEATURES - ridge.mean) / ridge.scale
    without = np.delete(np.arange(60), 50)
    refitted = Reference(alpha=7.0).fit(standard[without], TRUTH[without], sample_weight=WEIGHTS[without])
    assert ridge.loo_residuals[50] == pytest.approx(TRUTH[50] - refitted.predict(standard[[50]])[0])


def test_a_forecast_does_not_depend_on_the_rows_beside_it():
    ridge = fit_ridge(FEATURES, TRUTH, penalty=7.0, weights=WEIGHTS)
    np.testing.assert_array_equal(ridge.forecast(FEATURES)[7:8], ridge.forecast(FEATURES[7:8]))
