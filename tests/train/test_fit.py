from dataclasses import replace

import numpy as np
import pytest
import torch

from forecasting.errors import ArtifactError
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import EPOCHS, WARM, fit
from forecasting.train.loop import (
    Hyperparameters,
    forecast_rows,
    generator,
    load_members,
    named_weights,
    new_network,
    train,
)
from forecasting.train.prepare import scaled_quantiles
from forecasting.vocabulary import MEDIAN
from tests.train.windows import SETTINGS, plain_tensors, scratch_fit, some_windows


@pytest.fixture
def scratch() -> Checkpoint:
    return scratch_fit()


def same_weights(left: Checkpoint, right: Checkpoint) -> bool:
    return left.weights.keys() == right.weights.keys() and all(
        torch.equal(weight, right.weights[name]) for name, weight in left.weights.items()
    )


def test_the_network_can_overfit_ten_windows():
    tensors = plain_tensors()
    rows, ten = np.arange(100, 150), np.arange(130, 140)
    truth = torch.full_like(tensors.truth, torch.nan)
    truth[ten] = tensors.truth[ten]
    rng = generator(0, 0)
    network = new_network(replace(tensors, rows=rows), rng)
    train(network, [replace(tensors, truth=truth, rows=rows)], Hyperparameters(200, 1e-2), rng=rng)
    errors = np.abs(forecast_rows(network, tensors, ten)[..., MEDIAN] - truth[ten].numpy())
    assert errors.mean() < 0.25 * truth[ten].std()


def test_the_same_seed_gives_the_same_bits(scratch):
    again = fit(some_windows(), mode="scratch", parent=None, settings=SETTINGS)
    assert (same_weights(scratch, again), scratch.card) == (True, again.card)


def test_training_members_that_were_loaded_leaves_the_weights_they_were_loaded_from(scratch):
    kept = {name: weight.clone() for name, weight in scratch.weights.items()}
    tensors = replace(plain_tensors(), rows=np.arange(100, 260))
    for member, network in enumerate(load_members(scratch.weights, tensors)):
        train(network, [tensors], WARM, rng=generator(0, member))
        name = f"{member}.linear_past"
        assert not torch.equal(named_weights(network, member)[name], kept[name])
    assert all(torch.equal(scratch.weights[name], weight) for name, weight in kept.items())


def test_a_warm_fit_continues_from_its_parent_with_scaler_and_effect_unchanged(scratch):
    warm = fit(some_windows(seed=6), mode="warm", parent=scratch, settings=SETTINGS)
    moved = {name: (warm.weights[name] - weight).abs().max().item() for name, weight in scratch.weights.items()}
    assert 0.0 < max(moved.values()) < 0.5
    kept = ("effect", "effect_intercept", "step_mean", "step_scale", "past_mean", "past_scale", "flag_names")
    assert [getattr(warm.card, name) for name in kept] == [getattr(scratch.card, name) for name in kept]


def test_a_card_counts_the_epochs_of_its_chain_and_names_the_sessions_of_its_rows(scratch):
    first = fit(some_windows(), mode="warm", parent=scratch, settings=SETTINGS)
    second = fit(some_windows(), mode="warm", parent=first, settings=SETTINGS)
    assert 1 <= scratch.card.epochs == scratch.card.chain_epochs <= EPOCHS
    assert (second.card.epochs, second.card.chain_epochs) == (WARM.epochs, scratch.card.epochs + 2 * WARM.epochs)
    assert (scratch.card.method, second.card.method) == ("scratch", "warm")
    windows = some_windows()
    span = (scratch.card.trained_from, scratch.card.trained_to, scratch.card.rows)
    assert span == (str(windows.origins[0]), str(windows.origins[-1]), len(windows) - 1)


def test_a_fit_does_not_depend_on_unknown_targets(scratch):
    windows = some_windows()
    whole, cut = windows.cut(0, 300, known_to=280), windows.cut(0, 281, known_to=280)
    left, right = (fit(part, mode="scratch", parent=None, settings=SETTINGS) for part in (whole, cut))
    assert (same_weights(left, right), left.card) == (True, right.card)


def test_a_warm_fit_without_a_parent_or_from_one_of_another_size_is_refused(scratch):
    five = SETTINGS.model_copy(update={"members": 5})
    for parent, settings, found in ((None, SETTINGS, "found none"), (scratch, five, "5 networks .* found 2")):
        with pytest.raises(ArtifactError, match=found):
            fit(some_windows(), mode="warm", parent=parent, settings=settings)


def test_a_rows_forecast_has_the_same_bits_whichever_other_rows_are_requested(scratch):
    windows = some_windows()
    rows = np.arange(240, 300)
    together = scaled_quantiles(scratch, windows, rows)
    np.testing.assert_array_equal(together[[-1]], scaled_quantiles(scratch, windows, rows[-1:]))
    alone = windows.cut(200, 260, known_to=259)
    np.testing.assert_array_equal(together[[19]], scaled_quantiles(scratch, alone, np.array([59])))
