import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.splits import on_newest_basis
from tests.builders import random_bars
from tests.ingest.memory_store import VALUES, MemoryStore, fetched_of, split_of

PRICES = ["open", "high", "low", "close", "adj_close"]
NO_ACTIONS = make_actions([])


def rebased(bars, ratio, *, before=None):
    """The bars of sessions before `before` (all without it) on the share basis after a split of `ratio`."""
    after = bars.copy()
    rows = slice(None) if before is None else after.index < before
    after.loc[rows, PRICES] /= ratio
    after.loc[rows, "volume"] = (after.loc[rows, "volume"] * ratio).round()
    return after


def night_before(bars, actions=NO_ACTIONS):
    store = MemoryStore()
    store.take(fetched_of(bars, actions))
    return store


def assert_view(store, bars):
    pd.testing.assert_frame_equal(store.bars()[VALUES], bars[VALUES], check_freq=False, rtol=1e-5)


def rules(findings):
    return {(finding.rule, finding.severity) for finding in findings}


@pytest.mark.parametrize("ratio", [2.0, 1.5, 3.0, 0.1, 1.281])
def test_a_named_split_makes_a_new_version_of_every_earlier_bar(ratio):
    old = random_bars(120, seed=1)
    ex = old.index[-1]
    new = rebased(old, ratio, before=ex)
    new.loc[ex, PRICES] /= ratio
    new.loc[ex, "volume"] *= ratio
    store = night_before(old.iloc[:-1])
    revision, findings = store.take(fetched_of(new, make_actions([(ex, "split", ratio)])))
    assert (revision.verdict, split_of(revision)) == ("split", pytest.approx(ratio))
    assert revision.versions["version"].tolist() == [2] * 119 + [1]
    assert revision.settled == [day.date() for day in old.index[:-1]]
    assert findings == []
    assert_view(store, new)
    assert store.take(fetched_of(new, make_actions([(ex, "split", ratio)])))[0].verdict == "unchanged"


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
    old = random_bars(120, seed=1)
    if rounded == "volumes":
        old["volume"] = np.arange(2_000.0, 2_120.0)
    if rounded == "prices":
        old[PRICES] = (old[PRICES] / 1500).round(6)
    ex = old.index[-1]
    new = old.copy()
    new.loc[:, PRICES] = (new[PRICES] / ratio).round(6)
    new["volume"] = np.floor(new["volume"] * ratio)
    store = night_before(old.iloc[:-1])
    revision, findings = store.take(fetched_of(new, make_actions([(ex, "split", named)])))
    assert (revision.verdict, split_of(revision), findings) == ("split", pytest.approx(named), [])
    pd.testing.assert_frame_equal(store.bars()[VALUES], new[VALUES], check_freq=False)


def test_bars_older_than_the_fetch_are_rebased_with_the_rest():
    old = random_bars(120, seed=1)
    ex = old.index[-1]
    store = night_before(old.iloc[:-1])
    new = rebased(old, 2.0)
    revision, _ = store.take(fetched_of(new.iloc[40:], make_actions([(ex, "split", 2.0)])))
    assert len(revision.versions) == 120
    assert len(revision.settled) == 119
    assert_view(store, new)


def test_a_bar_without_a_volume_does_not_settle_by_being_rebased():
    old = random_bars(120, seed=1)
    unknown = old.copy()
    unknown.iloc[10, unknown.columns.get_loc("volume")] = float("nan")
    store = night_before(unknown.iloc[:-1])
    revision, _ = store.take(fetched_of(rebased(old, 2.0).iloc[40:], make_actions([(old.index[-1], "split", 2.0)])))
    assert len(revision.versions) == 120
    assert sorted(revision.settled) == [day.date() for day in old.index[:-1].delete(10)]


def test_a_split_restated_together_with_a_volume_is_still_a_split():
    old = random_bars(120, seed=1)
    ex = old.index[-1]
    store = night_before(old.iloc[:-1])
    new = rebased(old, 2.0)
    new.iloc[30, new.columns.get_loc("volume")] *= 1.02
    revision, findings = store.take(fetched_of(new, make_actions([(ex, "split", 2.0)])))
    assert (revision.verdict, revision.detail) == ("split", "1 new, split x2, newest 2024-03-08")
    assert rules(findings) == {("volume_restated", "flag")}


