from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import BadDataError, DataLateError, HistoryError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.assessment import (
    Assessment,
    Request,
    StoredBars,
    assess,
    assess_market,
    compare,
    prices_alone,
)
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.revisions import Revision
from forecasting.ingest.sources import Fetched
from forecasting.ingest.splits import ACCEPTED
from tests.builders import random_bars
from tests.ingest.memory_store import MemoryStore, fetched_of
from tests.yahoo_stand_in import market_bars

BARS = random_bars(30, seed=3)  # 2024-01-26 to 2024-03-08
LAST, BEFORE_LAST = date(2024, 3, 8), date(2024, 3, 7)
NO_ACTIONS = make_actions([])
NOTHING = StoredBars(MemoryStore().bars(), NO_ACTIONS, None)


def request(session: date = LAST, *, needed: int = 20) -> Request:
    return Request(session, "csv:bars.csv", "XNYS", needed)


def stored(bars: pd.DataFrame) -> StoredBars:
    """The stored bars after one fetch of `bars`."""
    store = MemoryStore()
    store.take(fetched_of(bars))
    return StoredBars(store.bars(), store.actions, store.adjustment)


def doubled_last() -> pd.DataFrame:
    bars = BARS.copy()
    bars.iloc[-1, :5] *= 2.0
    return bars


def assert_assessment(found: Assessment, revision: Revision, error: DataLateError | HistoryError | None) -> None:
    """Every field of the revision, and the error's class and arguments."""
    assert (type(found.error), found.error and vars(found.error), str(found.error)) == (
        type(error),
        error and vars(error),
        str(error),
    )
    for name, expected in vars(revision).items():
        value = getattr(found.revision, name)
        if isinstance(expected, pd.DataFrame):
            pd.testing.assert_frame_equal(value, expected, check_dtype=not expected.empty)
        else:
            assert value == expected, name


def without_changes(verdict: str, error: Exception, findings: list[Finding]) -> Revision:
    columns = ["session", "version", "open", "high", "low", "close", "volume"]
    return Revision(verdict, str(error), pd.DataFrame(columns=columns), [], NO_ACTIONS, findings)


def test_a_first_fetch_with_the_nights_bar_is_usable_and_stores_all_its_bars():
    versions = BARS.drop(columns="adj_close").reset_index()
    versions.insert(1, "version", 1)
    settled = [day.date() for day in BARS.index[:-1]]
    expected = Revision("first", "30 new, newest 2024-03-08", versions, settled, NO_ACTIONS, [])
    assert_assessment(assess(fetched_of(BARS), request(), NOTHING), expected, None)


def test_a_fetch_without_the_nights_bar_is_late_and_names_the_newest_it_has():
    error = DataLateError(
        "SBUX has no usable bar for the session 2024-03-08 yet; csv:bars.csv ends at 2024-03-07. "
        "Run again later, or give --as-of a session that has its bar.",
        BEFORE_LAST,
    )
    found = assess(fetched_of(BARS.iloc[:-1], last_asked=LAST), request(), NOTHING)
    gap = Finding(LAST, "missing_session", "flag", None, "The exchange traded, but no bar of it has come yet.")
    assert_assessment(found, without_changes("late", error, [gap]), error)


@pytest.mark.parametrize("bars", [BARS.iloc[:0], BARS.assign(close=-1.0)])
def test_a_fetch_without_any_usable_bar_is_late_and_says_so(bars: pd.DataFrame):
    error = assess(replace(fetched_of(BARS), bars=bars), request(), NOTHING).error
    assert "yet; csv:bars.csv has no usable bar of the span requested. " in str(error)
    assert isinstance(error, DataLateError)
    assert error.newest is None


def test_a_fetch_whose_newest_bar_is_rejected_is_late_and_keeps_the_finding():
    bars = BARS.copy()
    bars.iloc[-1, 3] = -1.0
    found = assess(fetched_of(bars), request(), stored(BARS.iloc[:-1]))
    assert isinstance(found.error, DataLateError)
    assert found.error.newest == BEFORE_LAST
    words = "The lowest of the four prices is not above 0."
    assert found.revision.findings == [Finding(LAST, "price_not_positive", "reject", -1.0, words)]
    assert found.revision.versions.empty


