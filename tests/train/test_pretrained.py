from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from forecasting.preprocess.windows import Windows
from forecasting.train.checkpoint import Checkpoint, save
from forecasting.train.fit import PRETRAINED, fit, fit_scratch
from forecasting.train.gate import examine
from forecasting.train.linear import Rows, linear_quantiles
from forecasting.train.prepare import scaled_quantiles
from forecasting.train.pretrained import CONTINUED, OwnWeights, pretrain, pretrained_for, shipped_weights
from forecasting.vocabulary import HORIZONS, MEDIAN, Target
from tests.train.windows import SETTINGS, scratch_fit, some_windows

TARGETS: tuple[Target, ...] = ("volume", "range", "close")


@pytest.fixture(scope="module")
def pretrained() -> Checkpoint:
    return pretrain([some_windows(seed=seed) for seed in (11, 12)], settings=SETTINGS)


def test_pretraining_is_repeatable_to_the_bit_and_its_card_names_the_training_rows(pretrained):
    again = pretrain([some_windows(seed=seed) for seed in (11, 12)], settings=SETTINGS)
    assert all(torch.equal(weight, again.weights[name]) for name, weight in pretrained.weights.items())
    found = (pretrained.card.method, pretrained.card.rows, pretrained.card.trained_to)
    assert found == ("base", 2 * 299, str(some_windows(seed=11).origins[-1]))


def test_pretraining_that_continues_other_weights_stays_near_them_and_names_them(pretrained):
    start = replace(pretrained, card=replace(pretrained.card, base="two toys"))
    three = SETTINGS.model_copy(update={"members": 3})
    found = pretrain([some_windows(seed=13)], settings=three, hyperparameters=CONTINUED, start=start)
    begun = ("0", "1", "0")  # two members, in turn
    apart = [
        float((found.weights[f"{member}.{name}"] - start.weights[f"{begun[member]}.{name}"]).abs().max())
        for member in range(3)
        for name in ("from_state.weight", "linear_flags")
    ]
    assert 0.0 < max(apart) < 0.05
    assert (found.card.base, found.card.method, found.card.members) == ("two toys", "base", 3)


def test_a_fit_from_pretrained_weights_has_its_own_scaler_and_stays_near_them(pretrained, monkeypatch):
    windows = some_windows()
    # Weights trained on two toy symbols would lose to the linear model.
    monkeypatch.setattr("forecasting.train.fit.MAX_LOSS_RATIO", np.inf)
    named = replace(pretrained, card=replace(pretrained.card, base="two toys"))
    fitted = fit(windows, mode="scratch", parent=None, settings=SETTINGS, pretrained=named)
    random = scratch_fit()
    assert (fitted.card.past_mean, fitted.card.effect) == (random.card.past_mean, random.card.effect)
    moved = max(float((fitted.weights[name] - weight).abs().max()) for name, weight in pretrained.weights.items())
    assert 0.0 < moved < 0.05
    assert (fitted.card.epochs, fitted.card.base) == (PRETRAINED.epochs, "two toys")


def test_a_fit_starts_from_random_weights_if_the_pretrained_ones_are_clearly_worse_on_the_validation_rows(pretrained):
    worse = replace(pretrained, weights={name: weight + 1.0 for name, weight in pretrained.weights.items()})
    fitted = fit(some_windows(), mode="scratch", parent=None, settings=SETTINGS, pretrained=worse)
    random = scratch_fit()
    assert all(torch.equal(weight, random.weights[name]) for name, weight in fitted.weights.items())
    assert (fitted.card.base, fitted.card.epochs) == ("", random.card.epochs)


def test_the_linear_model_that_pretrained_weights_are_compared_with_is_not_fitted_on_validation_rows(
    pretrained, monkeypatch
):
    calls: list[tuple[Windows, Rows]] = []

    def recorded(windows, rows):
        calls.append((windows, rows))
        return linear_quantiles(windows, rows)

    monkeypatch.setattr("forecasting.train.fit.linear_quantiles", recorded)
    fit(some_windows(), mode="scratch", parent=None, settings=SETTINGS, pretrained=pretrained)
    [(windows, rows)] = calls
    fitted = np.flatnonzero(np.isfinite(windows.scaled).any(axis=1))
    assert fitted[-1] + len(HORIZONS) <= rows[0]
    assert rows[-1] == len(windows) - 2  # the newest row has no target yet


def test_weights_pretrained_without_events_ignore_them():
    plain = [replace(some_windows(seed=seed), flags=np.zeros_like(some_windows().flags)) for seed in (11, 12)]
    pretrained = pretrain(plain, settings=SETTINGS)
    assert not pretrained.weights["0.from_flags.weight"][:, -10:].any()
    assert not pretrained.weights["1.from_past.weight"][:, -10:].any()


