from datetime import date
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from forecasting.evaluate.decisions import (
    MAX_CHAIN_EPOCHS,
    ChainFacts,
    best_baseline,
    changed_inputs,
    choose_mode,
    decide,
    deficit_of,
    fallback_baseline,
    newest_origins,
)
from forecasting.evaluate.significance import diebold_mariano
from forecasting.predict.fallback import MIN_ORIGINS, WINDOW_ORIGINS
from forecasting.vocabulary import HORIZONS

GONE = {"changed": "the market has vanished"}
LONG = {"chain_epochs": MAX_CHAIN_EPOCHS}


@pytest.mark.parametrize(
    ("requested", "champion", "method", "kind", "reason"),
    [
        ("skip", {}, "skip", "asked", "no fit"),
        ("skip", None, "skip", "asked", "no fit"),
        ("auto", None, "scratch", "first", "no champion"),
        ("warm", None, "scratch", "first", "no champion"),
        ("auto", {"damage": "the file is gone"}, "scratch", "unreadable", "the file is gone"),
        ("scratch", {}, "scratch", "asked", "asked for"),
        ("warm", {"sessions_since_scratch": 99}, "warm", "asked", "asked for"),
        ("warm", GONE, "warm", "asked", "asked for"),
        ("auto", GONE, "scratch", "changed", "market has vanished"),
        ("auto", {"drift": "coverage is low"}, "scratch", "drift", "coverage is low"),
        ("auto", {"sessions_since_scratch": 21}, "scratch", "age", "21 sessions"),
        ("auto", LONG, "scratch", "epochs", f"{MAX_CHAIN_EPOCHS} epochs"),
        ("auto", {"sessions_since_scratch": 20}, "warm", "routine", "20 sessions"),
        ("auto", {"sessions_since_scratch": 1}, "warm", "routine", "1 session since"),
    ],
)
def test_each_fact_leads_to_its_method_with_the_reason(requested, champion, method, kind, reason):
    usual = {"sessions_since_scratch": 12, "chain_epochs": MAX_CHAIN_EPOCHS - 1}
    facts = None if champion is None else ChainFacts(**usual | champion)
    choice = choose_mode(requested, facts, scratch_every=21)
    assert (choice.method, choice.kind) == (method, kind)
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("had", "has", "found"),
    [
        ((True, False), (True, False), ""),
        ((False, True), (True, True), "earnings dates have arrived since"),
        ((True, True), (False, False), "earnings dates have vanished since"),
        ((True, False), (True, True), "the market series has arrived since"),
        ((False, True), (False, False), "the market series has vanished since"),
    ],
)
def test_inputs_that_arrived_or_vanished_since_the_chain_began_are_named(had, has, found):
    card, windows = (
        SimpleNamespace(has_events=events, has_market=market) for events, market in (had, has)
    )
    text = changed_inputs(card, windows)
    assert (found in text, bool(found)) == (True, bool(text))


@pytest.mark.parametrize(
    ("changed", "takes_over", "reason"),
    [
        ({}, True, "A refresh of the champion that passed the gate takes over."),
        ({"method": "scratch"}, True, "A fit from scratch that passed the gate takes over."),
        ({"has_champion": False}, True, "There was no champion; this fit passed the gate."),
        (
            {"refused": "a weight is nan"},
            False,
            "The champion stays; the gate refused the fit: a weight is nan.",
        ),
        (
            {"has_champion": False, "refused": "a weight is too far"},
            False,
            "There is still no champion; the gate refused the fit: a weight is too far.",
        ),
    ],
)
def test_a_fit_takes_over_when_it_passed_the_gate(changed, takes_over, reason):
    facts = {"has_champion": True, "method": "warm", "refused": ""} | changed
    assert decide(**facts) == (takes_over, reason)


def test_all_rows_of_the_newest_origins_are_kept_in_their_order():
    rows = pd.DataFrame({"origin_session": [date(2024, 3, day) for day in (7, 5, 4, 6, 7)]})
    for count, kept in {1: [0, 4], 3: [0, 1, 3, 4], 4: [0, 1, 2, 3, 4], 9: [0, 1, 2, 3, 4]}.items():
        assert newest_origins(rows, count).index.tolist() == kept


def losses(means, origins, seed=0):
    """Losses of each forecaster around its mean at every origin and horizon, by a seed."""
    rng = np.random.default_rng(seed)
    each = product(pd.bdate_range("2023-01-02", periods=origins), HORIZONS, means.items())
    rows = [
        (session, horizon, name, mean + rng.normal(0, 0.02))
        for session, horizon, (name, mean) in each
    ]
    return pd.DataFrame(rows, columns=["origin_session", "horizon", "forecaster", "pinball"])


def test_the_network_is_compared_with_the_baseline_of_least_loss_over_the_newest_origins():
    table = losses({"champion": 1.1, "har": 1.0, "ridge": 1.05}, origins=WINDOW_ORIGINS + 30)
    newest = table[table["origin_session"] >= table["origin_session"].unique()[-WINDOW_ORIGINS]]
    by_origin = newest.groupby(["forecaster", "origin_session"])["pinball"].mean()
    deficit = deficit_of(table)
    assert deficit is not None
    assert (deficit.baseline, deficit.origins) == ("har", WINDOW_ORIGINS)
    assert deficit.network_pinball == pytest.approx(by_origin["champion"].mean())
    assert deficit.baseline_pinball == pytest.approx(by_origin["har"].mean())
    statistic, _ = diebold_mariano(
        by_origin["champion"].to_numpy(), by_origin["har"].to_numpy(), horizon=HORIZONS[-1]
    )
    assert deficit.statistic == pytest.approx(statistic)
    assert deficit.statistic > 0


def test_an_origin_counts_once_every_horizon_is_scored_for_all():
    table = losses({"champion": 1.0, "har": 1.0}, origins=MIN_ORIGINS)
    newest = table["origin_session"] == table["origin_session"].max()
    assert deficit_of(table) is not None
    assert (
        deficit_of(table[~(newest & (table["horizon"] == 5) & (table["forecaster"] == "har"))])
        is None
    )


def test_without_the_network_or_a_baseline_there_is_nothing_to_compare_and_the_best_baseline_needs_few_origins():
    assert deficit_of(losses({"har": 1.0, "ridge": 0.9}, origins=100)) is None
    assert deficit_of(losses({"champion": 1.0}, origins=100)) is None
    assert best_baseline(losses({"har": 1.0, "ridge": 0.9}, origins=3)) == "ridge"
    assert best_baseline(losses({"champion": 0.1}, origins=3)) == ""
    assert best_baseline(losses({"champion": 0.1}, origins=3).head(0)) == ""


def test_two_losses_of_one_forecaster_for_one_forecast_are_refused():
    table = losses({"champion": 1.0, "har": 1.0}, origins=70)
    with pytest.raises(ValueError, match="duplicate"):
        deficit_of(pd.concat([table, table.head(1)]))


def test_the_baseline_to_publish_is_the_best_that_has_a_forecast_tonight():
    table = losses({"champion": 1.0, "last_value": 0.8, "har": 0.9, "ridge": 1.1}, origins=70)
    deficit = deficit_of(table)
    assert fallback_baseline(table, deficit, ["last_value", "har", "ridge"]) == "last_value"
    assert fallback_baseline(table, None, ["last_value", "har", "ridge"]) == "last_value"
    assert fallback_baseline(table, deficit, ["har", "ridge"]) == "ridge"
    assert fallback_baseline(table.head(0), None, ["last_value", "har", "ridge"]) == "ridge"
