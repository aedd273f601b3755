from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.evaluate.standings import (
    WINDOWS,
    Loss,
    Score,
    Tally,
    TallyKey,
    WindowStarts,
    counted_losses,
    rounded,
    update_tallies,
)
from forecasting.vocabulary import PUBLISHED_LINE, Target

ORIGIN = date(2024, 1, 2)
ALL_ORIGINS = {(1, window): date.min for window in WINDOWS}


def loss(error: float) -> Loss:
    return Loss(error, error / 2, int(error < 3), int(error < 5))


def scored(error: float, model_id: str = "m", stage: str = "first_print", version: int = 1, hour: int = 21) -> Score:
    issued = datetime(2024, 1, 2, hour, tzinfo=UTC)
    return Score(1, ORIGIN, model_id, stage, version, "champion", "lstm", issued, error, abs(error) / 2, True, False)


def tallied(*lines: dict[str, float], starts: WindowStarts = ALL_ORIGINS) -> dict[str, Tally]:
    """Tally of each line in the 20-night window, given each origin's errors."""
    tallies: dict[TallyKey, Tally] = {}
    counted = {
        (1, ORIGIN + timedelta(place)): {name: loss(error) for name, error in errors.items()}
        for place, errors in enumerate(lines)
    }
    update_tallies(tallies, {}, counted, old={}, new=starts)
    return {line: tally for (_, window, line), tally in tallies.items() if window == 20}


def test_a_line_is_summed_beside_the_champion_over_the_origins_that_both_have():
    found = tallied({PUBLISHED_LINE: 1.0, "ridge": 4.0}, {PUBLISHED_LINE: 6.0}, {"ridge": 2.0})
    assert found == {
        PUBLISHED_LINE: Tally(2, 7.0, 3.5, 1, 1, 7.0, 3.5),
        "ridge": Tally(1, 4.0, 2.0, 0, 1, 1.0, 0.5),
    }


def test_an_origin_before_the_window_counts_only_in_longer_ones():
    later = ORIGIN + timedelta(1)
    tallies: dict[TallyKey, Tally] = {}
    starts = {(1, 20): later, (1, 60): ORIGIN}
    counted = {(1, ORIGIN): {PUBLISHED_LINE: loss(1.0)}, (2, later): {PUBLISHED_LINE: loss(1.0)}}
    update_tallies(tallies, {}, counted, old={}, new=starts)
    assert list(tallies) == [(1, 60, PUBLISHED_LINE)]


def test_an_origin_with_its_first_scores_is_added_to_windows_that_go_on():
    tallies: dict[TallyKey, Tally] = {}
    first, second = (
        {(1, ORIGIN + timedelta(place)): {PUBLISHED_LINE: loss(error)}} for place, error in enumerate((1.0, 6.0))
    )
    update_tallies(tallies, {}, first, old={}, new=ALL_ORIGINS)
    update_tallies(tallies, {}, second, old=ALL_ORIGINS, new=ALL_ORIGINS)
    assert tallies[1, 20, PUBLISHED_LINE] == Tally(2, 7.0, 3.5, 1, 1, 7.0, 3.5)


def test_a_changed_score_replaces_the_old_one_and_an_origin_outside_the_window_is_subtracted():
    tallies: dict[TallyKey, Tally] = {}
    first, second = (1, ORIGIN), (1, ORIGIN + timedelta(1))
    update_tallies(
        tallies, {}, {first: {PUBLISHED_LINE: loss(1.0)}, second: {PUBLISHED_LINE: loss(2.0)}}, old={}, new=ALL_ORIGINS
    )
    passed = {first: {PUBLISHED_LINE: loss(1.0)}}
    new = {(1, 20): second[1], (1, 60): ORIGIN}
    before, after = {second: {PUBLISHED_LINE: loss(2.0)}}, {second: {PUBLISHED_LINE: loss(4.0)}}
    update_tallies(tallies, before | passed, after | passed, old=ALL_ORIGINS, new=new)
    assert [tallies[1, window, PUBLISHED_LINE][:2] for window in (20, 60)] == [(1, 4.0), (2, 5.0)]


@pytest.mark.parametrize("turn", range(5))
def test_the_newest_forecast_of_a_slot_counts_by_its_settled_score_of_the_last_bar_version(turn: int):
    scores = [
        scored(-1.0, hour=20, stage="settled", version=9),
        scored(-2.0),
        scored(-3.0, stage="settled"),
        scored(-4.0, stage="settled", version=2),
        scored(-5.0, model_id="n", stage="settled", version=3),  # issued at the same instant: the first id counts
    ]
    found = counted_losses(scores[turn:] + scores[:turn], "volume")
    assert found == {(1, ORIGIN): dict.fromkeys((PUBLISHED_LINE, "lstm"), Loss(4.0, 2.0, 1, 0))}


@pytest.mark.parametrize(("network", "ridge"), [("champion", "baseline"), ("silenced", "champion")])
def test_a_forecaster_is_a_line_by_its_name_whether_it_is_published_or_not(network: str, ridge: str):
    lines = {
        "lstm": scored(1.0)._replace(role=network),
        "ridge": scored(3.0)._replace(role=ridge, model="ridge", model_id="b"),
    }
    losses = {"lstm": Loss(1.0, 0.5, 1, 0), "ridge": Loss(3.0, 1.5, 1, 0)}
    (published,) = [losses[name] for name, score in lines.items() if score.role == "champion"]
    found = counted_losses(lines.values(), "volume")
    assert found == {(1, ORIGIN): losses | {PUBLISHED_LINE: published}}


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60), st.sampled_from(["volume", "close"]))
def test_a_subtracted_origin_leaves_no_remainder(shares: list[tuple[float, float]], target: Target):
    """Sums of 250 such losses stay below 2^53 grains of either target."""
    largest = 3e7 if target == "volume" else 3e4
    losses = [(ours * largest, theirs * largest) for ours, theirs in shares]
    tallies: dict[TallyKey, Tally] = {}
    counted = {
        (1, ORIGIN + timedelta(place)): {
            PUBLISHED_LINE: Loss(rounded(ours, target), rounded(ours / 3, target), 1, 1),
            "ridge": Loss(rounded(theirs, target), rounded(theirs / 7, target), 0, 1),
        }
        for place, (ours, theirs) in enumerate(losses)
    }
    update_tallies(tallies, {}, counted, old={}, new=ALL_ORIGINS)
    for slot in counted:
        update_tallies(tallies, {slot: counted[slot]}, {}, old=ALL_ORIGINS, new=ALL_ORIGINS)
    assert set(tallies.values()) <= {Tally()}


@pytest.mark.parametrize(
    ("target", "value", "share"),
    [
        ("volume", 2.0123e6, 1e-6),
        ("close", 1.2345678, 1e-6),
        ("range", 0.0123456789, 1e-6),
        ("close", 2.3e-6, 1e-3),
        ("range", 1.7e299, 1e-6),  # of a forecast that no night made; grains of it are no float
    ],
)
def test_rounding_keeps_six_digits_and_three_of_a_loss_at_a_price_of_a_hundredth_of_a_cent(
    target: Target, value: float, share: float
):
    assert rounded(value, target) == pytest.approx(value, rel=share)
    assert rounded(rounded(value, target), target) == rounded(value, target)
