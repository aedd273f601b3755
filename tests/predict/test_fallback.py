from dataclasses import replace
from datetime import date
from itertools import product

import numpy as np
import pandas as pd
import pytest

from forecasting.evaluate.significance import diebold_mariano
from forecasting.predict.fallback import (
    MIN_ORIGINS,
    WINDOW_ORIGINS,
    Deficit,
    NetworkFacts,
    Published,
    best_baseline,
    choose_published,
    deficit_of,
    fallback_baseline,
)
from forecasting.vocabulary import HORIZONS

LEVEL = Deficit("ridge", 250, network_pinball=0.6, baseline_pinball=0.62, statistic=-1.5)
BEHIND = replace(LEVEL, network_pinball=0.682, statistic=3.4)
ELIGIBLE = NetworkFacts(model="3f9c", baseline="ridge", age_sessions=5, deficit=LEVEL)


def test_a_break_in_the_newest_bars_is_in_the_reason_whoever_is_published():
    broken = replace(ELIGIBLE, bars_break=(date(2024, 3, 1), "quiet_move"))
    for change, status in (({}, "ok"), ({"finite": False}, "fallback")):
        published = choose_published(replace(broken, **change))
        assert published.status == status
        assert "2024-03-01" in published.reason
        assert "quiet_move" in published.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": None}, "there is no fitted network yet"),
        (
            {"model": None, "no_fit": "a weight is too far."},
            "there is no fitted network yet: a weight is too far",
        ),
        ({"model": None, "young_sessions": 180}, "180 of 436 sessions of history"),
        (
            {"damage": "expected ab12, found cd34."},
            "model 3f9c cannot be used: expected ab12, found cd34",
        ),
        (
            {"age_sessions": 64},
            "model 3f9c was trained 64 sessions before the origin (limit 63)",
        ),
        ({"finite": False}, "model 3f9c made a forecast that is not finite"),
        (
            {"deficit": BEHIND},
            "the network is behind by 10.0%: mean pinball 0.682 against 0.62 of ridge over the "
            "last 250 scored origins, Diebold-Mariano +3.4",
        ),
        (
            {"deficit": replace(BEHIND, network_pinball=1500.0, baseline_pinball=1000.0)},
            "the network is behind by 50.0%: mean pinball 1,500 against 1,000 of ridge over the "
            "last 250 scored origins, Diebold-Mariano +3.4",
        ),
        (  # the first objection
            {
                "damage": "the file is missing",
                "age_sessions": 900,
                "finite": False,
                "deficit": BEHIND,
            },
            "model 3f9c cannot be used: the file is missing",
        ),
    ],
)
def test_the_first_objection_publishes_the_baseline_with_the_reason(change, reason):
    expected = Published("ridge", "fallback", f"{reason}; ridge is published instead")
    assert choose_published(replace(ELIGIBLE, **change)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"age_sessions": 63},
        {"age_sessions": None},
        {"deficit": None},
        {"deficit": replace(BEHIND, statistic=3.0)},  # as large, and perhaps chance
        {"deficit": replace(BEHIND, network_pinball=21.0, baseline_pinball=20.0)},  # certain, small
    ],
)
def test_an_eligible_network_is_published_without_a_reason(change):
    assert choose_published(replace(ELIGIBLE, **change)) == Published("network", "ok", "")


def test_once_a_baseline_is_published_weaker_evidence_is_enough_to_go_on():
    for statistic, in_fallback, status in (
        (1.1, False, "ok"),
        (1.1, True, "fallback"),
        (1.0, True, "ok"),
    ):
        weaker = replace(BEHIND, network_pinball=0.63, statistic=statistic)
        assert (
            choose_published(replace(ELIGIBLE, deficit=weaker, in_fallback=in_fallback)).status
            == status
        )


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
    table = losses({"lstm": 1.1, "har": 1.0, "ridge": 1.05}, origins=WINDOW_ORIGINS + 30)
    newest = table[table["origin_session"] >= table["origin_session"].unique()[-WINDOW_ORIGINS]]
    by_origin = newest.groupby(["forecaster", "origin_session"])["pinball"].mean()
    deficit = deficit_of(table)
    assert deficit is not None
    assert (deficit.baseline, deficit.origins) == ("har", WINDOW_ORIGINS)
    assert deficit.network_pinball == pytest.approx(by_origin["lstm"].mean())
    assert deficit.baseline_pinball == pytest.approx(by_origin["har"].mean())
    statistic, _ = diebold_mariano(
        by_origin["lstm"].to_numpy(), by_origin["har"].to_numpy(), horizon=HORIZONS[-1]
    )
    assert deficit.statistic == pytest.approx(statistic)
    assert deficit.statistic > 0


def test_an_origin_counts_once_every_horizon_is_scored_for_all():
    table = losses({"lstm": 1.0, "har": 1.0}, origins=MIN_ORIGINS)
    newest = table["origin_session"] == table["origin_session"].max()
    assert deficit_of(table) is not None
    assert (
        deficit_of(table[~(newest & (table["horizon"] == 5) & (table["forecaster"] == "har"))])
        is None
    )


def test_without_the_network_or_a_baseline_there_is_nothing_to_compare_and_the_best_baseline_needs_few_origins():
    assert deficit_of(losses({"har": 1.0, "ridge": 0.9}, origins=100)) is None
    assert deficit_of(losses({"lstm": 1.0}, origins=100)) is None
    assert best_baseline(losses({"har": 1.0, "ridge": 0.9}, origins=3)) == "ridge"
    assert best_baseline(losses({"lstm": 0.1}, origins=3)) == ""
    assert best_baseline(losses({"lstm": 0.1}, origins=3).head(0)) == ""


def test_two_losses_of_one_forecaster_for_one_forecast_are_refused():
    table = losses({"lstm": 1.0, "har": 1.0}, origins=70)
    with pytest.raises(ValueError, match="duplicate"):
        deficit_of(pd.concat([table, table.head(1)]))


def test_the_baseline_to_publish_is_the_best_that_has_a_forecast_tonight():
    table = losses({"lstm": 1.0, "last_value": 0.8, "har": 0.9, "ridge": 1.1}, origins=70)
    deficit = deficit_of(table)
    assert fallback_baseline(table, deficit, ["last_value", "har", "ridge"]) == "last_value"
    assert fallback_baseline(table, None, ["last_value", "har", "ridge"]) == "last_value"
    assert fallback_baseline(table, deficit, ["har", "ridge"]) == "ridge"
    assert fallback_baseline(table.head(0), None, ["last_value", "har", "ridge"]) == "ridge"
