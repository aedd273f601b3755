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
def nothing_ships(monkeypatch):
    """As for an origin older than every shipped base's span."""
    monkeypatch.setattr(starting_weights, "pretrained_for", lambda windows, settings: None)


def same(left, right) -> bool:
    return all(torch.equal(weight, right.weights[name]) for name, weight in left.weights.items())


def test_without_companions_it_is_the_shipped_base():
    windows = some_windows()
    base = choose_starting_weights(windows, [], settings=SETTINGS)
    shipped = pretrained_for(windows, SETTINGS)
    assert base is not None
    assert shipped is not None
    assert (same(base, shipped), base.card.base) == (True, shipped.card.base)


def test_companions_that_know_the_symbol_less_well_than_the_shipped_base_are_left_aside():
    windows = some_windows()
    base = choose_starting_weights(windows, COMPANIONS, settings=SETTINGS)  # three short toys against 94 real stocks
    shipped = pretrained_for(windows, SETTINGS)
    assert base is not None
    assert shipped is not None
    assert (same(base, shipped), base.card.base) == (True, shipped.card.base)


def test_companions_teach_a_symbol_that_the_shipped_base_does_not_know(monkeypatch):
    shipped = pretrained_for(some_windows(), SETTINGS)
    assert shipped is not None
    foreign = replace(shipped, weights={name: weight + 1.0 for name, weight in shipped.weights.items()})
    monkeypatch.setattr(starting_weights, "pretrained_for", lambda windows, settings: foreign)
    base, again = (choose_starting_weights(some_windows(), COMPANIONS, settings=SETTINGS) for _ in range(2))
    assert base is not None
    assert again is not None
    assert (base.card.base, base.card.method, same(base, again)) == (COMPANION_TRAINED, "base", True)


def test_the_rows_that_judge_are_not_learned_from(nothing_ships):
    windows = some_windows()
    _, later = split_validation(training_rows(windows))
    scaled = windows.scaled.copy()
    scaled[later] += 1.0
    left, right = (
        choose_starting_weights(one, COMPANIONS, settings=SETTINGS)
        for one in (windows, replace(windows, scaled=scaled))
    )
    assert left is not None
    assert right is not None
    assert same(left, right)


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_a_fit_starts_from_what_the_companions_taught(target, monkeypatch, nothing_ships):
    monkeypatch.setattr(starting_weights, "MAX_LOSS_RATIO_COMPANIONS", np.inf)
    windows = some_windows(target)
    companions = [some_windows(target, seed=seed) for seed in (21, 22)]
    base = choose_starting_weights(windows, companions, settings=SETTINGS)
    assert base is not None
    fitted = fit_scratch(windows, companions, settings=SETTINGS)
    moved = max(float((fitted.weights[name] - base.weights[name]).abs().max()) for name in fitted.weights)
    assert 0.0 < moved < 0.05
    assert fitted.card.base == COMPANION_TRAINED


def test_companions_that_are_worse_than_the_linear_partner_are_left_for_drawn_weights(monkeypatch, nothing_ships):
    windows = some_windows()
    monkeypatch.setattr(starting_weights, "MAX_LOSS_RATIO_COMPANIONS", 0.01)
    fitted = fit_scratch(windows, COMPANIONS, settings=SETTINGS)
    drawn = fit(windows, mode="scratch", parent=None, settings=SETTINGS)
    assert (same(fitted, drawn), fitted.card.base) == (True, "")
