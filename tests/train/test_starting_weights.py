from dataclasses import replace

import numpy as np
import pytest
import torch

from forecasting.train import starting_weights
from forecasting.train.fit import fit, split_validation
from forecasting.train.prepare import training_rows
from forecasting.train.pretrained import pretrained_for
from forecasting.train.starting_weights import choose_starting_weights, fit_scratch
from forecasting.vocabulary import COMPANION_TRAINED
from tests.train.windows import SETTINGS, some_windows

COMPANIONS = [some_windows(seed=seed) for seed in (21, 22)]


@pytest.fixture
def no_shipped_weights(monkeypatch):
    """As for an origin before the span of every shipped checkpoint."""
    monkeypatch.setattr(starting_weights, "pretrained_for", lambda windows, own: None)


def same(left, right) -> bool:
    return all(torch.equal(weight, right.weights[name]) for name, weight in left.weights.items())


def test_without_companions_the_shipped_weights_are_chosen():
    windows = some_windows()
    start = choose_starting_weights(windows, [], settings=SETTINGS)
    shipped = pretrained_for(windows)
    assert start is not None
    assert shipped is not None
    assert (same(start, shipped), start.card.base) == (True, shipped.card.base)


def test_companion_trained_weights_that_are_worse_than_the_shipped_ones_are_not_chosen():
    windows = some_windows()
    start = choose_starting_weights(windows, COMPANIONS, settings=SETTINGS)  # three short toys against 94 real stocks
    shipped = pretrained_for(windows)
    assert start is not None
    assert shipped is not None
    assert (same(start, shipped), start.card.base) == (True, shipped.card.base)


def test_companion_trained_weights_are_chosen_where_the_shipped_ones_are_worse(monkeypatch):
    shipped = pretrained_for(some_windows())
    assert shipped is not None
    worse = replace(shipped, weights={name: weight + 1.0 for name, weight in shipped.weights.items()})
    monkeypatch.setattr(starting_weights, "pretrained_for", lambda windows, own: worse)
    start, again = (choose_starting_weights(some_windows(), COMPANIONS, settings=SETTINGS) for _ in range(2))
    assert start is not None
    assert again is not None
    assert (start.card.base, start.card.method, same(start, again)) == (COMPANION_TRAINED, "base", True)


def test_companion_trained_weights_do_not_depend_on_the_validation_rows(no_shipped_weights):
    windows = some_windows()
    _, validation = split_validation(training_rows(windows))
    scaled = windows.scaled.copy()
    scaled[validation] += 1.0
    left, right = (
        choose_starting_weights(own, COMPANIONS, settings=SETTINGS)
        for own in (windows, replace(windows, scaled=scaled))
    )
    assert left is not None
    assert right is not None
    assert same(left, right)


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_a_fit_starts_from_the_companion_trained_weights(target, monkeypatch, no_shipped_weights):
    monkeypatch.setattr(starting_weights, "MAX_LOSS_RATIO_COMPANIONS", np.inf)
    windows = some_windows(target)
    companions = [some_windows(target, seed=seed) for seed in (21, 22)]
    start = choose_starting_weights(windows, companions, settings=SETTINGS)
    assert start is not None
    fitted = fit_scratch(windows, companions, settings=SETTINGS)
    moved = max(float((fitted.weights[name] - start.weights[name]).abs().max()) for name in fitted.weights)
    assert 0.0 < moved < 0.05
    assert fitted.card.base == COMPANION_TRAINED


def test_a_fit_starts_from_random_weights_if_companion_trained_ones_are_worse_than_the_linear_model(
    monkeypatch, no_shipped_weights
):
    windows = some_windows()
    monkeypatch.setattr(starting_weights, "MAX_LOSS_RATIO_COMPANIONS", 0.01)
    fitted = fit_scratch(windows, COMPANIONS, settings=SETTINGS)
    random = fit(windows, mode="scratch", parent=None, settings=SETTINGS)
    assert (same(fitted, random), fitted.card.base) == (True, "")
