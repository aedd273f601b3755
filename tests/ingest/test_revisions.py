import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.revisions import NOTHING_STORED, StoredBars, explain
from tests.builders import PRICES, adjusted_close, random_bars, scaled
from tests.ingest.memory_store import (
    NO_ACTIONS,
    VALUES,
    MemoryStore,
    assert_view,
    fetched_of,
    found,
    stored,
)

BARS = random_bars(30, seed=1)
DAYS = [day.date() for day in BARS.index]


def edited(*changes, bars=BARS):
    """The bars with (place, column, factor) applied; a factor of NaN makes the number unknown."""
    for place, column, factor in changes:
        bars = scaled(bars, factor, place, column)
    return bars


def test_the_first_fetch_is_written_whole_and_settled_but_for_the_newest_bar():
    revision, findings = MemoryStore().take(fetched_of(BARS))
    assert (revision.verdict, revision.detail) == ("first", "30 new, newest 2024-03-08")
    assert (revision.versions["version"].tolist(), revision.versions["version"].dtype) == (
        [1] * 30,
        np.int64,
    )
    assert list(revision.versions.columns) == ["session", "version", *VALUES]
    assert (revision.settled, findings, revision.held) == (DAYS[:-1], [], [])
    revision = explain(NOTHING_STORED, BARS, actions=NO_ACTIONS, exchange="XNYS")
    assert (revision.verdict, len(revision.versions)) == ("first", 30)


def test_a_new_session_is_written_and_the_one_before_settles():
    revision, _ = stored(BARS.iloc[:-1]).take(fetched_of(BARS))
    assert (revision.verdict, revision.settled) == ("extended", [DAYS[-2]])
    assert revision.versions[["session", "version"]].values.tolist() == [[BARS.index[-1], 1]]
    assert revision.detail == "1 new, newest 2024-03-08"


@pytest.mark.parametrize(
    "fetch",
    [
        BARS,
        # Jitter in the sixth digit
        BARS.assign(open=BARS["open"] * (1 + 4e-6), close=BARS["close"] * (1 - 4e-6)),
        BARS.assign(adj_close=BARS["adj_close"] * (1 + 3e-5)),
        BARS.assign(adj_close=[*BARS["adj_close"][:-1], np.nan]),
        BARS.iloc[:20].assign(adj_close=lambda bars: bars["close"] / 2),  # of another span
        BARS.drop(BARS.index[[4, 5]]),
        edited((7, "volume", np.nan)),
    ],
)
def test_jitter_and_what_is_absent_or_unknown_change_nothing(fetch):
    store = stored(BARS)
    revision, findings = store.take(fetched_of(fetch))
    assert (revision.verdict, revision.settled, revision.versions.empty, findings) == (
        "unchanged",
        [],
        True,
        [],
    )
    assert (revision.new_actions.empty, revision.detail) == (
        True,
        f"no change, newest {fetch.index[-1].date()}",
    )
    assert_view(store, BARS)


@pytest.mark.parametrize(
    ("changes", "detail", "alarms"),
    [
        ([(5, "volume", 1.0000001)], "1 restated", []),
        (
            [(3, "volume", 1.004), (4, "volume", 0.978), (5, "high", 1.001)],
            "3 restated",
            [(DAYS[5], "price_restated"), (DAYS[4], "volume_restated")],
        ),
        (
            [(7, "high", 1.02)],
            "1 restated",
            [(DAYS[7], "price_restated")],
        ),
        # A provisional bar may move
        ([(-1, "volume", 0.73)], "1 restated", []),
    ],
)
def test_a_restated_bar_is_a_version_and_of_settled_ones_past_half_a_percent_or_in_price_a_finding(
    changes, detail, alarms
):
    store = stored(BARS)
    restated = edited(*changes)
    revision, findings = store.take(fetched_of(restated))
    settled = [DAYS[place] for place, _, _ in changes if place >= 0]
    assert (revision.verdict, revision.settled) == ("revised", settled)
    assert revision.versions["version"].tolist() == [2] * len(changes)
    assert [(one.session, one.rule) for one in findings] == alarms
    assert revision.detail == f"{detail}, newest 2024-03-08"
    assert_view(store, restated)


def test_a_provisional_bar_that_the_next_night_makes_final_is_routine_and_a_settled_one_restated_with_it_is_not():
    evening = edited((-1, "volume", 0.73), bars=BARS.iloc[:-1])
    revision, findings = stored(evening).take(fetched_of(BARS))
    assert (revision.verdict, findings) == ("extended", [])
    assert revision.detail == "1 new, 1 restated, newest 2024-03-08"
    assert stored(evening).take(fetched_of(edited((5, "volume", 1.001))))[0].verdict == "revised"


def test_a_restated_price_without_a_volume_keeps_the_volume():
    store = stored(BARS)
    unknown = edited((7, "volume", np.nan), (7, "close", 1.002), (7, "high", 1.002))
    store.take(fetched_of(unknown))
    assert store.bars()["volume"].tolist() == BARS["volume"].tolist()
    assert store.bars()["close"].tolist() == unknown["close"].tolist()


