import json
import os
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from base_weights import pretrain

from forecasting.errors import ArtifactError
from forecasting.train import trees
from forecasting.train.checkpoint import load, save
from forecasting.train.fit import PRETRAINED, fit_scratch, fit_warm
from forecasting.train.linear import linear_quantiles
from forecasting.train.prepare import member_quantiles
from forecasting.train.pretrained import TREES, WEIGHTS, newest_shipped, pretrained_for, shipped
from forecasting.train.trees import Trees, tree_inputs, tree_medians
from forecasting.vocabulary import HORIZONS, MEDIAN, Target
from tests.nights import killed
from tests.train.windows import (
    SETTINGS,
    most_moved,
    same_weights,
    scratch_fit,
    some_windows,
    with_other_sessions_after,
    without_events,
)

TARGETS: tuple[Target, ...] = ("volume", "range", "close")


@pytest.fixture(scope="module")
def pretrained():
    return pretrain([some_windows(seed=seed) for seed in (11, 12)], settings=SETTINGS)


def test_pretraining_is_repeatable_to_the_bit_and_its_card_names_the_training_rows(pretrained):
    again = pretrain([some_windows(seed=seed) for seed in (11, 12)], settings=SETTINGS)
    assert same_weights(pretrained, again)
    found = (pretrained.card.method, pretrained.card.rows, pretrained.card.trained_to)
    assert found == ("base", 2 * 299, some_windows(seed=11).origins[-1].item())


def test_a_fit_from_pretrained_weights_has_its_own_scaler_and_stays_near_them(
    pretrained, monkeypatch
):
    windows = some_windows()
    # Weights trained on two toy symbols would lose to the linear model.
    monkeypatch.setattr("forecasting.train.fit.MAX_LOSS_RATIO", np.inf)
    named = replace(pretrained, card=replace(pretrained.card, base="two toys"))
    fitted = fit_scratch(windows, settings=SETTINGS, pretrained=named)
    random = scratch_fit()
    assert (fitted.card.past_mean, fitted.card.effect) == (
        random.card.past_mean,
        random.card.effect,
    )
    assert 0.0 < most_moved(pretrained, fitted) < 0.05
    assert (fitted.card.epochs, fitted.card.base) == (PRETRAINED.epochs, "two toys")


def test_a_fit_starts_from_random_weights_if_the_pretrained_ones_are_clearly_worse_on_the_validation_rows(
    pretrained,
):
    worse = replace(
        pretrained, weights={name: weight + 1.0 for name, weight in pretrained.weights.items()}
    )
    fitted = fit_scratch(some_windows(), settings=SETTINGS, pretrained=worse)
    random = scratch_fit()
    assert same_weights(fitted, random)
    assert (fitted.card.base, fitted.card.epochs) == ("", random.card.epochs)


def test_the_linear_model_that_pretrained_weights_are_compared_with_is_not_fitted_on_validation_rows(
    pretrained, monkeypatch
):
    calls = []

    def recorded(windows, rows, adjusted):
        calls.append((windows, rows))
        return linear_quantiles(windows, rows, adjusted)

    monkeypatch.setattr("forecasting.train.fit.linear_quantiles", recorded)
    fit_scratch(some_windows(), settings=SETTINGS, pretrained=pretrained)
    [(windows, rows)] = calls
    fitted = np.flatnonzero(np.isfinite(windows.scaled).any(axis=1))
    assert fitted[-1] + len(HORIZONS) <= rows[0]
    assert rows[-1] == len(windows) - 2  # the newest row has no target yet


def test_weights_pretrained_without_events_ignore_them():
    pretrained = pretrain(
        [without_events(some_windows(seed=seed)) for seed in (11, 12)], settings=SETTINGS
    )
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
            medians = member_quantiles(of_span, windows, np.arange(250, 300))[0][..., MEDIAN]
            assert np.abs(medians).mean() < 2.0


