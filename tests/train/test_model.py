import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.losses import row_losses
from forecasting.train.model import Network, initialise, pinball
from forecasting.vocabulary import HORIZONS, QUANTILES


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.1, 30.0))
def test_quantiles_never_cross_whatever_the_weights(seed, size):
    rng = torch.Generator().manual_seed(seed)
    network = Network(3, 4, 6)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0.0, size, generator=rng)
        draw = [torch.randn(shape, generator=rng) for shape in ((2, 9, 3), (2, 4, 4), (2, 4, 5, 6))]
        quantiles = network(*draw)
    assert quantiles.shape == (2, 4, len(HORIZONS), len(QUANTILES))
    assert (torch.diff(quantiles, dim=-1) >= 0.0).all()


def test_a_fresh_network_starts_within_half_a_deviation_of_the_quantiles_of_the_truth():
    rng = torch.Generator().manual_seed(0)
    truth = torch.randn(2000, len(HORIZONS), generator=rng) * 3.0 + 1.0
    network = Network(3, 4, 6)
    initialise(network, truth, rng)
    with torch.no_grad():
        quantiles = network(torch.zeros(1, 9, 3), torch.zeros(1, 1, 4), torch.zeros(1, 1, 5, 6))[0, 0]
    expected = torch.quantile(truth, torch.tensor(QUANTILES), dim=0).T
    assert (quantiles - expected).abs().max() < 1.5


def test_dropout_drops_only_when_given_noise_and_repeats_with_its_seed():
    rng = torch.Generator().manual_seed(0)
    network = Network(3, 4, 6)
    initialise(network, torch.randn(50, len(HORIZONS), generator=rng), rng)
    draw = [torch.randn(shape, generator=rng) for shape in ((2, 9, 3), (2, 4, 4), (2, 4, 5, 6))]
    plain, again = network(*draw), network(*draw)
    left, right = (network(*draw, torch.Generator().manual_seed(1)) for _ in range(2))
    assert (torch.equal(plain, again), torch.equal(left, right), torch.equal(plain, left)) == (True, True, False)


def test_pinball_equals_its_naive_twin_and_leaves_out_what_is_unknown():
    rng = np.random.default_rng(0)
    truth, quantiles = rng.normal(size=(6, 5)), np.sort(rng.normal(size=(6, 5, 7)), axis=-1)
    truth[2, 3] = np.nan
    naive = [
        np.mean(
            [level * (y - q) if y > q else (1 - level) * (q - y) for q, level in zip(spoken, QUANTILES, strict=True)]
        )
        for y, spoken in zip(truth.ravel(), quantiles.reshape(-1, 7), strict=True)
        if np.isfinite(y)
    ]
    loss = pinball(torch.as_tensor(truth), torch.as_tensor(quantiles))
    np.testing.assert_allclose(loss.item(), np.mean(naive))
    np.testing.assert_allclose(row_losses(truth, quantiles)[0], np.mean(naive[:5]))
