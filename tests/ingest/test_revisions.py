from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import adjusted_close, make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.revisions import explain, nothing_changed
from tests.builders import random_bars
from tests.ingest.memory_store import VALUES, MemoryStore, fetched_of

NO_ACTIONS = make_actions([])


def stored(bars, actions=None):
    store = MemoryStore()
    store.take(fetched_of(bars, actions))
    return store


def assert_view(store, bars):
    pd.testing.assert_frame_equal(store.bars()[VALUES], bars[VALUES], check_freq=False)


def found(findings):
    return [(finding.session, finding.rule, finding.severity) for finding in findings]


def test_the_first_fetch_is_written_whole_and_settled_but_for_the_newest_bar():
    bars = random_bars(30, seed=1)
    revision, findings = MemoryStore().take(fetched_of(bars))
    assert revision.verdict == "first"
    assert (revision.versions["version"].tolist(), revision.versions["version"].dtype) == ([1] * 30, np.int64)
    assert revision.detail == "30 new, newest 2024-03-08"
    assert list(revision.versions.columns) == ["session", "version", *VALUES]
    assert revision.settled == [day.date() for day in bars.index[:-1]]
    assert (findings, revision.held) == ([], [])


def test_an_empty_view_of_any_shape_means_the_first_fetch():
    bars = random_bars(30, seed=1)
    for known in (pd.DataFrame(), pd.DataFrame(columns=[*VALUES, "version", "settled"]), MemoryStore().bars()):
        revision = explain(known, bars, actions=NO_ACTIONS, known_actions=NO_ACTIONS)
        assert (revision.verdict, len(revision.versions)) == ("first", 30)


def test_the_same_fetch_again_changes_nothing():
    bars = random_bars(30, seed=1)
    store = stored(bars)
    revision, findings = store.take(fetched_of(bars))
    assert (revision.verdict, revision.settled, findings) == ("unchanged", [], [])
    assert revision.versions.empty
    assert revision.new_actions.empty
    assert revision.detail == "no change, newest 2024-03-08"


def test_a_new_session_is_written_and_the_one_before_settles():
    bars = random_bars(30, seed=1)
    store = stored(bars.iloc[:-1])
    revision, _ = store.take(fetched_of(bars))
    assert revision.verdict == "extended"
    assert revision.versions[["session", "version"]].values.tolist() == [[bars.index[-1], 1]]
    assert revision.settled == [bars.index[-2].date()]
    assert revision.detail == "1 new, newest 2024-03-08"


def test_jitter_in_the_sixth_digit_of_a_price_is_no_change_and_one_share_is():
    bars = random_bars(30, seed=1)
    store = stored(bars)
    jittered = bars.copy()
    jittered[["open", "high", "low", "close"]] *= 1 + 4e-6
    assert store.take(fetched_of(jittered))[0].verdict == "unchanged"
    one_share = bars.copy()
    one_share.iloc[5, one_share.columns.get_loc("volume")] += 1
    revision, findings = store.take(fetched_of(one_share))
    assert (revision.verdict, revision.versions["version"].tolist(), findings) == ("revised", [2], [])


def test_a_settled_volume_restated_past_half_a_percent_and_any_settled_price_are_findings():
    bars = random_bars(30, seed=1)
    store = stored(bars)
    restated = bars.copy()
    restated.iloc[3, restated.columns.get_loc("volume")] *= 1.004
    restated.iloc[4, restated.columns.get_loc("volume")] *= 0.978
    restated.iloc[5, restated.columns.get_loc("high")] *= 1.001
    revision, findings = store.take(fetched_of(restated))
    days = [day.date() for day in bars.index[:6]]
    assert found(findings) == [(days[5], "price_restated", "flag"), (days[4], "volume_restated", "flag")]
    assert np.isclose(findings[1].value, -0.022)
    assert revision.settled == days[3:6]
    assert revision.detail == f"3 restated (volume by up to -2.20% on {days[4]}), newest 2024-03-08"
    assert_view(store, restated)


