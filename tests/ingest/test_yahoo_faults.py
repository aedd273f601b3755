"""One night with each fault seen in Yahoo's rows: what is stored and found, and how the next night corrects it.

docs/data-faults.md has the same outcomes as a table.
"""

from datetime import date

import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.sources.yahoo import Yahoo
from forecasting.sessions import sessions_index
from tests.builders import random_bars
from tests.ingest.memory_store import VALUES, MemoryStore, directly
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

BARS = random_bars(120, seed=21)
DAYS = [day.date() for day in BARS.index]
BEFORE, TONIGHT, MIDDLE = DAYS[-2], DAYS[-1], DAYS[60]


SPLIT = (TONIGHT, "split", 2.0)


def fault(edit, verdict, *findings, newest=TONIGHT, paid=()):
    """An edit of tonight's answer, if any; verdict, findings, the newest session stored, and the actions."""
    return [] if edit is None else [edit], verdict, findings, newest, paid


CASES = {
    "nothing wrong": fault(None, "extended"),
    "null row in the middle": fault(null_row(MIDDLE), "extended", ("price_unknown", "reject", MIDDLE)),
    "null last row": fault(null_row(TONIGHT), "unchanged", ("price_unknown", "reject", TONIGHT), newest=BEFORE),
    "null prices": fault(null_prices(TONIGHT), "unchanged", ("price_unknown", "reject", TONIGHT), newest=BEFORE),
    "null volume": fault(null_volume(TONIGHT), "extended", ("volume_unknown", "flag", TONIGHT)),
    "null volume of a known bar": fault(null_volume(MIDDLE), "extended"),
    "missing row in the middle": fault(missing_row(MIDDLE), "extended"),
    "missing last row": fault(missing_row(TONIGHT), "unchanged", ("missing_session", "flag", TONIGHT), newest=BEFORE),
    "100x row in the middle": fault(scaled(100.0, MIDDLE), "extended", ("price_spike", "reject", MIDDLE)),
    "100x last row": fault(
        scaled(100.0, TONIGHT),
        "held",
        ("price_jump", "flag", TONIGHT),
        ("split_like_jump", "reject", TONIGHT),
        newest=BEFORE,
    ),
    "close outside its range": fault(
        scaled(1.5, TONIGHT, column="close"), "unchanged", ("close_outside_range", "reject", TONIGHT), newest=BEFORE
    ),
    "partial bar of tonight's session": fault(
        scaled(0.2, TONIGHT, column="volume"), "unchanged", ("partial_bar", "reject", TONIGHT), newest=BEFORE
    ),
    "live bar of the next day": fault(live_bar(date(2024, 3, 11)), "extended"),
    "final and live bar of the same day": fault(live_bar(TONIGHT, share=1.002), "extended"),
    "dividend": fault(None, "dividend", paid=[(TONIGHT, "dividend", 0.57)]),
    "split": fault(None, "split", paid=[SPLIT]),
    "late split": fault(
        late_split(TONIGHT, 2.0),
        "held",
        ("price_jump", "flag", TONIGHT),
        ("split_not_applied", "reject", TONIGHT),
        newest=BEFORE,
        paid=[SPLIT],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_night_with_the_fault_ends_as_documented_and_the_next_one_corrects_it(tmp_path, monkeypatch, case):
    edits, verdict, expected, newest, paid = case
    store, actions = MemoryStore(), make_actions(paid)
    with asked_here(StandIn(BARS, actions), monkeypatch.setattr) as stand_in:
        stand_in.today = BEFORE
        store.take(directly(stand_in))
        stand_in.today, stand_in.edits = TONIGHT, edits
        revision, findings = store.take(Yahoo(tmp_path, timeout_s=10.0).fetch("SBUX", DAYS[0], TONIGHT))
        assert revision.verdict == verdict
        assert tuple(sorted((one.rule, one.severity, one.session) for one in findings)) == expected
        assert store.bars().index.equals(sessions_index(DAYS[0], newest))
        stand_in.edits = []
        store.take(directly(stand_in))
    pd.testing.assert_frame_equal(store.bars()[VALUES], BARS[VALUES], check_freq=False, rtol=1e-9)
    pd.testing.assert_frame_equal(store.actions, actions)
