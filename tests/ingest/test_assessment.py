"""What a fetch means for its night: usable, late, too short, held or of another series.

And of an index.
"""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import DataLateError, HistoryError
from forecasting.ingest import assessment
from forecasting.ingest.assessment import prices_alone
from forecasting.ingest.revisions import NOTHING_STORED, StoredBars
from forecasting.ingest.splits import ACCEPTED
from tests.builders import PRICES, random_bars, scaled
from tests.ingest import memory_store
from tests.ingest.memory_store import fetched_of
from tests.yahoo_stand_in import market_bars

BARS = random_bars(30, seed=3)  # 2024-01-26 to 2024-03-08
LAST = date(2024, 3, 8)
BEFORE_LAST = date(2024, 3, 7)


def request(session=LAST, *, needed=20, accept=False, targets=()):
    """What a request asks for beside its span's first session."""
    return {"last": session, "sessions_needed": needed, "accept": accept, "targets": targets}


def assess(response, asked, known):
    """What `assess` finds of the response to that request."""
    of_request = replace(response.request, **asked)
    return assessment.assess(replace(response, request=of_request), known)


def stored(bars):
    """The stored bars after one fetch of `bars`."""
    store = memory_store.stored(bars)
    return StoredBars(store.bars(), store.actions)


def rejected(found):
    return [(one.session, one.rule) for one in found.findings if one.severity == "reject"]


def assert_late(found, *facts, newest):
    """The night is late, nothing is stored, and its row has the error's message."""
    assert isinstance(found.error, DataLateError)
    assert found.error.newest == newest
    assert all(fact in str(found.error) for fact in facts)
    assert (found.verdict, found.detail) == ("late", str(found.error))
    assert (len(found.versions), found.settled, len(found.new_actions)) == (0, [], 0)


def test_a_first_fetch_with_the_nights_bar_is_usable_and_stores_all_its_bars():
    found = assess(fetched_of(BARS), request(), NOTHING_STORED)
    assert (found.error, found.verdict, found.findings) == (None, "first", [])
    pd.testing.assert_frame_equal(
        found.versions.set_index("session")[["close", "volume"]],
        BARS[["close", "volume"]],
        check_freq=False,
    )


def test_a_fetch_without_the_nights_bar_is_late_even_where_it_is_too_short_and_names_the_newest_it_has():
    for needed in (20, 99):
        found = assess(
            fetched_of(BARS.iloc[:-1], last=LAST), request(needed=needed), NOTHING_STORED
        )
        assert_late(found, "session 2024-03-08 yet; test ends at 2024-03-07", newest=BEFORE_LAST)
        assert [(one.session, one.rule) for one in found.findings] == [(LAST, "missing_session")]


def test_a_fetch_whose_newest_bar_is_rejected_is_late_with_the_rule_and_its_number():
    bars = scaled(BARS, -1.0 / BARS["close"].iloc[-1], -1, "close")
    found = assess(fetched_of(bars), request(), stored(BARS.iloc[:-1]))
    assert_late(
        found, "The bar of 2024-03-08 is kept out (price_not_positive, -1)", newest=BEFORE_LAST
    )
    assert rejected(found) == [(LAST, "price_not_positive")]


def test_a_newest_bar_without_the_value_that_its_night_forecasts_is_late_until_a_newer_one_follows():
    without = scaled(BARS, np.nan, -1, "volume")
    both = scaled(BARS, np.nan, slice(-2, None), "volume")
    of_volume = request(targets=("volume",))
    for bars, newest in ((without, BEFORE_LAST), (both, date(2024, 3, 6))):
        found = assess(fetched_of(bars, live=True), of_volume, stored(BARS.iloc[:-2]))
        assert_late(found, "The bar of 2024-03-08 came without its volume.", newest=newest)
        assert (LAST, "volume_unknown") in [(one.session, one.rule) for one in found.findings]
    usable = [
        (fetched_of(without, live=True), request(targets=("range",)), NOTHING_STORED),
        (fetched_of(without), of_volume, NOTHING_STORED),  # a newer bar follows
        (fetched_of(without, live=True), of_volume, stored(BARS)),
        (fetched_of(BARS.assign(volume=np.nan), live=True), of_volume, NOTHING_STORED),  # an index
    ]
    assert [assess(*given).error for given in usable] == [None] * 4


