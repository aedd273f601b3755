from dataclasses import replace

import numpy as np
import pytest
import torch

from forecasting import losses
from forecasting.preprocess.windows import MARKET_NAMES
from forecasting.train import fit, loop
from forecasting.train.checkpoint import SEED
from forecasting.train.fit import (
    EPOCHS,
    RATE,
    WARM,
    fit_scratch,
    fit_warm,
    last_within_error,
    split_validation,
)
from forecasting.train.linear import adjust, fit_effect, fit_horizons
from forecasting.train.model import pinball
from forecasting.train.prepare import make_card, member_quantiles, prepare, without_market
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES
from tests.train.windows import (
    market_unknown,
    most_moved,
    plain_tensors,
    same_weights,
    scratch_fit,
    some_windows,
    windows_with_hole,
    with_other_sessions_after,
)


@pytest.fixture
def scratch():
    return scratch_fit()


def test_the_network_can_overfit_ten_windows():
    tensors = plain_tensors()
    rows = np.arange(100, 150)
    ten = np.arange(130, 140)
    truth = torch.full_like(tensors.truth, torch.nan)
    truth[ten] = tensors.truth[ten]
    rng = loop.generator(0, 0)
    network = loop.new_network(replace(tensors, rows=rows), rng)
    loop.train(
        network,
        [replace(tensors, truth=truth, rows=rows)],
        loop.Hyperparameters(100, 1e-2),
        rng=rng,
    )
    errors = np.abs(
        loop.forecast_quantiles(network, tensors, ten)[..., MEDIAN] - truth[ten].numpy()
    )
    assert errors.mean() < 0.25 * truth[ten].std()


def test_the_same_seed_gives_the_same_bits(scratch):
    again = fit_scratch(some_windows(), pretrained=None)
    assert (same_weights(scratch, again), scratch.card) == (True, again.card)


def test_a_fit_needs_half_a_year_of_known_targets(scratch):
    assert fit_warm(some_windows().known_to(125), scratch).card.rows == 125
    with pytest.raises(ValueError, match=r"125 rows .*found 124"):
        fit_warm(some_windows().known_to(124), scratch)


@pytest.mark.parametrize(("rows", "held_out"), [(60, 12), (1249, 249), (2000, 250)])
def test_no_target_of_a_training_row_is_an_input_of_the_validation_rows(rows, held_out):
    fitting, validation = split_validation(np.arange(rows))
    np.testing.assert_array_equal(validation, np.arange(rows - held_out, rows))
    np.testing.assert_array_equal(fitting, np.arange(rows - held_out - len(HORIZONS)))


def test_a_fit_has_as_many_epochs_as_one_network_had_on_the_rows_before_the_validation(scratch):
    tensors = prepare(scratch.card, some_windows()).tensors
    fitting, validation = split_validation(tensors.rows)
    rng = loop.generator(SEED, 0)
    network = loop.new_network(replace(tensors, rows=fitting), rng)
    found = []

    def validate():
        quantiles = loop.forecast_quantiles(network, tensors, validation)
        found.append(losses.row_losses(tensors.truth[validation].numpy(), quantiles))

    parameters = loop.Hyperparameters(EPOCHS, RATE)
    before = replace(tensors, rows=fitting)
    loop.train(network, [before], parameters, rng=rng, after_epoch=validate)
    means = [loss.mean() for loss in found]
    chosen = last_within_error(found, best=int(np.argmin(means)))
    assert (scratch.card.epochs, scratch.card.validation_loss) == (chosen + 1, means[chosen])


@pytest.mark.parametrize(
    ("epochs", "best", "expected"),
    [
        ([[9.0, 9.0], [1.0, 2.0], [9.0, 9.0]], 1, 1),
        ([[1.0, 2.0], [0.0, 4.0], [2.0, 3.0]], 0, 1),  # worse by 0.5, error 1.06; then by 1, 0
        ([[1.0, 2.0], [9.0, 9.0], [0.0, 4.0]], 0, 2),  # whatever is between
        ([[1.0, 2.0], [1.0, 2.0]], 0, 1),  # on the bound: worse by 0, error 0
        ([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 6.0]], 0, 0),  # worse by 1.5, error 1.3
        ([[0.0, 0.0, 0.0, 0.0], [-2.0, 0.0, 0.0, 6.0]], 0, 1),  # worse by 1, error 1.5
    ],
)
def test_epochs_go_on_to_the_last_within_one_standard_error_of_the_least(epochs, best, expected):
    assert last_within_error([np.array(losses) for losses in epochs], best=best) == expected


