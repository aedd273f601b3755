import json
from dataclasses import replace

import numpy as np
import pytest

from forecasting.losses import pinball
from forecasting.train.fit import fit_warm
from forecasting.train.gate import SESSIONS, examine
from forecasting.train.linear import linear_forecast
from forecasting.vocabulary import HORIZONS
from tests.train.windows import scratch_fit, some_windows


@pytest.fixture(scope="module")
def scratch():
    return scratch_fit()


@pytest.fixture(scope="module")
def warm():
    return fit_warm(some_windows(), scratch_fit())


def verdict(fitted, before):
    return examine(fitted, some_windows(), before=before)


def changed(fitted, name, by):
    weights = {key: value.clone() for key, value in fitted.weights.items()}
    weights[name] += by
    return replace(fitted, weights=weights)


def test_sound_fits_pass_and_the_verdict_holds_what_was_compared(scratch, warm):
    origins = some_windows().origins
    last = len(origins) - 1 - len(HORIZONS)
    closed = origins[[last - SESSIONS + 1, last]].astype(str)
    for fitted, before, rival in ((scratch, None, "linear"), (warm, scratch, "before")):
        found = verdict(fitted, before)
        assert found.refused == ""
        stored = json.loads(found.compared)
        assert [stored[name] for name in ("origins", "first", "last")] == [SESSIONS, *closed]
        assert stored["fit"] > 0.0
        assert stored[rival] > 0.0


def test_the_linear_models_loss_is_that_of_its_forecasts_with_every_effect(scratch):
    windows = some_windows()
    last = len(windows) - len(HORIZONS)
    rows = np.arange(last - SESSIONS, last)
    actual = np.exp(windows.scaled[rows] + windows.level[rows][:, None])
    theirs = pinball(actual, linear_forecast(windows, rows).quantiles).mean()
    assert json.loads(verdict(scratch, None).compared)["linear"] == pytest.approx(theirs, rel=1e-9)


def test_a_fit_that_is_not_finite_is_refused(scratch, warm):
    found = verdict(changed(warm, "1.shape_bias", float("nan")), scratch)
    assert found.refused == "a quantile of a member is not finite"
    assert json.loads(found.compared)["fit"] is None


def test_a_fit_that_loses_more_than_what_it_is_compared_with_is_refused(scratch, warm):
    def worse(fitted):
        return changed(changed(fitted, "0.shape_bias", 3.0), "1.shape_bias", 3.0)

    assert "the fit before" in verdict(worse(warm), scratch).refused
    assert "the linear model" in verdict(worse(scratch), None).refused
    assert verdict(scratch, worse(scratch)).refused == ""
