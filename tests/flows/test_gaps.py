"""Nights with gaps: a session that Yahoo lacks, a volume that it does not state; recorded, and never filled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from flows import clock
from flows.start import start_night
from forecasting.report.page import render_page
from forecasting.sessions import closes_at
from forecasting.settings import read_settings
from forecasting.store import connect, read
from tests.builders import random_bars
from tests.nights import newest_reports
from tests.yahoo_stand_in import StandIn, asked_here, missing_row, null_volume

pytestmark = pytest.mark.usefixtures("plain_flows")

BARS = random_bars(days=650, seed=3)
LAST, MISSING, UNKNOWN_VOLUME = (BARS.index[at].date() for at in (-2, -7, -12))
VALUES = ["open", "high", "low", "close", "volume"]


@pytest.fixture
def yahoo(night_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv("FORECASTING_SOURCE", "yahoo")
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX")
    with asked_here(StandIn(BARS), monkeypatch.setattr) as served:
        yield served


def night(served: StandIn, monkeypatch: pytest.MonkeyPatch, session: date) -> None:
    """The night of a session, on the morning after."""
    moment = closes_at(session) + timedelta(hours=13)
    monkeypatch.setattr(clock, "now", lambda: moment)
    served.today = session
    start_night(as_of=None, mode="auto", switch_source=False)


def stored() -> pd.DataFrame:
    with connect.reading(read_settings().url) as connection:
        return read.bars(connection, "SBUX")[VALUES]


def test_a_gap_is_recorded_the_night_forecasts_all_the_same_and_a_later_bar_fills_it(
    yahoo: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    yahoo.edits = [missing_row(MISSING), null_volume(LAST, UNKNOWN_VOLUME)]
    night(yahoo, monkeypatch, LAST)
    holed = BARS.loc[: str(LAST), VALUES].drop(pd.Timestamp(MISSING))
    holed.loc[[pd.Timestamp(LAST), pd.Timestamp(UNKNOWN_VOLUME)], "volume"] = np.nan
    pd.testing.assert_frame_equal(stored(), holed.loc[stored().index[0] :], check_freq=False)
    with connect.reading(read_settings().url) as connection:
        found = connection.execute(sa.text("SELECT session, rule FROM findings ORDER BY session")).all()
        issued = read.forecasts(connection, "SBUX", "volume")
    assert [(str(day)[:10], rule) for day, rule in found] == [
        (str(UNKNOWN_VOLUME), "volume_unknown"),
        (str(MISSING), "missing_session"),
        (str(LAST), "volume_unknown"),
    ]
    assert np.isfinite(issued[["q05", "q50", "q95"]].to_numpy()).all()
    assert issued["last_value"].isna().all()  # the origin's own volume is missing, and none is imputed
    page = render_page(newest_reports(read_settings())[0])
    assert str(MISSING) in page
    assert "no bar of it has come yet" in page

    yahoo.edits = []
    night(yahoo, monkeypatch, BARS.index[-1].date())
    pd.testing.assert_frame_equal(stored(), BARS.loc[stored().index[0] :, VALUES], check_freq=False)
