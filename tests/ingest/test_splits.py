"""Splits, named or not, applied by the source or not: the stored bars are on one share basis, or a jump is held."""

import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import implied_dividends, make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.splits import on_newest_basis
from tests.builders import adjusted_close, random_bars
from tests.ingest.memory_store import NO_ACTIONS, VALUES, MemoryStore, assert_view, fetched_of, split_of, stored

PRICES = ["open", "high", "low", "close", "adj_close"]
BARS = random_bars(120, seed=1)
EX = BARS.index[-1]
HELD, FLAGGED = "reject", "flag"


def split(ratio=2.0, *, on=EX):
    return make_actions([(on, "split", ratio)])


def rebased(bars, ratio, *, before=None):
    """The bars of sessions before `before` (all without it) on the share basis after a split of `ratio`."""
    after = bars.copy()
    rows = slice(None) if before is None else after.index < before
    after.loc[rows, PRICES] /= ratio
    after.loc[rows, "volume"] = (after.loc[rows, "volume"] * ratio).round()
    return after


def hundredfold(rows, factor=100.0):
    """BARS with the prices of some rows in pence."""
    bars = BARS.copy()
    bars.iloc[rows, :5] *= factor
    return bars


def take(store, bars, actions=NO_ACTIONS):
    """The verdict of a fetch, its split, and the rules and severities of its findings."""
    revision, findings = store.take(fetched_of(bars, actions))
    return revision.verdict, split_of(revision), {(finding.rule, finding.severity) for finding in findings}


def assert_actions(store, actions):
    pd.testing.assert_frame_equal(store.actions.sort_values(["session", "kind"], ignore_index=True), actions)


@pytest.mark.parametrize("ratio", [2.0, 1.5, 3.0, 0.1, 1.281])
def test_a_named_split_makes_a_new_version_of_every_earlier_bar(ratio):
    store, new = stored(BARS.iloc[:-1]), rebased(BARS, ratio)
    revision, findings = store.take(fetched_of(new, split(ratio)))
    assert (revision.verdict, split_of(revision), findings) == ("split", pytest.approx(ratio), [])
    assert revision.versions["version"].tolist() == [2] * 119 + [1]
    assert revision.settled == [day.date() for day in BARS.index[:-1]]
    assert_view(store, new)
    assert take(store, new, split(ratio)) == ("unchanged", None, set())


def test_a_late_response_without_the_session_of_a_stored_split_is_on_its_basis_without_a_warning():
    old = random_bars(120, seed=1)
    bars, ex = rebased(old, 2.0, before=old.index[-1]), old.index[-1]
    known_actions = make_actions([(ex, "split", 2.0)])
    taken, actions = on_newest_basis(old.iloc[:-1], NO_ACTIONS, known=bars, known_actions=known_actions)
    pd.testing.assert_frame_equal(taken[PRICES[:4]], bars[PRICES[:4]].iloc[:-1], check_freq=False)
    assert actions["value"].tolist() == [2.0]


@pytest.mark.parametrize("rounded", ["ratio", "prices", "volumes"])
def test_what_is_rounded_in_a_split_is_no_restatement_of_the_history(rounded):
    ratio, named = {"ratio": (1 / 3, 0.3333), "prices": (4.0, 4.0), "volumes": (0.05, 0.05)}[rounded]
    old = BARS.copy()
    if rounded == "volumes":
        old["volume"] = np.arange(2_000.0, 2_120.0)
    if rounded == "prices":
        old[PRICES] = (old[PRICES] / 1500).round(6)
    new = old.copy()
    new.loc[:, PRICES] = (new[PRICES] / ratio).round(6)
    new["volume"] = np.floor(new["volume"] * ratio)
    store = stored(old.iloc[:-1])
    assert take(store, new, split(named)) == ("split", pytest.approx(named), set())
    pd.testing.assert_frame_equal(store.bars()[VALUES], new[VALUES], check_freq=False)


