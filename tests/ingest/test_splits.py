"""Splits, named or not, applied by the source or not.

The stored bars are on one share basis, or a jump is held.
"""

import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from tests.builders import PRICES, random_bars, scaled
from tests.ingest.memory_store import (
    NO_ACTIONS,
    MemoryStore,
    assert_view,
    fetched_of,
    split_of,
    stored,
)

BARS = random_bars(120, seed=1)
EX = BARS.index[-1]


def split(ratio=2.0, *, on=EX):
    return make_actions([(on, "split", ratio)])


def rebased(bars, ratio, *, before=None):
    """The bars of sessions before `before` (all without it) on the share basis after a split of
    `ratio`."""
    after = bars.copy()
    rows = slice(None) if before is None else after.index < before
    after.loc[rows, PRICES] /= ratio
    after.loc[rows, "volume"] = (after.loc[rows, "volume"] * ratio).round()
    return after


def take(store, bars, actions=NO_ACTIONS):
    """The verdict of a fetch, its split, and the rules and severities of its findings."""
    revision, findings = store.take(fetched_of(bars, actions))
    return (
        revision.verdict,
        split_of(revision),
        {(finding.rule, finding.severity) for finding in findings},
    )


def assert_actions(store, actions):
    pd.testing.assert_frame_equal(
        store.actions.sort_values(["session", "kind"], ignore_index=True), actions
    )


@pytest.mark.parametrize("ratio", [2.0, 1.5, 3.0, 0.1, 1.281])
def test_a_named_split_makes_a_new_version_of_every_earlier_bar(ratio):
    store = stored(BARS.iloc[:-1])
    new = rebased(BARS, ratio)
    revision, findings = store.take(fetched_of(new, split(ratio)))
    assert (revision.verdict, split_of(revision), findings) == ("split", pytest.approx(ratio), [])
    assert revision.versions["version"].tolist() == [2] * 119 + [1]
    assert revision.settled == [day.date() for day in BARS.index[:-1]]
    assert_view(store, new)
    assert take(store, new, split(ratio)) == ("unchanged", None, set())


def test_bars_older_than_the_fetch_are_rebased_with_the_rest_and_settle_only_with_a_volume():
    unknown, new = (scaled(bars, np.nan, 10, "volume") for bars in (BARS, rebased(BARS, 2.0)))
    store = stored(unknown.iloc[:-1])
    revision, _ = store.take(fetched_of(new.iloc[40:], split()))
    assert len(revision.versions) == 120
    assert sorted(revision.settled) == [day.date() for day in BARS.index[:-1].delete(10)]
    assert_view(store, new)


KNOWN = BARS[:-1]
HALVED = rebased(BARS, 2.0)
DOUBLED = rebased(BARS, 0.5)
JUMPED = scaled(BARS, 0.5, slice(-4, None), PRICES)  # and as many shares trade as before: no split
AT_40, PAST, LATE, NEXT_TO_LAST = BARS.index[[40, -10, -3, -2]]
UNFOLLOWED = rebased(BARS, 0.5, before=LATE)
PAID = [(AT_40, "dividend", paid) for paid in (0.5, 0.25)]
COMING = (EX + pd.Timedelta(days=3), "split", 3.0)


def nights(*answers, bars=None, actions=None):
    """Bars, actions and outcome of each night.

    What is stored in the end, where it is not what the last one has.
    """
    return (
        answers,
        answers[-1][0] if bars is None else bars,
        answers[-1][1] if actions is None else actions,
    )


NIGHTS = {
    "a split rewrites the dividends before it": nights(
        (KNOWN, make_actions(PAID[:1]), "first, adj_close_mismatch flag"),
        (HALVED, make_actions([PAID[1], (EX, "split", 2.0)]), "split x2, adj_close_mismatch flag"),
    ),
    "one ratio over all prices and its inverse over volumes is a split, which is named "
    "late": nights(
        (KNOWN, NO_ACTIONS, "first"),
        (HALVED, NO_ACTIONS, "split x2"),
        (HALVED, split(on=NEXT_TO_LAST), "unchanged"),
        actions=split(),
    ),
    "a history rebased once more up to a past split is held whole": nights(
        (KNOWN, split(on=PAST), "first"),
        (rebased(BARS, 2.0, before=PAST), split(on=PAST), "held, rebase_unexplained reject"),
        (BARS, split(on=PAST), "extended"),
    ),
    "a jump like a split without a name waits three sessions and is then taken": nights(
        (JUMPED[:-4], NO_ACTIONS, "first"),
        *(
            (JUMPED[:night], NO_ACTIONS, "held, split_like_jump reject")
            for night in (117, 118, 119)
        ),
        (JUMPED, NO_ACTIONS, "extended, split_like_jump flag"),
    ),
    "a late split waits until the history follows": nights(
        (UNFOLLOWED[:-3], NO_ACTIONS, "first"),
        *(
            (UNFOLLOWED[:n], split(on=LATE), "held, price_jump flag, split_not_applied reject")
            for n in (118, 119)
        ),
        (BARS, split(on=LATE), "split x2"),
    ),
    "a split named the evening before rebases when the history does": nights(
        (DOUBLED[:-1], NO_ACTIONS, "first"),
        (DOUBLED[:-1], split(), "unchanged"),
        (BARS, split(), "split x2"),
    ),
    "a split that the stored bars show already is not recorded later": nights(
        (BARS, NO_ACTIONS, "first"),
        (BARS, split(on=PAST), "unchanged"),
        (rebased(BARS, 3.0), make_actions([(PAST, "split", 2.0), COMING]), "split x3"),
        actions=make_actions([COMING]),
    ),
}


@pytest.mark.parametrize("case", NIGHTS.values(), ids=NIGHTS)
def test_bars_are_stored_on_one_share_basis_or_held_until_they_are(case):
    answers, bars, actions = case
    store = MemoryStore()
    for answer, named, expected in answers:
        before = store.bars()
        known = store.actions
        verdict, ratio, rules = take(store, answer, named)
        outcome = verdict if ratio is None else f"{verdict} x{ratio:g}"
        assert (
            ", ".join([outcome, *sorted(f"{rule} {severity}" for rule, severity in rules)])
            == expected
        )
        if verdict == "held" and len(before):
            assert store.bars().equals(before) and store.actions.equals(known)
    assert_view(store, bars)
    assert_actions(store, actions)


@pytest.mark.parametrize(
    ("ratio", "named", "one_basis"),
    [(2.0, 0, False), (10.0, None, False), (0.1, None, True), (3.0, 1, True)],
)
def test_a_split_that_the_history_never_shows_is_applied_once_three_sessions_prove_it(
    ratio, named, one_basis
):
    """The stored bars are on one basis on every night, and a source that follows at last changes
    nothing."""
    final = random_bars(126, seed=1)
    first = 120
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
