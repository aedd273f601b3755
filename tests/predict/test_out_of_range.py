from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.predict.out_of_range import inputs_out_of_range, out_of_range_text
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.sessions import shift
from tests.builders import no_events, random_bars

LAST = date(2024, 3, 8)


def windows_of(bars: pd.DataFrame) -> Windows:
    return make_windows(bars, no_events(), origin=LAST, target="volume", exchange="XNYS", train_sessions=320)


def out_of_range(bars: pd.DataFrame, *, trained_to: date = LAST) -> dict[str, date]:
    windows = windows_of(bars)
    return inputs_out_of_range(windows, trained_from=windows.origins[0].astype(object), trained_to=trained_to)


def altered(column: str, factor: float, session: date = LAST) -> pd.DataFrame:
    bars = random_bars(days=650, seed=3, last=LAST)
    bars.loc[pd.Timestamp(session), column] *= factor
    bars["high"] = bars[["open", "high", "low", "close"]].max(axis=1)
    bars["low"] = bars[["open", "high", "low", "close"]].min(axis=1)
    return bars


@pytest.mark.parametrize("factor", [30.0, 1 / 30.0])
def test_a_volume_outside_the_training_range_is_named_with_its_session(factor: float) -> None:
    assert out_of_range(altered("volume", factor)) == {"volume": LAST}


def test_an_open_far_from_the_previous_close_is_a_gap_and_a_range_but_no_return() -> None:
    assert set(out_of_range(altered("open", 1.4))) == {"range", "gap"}


def test_an_extreme_within_the_look_back_counts_until_a_model_has_been_trained_on_it() -> None:
    session = shift(LAST, -10)
    bars = altered("volume", 30.0, session)
    assert out_of_range(bars, trained_to=session) == {"volume": session}
    assert out_of_range(bars, trained_to=shift(session, 1)) == {}


def test_an_extreme_before_the_look_back_is_not_an_input() -> None:
    session = shift(LAST, -70)
    assert out_of_range(altered("volume", 30.0, session), trained_to=shift(session, -1)) == {}


def test_steady_growth_is_not_out_of_range() -> None:
    bars = random_bars(days=650, seed=3, last=LAST)
    bars["volume"] *= [1.003**day for day in range(len(bars))]
    assert out_of_range(bars) == {}


def test_ordinary_nights_are_not_flagged() -> None:
    nights = [out_of_range(random_bars(days=650, seed=seed, last=LAST)) for seed in range(20)]
    assert sum(bool(found) for found in nights) <= 2


def test_a_model_trained_on_sessions_outside_the_windows_has_no_inputs_out_of_range() -> None:
    windows = windows_of(random_bars(days=650, seed=3, last=LAST))
    assert inputs_out_of_range(windows, trained_from=date(1990, 1, 2), trained_to=date(1995, 1, 3)) == {}


def test_the_text_lists_each_input_with_its_session() -> None:
    assert out_of_range_text({"volume": LAST, "gap": date(2024, 3, 7)}) == "volume 2024-03-08, gap 2024-03-07"
    assert out_of_range_text({}) == ""