def test_bars_older_than_the_fetch_are_rebased_with_the_rest_and_settle_only_with_a_volume():
    unknown, new = BARS.copy(), rebased(BARS, 2.0)
    unknown.iloc[10, 5] = new.iloc[10, 5] = np.nan
    store = stored(unknown.iloc[:-1])
    revision, _ = store.take(fetched_of(new.iloc[40:], split()))
    assert len(revision.versions) == 120
    assert sorted(revision.settled) == [day.date() for day in BARS.index[:-1].delete(10)]
    assert_view(store, new)


def test_a_split_restated_together_with_a_volume_is_still_a_split():
    new = rebased(BARS, 2.0)
    new.iloc[30, new.columns.get_loc("volume")] *= 1.02
    revision, findings = stored(BARS.iloc[:-1]).take(fetched_of(new, split()))
    assert (revision.verdict, revision.detail) == ("split", "1 new, split x2, newest 2024-03-08")
    assert [(one.rule, one.severity) for one in findings] == [("volume_restated", FLAGGED)]


def test_a_split_rewrites_the_dividends_before_it():
    store = stored(BARS.iloc[:-1], make_actions([(BARS.index[50], "dividend", 0.5)]))
    actions = make_actions([(BARS.index[50], "dividend", 0.25), (EX, "split", 2.0)])
    take(store, rebased(BARS, 2.0), actions)
    assert_actions(store, actions)


def test_one_ratio_over_all_prices_and_its_inverse_over_volumes_is_a_split_without_a_name():
    store = stored(BARS.iloc[:-1])
    assert take(store, rebased(BARS, 2.0)) == ("split", pytest.approx(2.0), set())
    assert_actions(store, split())
    assert take(store, rebased(BARS, 2.0), split(on=BARS.index[-2])) == ("unchanged", None, set())  # named late
    assert_actions(store, split())


def test_one_ratio_over_all_prices_with_volumes_as_they_were_is_held_whole():
    store, paid = stored(BARS.iloc[:-1]), make_actions([(EX, "dividend", 57.0)])
    revision, _ = store.take(fetched_of(hundredfold(slice(None)), paid))
    assert (revision.verdict, len(revision.versions), revision.settled) == ("held", 0, [])
    assert (revision.held, revision.until_accepted) == ([EX.date()], True)
    detail = "Prices of 119 known bars moved (median x100), and no split explains how."
    assert revision.detail == f"nothing stored: {detail}"
    assert revision.findings == [
        Finding(BARS.index[-2].date(), "rebase_unexplained", HELD, pytest.approx(100.0), detail)
    ]
    pd.testing.assert_frame_equal(revision.new_actions, paid)
    assert_view(store, BARS.iloc[:-1])


def test_a_history_rebased_once_more_up_to_a_past_split_is_held_whole():
    past = split(on=BARS.index[-10])
    store = stored(BARS.iloc[:-1], past)
    assert take(store, rebased(BARS, 2.0, before=BARS.index[-10]), past) == (
        "held",
        None,
        {("rebase_unexplained", HELD)},
    )
    assert_view(store, BARS.iloc[:-1])
    assert take(store, BARS, past) == ("extended", None, set())
    assert_view(store, BARS)


def test_a_split_like_jump_without_a_name_waits_three_sessions_and_is_then_taken():
    bars = BARS.copy()
    bars.loc[bars.index[-4] :, PRICES] /= 2.0  # and as many shares trade as before: no split
    store = stored(bars.iloc[:-4])
    for night, verdict in ((117, "held"), (118, "held"), (119, "held"), (120, "extended")):
        found, _, rules = take(store, bars.iloc[:night])
        assert found == verdict
        assert ("split_like_jump", HELD if verdict == "held" else FLAGGED) in rules
    assert_view(store, bars)


