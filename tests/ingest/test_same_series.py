"""Bars of another series are told from restated, rebased and converted bars of the same one."""

from __future__ import annotations

import pytest

from forecasting.ingest.same_series import Match, compare
from tests.builders import random_bars

KNOWN = random_bars(300, seed=1)


def test_the_same_bars_match_whole_and_no_common_session_proves_nothing():
    assert compare(KNOWN, KNOWN) == Match(300, 1.0, 1.0)
    assert not compare(KNOWN.iloc[:10], KNOWN.iloc[20:]).is_other


@pytest.mark.parametrize("factor", [100.0, 0.926])
def test_another_unit_for_all_is_the_same_series(factor):
    match = compare(KNOWN, KNOWN * factor)
    assert (match.share, round(match.ratio, 6)) == (1.0, factor)


def test_a_rebased_history_before_a_split_is_the_same_series():
    rebased = KNOWN.copy()
    rebased.iloc[:250] /= 2.0
    assert compare(KNOWN, rebased).share == 1.0


def test_another_series_is_not():
    match = compare(KNOWN, random_bars(300, seed=2))
    assert match.is_other
    assert match.share < 0.5
    assert not compare(KNOWN, random_bars(300, seed=2).iloc[-62:]).is_other
