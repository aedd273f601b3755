from dataclasses import replace
from datetime import date

import pytest

from forecasting.predict.fallback import (
    SCORED_ORIGINS,
    ChampionFacts,
    Deficit,
    Published,
    choose_published,
    margin_of,
    unusable,
)
from forecasting.vocabulary import HORIZONS

LEVEL = Deficit("ridge", 250, network_pinball=0.6, baseline_pinball=0.62, statistic=-1.5)
BEHIND = replace(LEVEL, network_pinball=0.682, statistic=3.4)
ELIGIBLE = ChampionFacts(champion="3f9c", baseline="ridge", age_sessions=5, deficit=LEVEL)


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
        ({"champion": None}, "there is no champion yet"),
        (
            {"champion": None, "no_fit": "a weight is too far."},
            "there is no champion yet: a weight is too far",
        ),
        ({"champion": None, "young_sessions": 180}, "180 of 436 sessions of history"),
        (
            {"damage": "expected ab12, found cd34."},
            "champion 3f9c cannot be used: expected ab12, found cd34",
        ),
        (
            {"age_sessions": 64},
            "champion 3f9c was trained 64 sessions before the origin (limit 63)",
        ),
        ({"finite": False}, "champion 3f9c made a forecast that is not finite"),
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
            "champion 3f9c cannot be used: the file is missing",
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
def test_an_eligible_champion_is_published_without_a_reason(change):
    assert choose_published(replace(ELIGIBLE, **change)) == Published("champion", "ok", "")


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


@pytest.mark.parametrize(
    ("baseline", "in_fallback", "expected"),
    [
        (0.62, False, {"deficit": 0.1, "limit_statistic": 3.0, "limit_deficit": 0.05}),
        (0.0, True, {"deficit": 0.0, "limit_statistic": 1.0, "limit_deficit": None}),
    ],
)
def test_a_margin_is_the_relative_excess_with_the_limits_of_the_night(
    baseline, in_fallback, expected
):
    deficit = replace(BEHIND, baseline_pinball=baseline)
    shared = {"baseline": "ridge", "origins": 250, "statistic": 3.4}
    found = margin_of(deficit, in_fallback=in_fallback)
    assert found == pytest.approx(shared | expected)


def test_of_the_scored_origins_a_year_is_scored_at_every_horizon():
    sessions_since = range(1, SCORED_ORIGINS + 1)
    assert sum(since >= HORIZONS[-1] for since in sessions_since) == 250


def test_a_champion_whose_weights_cannot_be_used_gives_way_to_a_fit_and_one_that_is_behind_does_not():
    for change in ({"damage": "the file is missing"}, {"age_sessions": 64}, {"finite": False}):
        assert unusable(replace(ELIGIBLE, **change))
    assert not unusable(replace(ELIGIBLE, deficit=BEHIND, in_fallback=True))