def test_a_provisional_bar_may_move_overnight_without_a_finding():
    bars = random_bars(30, seed=1)
    evening = bars.copy()
    evening.iloc[-1, evening.columns.get_loc("volume")] *= 0.73
    store = stored(evening)
    revision, findings = store.take(fetched_of(bars))
    assert (revision.verdict, revision.settled, findings) == ("revised", [], [])
    assert_view(store, bars)


def test_a_provisional_bar_that_the_next_night_makes_final_is_routine_and_a_settled_one_restated_with_it_is_not():
    bars = random_bars(30, seed=1)
    evening = bars.iloc[:-1].copy()
    evening.iloc[-1, evening.columns.get_loc("volume")] *= 0.73
    revision, findings = stored(evening).take(fetched_of(bars))
    assert (revision.verdict, findings) == ("extended", [])
    assert revision.detail.startswith("1 new, 1 restated (volume by up to +36.99% on 2024-03-07)")
    restated = bars.copy()
    restated.iloc[5, restated.columns.get_loc("volume")] += 1
    assert stored(evening).take(fetched_of(restated))[0].verdict == "revised"


def test_a_row_that_is_absent_or_has_no_volume_takes_nothing_away():
    bars = random_bars(30, seed=1)
    store = stored(bars)
    assert store.take(fetched_of(bars.drop(bars.index[[4, 5]])))[0].verdict == "unchanged"
    unknown = bars.copy()
    unknown.iloc[7, unknown.columns.get_loc("volume")] = np.nan
    assert store.take(fetched_of(unknown))[0].verdict == "unchanged"
    unknown.iloc[7, :4] *= 1.002
    store.take(fetched_of(unknown))
    assert store.bars()["volume"].tolist() == bars["volume"].tolist()


def test_bars_of_a_series_without_any_volume_settle_by_their_prices():
    bars = random_bars(30, seed=5).assign(volume=np.nan)
    store = stored(bars.iloc[:-1])
    assert store.bars()["settled"].tolist() == [True] * 28 + [False]
    bars.iloc[7, :4] *= 1.002
    revision, _ = store.take(fetched_of(bars))
    assert (revision.verdict, revision.settled) == ("revised", [bars.index[7].date(), bars.index[-2].date()])
    assert found(revision.findings) == [(bars.index[7].date(), "price_restated", "flag")]


def test_a_volume_that_was_unknown_is_filled_and_only_then_settles():
    bars = random_bars(30, seed=1)
    unknown = bars.copy()
    unknown.iloc[7, unknown.columns.get_loc("volume")] = np.nan
    store = stored(unknown)
    assert not store.bars()["settled"].iloc[7]
    revision, findings = store.take(fetched_of(bars))
    assert (revision.verdict, revision.settled, findings) == ("revised", [bars.index[7].date()], [])
    assert_view(store, bars)


def test_a_volume_that_the_source_no_longer_has_keeps_no_bar_from_settling():
    bars = random_bars(30, seed=1)
    store = stored(bars.iloc[:-1])
    forgotten = bars.copy()
    forgotten.iloc[-2, forgotten.columns.get_loc("volume")] = np.nan
    revision, _ = store.take(fetched_of(forgotten))
    assert (revision.verdict, revision.settled) == ("extended", [bars.index[-2].date()])


def test_an_index_settles_without_volumes_and_its_jumps_are_not_held():
    bars = random_bars(30, seed=1).assign(volume=np.nan)
    bars.iloc[-1, :5] /= 2.0
    nothing = pd.DataFrame()
    first, last = (
        explain(known, bars, actions=None, known_actions=NO_ACTIONS) for known in (nothing, index_bars(bars.iloc[:-1]))
    )
    assert (first.verdict, first.settled) == ("first", [day.date() for day in bars.index[:-1]])
    assert (last.verdict, last.settled, last.held) == ("extended", [bars.index[-2].date()], [])
    pd.testing.assert_frame_equal(last.new_actions, NO_ACTIONS)


