from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.assessment import Request, StoredBars
from forecasting.ingest.bars import no_bars
from forecasting.ingest.market_bars import assess_market, prices_alone
from forecasting.ingest.sources import Fetched
from tests.builders import LAST, random_bars
from tests.yahoo_stand_in import market_bars

VIX = market_bars(random_bars(days=300, seed=4, last=LAST))
NOTHING = StoredBars(no_bars().assign(version=pd.Series(dtype="int64"), settled=False), make_actions([]), None)


def fetched(bars: pd.DataFrame) -> Fetched:
    first = bars.index[0].date()
    return prices_alone(Fetched("yahoo", "^VIX", first, LAST, bars, make_actions([]), "test", "VIX", live=True))


def assessed(bars: pd.DataFrame, stored: StoredBars = NOTHING, *, accept: bool = False):
    request = Request(LAST, "yahoo", "XNYS", sessions_needed=10**6, accept=accept)
    return assess_market(fetched(bars), request, stored)


def stored_as(bars: pd.DataFrame) -> StoredBars:
    return replace(NOTHING, bars=bars.assign(version=1, settled=True))


def with_close(session: int, factor: float) -> pd.DataFrame:
    bars = VIX.copy()
    bars.iloc[session] *= factor
    return bars


@pytest.mark.parametrize("factor", [1.5, 2.0, 2.2, 3.0, 0.5])
@pytest.mark.parametrize("session", [-1, -2, 100])
def test_a_jump_of_an_index_is_neither_held_nor_flagged(session: int, factor: float) -> None:
    found = assessed(with_close(session, factor))
    assert (found.error, found.revision.findings, found.revision.held) == (None, [], [])
    assert len(found.revision.versions) == len(VIX)


def test_a_jump_on_the_newest_session_is_stored_beside_a_stored_history() -> None:
    found = assessed(with_close(-1, 2.2), stored_as(VIX.iloc[:-1]))
    assert (found.revision.verdict, len(found.revision.versions), found.revision.findings) == ("extended", 1, [])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"close": 0.0}, "price_not_positive"),
        ({"close": -1.0}, "price_not_positive"),
        ({"close": np.nan}, "price_unknown"),
        ({"high": 1.0}, "high_below_low"),
        ({"close": 900.0}, "close_outside_range"),
    ],
)
def test_an_impossible_row_is_refused_and_the_others_are_stored(change: dict[str, float], rule: str) -> None:
    bars = VIX.copy()
    for name, value in change.items():
        bars.loc[bars.index[-1], name] = value
    found = assessed(bars)
    assert [(finding.rule, finding.severity) for finding in found.revision.findings] == [(rule, "reject")]
    assert (found.error, len(found.revision.versions)) == (None, len(VIX) - 1)


def test_an_open_outside_the_range_and_a_value_of_a_holiday_are_no_findings() -> None:
    bars = VIX.copy()
    bars.loc[bars.index[-1], "open"] = 900.0
    bars.loc[pd.Timestamp(date(2024, 1, 15))] = bars.iloc[-1]  # Martin Luther King's day
    found = assessed(bars.sort_index())
    assert (found.revision.findings, len(found.revision.versions)) == ([], len(VIX))


def test_a_late_bar_leaves_the_older_ones_stored_and_a_finding() -> None:
    found = assessed(VIX.iloc[:-1])
    assert (found.error, found.revision.verdict, len(found.revision.versions)) == (None, "first", len(VIX) - 1)
    assert [(finding.session, finding.rule) for finding in found.revision.findings] == [(LAST, "missing_session")]


def test_another_series_is_not_stored_until_it_is_accepted() -> None:
    other = market_bars(random_bars(days=299, seed=5, last=LAST))
    held = assessed(other, stored_as(VIX))
    assert (held.error, held.revision.verdict, len(held.revision.versions)) == (None, "held", 0)
    assert [finding.severity for finding in held.revision.findings] == ["reject"]
    assert len(assessed(other, stored_as(VIX), accept=True).revision.versions) == len(other)


def test_a_price_is_settled_by_a_later_fetch_and_its_restatement_is_a_finding() -> None:
    days = [day.date() for day in VIX.index]
    assert assessed(VIX).revision.settled == days[:-1]
    now = VIX.copy()
    now.iloc[40, now.columns.get_indexer(["open", "high", "low", "close"])] *= 1.2
    found = assessed(now, stored_as(VIX)).revision
    assert [(finding.session, finding.rule) for finding in found.findings] == [(days[40], "price_restated")]


def test_volume_adj_close_and_actions_of_an_index_are_left_out() -> None:
    found = fetched(random_bars(days=300, seed=4, last=LAST))
    assert found.bars[["volume", "adj_close"]].isna().all(axis=None)
    assert found.actions.empty
