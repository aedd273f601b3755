from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
import torch

from forecasting.errors import ArtifactError
from forecasting.preprocess.windows import Windows
from forecasting.train.calendar_effects import Rows
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import BASE_EPOCHS, fit, scaled_quantiles
from forecasting.train.linear_model import linear_quantiles
from forecasting.train.pretrained import pretrain, pretrained_for, shipped_weights
from forecasting.vocabulary import HORIZONS, MEDIAN, Target
from tests.train.windows import SETTINGS, some_windows

TARGETS: tuple[Target, ...] = ("volume", "range", "close")


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return pretrain([some_windows(seed=seed) for seed in (11, 12)], settings=SETTINGS)


def test_a_base_is_repeatable_to_the_bit_and_says_what_it_learned_from(base):
    again = pretrain([some_windows(seed=seed) for seed in (11, 12)], settings=SETTINGS)
    assert all(torch.equal(weight, again.weights[name]) for name, weight in base.weights.items())
    windows = some_windows(seed=11)
    assert (base.card.method, base.card.rows, base.card.trained_to) == ("base", 2 * 299, str(windows.origins[-1]))


def test_a_fit_from_a_base_has_its_own_scaler_and_stays_near_the_bases_weights(base, monkeypatch):
    windows = some_windows()
    monkeypatch.setattr(
        "forecasting.train.fit.MAX_LOSS_RATIO", np.inf
    )  # two toy symbols teach little: judged, it is left
    named = replace(base, card=replace(base.card, base="two toys"))
    fitted = fit(windows, mode="scratch", parent=None, settings=SETTINGS, base=named)
    drawn = fit(windows, mode="scratch", parent=None, settings=SETTINGS)
    assert (fitted.card.past_mean, fitted.card.effect) == (drawn.card.past_mean, drawn.card.effect)
    moved = max(float((fitted.weights[name] - weight).abs().max()) for name, weight in base.weights.items())
    assert 0.0 < moved < 0.05
    assert (fitted.card.epochs, fitted.card.base) == (BASE_EPOCHS, "two toys")


def test_a_base_that_is_clearly_worse_on_the_later_rows_is_left_for_drawn_weights(base):
    windows = some_windows()
    foreign = replace(base, weights={name: weight + 1.0 for name, weight in base.weights.items()})
    fitted = fit(windows, mode="scratch", parent=None, settings=SETTINGS, base=foreign)
    drawn = fit(windows, mode="scratch", parent=None, settings=SETTINGS)
    assert all(torch.equal(weight, drawn.weights[name]) for name, weight in fitted.weights.items())
    assert (fitted.card.base, fitted.card.epochs) == ("", drawn.card.epochs)


def test_the_partner_that_judges_a_base_has_learned_from_no_row_that_it_judges_on(base, monkeypatch):
    asked: list[tuple[Windows, Rows]] = []

    def partner(windows, rows):
        asked.append((windows, rows))
        return linear_quantiles(windows, rows)

    monkeypatch.setattr("forecasting.train.fit.linear_quantiles", partner)
    fit(some_windows(), mode="scratch", parent=None, settings=SETTINGS, base=base)
    [(windows, rows)] = asked
    learned = np.flatnonzero(np.isfinite(windows.scaled).any(axis=1))
    assert learned[-1] + len(HORIZONS) <= rows[0]
    assert rows[-1] == len(windows) - 2  # the newest row has no target yet


def test_fewer_members_than_the_base_has_are_its_first(base):
    one = SETTINGS.model_copy(update={"members": 1})
    fitted = fit(some_windows(), mode="scratch", parent=None, settings=one, base=base)
    assert {name.split(".")[0] for name in fitted.weights} == {"0"}


def test_members_beyond_the_bases_start_from_its_first_again_and_differ_by_their_draws(base, monkeypatch):
    monkeypatch.setattr("forecasting.train.fit.MAX_LOSS_RATIO", np.inf)
    three = SETTINGS.model_copy(update={"members": 3})
    fitted = fit(some_windows(), mode="scratch", parent=None, settings=three, base=base)
    own = [fitted.weights[f"{member}.from_state.weight"] for member in (0, 1, 2)]
    apart = [float((weight - base.weights["0.from_state.weight"]).abs().max()) for weight in own]
    assert max(apart[0], apart[2]) < 0.05 < apart[1]
    assert not torch.equal(own[0], own[2])


def test_a_base_of_another_target_is_refused(base):
    with pytest.raises(ArtifactError, match=r"A model of range .* found one of volume"):
        fit(some_windows("range"), mode="scratch", parent=None, settings=SETTINGS, base=base)


def test_a_base_without_events_says_nothing_of_them():
    plain = [replace(some_windows(seed=seed), flags=np.zeros_like(some_windows().flags)) for seed in (11, 12)]
    base = pretrain(plain, settings=SETTINGS)
    assert not base.weights["0.from_flags.weight"][:, -10:].any()
    assert not base.weights["1.from_past.weight"][:, -10:].any()


def test_a_symbol_whose_earnings_are_told_starts_from_a_base_that_knows_some_and_another_from_one_that_does_not():
    windows = later(some_windows(), date(2030, 1, 2))
    told, untold = pretrained_for(windows, SETTINGS), pretrained_for(without_events(windows), SETTINGS)
    assert told is not None
    assert untold is not None
    assert told.trained_to == untold.trained_to
    assert told.weights["0.from_flags.weight"][:, -10:].any()
    assert not untold.weights["0.from_flags.weight"][:, -10:].any()


@pytest.mark.parametrize("target", TARGETS)
def test_every_shipped_base_can_be_loaded_and_run(target):
    for one in (one for one in shipped_weights() if one["target"] == target):
        windows = some_windows(target) if one["earnings"] else without_events(some_windows(target))
        base = pretrained_for(later(windows, date.fromisoformat(str(one["trained_to"]))), SETTINGS)
        assert base is not None
        assert (base.card.base, base.card.trained_to) == (one["folder"], one["trained_to"])
        spoken = scaled_quantiles(base, windows, np.arange(250, 300))
        assert np.abs(spoken[..., MEDIAN]).mean() < 2.0


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("target", TARGETS)
def test_no_base_is_used_for_an_origin_inside_its_own_span(target, told):
    windows = some_windows(target) if told else without_events(some_windows(target))
    spans = sorted(
        date.fromisoformat(str(one["trained_to"]))
        for one in shipped_weights()
        if (one["target"], one["earnings"]) == (target, told)
    )
    for newest, expected in zip(spans, [None, *spans], strict=False):
        base = pretrained_for(later(windows, newest - timedelta(days=1)), SETTINGS)
        assert (None if base is None else base.trained_to) == expected


def later(windows: Windows, newest: date) -> Windows:
    """The windows moved in time, so that the newest session with a known value is `newest`."""
    return replace(windows, sessions=windows.sessions + (np.datetime64(newest) - windows.sessions[-6]))


def without_events(windows: Windows) -> Windows:
    flags, known = windows.flags.copy(), windows.future_flags.copy()
    flags[:, -10:], known[..., -10:] = 0.0, 0.0
    return replace(windows, flags=flags, future_flags=known)