def index_bars(bars):
    """The bars as stored: all settled but the newest."""
    settled = np.arange(len(bars)) < len(bars) - 1
    return bars[VALUES].assign(version=1, settled=settled)


@pytest.mark.parametrize(("moved", "verdict"), [(20, "revised"), (21, "held")])
def test_a_fetch_that_restates_more_than_twenty_settled_bars_is_held_whole(moved, verdict):
    bars = random_bars(40, seed=1)
    store = stored(bars.iloc[:-1])
    paid = make_actions([(bars.index[-2], "dividend", 0.57)])
    restated = bars.copy()
    restated.iloc[:moved, restated.columns.get_loc("volume")] *= 1.25
    restated.iloc[:2, restated.columns.get_loc("high")] *= 1.001
    revision, findings = store.take(fetched_of(restated, paid))
    assert revision.verdict == verdict
    pd.testing.assert_frame_equal(revision.new_actions, paid)
    if verdict == "revised":
        assert (len(findings), len(revision.versions), revision.until_accepted) == (22, 21, False)
        return
    detail = "21 settled bars would be restated by one fetch (volume by a median of x1.25, prices of 2); "
    detail += "expected at most 20."
    newest_known = bars.index[-2].date()
    assert revision.detail == f"nothing stored: {detail}"
    assert revision.findings == [Finding(newest_known, "history_restated", "reject", pytest.approx(1.25), detail)]
    assert (len(revision.versions), list(revision.versions)) == (0, ["session", "version", *VALUES])
    assert (revision.settled, revision.held, revision.until_accepted) == ([], [bars.index[-1].date()], True)


def test_a_history_that_the_user_accepts_is_taken_with_one_finding():
    bars = random_bars(40, seed=1)
    known = index_bars(bars.iloc[:-1])
    pence = bars.copy()
    pence[["open", "high", "low", "close", "adj_close"]] *= 100.0
    revision = explain(known, pence, actions=NO_ACTIONS, known_actions=NO_ACTIONS, accept=True)
    assert (revision.verdict, revision.until_accepted) == ("revised", False)
    assert revision.versions["version"].tolist() == [2] * 39 + [1]
    np.testing.assert_array_equal(revision.versions[VALUES], pence[VALUES])
    assert found(revision.findings) == [(bars.index[-3].date(), "history_accepted", "flag")]
    assert revision.detail.startswith("1 new, 39 restated (price by up to 9900.00% on ")


def test_a_dividend_is_a_verdict_and_no_bar():
    bars = random_bars(30, seed=1)
    store = stored(bars.iloc[:-1])
    paid = make_actions([(bars.index[-1], "dividend", 0.57)])
    revision, findings = store.take(fetched_of(bars.assign(adj_close=adjusted_close(bars, paid)), paid))
    assert (revision.verdict, len(revision.versions), findings) == ("dividend", 1, [])
    pd.testing.assert_frame_equal(revision.new_actions, paid)
    assert revision.detail.startswith("1 new, dividend 0.57 on 2024-03-08, Adj Close x0.98")


def test_adj_close_alone_shows_a_dividend_after_the_newest_bar():
    bars = random_bars(30, seed=1).assign(adj_close=lambda bars: bars["close"] * 0.9638)
    store = stored(bars)
    revision, findings = store.take(fetched_of(bars.assign(adj_close=bars["adj_close"] / 1.03402)))
    assert (revision.verdict, findings) == ("dividend", [])
    assert revision.versions.empty
    assert revision.detail == "Adj Close x0.967099, newest 2024-03-08"


def test_adj_close_that_jitters_in_the_fifth_digit_is_no_dividend():
    bars = random_bars(30, seed=1)
    store = stored(bars)
    assert store.take(fetched_of(bars.assign(adj_close=bars["adj_close"] * (1 + 3e-5))))[0].verdict == "unchanged"