def test_the_seed_of_a_warm_fit_grows_with_the_epochs_of_its_chain(scratch, monkeypatch):
    def weights_at(seed, chain):
        parent = replace(scratch, card=replace(scratch.card, chain_epochs=chain))
        monkeypatch.setattr(fit, "SEED", seed)
        return fit_warm(some_windows(seed=6), parent)

    assert same_weights(weights_at(3, 8), weights_at(4, 7))
    assert not same_weights(weights_at(3, 8), weights_at(3, 7))


def test_a_warm_fit_continues_from_its_parent_and_changes_nothing_else_of_its_card(scratch):
    warm = fit_warm(some_windows(seed=6), scratch)
    assert 0.0 < most_moved(scratch, warm) < 0.5
    assert 1 <= scratch.card.epochs == scratch.card.chain_epochs <= EPOCHS
    chain = scratch.card.epochs + WARM.epochs
    counted = {"method": "warm", "epochs": WARM.epochs, "chain_epochs": chain}
    assert warm.card == replace(scratch.card, **counted)


def test_a_card_names_the_sessions_of_its_rows(scratch):
    windows = some_windows()
    span = (scratch.card.trained_from, scratch.card.trained_to, scratch.card.rows)
    assert span == (*windows.origins[[0, -1]].tolist(), len(windows) - 1)


def test_a_fit_does_not_depend_on_sessions_after_the_newest_known_target():
    known = some_windows().known_to(280)
    left, right = (
        fit_scratch(part, pretrained=None)
        for part in (known, with_other_sessions_after(known, 280))
    )
    assert (same_weights(left, right), left.card) == (True, right.card)


def test_a_rows_forecast_has_the_same_bits_whichever_other_rows_are_there_or_requested(scratch):
    windows = some_windows()
    rows = np.arange(240, 300)
    together = member_quantiles(scratch, windows, rows)[0]
    np.testing.assert_array_equal(together[[-1]], member_quantiles(scratch, windows, rows[-1:])[0])
    fewer = some_windows(rows=250, before=50)
    np.testing.assert_array_equal(
        together[-10:], member_quantiles(scratch, fewer, np.arange(240, 250))[0]
    )


