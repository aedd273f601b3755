"""The limits of each rule on splits and jumps, on bars that are level but for what a case changes."""

import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import no_bars
from forecasting.ingest.splits import (
    basis,
    hold_jumps,
    on_one_basis,
    proven_splits,
    rebase,
    shown_splits,
)
from tests.builders import PRICES, random_bars, scaled
from tests.ingest.memory_store import NO_ACTIONS, fetched_of, found

LEVEL = random_bars(100).assign(**dict.fromkeys(PRICES, 1.0) | {"high": 2.0, "volume": 1000.0})
DAYS = LEVEL.index
EX = DAYS[60]


def split(ratio, *, on=EX):
    return make_actions([(on, "split", ratio)])


def unfollowed(ratio, volume, *, bars=LEVEL, row=60):
    """The bars with the prices from a row on by a ratio of shares, and with a multiple of volume."""
    rows = slice(row, None)
    return scaled(scaled(bars, 1 / ratio, rows, PRICES), volume, rows, "volume")


def proven(bars, actions=NO_ACTIONS):
    return proven_splits(bars, actions, exchange="XNYS")


@pytest.mark.parametrize("ratio", [2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 1.5])
def test_a_split_is_proven_by_its_closes_and_volumes_on_a_usual_range(ratio):
    for shares in (ratio, 1 / ratio):
        assert proven(unfollowed(shares, shares)) == [(EX, pytest.approx(shares))]
        wide = scaled(unfollowed(shares, shares), 2.0, 60, "high")  # a market moves so
        assert len(proven(wide)) == (ratio >= 2.0)


@pytest.mark.parametrize(
    ("ratio", "volume", "is_proven"),
    [
        (2.0, 3.9, True),
        (2.0, 4.0, False),  # twice as far as twice the usual
        (4.0, 2.0, False),  # as near to the usual
        (4.0, 2.1, True),
        (2.0, 0.5, False),
        (0.5, 2.0, False),
    ],
)
def test_the_volume_is_nearer_to_the_splits_than_to_the_usual_and_under_twice_as_far(
    ratio, volume, is_proven
):
    assert bool(proven(unfollowed(ratio, volume))) is is_proven
    assert proven(unfollowed(ratio, volume), split(ratio)) == [
        (EX, ratio)
    ]  # a named one needs none


@pytest.mark.parametrize(
    ("row", "is_proven"), [(2, False), (3, True), (59, True), (97, True), (98, False)]
)
def test_three_sessions_prove_a_named_split_by_closes_within_a_tenth(row, is_proven):
    bars = unfollowed(2.0, 1.0, row=row)
    named = split(2.0, on=DAYS[row])
    assert proven(bars, named) == ([(DAYS[row], 2.0)] if is_proven else [])
    for factor, rows in ((1.09, row - 3), (1.09, row + 2), (0.91, row + 1)):
        if is_proven:
            assert proven(scaled(bars, factor, rows, PRICES), named)
            far = 1.11 if factor > 1.0 else 0.89
            assert not proven(scaled(bars, far, rows, PRICES), named)


@pytest.mark.parametrize("row", [57, 59, 61, 62])
def test_a_session_without_a_close_hides_no_split_beside_it(row):
    assert proven(scaled(unfollowed(3.0, 3.0), np.nan, row)) == [(EX, pytest.approx(3.0))]


def test_the_splits_named_of_a_day_count_as_one_and_only_past_a_fifth():
    both = pd.concat([split(2.0), split(1.5), make_actions([(EX, "dividend", 7.0)])])
    assert proven(unfollowed(3.0, 1.0), both) == [(EX, 3.0)]
    fifth = scaled(LEVEL, 1.2, slice(60), PRICES)
    assert proven(fifth, split(1.2)) == []
    assert proven(scaled(LEVEL, 1.21, slice(60), PRICES), split(1.21)) == [(EX, 1.21)]


WEEK = pd.Timedelta(days=7)