def test_adj_close_that_is_unknown_or_of_another_span_is_no_dividend():
    bars = random_bars(30, seed=1)
    unknown = bars.copy()
    unknown.iloc[-1, unknown.columns.get_loc("adj_close")] = np.nan
    for fetch in (unknown, bars.iloc[:20].assign(adj_close=lambda bars: bars["close"] / 2)):
        revision, _ = stored(bars).take(fetched_of(fetch))
        assert (revision.verdict, revision.detail) == ("unchanged", f"no change, newest {fetch.index[-1].date()}")


@pytest.mark.parametrize(("first", "earlier"), [(10, ""), (6, ", 1 earlier dividends"), (2, ", 2 earlier dividends")])
def test_the_detail_names_the_newest_three_of_many_dividends(first, earlier):
    bars = random_bars(30, seed=1)
    paid = make_actions([(bars.index[place], "dividend", 0.5 + place / 100) for place in range(first, 22, 4)])
    days = [bars.index[place].date() for place in (10, 14, 18)]
    revision, _ = stored(bars).take(fetched_of(bars, paid))
    named = f"dividend 0.6 on {days[0]}, dividend 0.64 on {days[1]}, dividend 0.68 on {days[2]}"
    assert revision.detail == f"{named}{earlier}, newest 2024-03-08"


def test_the_detail_names_a_volume_that_was_unknown_where_no_known_one_changed():
    bars = random_bars(30, seed=1)
    unknown = bars.copy()
    unknown.iloc[7, unknown.columns.get_loc("volume")] = np.nan
    filled, both = (stored(unknown).take(fetched_of(fetch))[0] for fetch in (bars, restated_volume(bars, 9, 1.002)))
    days = [bars.index[place].date() for place in (7, 9)]
    assert filled.detail == f"1 restated (a volume that was unknown on {days[0]}), newest 2024-03-08"
    assert both.detail == f"2 restated (volume by up to +0.20% on {days[1]}), newest 2024-03-08"


@pytest.mark.parametrize("volume", [8e6, np.nan])
def test_the_detail_names_a_price_where_no_volume_changed(volume):
    bars = random_bars(30, seed=1).assign(volume=volume)
    corrected = bars.copy()
    corrected.iloc[7, bars.columns.get_loc("high")] *= 1.02
    revision, _ = stored(bars).take(fetched_of(corrected))
    assert revision.detail == f"1 restated (price by up to 2.00% on {bars.index[7].date()}), newest 2024-03-08"


def restated_volume(bars, place, factor):
    """The bars with one volume changed."""
    restated = bars.copy()
    restated.iloc[place, restated.columns.get_loc("volume")] *= factor
    return restated


def test_a_request_without_usable_bars_stores_nothing():
    finding = Finding(date(2024, 3, 8), "price_unknown", "reject", None, "A price is missing.")
    late, bad = nothing_changed("late", "no bar yet"), nothing_changed("bad_data", "no row is usable", [finding])
    assert (late.verdict, late.detail, late.findings) == ("late", "no bar yet", [])
    assert (bad.verdict, bad.detail, bad.findings) == ("bad_data", "no row is usable", [finding])
    for revision in (late, bad):
        assert (revision.settled, revision.held, revision.until_accepted) == ([], [], False)
        assert (len(revision.versions), list(revision.versions)) == (0, ["session", "version", *VALUES])
        pd.testing.assert_frame_equal(revision.new_actions, NO_ACTIONS)


def test_a_known_action_is_not_written_again_and_a_forgotten_one_stays():
    bars = random_bars(30, seed=1)
    paid = make_actions([(bars.index[10], "dividend", 0.57)])
    store = stored(bars, paid)
    for actions in (paid, None):
        revision, _ = store.take(fetched_of(bars, actions))
        assert (revision.verdict, len(revision.new_actions)) == ("unchanged", 0)
    pd.testing.assert_frame_equal(store.actions, paid)