def test_a_volume_that_was_unknown_is_filled_and_only_then_settles():
    store = stored(edited((7, "volume", np.nan)))
    assert not store.bars()["settled"].iloc[7]
    revision, findings = store.take(fetched_of(BARS))
    assert (revision.verdict, revision.settled, findings) == ("revised", [DAYS[7]], [])
    assert_view(store, BARS)
    forgotten = stored(BARS.iloc[:-1]).take(fetched_of(edited((-2, "volume", np.nan))))[0]
    # A stored volume counts
    assert (forgotten.verdict, forgotten.settled) == ("extended", [DAYS[-2]])


def test_bars_of_a_series_without_any_volume_settle_by_their_prices():
    bars = random_bars(30, seed=5).assign(volume=np.nan)
    store = stored(bars.iloc[:-1])
    assert store.bars()["settled"].tolist() == [True] * 28 + [False]
    revision, _ = store.take(fetched_of(edited((7, "high", 1.002), bars=bars)))
    assert (revision.verdict, revision.settled) == ("revised", [DAYS[7], DAYS[-2]])
    assert found(revision.findings) == [(DAYS[7], "price_restated", "flag")]


@pytest.mark.parametrize(("moved", "verdict"), [(20, "revised"), (21, "held")])
def test_a_fetch_that_restates_more_than_twenty_settled_bars_is_held_whole(moved, verdict):
    bars = random_bars(40, seed=1)
    store = stored(bars.iloc[:-1])
    paid = make_actions([(bars.index[-2], "dividend", 0.57)])
    restated = scaled(scaled(bars, 1.25, slice(moved), "volume"), 1.001, slice(2), "high")
    revision, findings = store.take(fetched_of(restated, paid))
    assert revision.verdict == verdict
    pd.testing.assert_frame_equal(revision.new_actions, paid)
    if verdict == "revised":
        assert (len(findings), len(revision.versions), revision.until_accepted) == (22, 21, False)
        return
    detail = (
        "One fetch would restate 21 settled bars; expected at most 20. At the median their volume "
        "is multiplied by 1.25; 2 have other prices."
    )
    newest_known = bars.index[-2].date()
    assert revision.findings == [
        Finding(newest_known, "history_restated", "reject", pytest.approx(1.25), detail)
    ]
    assert (len(revision.versions), revision.settled) == (0, [])
    assert (revision.held, revision.until_accepted) == ([bars.index[-1].date()], True)


@pytest.mark.parametrize(("moved", "findings"), [(20, 20), (21, 1)])
def test_what_the_user_accepts_is_one_finding_past_twenty_settled_bars(moved, findings):
    bars = random_bars(40, seed=1)
    known = StoredBars(stored(bars).bars(), NO_ACTIONS)
    restated = scaled(bars, 1.25, slice(moved), "volume")
    revision = explain(known, restated, actions=NO_ACTIONS, exchange="XNYS", accept=True)
    assert (len(revision.versions), len(revision.findings)) == (moved, findings)


@pytest.mark.parametrize(
    ("column", "factor", "alarms"),
    [
        ("volume", 1.0125, []),  # one share
        ("volume", 1.025, ["volume_restated"]),
        ("high", 1.0009, []),
        ("high", 1.0011, ["price_restated"]),
    ],
)
def test_a_split_rounds_volumes_to_shares_and_prices_to_a_thousandth(column, factor, alarms):
    bars = BARS.assign(volume=40.0)
    halved = scaled(scaled(bars, 0.5, columns=PRICES), 2.0, columns="volume")
    named = make_actions([(BARS.index[-1], "split", 2.0)])
    rounded = scaled(halved, factor, 5, column).round({"volume": 0})
    revision, findings = stored(bars.iloc[:-1]).take(fetched_of(rounded, named))
    assert (revision.verdict, [one.rule for one in findings]) == ("split", alarms)


def test_a_dividend_is_a_verdict_and_no_bar():
    paid = make_actions([(BARS.index[-1], "dividend", 0.57)])
    adjusted = BARS.assign(adj_close=adjusted_close(BARS, paid))
    revision, findings = stored(BARS.iloc[:-1]).take(fetched_of(adjusted, paid))
    assert (revision.verdict, len(revision.versions), findings) == ("dividend", 1, [])
    pd.testing.assert_frame_equal(revision.new_actions, paid)
    assert revision.detail == "1 new, dividend 0.57 on 2024-03-08, newest 2024-03-08"


def test_a_known_action_is_not_written_again_and_a_forgotten_one_stays():
    paid = make_actions([(BARS.index[10], "dividend", 0.57)])
    store = stored(BARS, paid)
    for actions in (paid, paid.assign(value=0.5701), None):  # another source's last digit
        revision, _ = store.take(fetched_of(BARS, actions))
        assert (revision.verdict, len(revision.new_actions)) == ("unchanged", 0)
    pd.testing.assert_frame_equal(store.actions, paid)
