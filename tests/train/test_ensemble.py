from dataclasses import replace

import numpy as np
import pytest

from forecasting.errors import ArtifactError
from forecasting.train import prepare
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.ensemble import scaled_quantiles
from forecasting.train.fit import fit
from tests.train.windows import SETTINGS, some_windows


@pytest.fixture(scope="module")
def scratch() -> Checkpoint:
    return fit(some_windows(), mode="scratch", parent=None, settings=SETTINGS)


def test_a_rows_forecast_has_the_same_bits_whichever_other_rows_are_requested(scratch):
    windows = some_windows()
    rows = np.arange(240, 300)
    together = scaled_quantiles(scratch, windows, rows)
    np.testing.assert_array_equal(together[[-1]], scaled_quantiles(scratch, windows, rows[-1:]))
    alone = windows.cut(200, 260, known_to=259)
    np.testing.assert_array_equal(together[[19]], scaled_quantiles(scratch, alone, np.array([59])))


def test_inputs_that_are_kept_are_those_of_the_same_windows_and_effects(scratch):
    newest, card = np.array([299]), scratch.card
    other_effect = replace(scratch, card=replace(card, effect=tuple(2.0 * one for one in card.effect)))
    other_market = replace(scratch, card=replace(card, market_mean=tuple(1.0 + one for one in card.market_mean)))
    asked = [(one, some_windows(seed=seed)) for seed in (5, 6) for one in (scratch, other_effect, other_market)]
    alone = []
    for one, windows in asked:
        prepare._adjusted_like.cache_clear()
        alone.append(scaled_quantiles(one, windows, newest))
    in_turn = [scaled_quantiles(one, windows, newest) for one, windows in asked]
    np.testing.assert_array_equal(in_turn, alone)
    assert len({found.tobytes() for found in alone}) >= 4  # of both windows, with each effect
    scaled_quantiles(scratch, asked[0][1], newest)
    scaled_quantiles(scratch, asked[0][1], np.arange(290, 300))
    assert prepare._adjusted_like.cache_info().hits == 1


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_quantiles_of_every_target_ascend(target):
    windows = some_windows(target)
    checkpoint = fit(windows, mode="scratch", parent=None, settings=SETTINGS)
    assert (np.diff(scaled_quantiles(checkpoint, windows, np.arange(300)), axis=-1) >= 0.0).all()


def test_a_model_of_another_target_is_refused(scratch):
    with pytest.raises(ArtifactError, match=r"Expected a model of range .* found one of volume"):
        scaled_quantiles(scratch, some_windows("range"), np.array([0]))