def test_a_fetch_of_fewer_sessions_than_a_forecast_needs_is_too_short():
    error = HistoryError(
        "Expected at least 31 sessions of bars for a forecast of SBUX at 2024-03-08; found 30. "
        "Use a source with a longer history, or wait."
    )
    found = assess(fetched_of(BARS), request(needed=31), NOTHING)
    assert_assessment(found, without_changes("bad_data", error, []), error)


def test_stored_sessions_up_to_the_nights_count_towards_a_history_and_later_ones_do_not():
    older, newer = stored(BARS.iloc[:20]), stored(BARS)
    assert assess(fetched_of(BARS.iloc[10:]), request(needed=30), older).error is None
    early = assess(fetched_of(BARS.iloc[10:20]), request(BARS.index[19].date(), needed=21), newer)
    assert isinstance(early.error, HistoryError)


def test_a_late_fetch_that_is_too_short_is_late():
    found = assess(fetched_of(BARS.iloc[:-1], last_asked=LAST), request(needed=99), NOTHING)
    assert isinstance(found.error, DataLateError)


def test_a_newest_bar_that_jumps_like_a_split_is_held_and_the_night_is_late():
    close = doubled_last()["close"]
    words = "Close moved like a split since the session before, and no named split explains it."
    held = Finding(LAST, "split_like_jump", "reject", float(close.iloc[-1] / close.iloc[-2]), words)
    why = (
        "SBUX's bar of 2024-03-08 is held back, not stored: 1 held, newest 2024-03-07. "
        f"The bar of 2024-03-08 is kept out (split_like_jump, {held.value:.6g}): {words} "
        "Run again later; the hold ends by itself after a few sessions."
    )
    error = DataLateError(why, BEFORE_LAST, why)
    found = assess(fetched_of(doubled_last()), request(), stored(BARS.iloc[:-1]))
    assert [finding for finding in found.revision.findings if finding.severity == "reject"] == [held]
    assert_assessment(found, without_changes("late", error, found.revision.findings), error)


def test_a_bar_held_for_the_jump_of_an_earlier_session_names_that_one():
    bars = BARS.copy()
    bars.iloc[-2:, :5] *= 2.0
    error = assess(fetched_of(bars), request(), stored(BARS.iloc[:-2])).error
    assert isinstance(error, DataLateError)
    assert "2024-03-08 is held back, not stored: 2 held" in error.why
    assert "The bar of 2024-03-07 is kept out (split_like_jump, " in error.why


def test_bars_of_another_series_without_a_symbol_are_refused_unless_the_user_accepts_them():
    known, other = random_bars(100, seed=3), replace(fetched_of(random_bars(100, seed=8)), names_symbol=False)
    found = assess(other, request(), stored(known))
    assert isinstance(found.error, BadDataError)
    assert [finding.rule for finding in found.revision.findings] == ["other_series"]
    assert found.revision.versions.empty
    accepted = assess(other, replace(request(), accept=True), stored(known))
    assert (accepted.error, len(accepted.revision.versions)) == (None, 100)


def test_bars_without_a_symbol_that_few_stored_ones_confirm_have_a_note():
    unnamed = replace(fetched_of(random_bars(100, seed=3)), names_symbol=False)
    assert "no symbol column" in assess(unnamed, request(), NOTHING).note
    assert assess(unnamed, request(), stored(random_bars(100, seed=3))).note == ""