@pytest.mark.parametrize("target", TARGETS)
def test_shipped_weights_run_and_are_used_for_no_origin_inside_their_span(target):
    for earnings, market in product([True, False], repeat=2):
        windows = some_windows(target, market=market)
        windows = windows if earnings else without_events(windows)
        kind = {"target": target, "earnings": earnings, "market": market}
        entries = [entry for entry in shipped_weights() if entry.items() >= kind.items()]
        before: str | None = None
        for entry in sorted(entries, key=lambda entry: str(entry["trained_to"])):
            newest = date.fromisoformat(str(entry["trained_to"]))
            inside, shipped = (pretrained_for(moved_to(windows, newest - timedelta(days))) for days in (1, 0))
            assert (inside and inside.card.base) == before
            assert (shipped.card.base, shipped.trained_to) == (entry["folder"], newest)
            quantiles = scaled_quantiles(shipped, windows, np.arange(250, 300))
            assert np.abs(quantiles[..., MEDIAN]).mean() < 2.0
            before = shipped.card.base


def moved_to(windows: Windows, newest: date) -> Windows:
    """The windows moved in time, so that the newest session with a known value is `newest`."""
    return replace(windows, sessions=windows.sessions + (np.datetime64(newest) - windows.sessions[-6]))


def without_events(windows: Windows) -> Windows:
    flags, known = windows.flags.copy(), windows.future_flags.copy()
    flags[:, -10:], known[..., -10:] = 0.0, 0.0
    return replace(windows, flags=flags, future_flags=known)


def own_weights(folder: Path, trained: Checkpoint, *, name: str, trained_to: date) -> OwnWeights:
    """Weights as a user's, under a name; the folder's files are those of `trained`."""
    return OwnWeights(name, trained_to, folder / name, save(trained, folder / name))


@pytest.fixture
def newest_shipped() -> date:
    return max(date.fromisoformat(str(entry["trained_to"])) for entry in shipped_weights())


@pytest.mark.parametrize(
    ("newest", "kind", "trained", "used"),
    [  # days after the newest session of the newest shipped weights
        (-1, "-earnings", 0, False),
        (0, "-earnings", 0, False),
        (1, "-earnings", 0, True),  # as old as the shipped ones
        (0, "-earnings", -1, False),  # older
        (900, "-earnings", 365, True),
        (900, "", 365, False),  # of another kind
        (900, "-earnings-market", 365, False),
    ],
)
def test_own_weights_are_used_where_they_are_as_new_as_shipped_ones_for_later_origins_of_their_kind(
    newest, kind, trained, used, pretrained, newest_shipped, tmp_path
):
    trained_to = newest_shipped + timedelta(days=trained)
    name = f"volume-{trained_to}{kind}-3f9c2a"
    own = own_weights(tmp_path, pretrained, name=name, trained_to=trained_to)
    found = pretrained_for(moved_to(some_windows(), newest_shipped + timedelta(days=newest)), [own])
    assert found is not None
    assert (found.card.base == name) == used
    assert used or newest < 0 or found.card.base == f"volume-{newest_shipped}-earnings"


def test_of_own_weights_as_new_as_each_other_the_first_that_can_be_read_is_used(pretrained, tmp_path, caplog):
    windows = moved_to(some_windows(), date(2030, 1, 2))
    names = [f"volume-2029-01-02-earnings-{version}" for version in ("aaaaaa", "bbbbbb", "cccccc")]
    own = [own_weights(tmp_path, pretrained, name=name, trained_to=date(2029, 1, 2)) for name in names]
    (tmp_path / names[0] / "weights.safetensors").write_bytes(b"damaged")
    found = pretrained_for(windows, own)
    assert found is not None
    assert found.card.base == names[1]
    assert f"own pretrained weights {names[0]} are left out" in caplog.text


def test_a_fit_from_own_weights_names_them_and_the_gate_measures_from_them(pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr("forecasting.train.fit.MAX_LOSS_RATIO", np.inf)
    windows = moved_to(some_windows(), date(2030, 1, 2))
    name = "volume-2029-01-02-earnings-3f9c2a"
    own = [own_weights(tmp_path, pretrained, name=name, trained_to=date(2029, 1, 2))]
    fitted = fit_scratch(windows, settings=SETTINGS, own=own)
    assert fitted.card.base == name
    weight = fitted.weights["0.from_state.weight"]
    moved = replace(fitted, weights=fitted.weights | {"0.from_state.weight": weight + 0.2})
    assert "from where the fit started" in examine(moved, windows, settings=SETTINGS, champion=None, own=own).refused
    assert "from where" not in examine(moved, windows, settings=SETTINGS, champion=None).refused  # its start is unknown
