"""One night with each fault seen in Yahoo's rows: what is stored and found, and how the next night corrects it.

docs/data-faults.md has the same outcomes as a table.
"""

from dataclasses import dataclass
from datetime import date

import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.sources.yahoo import Yahoo
from forecasting.sessions import sessions_index
from tests.builders import random_bars
from tests.ingest.memory_store import VALUES, MemoryStore
from tests.yahoo_stand_in import (
    StandIn,
    forget_yahoo,
    late_split,
    live_bar,
    missing_row,
    null_prices,
    null_row,
    null_volume,
    route_yahoo_here,
    scaled,
)

BARS = random_bars(120, seed=21)
DAYS = [day.date() for day in BARS.index]
BEFORE, TONIGHT, MIDDLE = DAYS[-2], DAYS[-1], DAYS[60]


@dataclass(frozen=True)
class Case:
    """A fault of tonight's answer and what one night makes of it."""

    edits: tuple
    verdict: str
    findings: tuple = ()
    newest: date = TONIGHT
    actions: tuple = ()
    fault: str = ""


CASES = {
    "nothing wrong": Case((), "extended"),
    "null row in the middle": Case((null_row(MIDDLE),), "extended", (("price_unknown", "reject", MIDDLE),)),
    "null last row": Case((null_row(TONIGHT),), "unchanged", (("price_unknown", "reject", TONIGHT),), BEFORE),
    "null prices with a volume": Case(
        (null_prices(TONIGHT),), "unchanged", (("price_unknown", "reject", TONIGHT),), BEFORE
    ),
    "null volume": Case((null_volume(TONIGHT),), "extended", (("volume_unknown", "flag", TONIGHT),)),
    "null volume of a known bar": Case((null_volume(MIDDLE),), "extended"),
    "missing row in the middle": Case((missing_row(MIDDLE),), "extended"),
    "missing last row": Case((missing_row(TONIGHT),), "unchanged", (("missing_session", "flag", TONIGHT),), BEFORE),
    "missing adjclose": Case((), "extended", fault="no_adjclose"),
    "100x row in the middle": Case((scaled(100.0, MIDDLE),), "extended", (("price_spike", "reject", MIDDLE),)),
    "100x last row": Case(
        (scaled(100.0, TONIGHT),),
        "held",
        (("price_jump", "flag", TONIGHT), ("split_like_jump", "reject", TONIGHT)),
        BEFORE,
    ),
    "close outside its range": Case(
        (scaled(1.5, TONIGHT, column="close"),), "unchanged", (("close_outside_range", "reject", TONIGHT),), BEFORE
    ),
    "partial bar of tonight's session": Case(
        (scaled(0.2, TONIGHT, column="volume"),), "unchanged", (("partial_bar", "reject", TONIGHT),), BEFORE
    ),
    "live bar of the next day": Case((live_bar(date(2024, 3, 11)),), "extended"),
    "final and live bar of the same day": Case((live_bar(TONIGHT, share=1.002),), "extended"),
    "dividend": Case((), "dividend", actions=((TONIGHT, "dividend", 0.57),)),
    "split": Case((), "split", actions=((TONIGHT, "split", 2.0),)),
    "late split": Case(
        (late_split(TONIGHT, 2.0),),
        "held",
        (("price_jump", "flag", TONIGHT), ("split_not_applied", "reject", TONIGHT)),
        BEFORE,
        ((TONIGHT, "split", 2.0),),
    ),
}


@pytest.fixture
def yahoo(monkeypatch, tmp_path):
    forget_yahoo()
    yield Yahoo(tmp_path / "yahoo", timeout_s=10.0)
    forget_yahoo()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_night_with_the_fault_ends_as_documented_and_the_next_one_corrects_it(yahoo, monkeypatch, case):
    actions = make_actions(case.actions)
    store = MemoryStore()
    with StandIn(BARS, actions) as stand_in:
        route_yahoo_here(stand_in.url, monkeypatch.setattr)
        stand_in.today = BEFORE
        store.take(yahoo.fetch("SBUX", DAYS[0], BEFORE))

        stand_in.today, stand_in.edits = TONIGHT, list(case.edits)
        stand_in.fail(*filter(None, [case.fault]))
        revision, findings = store.take(yahoo.fetch("SBUX", DAYS[0], TONIGHT))
        assert revision.verdict == case.verdict
        assert tuple(sorted((f.rule, f.severity, f.session) for f in findings)) == case.findings
        assert store.bars().index[-1].date() == case.newest
        assert store.bars().index.equals(sessions_index(DAYS[0], case.newest))

        stand_in.edits = []
        store.take(yahoo.fetch("SBUX", DAYS[0], TONIGHT))
    pd.testing.assert_frame_equal(store.bars()[VALUES], BARS[VALUES], check_freq=False, rtol=1e-9)
    pd.testing.assert_frame_equal(store.actions, actions)


def test_a_missing_bar_older_than_tonight_is_refilled_when_yahoo_has_it_again(yahoo, monkeypatch):
    store = MemoryStore()
    with StandIn(BARS) as stand_in:
        route_yahoo_here(stand_in.url, monkeypatch.setattr)
        stand_in.edits = [missing_row(MIDDLE, DAYS[-5])]
        _, findings = store.take(yahoo.fetch("SBUX", DAYS[0], TONIGHT))
        assert [(f.rule, f.session) for f in findings] == [("missing_session", MIDDLE), ("missing_session", DAYS[-5])]
        stand_in.edits = []
        revision, findings = store.take(yahoo.fetch("SBUX", DAYS[0], TONIGHT))
    assert (revision.verdict, revision.settled, findings) == ("extended", [MIDDLE, DAYS[-5]], [])
    pd.testing.assert_frame_equal(store.bars()[VALUES], BARS[VALUES], check_freq=False)