def test_bars_that_begin_sessions_after_the_stored_ones_are_held_unless_the_user_accepts_them():
    known, other = BARS.iloc[:10], random_bars(30, seed=8).iloc[12:]  # 2024-02-08, then from 2024-02-13 on
    answer = fetched_of(other, first_asked=known.index[0].date())
    detail = (
        "The stored bars end at 2024-02-08; those of csv:bars.csv begin at 2024-02-13, with 2 missing between, though "
        "the stored ones were requested too: its response is cut off, or the symbol is another company's now."
    )
    why = (
        f"SBUX's bar of 2024-03-08 is held back, not stored: {detail} The hold ends when the source returns to the "
        "stored history. Forecast another company in another data folder; --switch-source joins the two."
    )
    found = assess(answer, request(), stored(known))
    gaps = [date(2024, 2, 9), date(2024, 2, 12)]
    words = "The exchange traded, but no bar of it has come yet."
    findings = [Finding(day, "missing_session", "flag", None, words) for day in gaps]
    findings.append(Finding(date(2024, 2, 13), "history_detached", "reject", 2.0, detail))
    error = DataLateError(why, None, why)
    assert_assessment(found, without_changes("late", error, findings), error)
    accepted = assess(answer, replace(request(), accept=True), stored(known))
    assert (accepted.error, len(accepted.revision.versions)) == (None, 18)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_volumes_in_another_unit_are_held_until_the_user_accepts_them(unit: float):
    bars = random_bars(90, seed=3)
    bars.iloc[-40:, 5] *= unit
    for held in (2, 39):
        found = assess(
            fetched_of(bars.iloc[: 50 + held]), request(bars.index[49 + held].date()), stored(bars.iloc[:50])
        )
        assert isinstance(found.error, DataLateError)
        assert found.error.newest == bars.index[49].date()
        assert "--switch-source" in found.error.why
        assert [(one.session, one.rule) for one in found.revision.findings if one.severity == "reject"] == [
            (bars.index[50].date(), "volume_unit")
        ]
    live = fetched_of(bars.iloc[:52], live=True)
    accepted = assess(live, replace(request(bars.index[51].date()), accept=True), stored(bars.iloc[:50]))
    assert (accepted.error, len(accepted.revision.versions)) == (None, 2)
    flags = [(one.session, one.rule) for one in accepted.revision.findings if one.rule != "volume_outlier"]
    assert flags == [(bars.index[50].date(), ACCEPTED)]
    following = fetched_of(bars.iloc[:53], live=True)
    assert assess(following, request(bars.index[52].date()), stored(bars.iloc[:52])).error is None


def test_a_single_volume_in_another_unit_is_another_rules_finding():
    bars = random_bars(90, seed=3)
    bars.iloc[-2, 5] /= 1000.0
    found = assess(fetched_of(bars), request(), stored(bars.iloc[:-2]))
    assert found.error is None
    assert [one.rule for one in found.revision.findings] == ["volume_outlier"]


def test_bars_that_begin_with_the_session_after_the_stored_ones_or_were_asked_for_from_later_on_are_usable():
    following = fetched_of(BARS.iloc[10:], first_asked=BARS.index[0].date())
    assert assess(following, request(), stored(BARS.iloc[:10])).error is None
    assert assess(fetched_of(BARS.iloc[12:]), request(), stored(BARS.iloc[:10])).error is None


# Closes of the same series, and of another.

KNOWN, OTHER = random_bars(300, seed=1), random_bars(300, seed=2)


@pytest.mark.parametrize(
    ("bars", "share", "ratio"),
    [
        (KNOWN, 1.0, 1.0),
        (KNOWN * 100.0, 1.0, 100.0),
        (KNOWN * 0.926, 1.0, 0.926),
        (pd.concat([KNOWN[:250] / 2.0, KNOWN[250:]]), 1.0, 0.5),  # rebased before a split
        (KNOWN[-20:], 1.0, 1.0),
        (OTHER[-62:], None, None),  # too few prove nothing
    ],
)
def test_another_unit_or_share_basis_is_the_same_series(bars, share, ratio):
    match = compare(KNOWN, bars)
    assert not match.is_other
    assert share is None or (match.share, match.ratio) == (share, pytest.approx(ratio))


def test_another_series_is_told_by_its_closes():
    match = compare(KNOWN, OTHER)
    assert match.is_other and match.share < 0.5


# A market series.

VIX = market_bars(random_bars(days=300, seed=4, last=LAST))


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