def test_a_proven_split_replaces_what_is_named_of_it_within_a_week_and_its_leap_as_a_dividend():
    bars = unfollowed(2.0, 2.0, bars=scaled(LEVEL, 50.0, columns=PRICES))
    kept = [
        (EX, "dividend", 5.0),  # a tenth of the close before
        (DAYS[61], "dividend", 25.0),
        (EX - WEEK - pd.Timedelta(days=1), "split", 2.0),
    ]
    dropped = [(EX, "dividend", 5.01), (EX + WEEK, "split", 2.0), (EX - WEEK, "split", 2.0)]
    fetched = fetched_of(bars, make_actions(kept + dropped))
    taken = on_one_basis(fetched, known=no_bars(), known_actions=NO_ACTIONS)
    expected = make_actions([*kept, (EX, "split", 2.0)])
    pd.testing.assert_frame_equal(make_actions(taken.actions.to_numpy()), expected)
    level = scaled(scaled(LEVEL, 25.0, columns=PRICES), 2.0, columns="volume")
    pd.testing.assert_frame_equal(taken.bars, level, check_freq=False)
    stored = on_one_basis(fetched, known=bars, known_actions=NO_ACTIONS)
    assert stored is fetched


@pytest.mark.parametrize(("before", "after"), [(1.0, 1.0), (2.0, 1.0), (4.0, 1.0), (1.0, 2.0)])
def test_an_adj_close_follows_a_split_where_that_makes_its_step_smaller(before, after):
    adjusted = np.where(DAYS < EX, before, after)
    fetched = fetched_of(unfollowed(4.0, 4.0).assign(adj_close=adjusted))
    taken = on_one_basis(fetched, known=no_bars(), known_actions=NO_ACTIONS)
    follows = before == 4.0
    expected = np.where(DAYS < EX, before / 4.0, after) if follows else adjusted
    np.testing.assert_array_equal(taken.bars["adj_close"], expected)


@pytest.mark.parametrize(
    ("ratio", "moved", "is_applied"),
    [(1.2, 1.0, False), (1.25, 1.0, True), (2.0, 1.009, True), (2.0, 0.98, False)],
)
def test_a_stored_split_that_the_history_forgot_is_applied_again(ratio, moved, is_applied):
    known = scaled(LEVEL, 1 / ratio, slice(60), PRICES)
    bars = scaled(LEVEL, moved, slice(60), PRICES)
    paid = make_actions([(DAYS[50], "dividend", 0.5), (EX, "split", ratio)])
    taken = on_one_basis(fetched_of(bars), known=known, known_actions=paid)
    assert (taken.actions["kind"].tolist() == ["split"]) is is_applied
    expected = scaled(bars, 1 / ratio if is_applied else 1.0, slice(60), PRICES)
    np.testing.assert_allclose(taken.bars["close"], expected["close"])


def settled(bars):
    return bars.assign(settled=True, version=1)


def factor_of(known, bars, splits=NO_ACTIONS):
    """New shares per old share by session; None where no split explains the prices."""
    factor = basis(settled(known), bars, splits)
    return None if factor is None else factor.tolist()


def followed(ratio, rows, bars=LEVEL, *, volume=None):
    """The bars with some rows rebased by a split of a ratio, volumes too."""
    volume = ratio if volume is None else volume
    return scaled(scaled(bars, 1 / ratio, rows, PRICES), volume, rows, "volume")


def ratios(ratio, count, of=100):
    return [ratio] * count + [1.0] * (of - count)


def test_a_named_split_explains_prices_before_its_session_whatever_the_volumes():
    now = followed(2.0, slice(60), volume=1.0)
    assert factor_of(LEVEL, now, split(2.0)) == ratios(2.0, 60)
    assert factor_of(LEVEL, now, split(2.004)) is None
    both = pd.concat([split(2.0), split(3.0, on=DAYS[20])])
    twice = followed(3.0, slice(20), now, volume=1.0)
    assert factor_of(LEVEL, twice, both) == [6.0] * 20 + ratios(2.0, 40, of=80)


@pytest.mark.parametrize(
    ("moved", "of", "is_explained"),
    [(2, 40, True), (3, 40, False), (4, 100, True), (5, 100, False)],
)
def test_a_twentieth_of_the_closes_and_three_of_them_move_a_history(moved, of, is_explained):
    now = scaled(LEVEL[:of], 1.02, slice(10, 10 + moved), PRICES)
    assert factor_of(LEVEL[:of], now) == ([1.0] * of if is_explained else None)


