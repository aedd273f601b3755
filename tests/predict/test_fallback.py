from dataclasses import replace
from datetime import date

import pytest

from forecasting.predict.fallback import (
    ENTER,
    TOLERANCE,
    ChampionFacts,
    Deficit,
    Published,
    choose_published,
    unusable,
)

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
            {"deficit": replace(BEHIND, network_pinball=700_000.0, baseline_pinball=600_000.0)},
            "the network is behind by 16.7%: mean pinball 700,000 against 600,000 of ridge over "
            "the last 250 scored origins, Diebold-Mariano +3.4",
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
        {"deficit": replace(BEHIND, statistic=2.9)},  # as large, and perhaps chance
        {"deficit": replace(BEHIND, network_pinball=0.64)},  # certain, and small
        {"deficit": replace(BEHIND, network_pinball=0.62 * (1.0 + TOLERANCE))},
        {"deficit": replace(BEHIND, network_pinball=610_000.0, baseline_pinball=600_000.0)},
        {"deficit": replace(BEHIND, statistic=ENTER)},
    ],
)
def test_an_eligible_champion_is_published_without_a_reason(change):
    assert choose_published(replace(ELIGIBLE, **change)) == Published("champion", "ok", "")


def test_once_a_baseline_is_published_weaker_evidence_is_enough_to_go_on():
    for statistic, in_fallback, status in (
        (1.1, False, "ok"),
        (1.1, True, "fallback"),
        (0.9, True, "ok"),
    ):
        weaker = replace(BEHIND, network_pinball=0.63, statistic=statistic)
        assert (
            choose_published(replace(ELIGIBLE, deficit=weaker, in_fallback=in_fallback)).status
            == status
        )


def test_a_champion_whose_weights_cannot_be_used_gives_way_to_a_fit_and_one_that_is_behind_does_not():
    for change in ({"damage": "the file is missing"}, {"age_sessions": 64}, {"finite": False}):
        assert unusable(replace(ELIGIBLE, **change))
    assert not unusable(replace(ELIGIBLE, deficit=BEHIND, in_fallback=True))
