import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from forecasting.ingest.sources import Request
from forecasting.ingest.sources.files import Sample
from forecasting.preprocess.windows import from_model, make_windows
from forecasting.train.fit import fit_scratch, fit_warm
from forecasting.train.gate import (
    SESSIONS,
    examine,
    gate_rows,
    learned_nothing,
    mean_pinball,
    unlike,
    worse_than_linear,
)
from forecasting.train.pretrained import pretrained_for
from forecasting.vocabulary import HORIZONS
from tests.builders import no_events
from tests.train.windows import SETTINGS, scratch_fit, some_windows


@pytest.fixture(scope="module")
def scratch():
    return scratch_fit()


@pytest.fixture(scope="module")
def warm():
    return fit_warm(some_windows(), scratch_fit(), settings=SETTINGS)


def verdict(fitted, before, windows=None):
    return examine(fitted, windows or some_windows(), before=before)


def changed(fitted, name, by):
    weights = {key: value.clone() for key, value in fitted.weights.items()}
    weights[name] += by
    return replace(fitted, weights=weights)


def test_sound_fits_pass_and_the_verdict_holds_what_was_compared(scratch, warm):
    windows = some_windows()
    rows = gate_rows(windows)
    assert (len(rows), rows[-1]) == (SESSIONS + 1, len(windows) - 1)
    closed = windows.origins[[rows[0], -1 - len(HORIZONS)]].astype(str)
    for fitted, before in ((scratch, None), (warm, scratch)):
        found = verdict(fitted, before)
        assert found.refused == ""
        stored = json.loads(found.compared)
        assert [stored[name] for name in ("origins", "first", "last")] == [SESSIONS, *closed]
        assert (stored["before"] is None) == (before is None)
        assert stored["fit"] > 0.0


def test_a_fit_that_is_not_finite_is_refused(scratch, warm):
    found = verdict(changed(warm, "1.shape_bias", float("nan")), scratch)
    assert found.refused == "a quantile of a member is not finite"
    assert json.loads(found.compared)["fit"] is None


def test_shipped_weights_that_were_not_trained_on_the_symbol_are_refused(monkeypatch):
    monkeypatch.setattr("forecasting.train.fit.MAX_LOSS_RATIO", np.inf)
    windows = some_windows()
    shipped = pretrained_for(windows)
    fitted = fit_scratch(windows, settings=SETTINGS, pretrained=shipped)
    assert verdict(fitted, None).refused == ""
    assert "no clear gain" in verdict(replace(fitted, weights=shipped.weights), None).refused
    other = fit_scratch(some_windows(seed=8), settings=SETTINGS, pretrained=shipped)
    assert learned_nothing(replace(fitted, weights=other.weights), windows) != ""


def quantiles(medians, width=1.0):
    """(n, H, Q) evenly spaced quantiles whose 80% interval has this width, around medians (n, H)."""
    return medians[..., None] + width * np.linspace(-0.75, 0.75, 7)


LEVEL = np.full((SESSIONS + 1, len(HORIZONS)), 0.5)
TONIGHT = np.zeros_like(LEVEL)
TONIGHT[-1, 2] = 0.25
CLOSED = np.zeros_like(LEVEL)
CLOSED[-2] = SESSIONS**0.5  # of root mean square 1


@pytest.mark.parametrize(
    ("members", "widths", "words"),
    [
        ([LEVEL + 0.14 * CLOSED], (1.0, 1.0), ""),
        ([LEVEL + 0.16 * CLOSED], (1.0, 1.0), "its medians differ by 0.16"),
        ([LEVEL + 0.31 * CLOSED, LEVEL - 0.31 * CLOSED], (1.0, 1.0), "a member's by 0.31"),
        ([LEVEL + TONIGHT], (1.0, 1.0), ""),
        ([LEVEL + 1.04 * TONIGHT], (1.0, 1.0), "tonight's by 0.26"),
        ([LEVEL], (1 / 1.31, 1.0), "its intervals are 1.31 times as wide"),
        ([LEVEL + 1.0], (1.0, 0.0), ""),  # where nothing ever moves nothing is compared
    ],
)
def test_quantiles_that_differ_from_those_before_are_unlike_them(members, widths, words):
    own, theirs = widths
    found = unlike(np.stack([quantiles(one, own) for one in members]), quantiles(LEVEL, theirs))
    assert (words in found, bool(found)) == (True, bool(words))


def test_a_fit_from_random_weights_that_is_unlike_the_one_before_passes_if_it_is_better(scratch):
    worse = changed(changed(scratch, "0.shape_bias", 3.0), "1.shape_bias", 3.0)
    assert "and worse: pinball" in verdict(worse, scratch).refused
    assert verdict(scratch, worse).refused == ""


@pytest.mark.parametrize(
    ("rows", "by", "refused"),
    [(300, 0.0, False), (300, 3.0, True), (2000, 0.0, False), (2001, 0.0, True)],
)
def test_a_first_fit_that_is_worse_than_the_linear_model_is_refused(scratch, rows, by, refused):
    """Of 2,000 rows, the newest without a target, by less than of fewer: its members have 300."""
    fitted = changed(changed(scratch, "0.shape_bias", by), "1.shape_bias", by)
    found = worse_than_linear(fitted, some_windows(rows=rows))
    assert ("the linear model" in found) == refused


def test_a_first_fit_of_an_index_with_a_short_history_passes():
    """Its shipped weights are of stocks.

    Unlike the linear model, and for `fit` to take or leave.
    """
    last = date(2018, 12, 31)
    bars = Sample().fetch(Request("sample", "^GSPC", date(2014, 1, 2), last)).bars
    settings = SETTINGS.model_copy(update={"train_sessions": 320})
    short = make_windows(bars, no_events(), origin=last, settings=settings)
    fitted = fit_scratch(short, settings=SETTINGS, pretrained=pretrained_for(short))
    assert fitted.card.base == "volume-2018-12-31"
    assert verdict(fitted, None, short).refused == ""


def test_the_loss_is_in_the_targets_own_unit():
    windows = some_windows()
    rows = gate_rows(windows)[:-1]
    exact = np.repeat(windows.scaled[rows][..., None], 7, axis=-1)
    level = windows.level[rows]
    assert mean_pinball(exact, windows, rows) == pytest.approx(0.0, abs=1e-6)
    # The levels average to a half
    too_high = 0.5 * (from_model(exact + 0.1, level) - from_model(exact, level)).mean()
    assert mean_pinball(exact + 0.1, windows, rows) == pytest.approx(float(too_high), rel=1e-6)