def moved_to(windows, newest):
    """The windows moved in time, so that the newest session with a known value is `newest`."""
    return replace(windows, sessions=windows.sessions + (newest - windows.sessions[-6]))


@pytest.fixture
def checkpoint():
    return scratch_fit()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "a"


@pytest.fixture
def hash_of(checkpoint, path):
    return save(checkpoint, path)


def test_a_saved_checkpoint_is_loaded_equal_to_the_bit_and_replaces_itself(
    checkpoint, path, hash_of
):
    assert save(checkpoint, path) == hash_of
    assert list(path.parent.iterdir()) == [path]
    loaded = load(path, hash_of)
    assert loaded.card == checkpoint.card
    assert same_weights(loaded, checkpoint)


@pytest.mark.parametrize("step", ["write_bytes", "rename"])
def test_a_kill_while_writing_leaves_the_old_folder_complete_and_no_new(
    checkpoint, path, hash_of, monkeypatch, step
):
    monkeypatch.setattr(Path, step, killed)
    for folder in (path, path.with_name("new")):
        with pytest.raises(KeyboardInterrupt):
            save(checkpoint, folder)
    assert load(path, hash_of).card == checkpoint.card
    assert not path.with_name("new").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_a_missing_or_altered_file_is_refused_by_its_name(path, hash_of, name):
    content = bytearray((path / name).read_bytes())
    content[-10] ^= 1
    (path / name).write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=f"{name}.* has changed"):
        load(path, hash_of)
    (path / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name}; found No such file"):
        load(path, hash_of)


@pytest.mark.parametrize("version", ["format", "architecture"])
def test_another_version_is_refused_even_when_its_hash_is_right(path, hash_of, version):
    model = path / "model.json"
    model.write_text(json.dumps(json.loads(model.read_text()) | {version: 99}))
    with pytest.raises(ArtifactError, match=r"found .*99.* written by other code"):
        load(path, sha256(model.read_bytes()).hexdigest())


def test_a_card_has_events_if_its_fit_had_and_a_warm_fit_keeps_that(checkpoint):
    without = without_events(some_windows())
    assert (some_windows().has_events, without.has_events) == (True, False)
    plain = fit_scratch(without, settings=SETTINGS, pretrained=None)
    assert (checkpoint.card.has_events, plain.card.has_events) == (True, False)
    assert not fit_warm(some_windows(), plain, settings=SETTINGS).card.has_events


@pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="needs a GPU: the checkpoint is written on it and loaded without it",
)
def test_a_checkpoint_fitted_on_a_gpu_forecasts_the_same_on_a_cpu(path, monkeypatch):
    fitted = fit_warm(some_windows(), scratch_fit(), settings=SETTINGS)
    saved = save(fitted, path)
    rows = np.arange(250, 300)
    on_gpu = member_quantiles(fitted, some_windows(), rows)[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = load(path, saved)
    assert {weight.device.type for weight in loaded.weights.values()} == {"cpu"}
    np.testing.assert_allclose(member_quantiles(loaded, some_windows(), rows)[0], on_gpu, atol=2e-3)


def test_a_folder_of_weights_has_the_permissions_of_the_umask(checkpoint, tmp_path):
    before = os.umask(0o002)
    try:
        save(checkpoint, saved := tmp_path / "models" / "shared")
    finally:
        os.umask(before)
    assert [f"{path.stat().st_mode & 0o777:o}" for path in (saved, *saved.iterdir())] == [
        "775",
        "664",
        "664",
    ]


def test_inputs_do_not_change_when_later_sessions_do():
    windows = some_windows(rows=500)
    row = 400
    rows = np.arange(row + 5)
    before = tree_inputs(windows, rows)
    after = tree_inputs(with_other_sessions_after(windows, row), rows)
    assert np.isfinite(before[250:]).all()
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert (before[row + 1 :] != after[row + 1 :]).any()


def test_the_lags_and_means_of_a_tree_are_those_of_a_loop_over_sessions():
    windows = some_windows(rows=500)
    volume, log_range, absolute, signed, gap = windows.steps.T

    def mean(values, end, sessions):
        return sum(values[end - sessions + 1 : end + 1]) / sessions

    def unusual(t):
        return abs(volume[t] - mean(volume, t - 1, 22))

    rows = np.array([270, 444])
    expected = []
    for t in windows.warm_up + rows:
        level, usual = mean(volume, t, 22), mean(log_range, t, 22)
        expected.append(
            [volume[t - k] - level for k in range(22)]
            + [mean(volume, t, sessions) - level for sessions in (5, 10, 44, 120, 253)]
            + [log_range[t] - usual, mean(log_range, t, 5) - usual]
            + [usual - mean(log_range, t, 120)]
            + [moved[t] / np.exp(usual) for moved in (absolute, signed, np.abs(gap))]
            + [sum(unusual(t - k) for k in range(66)) / 66]
        )
    found = tree_inputs(windows, rows)[..., : len(expected[0])]
    for horizon in range(found.shape[1]):
        np.testing.assert_allclose(found[:, horizon], expected, rtol=2e-6, atol=1e-6)


def test_inputs_of_windows_of_a_longer_history_are_the_same():
    longer, windows = some_windows(rows=900), some_windows(rows=650, before=250)
    np.testing.assert_array_equal(
        tree_inputs(longer, np.array([899]))[0], tree_inputs(windows, np.array([649]))[0]
    )


def test_the_size_of_reactions_is_the_mean_of_those_that_had_closed():
    """A naive twin: of each of the newest eight reports, log volume less the level two sessions
    before its reaction."""
    windows = some_windows(rows=900)
    row = 898
    session = windows.warm_up + row
    volume = windows.steps[:, 0]
    reacting = np.flatnonzero(windows.flags[:, windows.flag_names.index("earnings+0")])
    reports = [at for at in reacting if at + 5 <= session]
    sizes = [
        [volume[at + phase] - volume[at - 23 : at - 1].mean() for phase in range(-1, 6)]
        for at in reports[-8:]
    ]
    means, since = trees._reactions(windows, np.array([row]))
    np.testing.assert_allclose(means[0], np.mean(sizes, axis=0))
    assert since[0] == session - max(reacting[reacting <= session])


def test_a_tree_is_followed_to_the_leaf_of_its_inputs():
    stumps = Trees(
        feature=np.array([[0, -1, 1, -1, -1], [-1] * 5], dtype=np.int16),
        threshold=np.array([[0.5, 1.0, 2.0, 10.0, 100.0], [0.25] * 5], dtype=np.float32),
        left=np.array([[1, 0, 3, 0, 0], [0] * 5], dtype=np.int16),
        right=np.array([[2, 0, 4, 0, 0], [0] * 5], dtype=np.int16),
    )
    inputs = np.array([[0.5, 9.0], [0.6, 2.0], [0.6, 2.1]], dtype=np.float32)
    np.testing.assert_array_equal(stumps.forecast(inputs), [1.25, 10.25, 100.25])


def test_an_origin_has_the_newest_trees_whose_span_had_ended_and_none_before_every_span():
    days = [np.datetime64(str(entry["trained_to"])) for entry in shipped(TREES)]
    before_all, inside, after = (
        tree_medians(moved_to(some_windows(), day))
        for day in (min(days) - 1, max(days) - 1, max(days))
    )
    assert np.isnan(before_all).all() and np.isfinite(inside).all()
    assert (inside != after).any()


def test_without_earnings_dates_and_for_other_targets_there_are_no_trees():
    for windows in (without_events(some_windows()), some_windows("range")):
        assert np.isnan(tree_medians(windows)).all()


def test_altered_trees_are_refused(monkeypatch):
    def altered(*of):
        return newest_shipped(*of) | {"sha256": "0" * 64}

    monkeypatch.setattr(trees, "newest_shipped", altered)
    with pytest.raises(ArtifactError, match="has changed since"):
        tree_medians(some_windows())
