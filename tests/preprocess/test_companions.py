from dataclasses import replace

import numpy as np

from forecasting.preprocess.companions import known_at, teaches
from forecasting.preprocess.windows import FEWEST_ROWS, make_windows
from tests.builders import no_events, random_bars

BARS = random_bars(days=600, seed=2)


def windows_up_to(last: int, rows: int):
    bars = BARS.iloc[: len(BARS) + 1 + last]
    origin = bars.index[-1].date()
    return make_windows(bars, no_events(), origin=origin, target="volume", exchange="XNYS", train_sessions=rows)


def test_a_companion_is_cut_to_what_a_night_would_have_made_of_it():
    whole, night = windows_up_to(-1, 600), windows_up_to(-20, 260)
    cut = known_at(whole, night.origins[-1], train_sessions=260)
    assert cut is not None
    for name in ("steps", "flags", "known", "level", "spread", "scaled", "values", "sessions"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(night, name), err_msg=name)


def test_a_companion_without_the_session_or_with_too_few_rows_before_it_is_left_out():
    whole = windows_up_to(-1, 600)
    later = whole.origins[-1] + np.timedelta64(3, "D")
    assert known_at(whole, later, train_sessions=300) is None
    assert known_at(whole, whole.origins[FEWEST_ROWS - 2], train_sessions=300) is None
    assert known_at(whole, whole.origins[FEWEST_ROWS - 1], train_sessions=300) is not None


def test_a_companion_with_hardly_a_known_target_teaches_nothing():
    whole = windows_up_to(-1, 300)
    few = np.where(np.arange(len(whole))[:, None] < FEWEST_ROWS // 2 - 1, whole.scaled, np.nan)
    assert (teaches(whole), teaches(replace(whole, scaled=few))) == (True, False)
