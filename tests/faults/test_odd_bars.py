"""Bars that no liquid share has.

A night ends with a finite forecast, and a fit that fails with a baseline.
"""

import re
from datetime import date

import numpy as np
import pandas as pd
import pytest
import torch

from flows import nightly
from forecasting.sessions import between
from forecasting.train import fit, loop
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.builders import LAST, random_bars
from tests.nights import ledger_in, rows, select

pytestmark = pytest.mark.slow

PRICES = ["open", "high", "low", "close"]


def closes_only(bars):
    """Open = high = low = close on every session, as in series that have closes only."""
    for name in PRICES:
        bars[name] = bars["close"]


def fraction_of_a_cent(bars):
    """A price about 0.0015 in steps of 0.0001, so that on half of the sessions it does not move."""
    bars[PRICES] = (bars[PRICES] * (0.0015 / bars["close"].iloc[-1])).round(4).clip(lower=1e-4)
    bars.iloc[-1, [bars.columns.get_loc(name) for name in PRICES]] = 0.0015


def standstill(bars):
    """30 sessions without any movement."""
    bars.loc[bars.index[-30:], PRICES] = bars["close"].iloc[-31]


def equal_closes(bars):
    """30 equal closes on usual ranges."""
    at = bars.index[-30:]
    close = bars["close"].iloc[-31]
    bars.loc[at, ["open", "close"]] = close
    bars.loc[at, "high"] = 1.01 * close
    bars.loc[at, "low"] = 0.99 * close


def nothing_moves(bars):
    """One price and one volume since ever."""
    bars[PRICES] = 10.0
    bars["volume"] = 1000.0


def halted(bars):
    """A standstill without volume, up to the session before the newest."""
    standstill(bars)
    bars.loc[bars.index[-30:-1], "volume"] = 0.0


CHANGES = (closes_only, fraction_of_a_cent, standstill, equal_closes, nothing_moves, halted)


@pytest.mark.parametrize("target", ["volume", "range"])
def test_odd_bars_are_forecast_in_finite_ascending_numbers(target, tmp_path, migrated_sqlite_file):
    names = [f"ODD{at}" for at in range(len(CHANGES))]
    parts = []
    for seed, change in enumerate(CHANGES):
        bars = random_bars(days=650, seed=seed, last=LAST)
        change(bars)
        parts.append(bars.assign(symbol=names[seed]))
    pd.concat(parts).to_parquet(tmp_path / "bars.parquet")
    source = f"parquet:{tmp_path / 'bars.parquet'}"
    with ledger_in(
        tmp_path, migrated_sqlite_file, TARGETS=target, SOURCE=source, SYMBOLS=",".join(names)
    ):
        nightly.nightly(first=LAST, last=LAST)
        assert [row["status"] for row in rows("runs")] == ["done"] * len(names)
        published = pd.DataFrame(rows("latest_forecasts"))
    quantiles = published[list(QUANTILE_COLUMNS)].to_numpy()
    assert quantiles.shape == (5 * len(names), 7)
    assert np.isfinite(quantiles).all()
    assert (quantiles > 0.0).all()
    assert (np.diff(quantiles) >= 0.0).all()
    assert ((published["reason"] != "") == (published["status"] == "fallback")).all()


def damage_weights(network, *args, **named):
    with torch.no_grad():
        next(iter(network.parameters())).fill_(np.nan)


def fail(*args, **named):
    raise np.linalg.LinAlgError("Singular matrix")


@pytest.mark.usefixtures("night_folder", "plain_flows")
@pytest.mark.parametrize(
    ("module", "name", "fault", "words"),
    [
        (loop, "train", damage_weights, "Expected finite weights"),
        (fit, "prepare", fail, "Singular matrix"),
    ],
)
def test_a_fit_that_the_numbers_do_not_allow_leaves_a_baseline_or_the_fit_before_to_be_published(
    module, name, fault, words, monkeypatch
):
    for session, broken in zip(between(date(2024, 3, 6), LAST), (True, False, True), strict=True):
        with monkeypatch.context() as patch:
            if broken:
                patch.setattr(module, name, fault)
            nightly.nightly(first=session, last=session)
    first, second, third = select("status, note", "runs ORDER BY as_of")
    assert second == ("done", "")
    for status, note in (first, third):
        assert (status, bool(re.search(f"No model was fitted.*{words}", note))) == ("done", True)
    of_published = "forecasts WHERE role = 'published' AND horizon = 1 ORDER BY origin_session"
    (fell, reason), *others = select("status, reason", of_published)
    assert (fell, others) == ("fallback", [("ok", "")] * 2)
    assert re.match(f"there is no fitted network yet: no model was fitted: .*{words}", reason)
    assert len(rows("models", name="lstm")) == 1