def test_a_split_rewrites_the_dividends_before_it():
    old = random_bars(120, seed=1)
    ex = old.index[-1]
    store = night_before(old.iloc[:-1], make_actions([(old.index[50], "dividend", 0.5)]))
    actions = make_actions([(old.index[50], "dividend", 0.25), (ex, "split", 2.0)])
    revision, _ = store.take(fetched_of(rebased(old, 2.0), actions))
    pd.testing.assert_frame_equal(revision.new_actions, actions)
    pd.testing.assert_frame_equal(store.actions.sort_values("session", ignore_index=True), actions)


def test_one_ratio_over_all_prices_and_its_inverse_over_volumes_is_a_split_without_a_name():
    old = random_bars(120, seed=1)
    store = night_before(old.iloc[:-1])
    revision, findings = store.take(fetched_of(rebased(old, 2.0)))
    assert (revision.verdict, split_of(revision), findings) == ("split", pytest.approx(2.0), [])
    pd.testing.assert_frame_equal(store.actions, make_actions([(old.index[-1], "split", 2.0)]))
    named_late = store.take(fetched_of(rebased(old, 2.0), make_actions([(old.index[-2], "split", 2.0)])))[0]
    assert (named_late.verdict, len(named_late.new_actions)) == ("unchanged", 0)


def test_one_ratio_over_all_prices_with_volumes_as_they_were_is_held_whole():
    old = random_bars(120, seed=1)
    store = night_before(old.iloc[:-1])
    pence = old.copy()
    pence[PRICES] *= 100.0
    paid = make_actions([(old.index[-1], "dividend", 57.0)])
    revision, _ = store.take(fetched_of(pence, paid))
    assert (revision.verdict, len(revision.versions), revision.settled) == ("held", 0, [])
    assert (revision.held, revision.until_accepted) == ([old.index[-1].date()], True)
    detail = "Prices of 119 known bars moved (median x100), and no split explains how."
    assert revision.detail == f"nothing stored: {detail}"
    assert revision.findings == [
        Finding(old.index[-2].date(), "rebase_unexplained", "reject", pytest.approx(100.0), detail)
    ]
    pd.testing.assert_frame_equal(revision.new_actions, paid)
    assert_view(store, old.iloc[:-1])


def test_a_history_rebased_once_more_up_to_a_past_split_is_held_whole():
    final = random_bars(120, seed=1)
    day = final.index[-10]
    store = night_before(final.iloc[:-1], make_actions([(day, "split", 2.0)]))
    twice = rebased(final, 2.0, before=day)
    revision, findings = store.take(fetched_of(twice, make_actions([(day, "split", 2.0)])))
    assert (revision.verdict, len(revision.versions), revision.until_accepted) == ("held", 0, True)
    assert rules(findings) == {("rebase_unexplained", "reject")}
    assert store.take(fetched_of(final, make_actions([(day, "split", 2.0)])))[0].verdict == "extended"
    assert_view(store, final)


def test_many_prices_that_moved_each_its_own_way_are_held_whole():
    old = random_bars(120, seed=1)
    store = night_before(old)
    other = old.copy()
    other[PRICES] = random_bars(120, seed=2)[PRICES].to_numpy()
    revision, _ = store.take(fetched_of(other))
    assert (revision.verdict, len(revision.versions)) == ("held", 0)


def test_a_split_like_jump_without_a_name_waits_three_sessions_and_is_then_taken():
    bars = random_bars(120, seed=1)
    jump = bars.index[-4]
    bars.loc[jump:, PRICES] /= 2.0  # and as many shares trade as before: no split
    store = night_before(bars.iloc[:-4])
    for night, verdict in ((117, "held"), (118, "held"), (119, "held"), (120, "extended")):
        revision, findings = store.take(fetched_of(bars.iloc[:night]))
        assert revision.verdict == verdict
        assert ("split_like_jump", "reject" if verdict == "held" else "flag") in rules(findings)
    assert_view(store, bars)


def test_a_late_split_waits_until_the_history_follows():
    final = random_bars(120, seed=1)
    ex = final.index[-3]
    late = rebased(final, 0.5, before=ex)
    split = make_actions([(ex, "split", 2.0)])
    store = night_before(late.iloc[:-3])
    for night in (118, 119):
        revision, findings = store.take(fetched_of(late.iloc[:night], split))
        assert (revision.verdict, len(revision.versions)) == ("held", 0)
        assert rules(findings) >= {("split_not_applied", "reject")}
        assert store.actions.empty
    revision, findings = store.take(fetched_of(final, split))
    assert (revision.verdict, split_of(revision), findings) == ("split", pytest.approx(2.0), [])
    assert_view(store, final)
    pd.testing.assert_frame_equal(store.actions, split)


