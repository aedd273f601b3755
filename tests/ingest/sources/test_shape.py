from __future__ import annotations

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from forecasting.errors import BadDataError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import check_bars
from tests.builders import random_bars
from tests.ingest.memory_store import fetched_of

BARS = random_bars(30, seed=5)


def test_canonical_bars_pass() -> None:
    clean, findings = check_bars(fetched_of(BARS), exchange="XNYS", known=None)
    assert (len(clean), findings) == (30, [])


@pytest.mark.parametrize(
    ("bars", "found"),
    [
        (BARS.reset_index(drop=True), "found RangeIndex"),
        (BARS.tz_localize("America/New_York"), "naive midnights; found 2024-"),
        (BARS.set_axis(BARS.index + pd.Timedelta(hours=16)), "naive midnights; found 2024-"),
        (BARS.iloc[::-1], "ascending, unique sessions"),
        (pd.concat([BARS, BARS.iloc[-1:]]), "ascending, unique sessions"),
        (BARS.drop(columns="adj_close"), "found open, high, low, close, volume"),
        (BARS.assign(vwap=1.0), "volume, vwap"),
        (BARS.astype({"volume": "int64"}), "volume of int64"),
    ],
)
def test_any_other_shape_is_bad_data_that_names_the_difference(bars: pd.DataFrame, found: str) -> None:
    with pytest.raises(BadDataError, match=f"'test' returned bars of SBUX .*{found}"):
        check_bars(replace(fetched_of(BARS), bars=bars), exchange="XNYS", known=None)


def test_a_bar_newer_than_requested_is_refused() -> None:
    with pytest.raises(BadDataError, match="expected no bar after 2024-03-07"):
        check_bars(replace(fetched_of(BARS), last_asked=date(2024, 3, 7)), exchange="XNYS", known=None)


def test_an_action_of_another_kind_is_refused() -> None:
    actions = make_actions([(BARS.index[3], "spin-off", 1.0)])
    with pytest.raises(BadDataError, match="kind dividend or split; found 'spin-off'"):
        check_bars(fetched_of(BARS, actions), exchange="XNYS", known=None)
    with pytest.raises(BadDataError, match="session, kind, value"):
        check_bars(fetched_of(BARS, actions.drop(columns="value")), exchange="XNYS", known=None)


def test_a_currency_is_a_short_name() -> None:
    with pytest.raises(BadDataError, match="US dollars"):
        check_bars(replace(fetched_of(BARS), currency="US dollars"), exchange="XNYS", known=None)