def test_a_late_split_waits_until_the_history_follows():
    ex = BARS.index[-3]
    late, named = rebased(BARS, 0.5, before=ex), split(on=ex)
    store = stored(late.iloc[:-3])
    for night in (118, 119):
        verdict, _, rules = take(store, late.iloc[:night], named)
        assert (verdict, ("split_not_applied", HELD) in rules, store.actions.empty) == ("held", True, True)
        assert_view(store, late.iloc[:-3])
    assert take(store, BARS, named) == ("split", pytest.approx(2.0), set())
    assert_view(store, BARS)
    assert_actions(store, named)
    first = MemoryStore()  # of a first answer too
    assert ("split_not_applied", HELD) in take(
        first, rebased(BARS, 0.5, before=BARS.index[-2]), split(on=BARS.index[-2])
    )[2]
    assert_view(first, rebased(BARS, 0.5).iloc[:-2])


@pytest.mark.parametrize(
    ("ratio", "named", "one_basis"), [(2.0, 0, False), (10.0, None, False), (0.1, None, True), (3.0, 1, True)]
)
def test_a_split_that_the_history_never_shows_is_applied_once_three_sessions_prove_it(ratio, named, one_basis):
    """The stored bars are on one basis on every night, and a source that follows at last changes nothing."""
    final, first = random_bars(126, seed=1), 120
    ex = final.index[first]
    left = rebased(final, 1.0 / ratio, before=ex)
    if one_basis:
        left["adj_close"] = final["adj_close"]
    actions = NO_ACTIONS if named is None else split(ratio, on=final.index[first + named])
    store = stored(left.iloc[60:first])
    for night in (first + 1, first + 2):
        assert take(store, left.iloc[60:night], actions)[0] == "held"
    for night in range(first + 3, 126):
        verdict, _, rules = take(store, left.iloc[night - 63 : night], actions)
        assert (verdict, rules) == ("split" if night == first + 3 else "extended", set())
        assert_view(store, final.iloc[60:night])
    assert_actions(store, split(ratio, on=ex))
    for source in (left, final):
        assert take(store, source.iloc[100:], actions)[2] == set()
    assert_view(store, final.iloc[60:])


def test_of_a_first_answer_too_a_split_that_its_history_does_not_show_is_applied():
    left = rebased(rebased(BARS, 0.5, before=BARS.index[80]), 0.25, before=BARS.index[40])
    store = MemoryStore()
    assert take(store, left) == ("first", None, set())
    assert_view(store, BARS)
    assert take(store, left)[0] == "unchanged"


def test_a_far_move_on_the_day_of_a_split_that_the_history_shows_is_news():
    final = BARS.copy()
    final.loc[EX, ["low", "close", "adj_close"]] *= 0.86  # nearer to no rebase than to one
    store = stored(rebased(final, 0.8).iloc[:-1])
    assert take(store, final, split(1.25)) == ("split", pytest.approx(1.25), set())
    assert_view(store, final)


def test_a_split_named_the_evening_before_rebases_when_the_history_does():
    before = rebased(BARS, 0.5).iloc[:-1]
    store = stored(before)
    assert (take(store, before, split())[0], store.actions.empty) == ("unchanged", True)
    assert take(store, BARS, split())[:2] == ("split", pytest.approx(2.0))
    assert_actions(store, split())
    assert_view(store, BARS)


def test_a_newest_close_a_hundred_times_too_high_is_held_and_the_next_night_stores_the_right_one():
    store, pence = stored(BARS.iloc[:-1]), hundredfold([-1])
    verdict, _, rules = take(store, pence)
    assert (verdict, ("split_like_jump", HELD) in rules) == ("held", True)
    revision, _ = store.take(fetched_of(pence.iloc[-1:]))  # a fetch whose only bar is held
    assert (revision.verdict, revision.detail, revision.settled) == ("held", "1 held", [])
    assert take(store, BARS)[0] == "extended"
    assert take(store, pence)[0] == "held"  # nor is a stored bar restated a hundredfold
    assert_view(store, BARS)