def test_of_a_first_answer_too_a_named_split_that_its_history_does_not_show_is_held():
    final = random_bars(120, seed=1)
    ex = final.index[-2]
    revision, findings = MemoryStore().take(
        fetched_of(rebased(final, 0.5, before=ex), make_actions([(ex, "split", 2.0)]))
    )
    assert revision.held == [day.date() for day in final.index[-2:]]
    assert ("split_not_applied", "reject") in rules(findings)


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
    actions = NO_ACTIONS if named is None else make_actions([(final.index[first + named], "split", ratio)])
    store = night_before(left.iloc[60:first])
    for night in (first + 1, first + 2):
        assert store.take(fetched_of(left.iloc[60:night], actions))[0].verdict == "held"
    for night in range(first + 3, 126):
        revision, findings = store.take(fetched_of(left.iloc[night - 63 : night], actions))
        assert (revision.verdict, findings) == ("split" if night == first + 3 else "extended", [])
        assert_view(store, final.iloc[60:night])
    pd.testing.assert_frame_equal(store.actions, make_actions([(ex, "split", ratio)]))
    for source in (left, final):
        assert store.take(fetched_of(source.iloc[100:], actions))[1] == []
    assert_view(store, final.iloc[60:])


def test_of_a_first_answer_too_a_split_that_its_history_does_not_show_is_applied():
    final = random_bars(120, seed=1)
    left = rebased(rebased(final, 0.5, before=final.index[80]), 0.25, before=final.index[40])
    revision, findings = (store := MemoryStore()).take(fetched_of(left))
    assert (revision.verdict, findings) == ("first", [])
    assert_view(store, final)
    assert store.take(fetched_of(left))[0].verdict == "unchanged"


def test_a_history_that_was_rebased_twice_is_held():
    final = random_bars(120, seed=1)
    ex, split = final.index[-1], make_actions([(final.index[-1], "split", 2.0)])
    store = night_before(rebased(final, 0.5).iloc[:-1])
    revision, findings = store.take(fetched_of(rebased(final, 2.0, before=ex), split))
    assert (revision.verdict, revision.held) == ("held", [ex.date()])
    assert ("split_like_jump", "reject") in rules(findings)


def test_a_far_move_on_the_day_of_a_split_that_the_history_shows_is_news():
    final = random_bars(120, seed=1)
    ex, split = final.index[-1], make_actions([(final.index[-1], "split", 1.25)])
    final.loc[ex, ["low", "close", "adj_close"]] *= 0.86  # nearer to no rebase than to one
    store = night_before(rebased(final, 0.8).iloc[:-1])
    revision, findings = store.take(fetched_of(final, split))
    assert (revision.verdict, split_of(revision), findings) == ("split", pytest.approx(1.25), [])
    assert_view(store, final)


def test_a_split_named_the_evening_before_rebases_when_the_history_does():
    final = random_bars(120, seed=1)
    ex = final.index[-1]
    split = make_actions([(ex, "split", 2.0)])
    before = rebased(final, 0.5).iloc[:-1]
    store = night_before(before)
    assert store.take(fetched_of(before, split))[0].verdict == "unchanged"
    assert store.actions.empty
    revision, _ = store.take(fetched_of(final, split))
    pd.testing.assert_frame_equal(store.actions, split)
    assert (revision.verdict, split_of(revision)) == ("split", pytest.approx(2.0))
    assert_view(store, final)


def test_a_newest_close_a_hundred_times_too_high_is_held_and_the_next_night_stores_the_right_one():
    bars = random_bars(120, seed=1)
    pence = bars.copy()
    pence.iloc[-1, :5] *= 100.0
    store = night_before(bars.iloc[:-1])
    revision, findings = store.take(fetched_of(pence))
    assert (revision.verdict, revision.held) == ("held", [bars.index[-1].date()])
    assert ("split_like_jump", "reject") in rules(findings)
    assert store.take(fetched_of(bars))[0].verdict == "extended"
    assert_view(store, bars)


def test_a_fetch_whose_only_bar_is_held_has_no_newest_session():
    bars = random_bars(120, seed=1)
    pence = bars.copy()
    pence.iloc[-1, :5] *= 100.0
    revision, _ = night_before(bars.iloc[:-1]).take(fetched_of(pence.iloc[-1:]))
    assert (revision.verdict, revision.detail, revision.settled) == ("held", "1 held", [])


