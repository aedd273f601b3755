import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sklearn.preprocessing  # noqa: F401 - loads the BLAS of scipy before its threads are counted
import torch
from sklearn.linear_model import Ridge as Reference
from threadpoolctl import threadpool_info, threadpool_limits

from forecasting.train import baselines, linear
from forecasting.train.baselines import baseline_quantiles
from forecasting.train.fit import fit
from forecasting.train.linear import Ridge, fit_ridge, linear_quantiles, one_blas_thread
from forecasting.train.loop import one_thread
from tests.train.windows import SETTINGS, some_windows

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


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def torch_threads() -> set[int]:
    return {torch.get_num_threads()}


def recording(ridge: Callable[..., Ridge], found: list[set[int]]) -> Callable[..., Ridge]:
    def recorded(*args: object, **keywords: object) -> Ridge:
        found.append(blas_threads())
        return ridge(*args, **keywords)

    return recorded


@pytest.fixture
def threads_of_ridges(monkeypatch) -> list[set[int]]:
    """The number of BLAS threads at every ridge, on a machine that would use two."""
    found: list[set[int]] = []
    for module in (baselines, linear):
        monkeypatch.setattr(module, "fit_ridge", recording(module.fit_ridge, found))
    return found


def test_every_ridge_is_solved_on_one_thread_and_the_number_is_restored(threads_of_ridges):
    windows = some_windows()
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        baseline_quantiles("ridge", windows)
        linear_quantiles(windows, np.arange(290, 300))
        fit(windows, mode="scratch", parent=None, settings=SETTINGS)
        assert blas_threads() == before
    assert len(threads_of_ridges) > 10
    assert set().union(*threads_of_ridges) == {1}


@pytest.mark.slow
def test_a_library_that_a_later_import_loads_has_one_thread_too():
    code = """
import numpy
from threadpoolctl import threadpool_info, threadpool_limits
from forecasting.train.linear import one_blas_thread

def threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

with one_blas_thread():
    print(threads())
import scipy.linalg
threadpool_limits(2)
with one_blas_thread():
    print(threads())
print(threads())
"""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
    of_numpy, of_both, restored = map(json.loads, ran.stdout.splitlines())
    if len(of_both) == len(of_numpy):
        pytest.skip("numpy and scipy share one BLAS here")
    assert set(of_numpy + of_both) == {1}
    assert set(restored) == {2}


@pytest.mark.parametrize(("context", "numbers"), [(one_blas_thread, blas_threads), (one_thread, torch_threads)])
def test_two_threads_of_a_process_take_turns(context, numbers):
    """Else the one that leaves first restores the number for the other: threadpoolctl heeds one thread at a time."""
    entered, left = threading.Event(), threading.Event()
    found: list[set[int]] = []

    def second() -> None:
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
