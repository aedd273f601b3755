from dataclasses import replace

import pytest

from forecasting.predict.fallback import ChampionFacts, Published, choose_published
from forecasting.vocabulary import MIN_ORIGINS

ELIGIBLE = ChampionFacts(
    champion="3f9c",
    baseline="ridge",
    age_sessions=5,
    champion_pinball=0.6,
    baseline_pinball=0.62,
    origins=60,
)


def test_an_eligible_champion_is_published_without_a_reason():
    assert choose_published(ELIGIBLE) == Published("champion", "ok", "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"champion": None}, "there is no champion yet; ridge is published instead"),
        (
            {"damage": "expected sha256 ab12, found cd34."},
            "champion 3f9c cannot be used: expected sha256 ab12, found cd34; ridge is published instead",
        ),
        (
            {"age_sessions": 64},
            "champion 3f9c was trained 64 sessions before the origin (limit 63); ridge is published instead",
        ),
        ({"finite": False}, "champion 3f9c made a forecast that is not finite; ridge is published instead"),
        (
            {"champion_pinball": 0.682},
            "champion 3f9c is behind by 10.0% (limit 2%): mean pinball 0.682 against 0.62 of ridge "
            "over the last 60 scored origins; ridge is published instead",
        ),
    ],
)
def test_each_objection_publishes_the_baseline_with_the_reason(change, reason):
    assert choose_published(replace(ELIGIBLE, **change)) == Published("ridge", "fallback", reason)


@pytest.mark.parametrize(
    "change",
    [
        {"age_sessions": 63},
        {"age_sessions": None},
        {"champion_pinball": 0.63},  # worse, but within the hysteresis
        {"champion_pinball": 9.0, "origins": MIN_ORIGINS - 1},
        {"champion_pinball": None},
        {"baseline_pinball": None},
    ],
)
def test_what_is_within_limits_or_unknown_is_no_objection(change):
    assert choose_published(replace(ELIGIBLE, **change)).status == "ok"


def test_the_first_objection_is_the_reason():
    worst = replace(ELIGIBLE, damage="the file is missing", age_sessions=900, finite=False, champion_pinball=9.0)
    assert (
        choose_published(worst).reason
        == "champion 3f9c cannot be used: the file is missing; ridge is published instead"
    )


def test_a_perfect_baseline_does_not_divide_by_zero():
    assert choose_published(replace(ELIGIBLE, baseline_pinball=0.0)).forecaster == "ridge"


def test_losses_in_shares_are_written_out():
    published = choose_published(replace(ELIGIBLE, champion_pinball=700_000.0, baseline_pinball=600_000.0))
    assert "by 16.7% (limit 2%): mean pinball 700,000 against 600,000 of ridge" in published.reason