class Recorder(torch.nn.Module):
    """A network that stores the numbers of the sessions and rows that it is trained on."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches = []

    def forward(self, steps, past, future, rng):
        self.batches.append(
            (steps[..., 0].numpy(), past[..., 0].numpy(), future[..., 0, 0].numpy())
        )
        return self.weight.expand(*past.shape[:2], len(HORIZONS), len(QUANTILES))


def numbered(rows, first):
    """A symbol whose sessions and rows have the numbers from `first` on."""
    sessions = torch.arange(first, first + 480.0)[:, None]
    past = sessions[80:]
    future = past[:, None].expand(-1, len(HORIZONS), -1)
    truth = torch.zeros(len(past), len(HORIZONS))
    parts = {"steps": sessions, "past": past, "future": future, "truth": truth}
    return loop.Tensors(**parts, rows=rows, warm_up=80)


def test_an_epoch_tiles_the_rows_of_every_symbol_with_sequences_from_a_random_offset():
    panel = [numbered(np.arange(5, 100), 0), numbered(np.arange(310), 1000)]
    network = Recorder()
    parameters = loop.Hyperparameters(40, 1e-3, batch_size=4)
    loop.train(network, panel, parameters, rng=loop.generator(0, 0))
    assert {len(past) for _, past, _ in network.batches} == {3}  # of nine sequences
    epochs = [network.batches[at : at + 3] for at in range(0, 120, 3)]
    assert len(network.batches) == 120
    orders = set()
    newest = {0: set(), 1: set()}
    for epoch in epochs:
        steps, past, future = (np.concatenate(parts) for parts in zip(*epoch, strict=True))
        ends = past[:, -1]
        np.testing.assert_array_equal(past, ends[:, None] + np.arange(-43, 1))
        np.testing.assert_array_equal(future, past)
        np.testing.assert_array_equal(steps, ends[:, None] + np.arange(-65, 1))
        orders.add(tuple(np.argsort(ends)))
        for symbol, count in ((0, 2), (1, 7)):
            own = np.sort(ends[ends // 1000 == symbol])
            np.testing.assert_array_equal(own, own[-1] - 44 * np.arange(count)[::-1])
            newest[symbol].add(own[-1])
    assert newest == {0: set(range(172, 180)), 1: {1387.0, 1388.0, 1389.0}}
    assert len(orders) > 30


def trained_by_torch(network, tensors, given, rng):
    dropout = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=rng)))
    steps = given.epochs * -(-len(tensors.ends) // given.batch_size)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=given.learning_rate, weight_decay=1e-3, foreach=True
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, given.learning_rate, total_steps=steps + 1, pct_start=0.3
    )
    for _ in range(given.epochs):
        for sessions, past, future, truth in loop._shuffled_batches(
            [tensors], given.batch_size, rng
        ):
            optimiser.zero_grad()
            pinball(truth, network(sessions, past, future, dropout)).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            cycle.step()


@pytest.mark.parametrize(("rows", "given"), [(95, (1, 3e-3, 1)), (280, (3, 1.7e-3, 2))])
def test_training_is_that_of_torchs_adamw_and_one_cycle_schedule_to_the_bit(rows, given):
    tensors = replace(plain_tensors(), rows=np.arange(rows))
    ours, theirs = (loop.new_network(tensors, loop.generator(1, 0)) for _ in range(2))
    with loop.one_thread():
        loop.train(ours, [tensors], loop.Hyperparameters(*given), rng=loop.generator(2, 0))
        trained_by_torch(theirs, tensors, loop.Hyperparameters(*given), loop.generator(2, 0))
    assert all(
        torch.equal(one, other)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True)
    )
    assert not torch.equal(ours.linear_past, torch.zeros_like(ours.linear_past))


COUNT = len(MARKET_NAMES)
MEAN = np.full(COUNT, 0.1)
EFFECT = np.linspace(-1.0, 1.0, len(HORIZONS) * COUNT).reshape(-1, COUNT)


def adjusted_of(windows):
    return adjust(windows, fit_effect(windows))


def card_of(windows):
    return make_card(windows, members=1)


def test_inputs_are_standardised_by_the_training_rows_and_clipped_at_six_deviations():
    windows = with_other_sessions_after(windows_with_hole().known_to(500), 550)
    card = card_of(windows)
    prepared = prepare(card, windows)
    rows = np.arange(500)
    np.testing.assert_array_equal(prepared.tensors.rows, rows)
    for name, training in (("steps", windows.warm_up + rows), ("past", rows)):
        values = getattr(prepared.adjusted, name)
        scale = values[training].std(axis=0)
        scale[scale == 0.0] = 1.0
        deviations = (values - values[training].mean(axis=0)) / scale
        expected = np.clip(deviations, -6.0, 6.0)
        np.testing.assert_allclose(getattr(prepared.tensors, name), expected, atol=1e-4)
    assert prepared.tensors.steps[-1].max() == 6.0


def test_the_effect_of_the_market_is_that_of_the_linear_models_ridges():
    windows = some_windows(market=True)
    ridges = [fit.ridge for fit in fit_horizons(windows, adjust(windows, fit_effect(windows)))]
    card = card_of(windows)
    np.testing.assert_array_equal(card.market_effect, [ridge.slopes[:COUNT] for ridge in ridges])
    np.testing.assert_array_equal(card.market_mean, ridges[0].mean[:COUNT])


@pytest.mark.parametrize("target", ["volume", "range"])
def test_the_effect_moves_the_centre(target):
    """Linear in the features, and zero where they are at their mean or unknown."""
    windows = market_unknown(some_windows(target, market=True), 3)
    adjusted = adjusted_of(windows)
    without = without_market(adjusted, windows, MEAN, EFFECT)
    moved = [EFFECT @ np.nan_to_num(row - MEAN) for row in windows.market_features]
    np.testing.assert_allclose(without.centre - adjusted.centre, moved, atol=1e-12)
    np.testing.assert_allclose(without.centre + without.truth, windows.scaled)
    np.testing.assert_array_equal(without.past, adjusted.past)


@pytest.mark.parametrize("target", ["volume", "range"])
def test_no_later_value_of_the_market_changes_the_effect(target):
    windows = some_windows(target, rows=400, market=True)
    altered = windows.market.copy()
    altered[-101:] += 1.0
    known = windows.known_to(len(windows) - 102)
    assert card_of(known) == card_of(replace(known, market=altered))


def test_a_night_without_the_market_has_no_effect_of_it_and_keeps_that_of_the_rows_before():
    windows = some_windows(market=True)
    card = card_of(windows)
    assert card.has_market
    whole, failed = (prepare(card, one).adjusted for one in (windows, market_unknown(windows, -1)))
    calendar_only = adjusted_of(windows)
    np.testing.assert_array_equal(failed.centre[:-1], whole.centre[:-1])
    np.testing.assert_array_equal(failed.centre[-1], calendar_only.centre[-1])
    assert (whole.centre[-1] != calendar_only.centre[-1]).all()