@pytest.mark.parametrize(("leap", "is_explained"), [(5.0, True), (5.01, False)])
def test_a_settled_close_may_not_leap_as_in_another_unit(leap, is_explained):
    now = scaled(LEVEL, leap, slice(98, None), PRICES)
    assert factor_of(LEVEL, now) == (ratios(1.0, 100) if is_explained else None)
    assert factor_of(now, now) == ratios(1.0, 100)
    provisional = settled(LEVEL).assign(settled=DAYS[98] > DAYS)
    assert basis(provisional, now, NO_ACTIONS).tolist() == ratios(1.0, 100)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (followed(2.0, slice(None)), ratios(2.0, 100)),
        (followed(1.1, slice(60)), ratios(1.1, 60)),
        (followed(2.0, slice(60)), None),  # a split that opens a jump
        (followed(2.0, slice(40, None)), None),
        (followed(2.0, slice(None), volume=1.9), None),
        (followed(2.0, slice(None), volume=2.01), ratios(2.0, 100)),
        (scaled(followed(2.0, slice(None)), 1.005, slice(1), PRICES), ratios(2.0, 100)),
        (scaled(followed(2.0, slice(None)), 1.005, slice(2), PRICES), None),  # 98 of 100
    ],
)
def test_one_ratio_explains_all_closes_up_to_a_session_with_their_volumes(now, expected):
    found = factor_of(LEVEL, now)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("ratio", "before", "after", "is_explained"),
    [
        (4.0, 4.0, 1.0, True),
        (4.0, 2.0, 1.0, True),  # as wide as it was
        (4.0, 1.9, 1.0, False),
        (1.2, 1.2, 1.2, True),  # a day's move may be as large
        (1.21, 1.21, 1.21, False),
    ],
)
def test_a_late_rebase_does_not_widen_the_step_at_its_session(ratio, before, after, is_explained):
    known = scaled(scaled(LEVEL, before, slice(60), PRICES), after, slice(60, None), PRICES)
    found = factor_of(known, followed(ratio, slice(60), known))
    assert found == (pytest.approx(ratios(ratio, 60)) if is_explained else None)


OLD = pd.Series(ratios(3.0, 60), DAYS)


@pytest.mark.parametrize(
    ("factor", "bars", "named", "stored", "expected"),
    [
        (OLD[:0], LEVEL[:61], [(EX, "split", 2.0), (DAYS[61], "split", 2.0)], [], [(EX, 2.0)]),
        (OLD[:0], no_bars(), [(EX, "split", 2.0)], [], []),
        (OLD, LEVEL, [], [], [(EX, 3.0)]),
        (1 / OLD, LEVEL, [], [], [(EX, 0.333333)]),
        (OLD.clip(upper=1.0), LEVEL, [(EX, "split", 2.0)], [], []),
        (OLD, LEVEL.drop(EX), [], [], [(DAYS[61], 3.0)]),
        (OLD, LEVEL[:60], [], [], [(DAYS[59] + pd.Timedelta(days=1), 3.0)]),
        (OLD, LEVEL, [(DAYS[59], "split", 3.0), (DAYS[70], "split", 3.02)], [], [(DAYS[70], 3.02)]),
        (OLD, LEVEL, [(DAYS[70], "split", 3.04)], [], [(EX, 3.0)]),
        (OLD, LEVEL, [], [(EX, "split", 2.0)], [(EX, 6.0)]),
        (OLD, LEVEL, [], [(EX, "dividend", 2.0)], [(EX, 3.0)]),
    ],
)
def test_the_splits_of_a_fetch_are_those_that_its_bars_show(factor, bars, named, stored, expected):
    found = shown_splits(factor, bars, make_actions(named), stored=make_actions(stored))
    assert list(zip(found["session"], found["value"], strict=True)) == expected


def test_a_rebase_divides_prices_and_multiplies_whole_volumes():
    bars = LEVEL.assign(volume=np.arange(101.0, 201.0))
    new = rebase(bars, OLD / 2)
    expected = np.where(DAYS < EX, np.round(bars["volume"] * 1.5), np.round(bars["volume"] / 2))
    np.testing.assert_array_equal(new["volume"], expected)
    np.testing.assert_array_equal(new["high"], np.where(DAYS < EX, 2 / 1.5, 4.0))
    assert rebase(bars.assign(volume=0.5), OLD.clip(upper=1.0))["volume"].iloc[0] == 0.5


def jumps(bars, *, known=99, actions=NO_ACTIONS, shown=NO_ACTIONS):
    """How many of the bars are kept, and place, rule and severity of each finding.

    Known are the first of the level bars, or the bars given.
    """
    expected = LEVEL[:known] if isinstance(known, int) else known
    kept, findings = hold_jumps(expected, bars, actions, shown=shown, exchange="XNYS")
    places = [bars.index.get_loc(str(day)) - len(bars) for day, _, _ in found(findings)]
    rules = [f"{rule} {severity}" for _, rule, severity in found(findings)]
    return len(kept), [*zip(places, rules, strict=True)]


