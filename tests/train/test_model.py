import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting import losses
from forecasting.train.model import Network, initialise, pinball
from forecasting.vocabulary import HORIZONS, QUANTILES


def some_inputs(rng: torch.Generator) -> list[torch.Tensor]:
    """Steps, past and future covariates of two sequences of nine sessions, four of them forecast."""
    return [torch.randn(shape, generator=rng) for shape in ((2, 9, 3), (2, 4, 4), (2, 4, 5, 6))]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.1, 30.0))
def test_quantiles_never_cross_whatever_the_weights(seed, size):
    rng = torch.Generator().manual_seed(seed)
    network = Network(3, 4, 6)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0.0, size, generator=rng)
        quantiles = network(*some_inputs(rng))
    assert quantiles.shape == (2, 4, len(HORIZONS), len(QUANTILES))
    assert (torch.diff(quantiles, dim=-1) >= 0.0).all()


def test_a_new_network_has_finite_weights_however_far_apart_the_quantiles_of_the_truth_are():
    rng = torch.Generator().manual_seed(0)
    network = Network(3, 4, 6)
    initialise(network, torch.randn(2000, len(HORIZONS), generator=rng) * 1e3, rng)  # expm1 is infinite from 89 on
    assert all(torch.isfinite(weight).all() for weight in network.parameters())


def test_dropout_needs_a_generator_and_repeats_with_its_seed():
    rng = torch.Generator().manual_seed(0)
    network = Network(3, 4, 6)
    initialise(network, torch.randn(50, len(HORIZONS), generator=rng), rng)
    inputs = some_inputs(rng)
    plain, again = network(*inputs), network(*inputs)
    left, right = (network(*inputs, torch.Generator().manual_seed(1)) for _ in range(2))
    assert (torch.equal(plain, again), torch.equal(left, right), torch.equal(plain, left)) == (True, True, False)


def test_the_training_loss_leaves_out_unknown_values_and_has_no_gradient_there():
    truth = torch.tensor([[1.0, torch.nan], [3.0, 4.0]])
    quantiles = torch.arange(28.0).reshape(2, 2, 7).requires_grad_()
    loss = pinball(truth, quantiles)
    known = torch.isfinite(truth).numpy()
    expected = losses.pinball(truth.numpy(), quantiles.detach().numpy())[known].mean()
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert torch.equal(quantiles.grad[0, 1], torch.zeros(7))
    assert torch.isfinite(quantiles.grad).all()
