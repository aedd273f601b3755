"""Many nights in a row: any order of fetches ends where it should."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.ingest.actions import make_actions
from tests.builders import random_bars
from tests.ingest.memory_store import VALUES, MemoryStore, fetched_of

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
    splits = []
    views = []
    for fetch in sequence:
        if fetch["split"] != 1.0 and views:
            basis *= fetch["split"]
            ex = TRUTH.index[-1] + pd.Timedelta(days=len(views))
            splits.append((ex, "split", fetch["split"]))
        store.take(fetched_of(vintage(fetch, basis), make_actions(splits)))
        views.append(store.bars())
        absent = set(views[-2].index if len(views) > 1 else []) - set(views[-1].index)
        assert absent == set(), "absence never deletes"
    whole = {"newest": 40, "oldest": 0, "absent": (), "unknown": (), "volumes": {}, "prices": {}}
    complete = vintage(whole, basis)
    actions = make_actions(splits)
    store.take(fetched_of(complete, actions))
    pd.testing.assert_frame_equal(
        store.bars()[VALUES], complete[VALUES], check_freq=False, rtol=1.01e-5
    )
    revision, _ = store.take(fetched_of(complete, actions))
    assert (revision.verdict, len(revision.versions)) == ("unchanged", 0)
    assert store.bars()["settled"].tolist() == [True] * 39 + [store.bars()["settled"].iloc[-1]]