def test_stored_sessions_up_to_the_nights_count_towards_a_history_and_later_ones_do_not():
    assert (
        assess(fetched_of(BARS.iloc[10:]), request(needed=30), stored(BARS.iloc[:20])).error is None
    )
    for fetch, night, needed, before in (
        (BARS, LAST, 31, NOTHING_STORED),
        (BARS.iloc[10:20], BARS.index[19].date(), 21, stored(BARS)),
    ):
        found = assess(fetched_of(fetch), request(night, needed=needed), before)
        assert isinstance(found.error, HistoryError)
        assert f"at least {needed} sessions" in str(found.error)
        assert f"found {needed - 1}" in str(found.error)
        assert (found.verdict, len(found.versions)) == ("bad_data", 0)


def test_a_newest_bar_that_jumps_like_a_split_is_held_and_the_night_is_late():
    for held, first, newest, jump in (
        (1, LAST, BEFORE_LAST, "2"),
        (2, BEFORE_LAST, date(2024, 3, 6), "1.9"),
    ):
        found = assess(
            fetched_of(scaled(BARS, 2.0, slice(-held, None), PRICES)),
            request(),
            stored(BARS.iloc[:-held]),
        )
        jumped = f"The bar of {first} is kept out (split_like_jump, {jump}"
        facts = ("bar of 2024-03-08 is held back", f"{held} held", jumped)
        assert_late(found, *facts, "The hold ends by itself", newest=newest)
        assert rejected(found) == [(first, "split_like_jump")]


def test_bars_of_another_series_are_held_unless_the_user_accepts_them():
    known = random_bars(100, seed=3)
    other = fetched_of(random_bars(100, seed=8))
    found = assess(other, request(), stored(known.iloc[:-1]))
    facts = ("Prices of", "no split explains", "Correct the symbol", "--switch-source accepts")
    assert_late(found, *facts, newest=BEFORE_LAST)
    assert rejected(found) == [(BEFORE_LAST, "rebase_unexplained")]
    accepted = assess(other, request(accept=True), stored(known))
    assert (accepted.error, len(accepted.versions)) == (None, 100)


def test_bars_that_begin_sessions_after_the_stored_ones_are_held_unless_the_user_accepts_them():
    # 2024-02-08, then from 2024-02-13 on
    known = BARS.iloc[:10]
    other = random_bars(30, seed=8).iloc[12:]
    answer = fetched_of(other, first=known.index[0].date())
    found = assess(answer, request(), stored(known))
    facts = (
        "The stored bars end at 2024-02-08",
        "begin at 2024-02-13, with 2 missing between",
        "--switch-source accepts",
    )
    assert_late(found, *facts, newest=None)
    assert rejected(found) == [(date(2024, 2, 13), "history_detached")]
    gaps = [one.session for one in found.findings if one.rule == "missing_session"]
    assert gaps == [date(2024, 2, 9), date(2024, 2, 12)]
    accepted = assess(answer, request(accept=True), stored(known))
    assert (accepted.error, len(accepted.versions)) == (None, 18)
    one_missing = fetched_of(BARS.iloc[11:], first=BARS.index[9].date())
    assert "history_detached" in str(rejected(assess(one_missing, request(), stored(known))))
    # With the session after the stored ones
    following = fetched_of(BARS.iloc[10:], first=BARS.index[0].date())
    for usable in (following, fetched_of(BARS.iloc[12:])):  # or asked for from later on
        assert assess(usable, request(), stored(BARS.iloc[:10])).error is None


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_volumes_in_another_unit_are_held_until_the_user_accepts_them(unit):
    bars = scaled(random_bars(90, seed=3), unit, slice(-40, None), "volume")
    days = [day.date() for day in bars.index]
    known = stored(bars.iloc[:50])
    for held in (2, 39):
        found = assess(fetched_of(bars.iloc[: 50 + held]), request(days[49 + held]), known)
        assert_late(
            found,
            f"volumes from {days[50]} on",
            "--switch-source accepts",
            newest=days[49],
        )
        assert rejected(found) == [(days[50], "volume_unit")]
    accepted = assess(fetched_of(bars.iloc[:52], live=True), request(days[51], accept=True), known)
    assert (accepted.error, len(accepted.versions)) == (None, 2)
    flags = [(one.session, one.rule) for one in accepted.findings if one.rule != "volume_outlier"]
    assert flags == [(days[50], ACCEPTED)]
    assert (
        assess(
            fetched_of(bars.iloc[:53], live=True), request(days[52]), stored(bars.iloc[:52])
        ).error
        is None
    )


