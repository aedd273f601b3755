"""Nights of symbols that trade on different exchanges, through the real yfinance code."""

import re
from datetime import UTC, date, datetime, timedelta
from unittest.mock import Mock

import pytest

from flows import clock
from flows.nightly import nightly
from forecasting.publish import pages
from forecasting.publish.messages import check_fresh
from forecasting.settings import read_settings
from tests.builders import random_bars
from tests.flows.test_cli import run
from tests.nights import night, select
from tests.yahoo_stand_in import StandIn, asked_here

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_flows")]

MONDAY = date(2024, 2, 19)
"""Presidents' Day: London trades, New York does not."""

BEFORE_ANY_OPEN = datetime(2024, 2, 20, 6, 30, tzinfo=UTC)
AFTER_LONDON_OPENED = datetime(2024, 2, 20, 10, 30, tzinfo=UTC)


@pytest.fixture
def two_exchanges(night_folder, monkeypatch):
    """SBUX and VOD.L at Yahoo, on the Tuesday after Presidents' Day, before either exchange opens."""
    monkeypatch.setenv("FORECASTING_SOURCE", "yahoo")
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,VOD.L")
    monkeypatch.setattr(clock, "now", lambda: BEFORE_ANY_OPEN)
    stand_in = StandIn(random_bars(days=650, seed=3, last=MONDAY))
    with asked_here(stand_in, monkeypatch.setattr) as served:
        london = random_bars(days=650, seed=4, last=MONDAY, exchange="XLON")
        served.add("VOD.L", london, zone="Europe/London", currency="GBp")
        served.today = MONDAY
        yield served


def test_each_symbol_is_forecast_from_its_own_exchanges_newest_session(two_exchanges, monkeypatch):
    monkeypatch.setenv("FORECASTING_TARGETS", "range")
    monkeypatch.setattr("forecasting.night.run.LARGEST", 1)
    write_index = Mock(side_effect=pages.write_index)
    monkeypatch.setattr(pages, "write_index", write_index)
    night()
    assert write_index.call_count == 1  # after both batches
    written = {path.name for path in (read_settings().data_dir / "reports").iterdir()}
    assert written == {"index.html", "SBUX-range.html", "VOD.L-range.html"}
    columns = "symbol, origin_session, target_session, horizon, kind"
    assert set(select(columns, "latest_forecasts WHERE horizon < 3")) == {
        ("SBUX", "2024-02-16", "2024-02-20", 1, "live"),
        ("SBUX", "2024-02-16", "2024-02-21", 2, "live"),
        ("VOD.L", "2024-02-19", "2024-02-20", 1, "live"),
        ("VOD.L", "2024-02-19", "2024-02-21", 2, "live"),
    }
    fresh = (
        "Fresh: SBUX range from the session 2024-02-16; VOD.L range from the session 2024-02-19."
    )
    assert check_fresh(now=clock.now) == fresh
    assert set(select("symbol, currency", "fetches")) == {
        ("SBUX", "USD"),
        ("VOD.L", "GBp"),
        ("^VIX", "USD"),
    }
    # Neither exchange's holidays are taken for gaps in the other's bars
    assert select("rule", "findings") == []
    message = (
        "Nothing new since the session 2024-02-16 of XNYS and 2024-02-19 of XLON. XNYS was closed "
        "on Monday 2024-02-19."
    )
    assert nightly.fn().message == message


def test_a_night_after_london_opened_is_late_for_london_alone_and_check_names_it(
    two_exchanges, monkeypatch, caplog
):
    monkeypatch.setattr(clock, "now", lambda: AFTER_LONDON_OPENED)
    night()
    assert set(select("symbol, kind", "latest_forecasts")) == {("SBUX", "live"), ("VOD.L", "late")}
    late = f"Written at {AFTER_LONDON_OPENED:%a %-d %b %Y %H:%M} UTC"
    monkeypatch.setattr(clock, "now", lambda: AFTER_LONDON_OPENED + timedelta(hours=1))
    code, _, err = run("check", "--notify")
    words = r"is missing\.\n- VOD\.L volume: issued late\. {late}.* night.*Fresh: SBUX volume"
    assert re.search(words.replace("{late}", late), err, re.DOTALL)
    assert (code, "Nothing was sent" in caplog.text) == (4, True)