@pytest.mark.parametrize(("rows", "factor"), [(slice(-5, None), 0.01), (slice(60, 62), 100.0)])
def test_a_few_bars_in_another_unit_are_held_and_a_correction_of_them_is_taken(rows, factor):
    pence, store = hundredfold(rows, factor), stored(BARS.iloc[:-1])
    revision, _ = store.take(fetched_of(pence))
    moved = len(BARS.iloc[:-1].iloc[rows.start + (rows.start < 0) : rows.stop])
    assert f"Prices of {moved} known bars moved (median x{factor:g})" in revision.detail
    assert (revision.until_accepted, revision.findings[0].rule) == (True, "rebase_unexplained")
    assert take(store, BARS)[0] == "extended"
    corrected = stored(pence.iloc[:-1])
    assert take(corrected, BARS)[0] == "revised"
    assert_view(corrected, BARS)


def test_two_splits_since_the_last_fetch_each_move_what_came_before_it():
    first = BARS.index[40]
    store = stored(rebased(rebased(BARS, 0.5), 0.25, before=first).iloc[:60])
    actions = make_actions([(first, "split", 4.0), (EX, "split", 2.0)])
    assert take(store, BARS, actions) == ("split", pytest.approx(2.0), set())
    assert_view(store, BARS)
    assert_actions(store, actions)


def test_a_named_split_under_the_session_of_an_unnamed_one_is_recorded_as_both():
    store = stored(rebased(BARS, 0.125).iloc[:-1])
    take(store, rebased(BARS, 0.25))  # halved by the source, which names no split
    assert_actions(store, split(2.0))
    assert take(store, BARS, split(4.0))[:2] == ("split", pytest.approx(4.0))
    assert_actions(store, split(8.0))
    assert_view(store, BARS)


def test_a_split_that_the_stored_bars_show_already_is_not_recorded_later():
    store, past = stored(BARS), (BARS.index[60], "split", 2.0)
    assert (take(store, BARS, make_actions([past]))[0], len(store.actions)) == ("unchanged", 0)
    coming = (EX + pd.Timedelta(days=3), "split", 3.0)
    assert take(store, rebased(BARS, 3.0), make_actions([past, coming]))[:2] == ("split", pytest.approx(3.0))
    assert_actions(store, make_actions([coming]))
    first = MemoryStore()
    assert take(first, BARS, make_actions([past])) == ("first", None, set())
    assert_actions(first, make_actions([past]))


@pytest.mark.parametrize(("times", "held"), [(1, True), (2, False)])
def test_a_price_that_doubles_by_a_tick_and_halves_again_every_few_weeks_was_not_split(times, held):
    bars, ticks = random_bars(100, seed=2), np.ones(100)
    for first in (60, 75)[:times]:
        ticks[first : first + 3] = 2.0
    ticks[-1] = 2.0
    bars[PRICES] = np.repeat(0.0001 * ticks[:, None], 5, axis=1)
    revision, _ = stored(bars.iloc[:-1]).take(fetched_of(bars))
    assert bool(revision.held) is held


def dividends(bars, *at, value=0.5):
    return make_actions([(bars.index[i], "dividend", value) for i in at])


def test_implied_dividends_are_the_ones_that_made_adj_close():
    bars = random_bars(300, seed=5)
    paid = dividends(bars, 40, 103, 166, 229, value=0.57)
    bars["adj_close"] = adjusted_close(bars, paid).round(6)
    found = implied_dividends(bars)
    pd.testing.assert_frame_equal(found[["session", "kind"]], paid[["session", "kind"]])
    assert np.abs(found["value"] - 0.57).max() < 1e-3


def test_prices_rounded_to_cents_do_not_look_like_dividends():
    bars = random_bars(300, seed=6)
    bars["close"] /= 10.0
    paid = dividends(bars, 103, value=0.1)
    bars["adj_close"] = (adjusted_close(bars, paid) * 0.93).round(2)
    found = implied_dividends(bars)
    assert found["session"].tolist() == paid["session"].tolist()


def test_one_wrong_close_is_no_dividend():
    bars = random_bars(60, seed=2)
    for place, factor in ((30, 0.1), (30, 10.0), (30, 0.0), (59, 0.998), (1, 0.5)):
        damaged = bars.copy()
        damaged.iloc[place, damaged.columns.get_loc("close")] *= factor
        assert implied_dividends(damaged).empty
    assert implied_dividends(bars.assign(adj_close=np.nan)).empty
