from dataclasses import replace

import numpy as np

from forecasting.preprocess.companions import cut_to_session, has_enough_targets, with_companion_range
from forecasting.preprocess.features import LOOKBACK
from forecasting.preprocess.windows import MIN_ROWS, make_windows
from tests.builders import no_events, random_bars

BARS = random_bars(days=600, seed=2)


def windows_up_to(last: int, rows: int):
    bars = BARS.iloc[: len(BARS) + 1 + last]
    origin = bars.index[-1].date()
    return make_windows(bars, no_events(), origin=origin, target="volume", exchange="XNYS", train_sessions=rows)


def test_a_companion_cut_to_a_session_equals_windows_made_at_that_session():
    whole, night = windows_up_to(-1, 600), windows_up_to(-20, 260)
    cut = cut_to_session(whole, night.origins[-1], train_sessions=260)
    assert cut is not None
    for name in ("steps", "flags", "future_flags", "level", "spread", "scaled", "values", "sessions"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(night, name), err_msg=name)


def test_a_companion_without_the_session_or_with_too_few_rows_before_it_is_left_out():
    whole = windows_up_to(-1, 600)
    later = whole.origins[-1] + np.timedelta64(3, "D")
    assert cut_to_session(whole, later, train_sessions=300) is None
    assert cut_to_session(whole, whole.origins[MIN_ROWS - 2], train_sessions=300) is None
    assert cut_to_session(whole, whole.origins[MIN_ROWS - 1], train_sessions=300) is not None


def test_a_companion_with_few_known_targets_does_not_have_enough():
    whole = windows_up_to(-1, 300)
    few = np.where(np.arange(len(whole))[:, None] < MIN_ROWS // 2 - 1, whole.scaled, np.nan)
    assert (has_enough_targets(whole), has_enough_targets(replace(whole, scaled=few))) == (True, False)


COMPANIONS = [random_bars(days=days, seed=seed) for days, seed in ((700, 3), (600, 4), (480, 5))]


def with_companions(companion_bars, last: int = -1, rows: int = 600):
    own = windows_up_to(last, rows)
    origin = own.origins[-1].item()
    companions = [
        make_windows(bars, no_events(), origin=origin, target="volume", exchange="XNYS", train_sessions=rows)
        for bars in companion_bars
    ]
    return with_companion_range(own, companions)


def test_the_companion_range_is_how_much_wider_than_usual_the_companions_ranged():
    windows = with_companions(COMPANIONS)
    expected = []
    for day in windows.sessions[: len(windows.steps)]:
        wider = []
        for bars in COMPANIONS:
            ranges = np.log(np.log(bars["high"] / bars["low"])).loc[:day]
            if len(ranges) >= 120:
                wider.append(ranges.iloc[-1] - ranges.iloc[-120:].mean())
        expected.append(np.mean(wider) if wider else 0.0)
    np.testing.assert_allclose(windows.companion_range, expected, atol=1e-12)
    assert np.count_nonzero(windows.companion_range) > 500


def test_without_companions_the_companion_range_is_0():
    np.testing.assert_array_equal(with_companions([]).companion_range, 0.0)


def test_the_companion_range_of_a_session_does_not_depend_on_later_sessions():
    later, earlier = with_companions(COMPANIONS), with_companions(COMPANIONS, last=-20)
    np.testing.assert_array_equal(later.companion_range[:-19], earlier.companion_range)
    assert later.companion_range[-19] != 0.0


def test_shorter_windows_have_the_same_companion_range_over_their_look_backs():
    longer, shorter = with_companions(COMPANIONS[:1]), with_companions(COMPANIONS[:1], rows=300)
    used = len(shorter) + LOOKBACK - 1
    np.testing.assert_array_equal(longer.companion_range[-used:], shorter.companion_range[-used:])
