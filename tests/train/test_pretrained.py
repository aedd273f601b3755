import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from base_weights import pretrain

from forecasting.errors import ArtifactError
from forecasting.losses import row_losses
from forecasting.train import fit, loop
from forecasting.train.checkpoint import load, pack, sha256_of, unpack
from forecasting.train.fit import PRETRAINED, fit_scratch, fit_warm, split_validation
from forecasting.train.linear import linear_quantiles
from forecasting.train.prepare import member_quantiles, prepare
from forecasting.train.pretrained import WEIGHTS, pretrained_for, shipped
from forecasting.vocabulary import MEDIAN, Target
from tests.train.windows import (
    most_moved,
    moved_to,
    same_weights,
    scratch_fit,
    some_windows,
    without_events,
)

TARGETS: tuple[Target, ...] = ("volume", "range")


@pytest.fixture(scope="module")
def pretrained():
    return pretrain([some_windows(seed=seed) for seed in (11, 12)])


def test_pretraining_is_repeatable_to_the_bit_and_its_card_names_the_training_rows(pretrained):
    again = pretrain([some_windows(seed=seed) for seed in (11, 12)])
    assert same_weights(pretrained, again)
    found = (pretrained.card.method, pretrained.card.rows, pretrained.card.trained_to)
    assert found == ("base", 2 * 299, some_windows(seed=11).origins[-1].item())


@pytest.mark.parametrize(("times", "base"), [(1.001, "two toys"), (0.999, "")])
def test_a_fit_starts_from_pretrained_weights_up_to_a_limit_of_their_loss_over_the_linear_models(
    pretrained, monkeypatch, times, base
):
    """On the validation rows, before which the linear model is fitted."""
    windows = some_windows()
    prepared = prepare(scratch_fit().card, windows)
    fitting, rows = split_validation(prepared.tensors.rows)
    truth = prepared.adjusted.truth[rows]
    networks = loop.load_members(pretrained.weights, prepared.tensors, fit.MEMBERS)
    ours = loop.forecast_members(networks, prepared.tensors, rows).mean(axis=0)
    linear = linear_quantiles(windows.known_to(fitting[-1]), rows, prepared.adjusted)
    ratio = row_losses(truth, ours).mean() / row_losses(truth, linear).mean()
    monkeypatch.setattr("forecasting.train.fit.MAX_LOSS_RATIO", times * ratio)
    named = replace(pretrained, card=replace(pretrained.card, base="two toys"))
    fitted = fit_scratch(windows, pretrained=named)
    assert fitted.card.base == base
    random = scratch_fit()
    inputs = ("past_mean", "effect")
    assert all(getattr(fitted.card, name) == getattr(random.card, name) for name in inputs)
    if base:
        assert fitted.card.epochs == PRETRAINED.epochs
        assert 0.0 < most_moved(pretrained, fitted) < 0.05
    else:
        assert same_weights(fitted, random)


def test_weights_pretrained_without_events_ignore_them():
    pretrained = pretrain([without_events(some_windows(seed=seed)) for seed in (11, 12)])
    for name in ("0.from_flags.weight", "1.from_past.weight"):
        assert not pretrained.weights[name][:, -10:].any()


@pytest.mark.parametrize("target", TARGETS)
def test_shipped_weights_run_and_are_used_for_no_origin_inside_their_span(target):
    for earnings, market in product([True, False], repeat=2):
        windows = some_windows(target, market=market)
        windows = windows if earnings else without_events(windows)
        kind = {"target": target, "earnings": earnings, "market": market}
        entries = [entry for entry in shipped(WEIGHTS) if entry.items() >= kind.items()]
        days = sorted(np.datetime64(entry["trained_to"]) for entry in entries)
        for before, newest in zip([None, *days], days, strict=False):
            inside, of_span = (
                pretrained_for(moved_to(windows, day)) for day in (newest - 1, newest)
            )
            assert (inside and np.datetime64(inside.card.trained_to)) == before
            assert np.datetime64(of_span.card.trained_to) == newest
            medians = member_quantiles(of_span, windows, np.arange(290, 300))[0][..., MEDIAN]
            assert np.abs(medians).mean() < 2.0


@pytest.fixture
def checkpoint():
    return scratch_fit()


def test_a_packed_checkpoint_is_unpacked_equal_to_the_bit(checkpoint):
    text, tensors = pack(checkpoint)
    loaded = unpack(text, tensors, sha256_of(text.encode()), place="here")
    assert loaded.card == checkpoint.card
    assert same_weights(loaded, checkpoint)


def test_an_altered_or_missing_part_is_refused(checkpoint, tmp_path):
    text, tensors = pack(checkpoint)
    other = tensors[:-1] + bytes([tensors[-1] ^ 1])
    for parts in ((text, other), (text.replace("volume", "range"), tensors)):
        with pytest.raises(ArtifactError, match=r"in here; .* has changed"):
            unpack(*parts, sha256_of(text.encode()), place="here")
    with pytest.raises(ArtifactError, match=r"model\.json; found No such file"):
        load(tmp_path, "0" * 64)


@pytest.mark.parametrize("version", ["format", "architecture"])
def test_another_version_is_refused_even_when_its_hash_is_right(checkpoint, version):
    text, tensors = pack(checkpoint)
    text = json.dumps(json.loads(text) | {version: 99})
    with pytest.raises(ArtifactError, match=r"found .*99.* written by other code"):
        unpack(text, tensors, sha256_of(text.encode()), place="here")


def test_a_card_has_events_if_its_fit_had_and_a_warm_fit_keeps_that(checkpoint):
    without = without_events(some_windows())
    assert (some_windows().has_events, without.has_events) == (True, False)
    plain = fit_scratch(without, pretrained=None)
    assert (checkpoint.card.has_events, plain.card.has_events) == (True, False)
    assert not fit_warm(some_windows(), plain).card.has_events