WIDE = LEVEL.assign(high=np.where(DAYS[90] > DAYS, 2.0, 8.0))  # no move on it is quiet


def jumped(factor, row, bars=WIDE):
    return scaled(bars, factor, slice(row, None), PRICES)


@pytest.mark.parametrize(
    ("factor", "is_held"),
    [
        (2.09, True),
        (2.11, False),
        (1.91, True),
        (1.89, False),
        (0.5, True),
        (5.0, True),
        (5.3, True),
        (7.0, True),
        (4.5, False),
        (1.0, False),
    ],
)
def test_a_close_within_a_twentieth_of_a_splits_ratio_or_past_five_times_is_held(factor, is_held):
    held = (99, [(-1, "split_like_jump reject")])
    assert jumps(jumped(factor, -1)) == (held if is_held else (100, []))


@pytest.mark.parametrize(
    ("row", "known", "expected"),
    [
        (-3, 0, (97, [(-3, "split_like_jump reject")])),
        (-3, 97, (97, [(-3, "split_like_jump reject")])),
        (-4, 0, (100, [])),  # of a first fetch
        (-4, 1, (100, [(-4, "split_like_jump flag")])),
        (-4, 96, (100, [(-4, "split_like_jump flag")])),
        (-4, 97, (100, [])),
    ],
)
def test_a_jump_is_held_for_three_sessions_and_flagged_when_it_is_stored(row, known, expected):
    assert jumps(jumped(2.0, row), known=known) == expected


@pytest.mark.parametrize(
    ("places", "factor", "is_held"),
    [
        ((40, 50, 60), 2.0, True),
        ((36, 40, 50, 60), 2.0, False),  # four in the 63 sessions before
        ((35, 40, 50, 60), 2.0, True),
        ((36, 40, 50, 60), 5.0, False),
        ((36, 40, 50, 60), 5.01, True),
    ],
)
def test_a_close_that_jumped_four_times_in_a_quarter_was_not_split(places, factor, is_held):
    bars = WIDE
    for place in places:
        bars = jumped(2.0 if place % 20 else 0.5, place, bars)
    assert bool(jumps(jumped(factor, -1, bars), known=bars[:-1])[1]) is is_held


@pytest.mark.parametrize(
    ("row", "ratio", "value", "expected"),
    [
        (-10, 1.0, 2.0, (100, [])),
        (-10, 0.5, 2.0, (90, [(-10, "split_not_applied reject")])),
        (-11, 0.5, 2.0, (100, [(-11, "split_not_applied flag")])),
        (-1, 0.5, 4.0, (100, [])),  # as far from the split as from none
        (-1, 0.49, 4.0, (99, [(-1, "split_not_applied reject")])),
        (-1, 0.5, 1.2, (100, [])),
        (-1, 0.5, 1.21, (99, [(-1, "split_not_applied reject")])),
    ],
)
def test_a_named_split_that_brings_the_closes_nearer_is_not_applied(row, ratio, value, expected):
    bars = jumped(ratio, row)
    assert jumps(bars, known=89, actions=split(value, on=DAYS[row])) == expected


def test_a_split_that_the_stored_bars_show_explains_no_jump_of_its_session():
    bars = jumped(0.5, -1)
    named = split(2.0, on=DAYS[-1])
    held = (99, [(-1, "split_like_jump reject")])
    assert jumps(bars, actions=named, shown=named) == held
    first = jumps(bars, known=0, actions=named, shown=named)
    assert first == (99, [(-1, "split_not_applied reject")])


def test_the_first_bar_is_beside_the_stored_one_before_it():
    known = jumped(2.1, -3)
    assert jumps(jumped(2.0, -3)[-3:], known=known)[1] == [(-3, "split_like_jump reject")]
    assert jumps(jumped(2.0, -3)[-3:], known=0) == (3, [])
    assert jumps(LEVEL[:0]) == (0, [])


def test_a_quiet_move_is_held_with_its_ratio():
    kept, (finding,) = hold_jumps(
        LEVEL[:99], jumped(0.8, -1, LEVEL), NO_ACTIONS, shown=NO_ACTIONS, exchange="XNYS"
    )
    assert (len(kept), finding.rule, finding.value) == (99, "quiet_move", 0.8)
