from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting import losses
from forecasting.train.model import HEAD, HIDDEN, Network, initialise, pinball
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES


def some_inputs(rng):
    """Steps, past and future covariates of two sequences of nine sessions, two of them forecast."""
    return [torch.randn(shape, generator=rng) for shape in ((2, 9, 3), (2, 2, 4), (2, 2, 5, 6))]


def network_and_inputs(seed, size):
    rng = torch.Generator().manual_seed(seed)
    network = Network(3, 4, 6)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0.0, size, generator=rng)
    return network, some_inputs(rng)


@torch.no_grad()
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.1, 30.0))
def test_quantiles_never_cross_whatever_the_weights(seed, size):
    network, inputs = network_and_inputs(seed, size)
    assert (torch.diff(network(*inputs), dim=-1) >= 0.0).all()


@torch.no_grad()
def test_quantiles_are_those_of_a_loop_over_rows_and_horizons():
    network, inputs = network_and_inputs(1, 0.5)
    states = network.lstm(inputs[0])[0][:, 7:].numpy()
    _, past, future = (values.numpy() for values in inputs)
    of = {name: weight.numpy() for name, weight in network.named_parameters()}
    expected = np.empty((2, 2, len(HORIZONS), len(QUANTILES)))
    for b, t, h in product(range(2), range(2), range(5)):
        row = of["from_state.weight"] @ states[b, t] + of["from_state.bias"]
        row = row + of["from_past.weight"] @ past[b, t]
        joined = row + of["from_flags.weight"] @ future[b, t, h] + of["from_horizon"][h]
        raw = of["shape.weight"] @ np.maximum(joined, 0.0) + of["shape.bias"] + of["shape_bias"][h]
        linear = past[b, t] @ of["linear_past"][:, h] + future[b, t, h] @ of["linear_flags"][:, h]
        median = raw[0] + linear[0]
        width = np.exp(np.clip(raw[1] + linear[1], -3.0, 3.0))
        steps = np.log1p(np.exp(raw[2:])) * width
        below = median - steps[3:].cumsum()
        expected[b, t, h] = [*below[::-1], median, *(median + steps[:3].cumsum())]
    np.testing.assert_allclose(network(*inputs), expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_dropout_leaves_out_a_tenth_and_keeps_the_mean():
    network, _ = network_and_inputs(0, 0.0)
    network.from_horizon += 1.0
    network.shape.weight[0] += 1.0 / HEAD
    zeros = [torch.zeros(shape) for shape in ((500, 9, 3), (500, 4, 4), (500, 4, 5, 6))]
    assert (network(*zeros)[..., MEDIAN] == 1.0).all()
    means = network(*zeros, torch.Generator().manual_seed(0))[..., MEDIAN]  # of HEAD values each
    assert means.mean().item() == pytest.approx(1.0, abs=0.003)
    assert means.std().item() == pytest.approx((0.1 / 0.9 / HEAD) ** 0.5, abs=0.002)


@torch.no_grad()
def test_a_new_network_forecasts_the_quantiles_of_the_truth_and_has_small_weights():
    rng = torch.Generator().manual_seed(0)
    truth = torch.randn(2000, len(HORIZONS), generator=rng)
    truth[3] = torch.nan
    truth[:, 1] *= 1e3  # expm1 is infinite from 89 on
    truth[:, 2] = 2.0
    network = Network(3, 4, 6)
    initialise(network, truth, rng)
    network.lstm.bias_ih_l0[HIDDEN : 2 * HIDDEN] -= 1.0  # of the forget gate
    fan_in = {"lstm.weight_ih_l0": 3, "from_past.weight": 4, "from_flags.weight": 6}
    for name, weight in network.named_parameters():
        if name.startswith("linear"):
            assert not weight.any()
        elif name != "shape_bias":
            bound = fan_in.get(name, HIDDEN) ** -0.5
            if name == "shape.weight":
                bound = 0.3 * HEAD**-0.5
            for most in (weight.max(), -weight.min()):
                assert 0.5 * bound < most < 1.0001 * bound, name
    network.shape.weight.zero_()
    network.shape.bias.zero_()
    expected = np.nanquantile(truth, QUANTILES, axis=0).T
    expected[2] += 0.01 * np.arange(-3, 4)  # the least distance
    found = network(*some_inputs(rng))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-4, atol=1e-4)


def test_the_training_loss_leaves_out_unknown_values_and_has_no_gradient_there():
    truth = torch.tensor([[1.0, torch.nan], [3.0, 4.0]])
    quantiles = torch.arange(28.0).reshape(2, 2, 7).requires_grad_()
    loss = pinball(truth, quantiles)
    known = torch.isfinite(truth).numpy()
    assert loss.item() == pytest.approx(
        losses.pinball(truth.numpy(), quantiles.detach().numpy())[known].mean()
    )
    alone = pinball(truth[:1], quantiles[:1])
    assert alone.item() == pytest.approx(float(losses.pinball(1.0, np.arange(7.0))))
    loss.backward()
    assert torch.equal(quantiles.grad[0, 1], torch.zeros(7))
    assert torch.isfinite(quantiles.grad).all()
