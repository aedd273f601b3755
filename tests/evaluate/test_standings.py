from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.evaluate.standings import WINDOWS, Loss, Scored, Tally, carry_on, judged, rounded
from forecasting.vocabulary import PUBLISHED_LINE, Target

ORIGIN = date(2024, 1, 2)
EVERY = {(1, window): date.min for window in WINDOWS}


def loss(error: float) -> Loss:
    return Loss(error, error / 2, int(error < 3), int(error < 5))


def scored(error: float, model_id: str = "m", stage: str = "first_print", version: int = 1, hour: int = 21) -> Scored:
    issued = datetime(2024, 1, 2, hour, tzinfo=UTC)
    return Scored(1, ORIGIN, model_id, stage, version, "champion", "lstm", issued, error, abs(error) / 2, True, False)


def tallied(*lines: dict[str, float], since: dict[tuple[int, int], date] = EVERY) -> dict[str, Tally]:
    """Of the 20-session window, the lines of one origin after the other."""
    tallies: dict[tuple[int, int, str], Tally] = {}
    judged = {
        (1, ORIGIN + timedelta(place)): {name: loss(error) for name, error in said.items()}
        for place, said in enumerate(lines)
    }
    carry_on(tallies, {}, judged, old={}, new=since)
    return {line: tally for (_, window, line), tally in tallies.items() if window == 20}


def test_a_line_is_summed_beside_the_champion_over_the_origins_that_both_have():
    found = tallied({PUBLISHED_LINE: 1.0, "ridge": 4.0}, {PUBLISHED_LINE: 6.0}, {"ridge": 2.0})
    assert found == {
        PUBLISHED_LINE: Tally(2, 7.0, 3.5, 1, 1, 7.0, 3.5),
        "ridge": Tally(1, 4.0, 2.0, 0, 1, 1.0, 0.5),
    }


def test_an_origin_before_the_window_counts_only_in_longer_ones():
    later = ORIGIN + timedelta(1)
    tallies: dict[tuple[int, int, str], Tally] = {}
    since = {(1, 20): later, (1, 60): ORIGIN}
    judged = {(1, ORIGIN): {PUBLISHED_LINE: loss(1.0)}, (2, later): {PUBLISHED_LINE: loss(1.0)}}
    carry_on(tallies, {}, judged, old={}, new=since)
    assert list(tallies) == [(1, 60, PUBLISHED_LINE)]


def test_a_score_that_is_judged_again_counts_as_it_is_now_and_a_passed_origin_no_more():
    tallies: dict[tuple[int, int, str], Tally] = {}
    first, second = (1, ORIGIN), (1, ORIGIN + timedelta(1))
    carry_on(tallies, {}, {first: {PUBLISHED_LINE: loss(1.0)}, second: {PUBLISHED_LINE: loss(2.0)}}, old={}, new=EVERY)
    passed = {first: {PUBLISHED_LINE: loss(1.0)}}
    new = {(1, 20): second[1], (1, 60): ORIGIN}
    before, after = {second: {PUBLISHED_LINE: loss(2.0)}}, {second: {PUBLISHED_LINE: loss(4.0)}}
    carry_on(tallies, before | passed, after | passed, old=EVERY, new=new)
    assert [tallies[1, window, PUBLISHED_LINE][:2] for window in (20, 60)] == [(1, 4.0), (2, 5.0)]


@pytest.mark.parametrize("turn", range(5))
def test_of_a_line_at_a_spot_the_newest_forecast_counts_by_its_settled_score_of_the_last_bar(turn: int):
    scores = [
        scored(-1.0, hour=20, stage="settled", version=9),
        scored(-2.0),
        scored(-3.0, stage="settled"),
        scored(-4.0, stage="settled", version=2),
        scored(-5.0, model_id="n", stage="settled", version=3),  # issued at the same instant: the first id counts
    ]
    found = judged(scores[turn:] + scores[:turn], "volume")
    assert found == {(1, ORIGIN): {PUBLISHED_LINE: Loss(4.0, 2.0, 1, 0)}}


def test_a_baseline_is_a_line_by_its_name():
    ridge = scored(3.0)._replace(role="baseline", model="ridge")
    assert judged([ridge, scored(1.0)], "volume") == {
        (1, ORIGIN): {"ridge": Loss(3.0, 1.5, 1, 0), PUBLISHED_LINE: Loss(1.0, 0.5, 1, 0)}
    }


@given(st.lists(st.tuples(st.floats(0, 3e7), st.floats(0, 3e7)), max_size=60), st.sampled_from(["volume", "close"]))
def test_what_is_taken_out_leaves_no_trace(losses: list[tuple[float, float]], target: Target):
    """Sums of 250 such losses stay below 2^53 grains of either target."""
    tallies: dict[tuple[int, int, str], Tally] = {}
    judged = {
        (1, ORIGIN + timedelta(place)): {
            PUBLISHED_LINE: Loss(rounded(ours, target), rounded(ours / 3, target), 1, 1),
            "ridge": Loss(rounded(theirs, target), rounded(theirs / 7, target), 0, 1),
        }
        for place, (ours, theirs) in enumerate(losses)
    }
    carry_on(tallies, {}, judged, old={}, new=EVERY)
    for spot in judged:
        carry_on(tallies, {spot: judged[spot]}, {}, old=EVERY, new=EVERY)
    assert set(tallies.values()) <= {Tally()}


@pytest.mark.parametrize(("target", "value"), [("volume", 2.0123e6), ("close", 1.2345678), ("range", 0.0123456789)])
def test_rounding_changes_nothing_that_anybody_reads(target: Target, value: float):
    assert rounded(value, target) == pytest.approx(value, rel=1e-6)
    assert rounded(rounded(value, target), target) == rounded(value, target)