def test_a_stored_newest_bar_is_not_restated_a_hundredfold():
    bars = random_bars(120, seed=1)
    pence = bars.copy()
    pence.iloc[-1, :5] *= 100.0
    store = night_before(bars)
    assert store.take(fetched_of(pence))[0].verdict == "held"
    assert_view(store, bars)


@pytest.mark.parametrize(("rows", "factor"), [(slice(-5, None), 0.01), (slice(60, 62), 100.0)])
def test_a_few_bars_in_another_unit_are_held_and_a_correction_of_them_is_taken(rows, factor):
    bars = random_bars(120, seed=1)
    pence = bars.copy()
    pence.iloc[rows, :5] *= factor
    store = night_before(bars.iloc[:-1])
    revision, _ = store.take(fetched_of(pence))
    moved = len(bars.iloc[:-1].iloc[rows.start + (rows.start < 0) : rows.stop])
    detail = f"Prices of {moved} known bars moved (median x{factor:g}), and no split explains how."
    assert (revision.detail, revision.until_accepted) == (f"nothing stored: {detail}", True)
    assert revision.findings[0].rule == "rebase_unexplained"
    assert store.take(fetched_of(bars))[0].verdict == "extended"
    corrected = night_before(pence.iloc[:-1])
    assert corrected.take(fetched_of(bars))[0].verdict == "revised"
    assert_view(corrected, bars)


def test_two_splits_since_the_last_fetch_each_move_what_came_before_it():
    final = random_bars(120, seed=1)
    first, second = final.index[40], final.index[-1]
    store = night_before(rebased(rebased(final, 0.5), 0.25, before=first).iloc[:60])
    actions = make_actions([(first, "split", 4.0), (second, "split", 2.0)])
    revision, findings = store.take(fetched_of(final, actions))
    assert (revision.verdict, split_of(revision), findings) == ("split", pytest.approx(2.0), [])
    assert_view(store, final)
    pd.testing.assert_frame_equal(store.actions, actions)


def test_a_named_split_under_the_session_of_an_unnamed_one_is_recorded_as_both():
    final = random_bars(120, seed=1)
    store = night_before(rebased(rebased(final, 0.5), 0.25).iloc[:-1])
    day = final.index[-1]
    store.take(fetched_of(rebased(final, 0.25)))  # halved by the source, which names no split
    pd.testing.assert_frame_equal(store.actions, make_actions([(day, "split", 2.0)]))
    revision, _ = store.take(fetched_of(final, make_actions([(day, "split", 4.0)])))
    assert (revision.verdict, split_of(revision)) == ("split", pytest.approx(4.0))
    pd.testing.assert_frame_equal(store.actions[-1:].reset_index(drop=True), make_actions([(day, "split", 8.0)]))
    assert_view(store, final)


def test_a_split_that_the_stored_bars_show_already_is_not_recorded_later():
    bars = random_bars(120, seed=1)
    store = night_before(bars)
    actions = make_actions([(bars.index[60], "split", 2.0)])
    revision, _ = store.take(fetched_of(bars, actions))
    assert (revision.verdict, len(store.actions)) == ("unchanged", 0)
    ex = bars.index[-1] + pd.Timedelta(days=3)
    again = make_actions([(bars.index[60], "split", 2.0), (ex, "split", 3.0)])
    revision, _ = store.take(fetched_of(rebased(bars, 3.0), again))
    assert (revision.verdict, split_of(revision)) == ("split", pytest.approx(3.0))
    pd.testing.assert_frame_equal(store.actions, again.iloc[1:].reset_index(drop=True))


def test_past_splits_change_nothing_on_the_first_fetch():
    bars = random_bars(120, seed=1)
    store = night_before(bars, make_actions([(bars.index[60], "split", 2.0)]))
    assert store.nights[0][0].verdict == "first"
    assert split_of(store.nights[0][0]) is None
    assert len(store.actions) == 1


@pytest.mark.parametrize(("times", "held"), [(1, True), (2, False)])
def test_a_price_that_doubles_by_a_tick_and_halves_again_every_few_weeks_was_not_split(times, held):
    bars, ticks = random_bars(100, seed=2), np.ones(100)
    for first in (60, 75)[:times]:
        ticks[first : first + 3] = 2.0
    ticks[-1] = 2.0
    bars[PRICES] = np.repeat(0.0001 * ticks[:, None], 5, axis=1)
    revision, _ = night_before(bars.iloc[:-1]).take(fetched_of(bars))
    assert bool(revision.held) is held