def test_a_single_volume_in_another_unit_is_another_rules_finding():
    sound = random_bars(90, seed=3)
    bars = scaled(sound, 0.001, -2, "volume")
    found = assess(fetched_of(bars), request(), stored(bars.iloc[:-2]))
    assert (found.error, [one.rule for one in found.findings]) == (None, ["volume_outlier"])
    # With that of the newest stored session, which a night has used
    found = assess(fetched_of(scaled(bars, 0.001, -1, "volume")), request(), stored(sound[:-1]))
    assert (found.error, {one.rule for one in found.findings}) == (None, {"volume_outlier"})


@pytest.mark.parametrize(("known", "is_held"), [(19, False), (20, True)])
def test_the_unit_is_that_of_twenty_stored_volumes(known, is_held):
    bars = scaled(random_bars(known + 2, seed=3), 1000.0, slice(-2, None), "volume")
    found = assess(fetched_of(bars), request(needed=1), stored(bars[:-2]))
    assert ("volume_unit" in [one.rule for one in found.findings]) is is_held


# A market series.

VIX = market_bars(random_bars(days=300, seed=4, last=LAST))


def assessed(bars, known=None, *, accept=False):
    before = (
        NOTHING_STORED
        if known is None
        else replace(NOTHING_STORED, bars=known.assign(version=1, settled=True))
    )
    answer = fetched_of(bars, symbol="^VIX", last=LAST, live=True)
    of_index = request(needed=10**6, accept=accept) | {"of_index": True}
    return assess(prices_alone(answer), of_index, before)


JUMPS = [
    scaled(VIX, factor, place) for place, factor in ((-1, 2.0), (-1, 0.5), (-2, 1.5), (100, 3.0))
]
OTHER_INDEX = market_bars(random_bars(days=299, seed=5, last=LAST))
HOLIDAY = VIX.iloc[[100]].set_axis([pd.Timestamp(2024, 1, 15)])  # Martin Luther King's day


def last_with(**change):
    return pd.concat([VIX.iloc[:-1], VIX.iloc[-1:].assign(**change)])


@pytest.mark.parametrize(
    ("bars", "stored", "findings"),
    [
        *((jump, 300, []) for jump in JUMPS),
        (last_with(open=900.0), 300, []),
        (pd.concat([VIX, HOLIDAY]).sort_index(), 300, []),
        (VIX.iloc[:-1], 299, [(LAST, "missing_session", "flag")]),
        (last_with(close=0.0), 299, [(LAST, "price_not_positive", "reject")]),
        (last_with(close=np.nan), 299, [(LAST, "price_unknown", "reject")]),
        (last_with(high=1.0), 299, [(LAST, "high_below_low", "reject")]),
        (last_with(close=900.0), 299, [(LAST, "close_outside_range", "reject")]),
    ],
)
def test_of_an_index_impossible_rows_are_refused_and_all_others_stored(bars, stored, findings):
    found = assessed(bars)
    assert (found.error, found.verdict, len(found.versions), found.held) == (
        None,
        "first",
        stored,
        [],
    )
    assert [(one.session, one.rule, one.severity) for one in found.findings] == findings


def test_of_a_stored_index_a_new_bar_is_taken_a_restatement_is_a_finding_and_another_series_is_held():
    days = [day.date() for day in VIX.index]
    assert assessed(VIX).settled == days[:-1]
    for jump in JUMPS:
        extended = assessed(jump, jump.iloc[:-1])
        assert (extended.verdict, len(extended.versions), extended.findings) == ("extended", 1, [])
    restated = assessed(scaled(VIX, 1.2, 40), VIX)
    assert [(finding.session, finding.rule) for finding in restated.findings] == [
        (days[40], "price_restated")
    ]
    held = assessed(OTHER_INDEX, VIX)
    assert (held.error, held.verdict, len(held.versions)) == (None, "held", 0)
    assert [finding.severity for finding in held.findings] == ["reject"]
    assert len(assessed(OTHER_INDEX, VIX, accept=True).versions) == len(OTHER_INDEX)
