"""Many nights in a row: what Yahoo restated is found and nothing else.

Any order of fetches ends where it should.
"""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.ingest.actions import make_actions
from forecasting.ingest.sources.yahoo import Yahoo
from forecasting.sessions import sessions_index
from tests.builders import random_bars
from tests.ingest.memory_store import VALUES, MemoryStore, directly, fetched_of
from tests.yahoo_stand_in import (
    StandIn,
    asked_here,
    late_split,
    live_bar,
    missing_row,
    null_prices,
    null_row,
    null_volume,
    scaled,
)

pytestmark = pytest.mark.slow


TRUTH = random_bars(40, seed=51)

fetches = st.lists(
    st.fixed_dictionaries(
        {
            "newest": st.integers(25, 40),
            "oldest": st.integers(0, 20),
            "absent": st.sets(st.integers(0, 39), max_size=4),
            "unknown": st.sets(st.integers(0, 39), max_size=4),
            "volumes": st.dictionaries(
                st.integers(0, 39), st.sampled_from([0.5, 0.98, 1.003, 1.4]), max_size=6
            ),
            "prices": st.dictionaries(
                st.integers(0, 39), st.sampled_from([0.995, 1.0002, 1.004]), max_size=4
            ),
            "split": st.sampled_from([1.0, 1.0, 1.0, 2.0, 0.1]),
        }
    ),
    max_size=4,
)


def vintage(fetch, basis):
    """TRUTH as one fetch returned it, on the share basis `basis` (shares per share of TRUTH)."""
    bars = TRUTH.copy()
    for row, factor in fetch["volumes"].items():
        bars.iloc[row, 5] = round(bars.iloc[row, 5] * factor)
    for row, factor in fetch["prices"].items():
        bars.iloc[row, :5] *= factor
    bars.iloc[sorted(fetch["unknown"]), 5] = np.nan
    bars.iloc[:, :5] /= basis
    bars["volume"] = (bars["volume"] * basis).round()
    return bars.iloc[
        [row for row in range(fetch["oldest"], fetch["newest"]) if row not in fetch["absent"]]
    ]


@settings(max_examples=10, deadline=None, database=None)
@given(sequence=fetches)
def test_any_sequence_of_fetches_ends_in_the_view_of_its_last_complete_one(sequence):
    store = MemoryStore()
    basis = 1.0
    actions = make_actions([])
    views = []
    for fetch in sequence:
        if fetch["split"] != 1.0 and views:
            basis *= fetch["split"]
            ex = TRUTH.index[-1] + pd.Timedelta(days=len(views))
            actions = make_actions(
                [*actions.itertuples(index=False, name=None), (ex, "split", fetch["split"])]
            )
        store.take(fetched_of(vintage(fetch, basis), actions))
        views.append(store.bars())
        absent = set(views[-2].index if len(views) > 1 else []) - set(views[-1].index)
        assert absent == set(), "absence never deletes"
    whole = {"newest": 40, "oldest": 0, "absent": (), "unknown": (), "volumes": {}, "prices": {}}
    complete = vintage(whole, basis)
    store.take(fetched_of(complete, actions))
    pd.testing.assert_frame_equal(
        store.bars()[VALUES], complete[VALUES], check_freq=False, rtol=1.01e-5
    )
    revision, _ = store.take(fetched_of(complete, actions))
    assert (revision.verdict, len(revision.versions)) == ("unchanged", 0)
    assert store.bars()["settled"].tolist() == [True] * 39 + [store.bars()["settled"].iloc[-1]]


BARS = random_bars(120, seed=21)
DAYS = [day.date() for day in BARS.index]
BEFORE = DAYS[-2]
TONIGHT = DAYS[-1]
MIDDLE = DAYS[60]
SPLIT = (TONIGHT, "split", 2.0)


# An edit of tonight's answer, if any; verdict, and findings of tonight's or the middle session
CASES = {
    "nothing wrong": (None, "extended", ""),
    "null row in the middle": (null_row(MIDDLE), "extended", "middle price_unknown reject"),
    "null last row": (null_row(TONIGHT), "unchanged", "tonight price_unknown reject"),
    "null prices": (null_prices(TONIGHT), "unchanged", "tonight price_unknown reject"),
    "null volume": (null_volume(TONIGHT), "extended", "tonight volume_unknown flag"),
    "null volume of a known bar": (null_volume(MIDDLE), "extended", ""),
    "missing row in the middle": (missing_row(MIDDLE), "extended", ""),
    "missing last row": (missing_row(TONIGHT), "unchanged", "tonight missing_session flag"),
    "100x row in the middle": (scaled(100.0, MIDDLE), "extended", "middle price_spike reject"),
    "100x last row": (
        scaled(100.0, TONIGHT),
        "held",
        "tonight price_jump flag, tonight split_like_jump reject",
    ),
    "close outside its range": (
        scaled(1.5, TONIGHT, column="close"),
        "unchanged",
        "tonight close_outside_range reject",
    ),
    "partial bar of tonight": (
        scaled(0.2, TONIGHT, column="volume"),
        "unchanged",
        "tonight partial_bar reject",
    ),
    "live bar of the next day": (live_bar(date(2024, 3, 11)), "extended", ""),
    "final and live bar of the same day": (live_bar(TONIGHT, share=1.002), "extended", ""),
    "dividend": (None, "dividend", ""),
    "split": (None, "split", ""),
    "late split": (
        late_split(TONIGHT, 2.0),
        "held",
        "tonight price_jump flag, tonight split_not_applied reject",
    ),
}
PAID = {"dividend": (TONIGHT, "dividend", 0.57), "split": SPLIT, "late split": SPLIT}


@pytest.mark.parametrize("case", CASES)
def test_a_night_with_the_fault_ends_as_documented_and_the_next_one_corrects_it(
    tmp_path, monkeypatch, case
):
    edit, verdict, expected = CASES[case]
    newest = BEFORE if verdict in ("unchanged", "held") else TONIGHT
    store = MemoryStore()
    actions = make_actions([PAID[case]] if case in PAID else [])
    with asked_here(StandIn(BARS, actions), monkeypatch.setattr) as stand_in:
        stand_in.today = BEFORE
        store.take(directly(stand_in))
        stand_in.today = TONIGHT
        stand_in.edits = [edit] if edit else []
        revision, findings = store.take(
            Yahoo(tmp_path, timeout_s=10.0).fetch("SBUX", DAYS[0], TONIGHT)
        )
        assert revision.verdict == verdict
        named = {TONIGHT: "tonight", MIDDLE: "middle"}
        assert (
            ", ".join(sorted(f"{named[one.session]} {one.rule} {one.severity}" for one in findings))
            == expected
        )
        assert store.bars().index.equals(sessions_index(DAYS[0], newest))
        stand_in.edits = []
        store.take(directly(stand_in))
    pd.testing.assert_frame_equal(store.bars()[VALUES], BARS[VALUES], check_freq=False, rtol=1e-9)
    pd.testing.assert_frame_equal(store.actions, actions)
