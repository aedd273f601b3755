"""Nights with a market series, without Prefect: on a file of its own and on the stand-in for Yahoo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from flows import clock
from forecasting.errors import ArtifactError
from forecasting.pipeline import preprocess
from forecasting.pipeline.ingest import ingest
from forecasting.pipeline.night import make_night
from forecasting.pipeline.preprocess import market_night
from forecasting.pipeline.replay import replay
from forecasting.preprocess.windows import Windows
from forecasting.sessions import between, closes_at
from forecasting.settings import Settings, read_settings
from tests.builders import LAST, random_bars
from tests.nights import killed, night, rows, timeless
from tests.yahoo_stand_in import StandIn, asked_here, market_bars

pytestmark = pytest.mark.usefixtures("plain_flows")

VIX = market_bars(random_bars(days=650, seed=3, last=LAST))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Windows]:
    """The windows of every night of the test, oldest first."""
    seen: list[Windows] = []
    real = preprocess.windows_of

    def kept(*given: object) -> Windows:
        seen.append(real(*given))  # type: ignore[arg-type] - as it was called
        return seen[-1]

    monkeypatch.setattr(preprocess, "windows_of", kept)
    return seen


@pytest.fixture
def vix_file(night_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of dates and closes up to LAST."""
    path = tmp_path / "VIX.csv"
    VIX[["close"]].rename_axis("Date").to_csv(path)
    monkeypatch.setenv("FORECASTING_MARKET", f"csv:{path}")
    return path


@pytest.fixture
def yahoo(night_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Yahoo with seeded bars of SBUX and MSFT, and the VIX."""
    monkeypatch.setenv("FORECASTING_SOURCE", "yahoo")
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX")
    with asked_here(StandIn(random_bars(days=650, seed=3, last=LAST)), monkeypatch.setattr) as served:
        served.add("MSFT", random_bars(days=650, seed=6, last=LAST))
        yield served


def live(served: StandIn, monkeypatch: pytest.MonkeyPatch, session: date, mode: str = "skip") -> None:
    """The night of `session`, on the morning after its close."""
    moment = closes_at(session) + timedelta(hours=13, minutes=30)
    monkeypatch.setattr(clock, "now", lambda: moment)
    served.today = session
    night(session, mode)


def expected(windows: Windows) -> np.ndarray:
    return np.log(VIX["close"].loc[windows.sessions[: len(windows.steps)]].to_numpy())


def test_the_windows_of_a_night_have_the_closes_of_a_file_of_its_own(vix_file: Path, made: list[Windows]) -> None:
    night(LAST, "skip")
    np.testing.assert_allclose(made[0].market, expected(made[0]), rtol=1e-12)
    (run,) = rows("runs")
    (fetch,) = [row for row in rows("fetches") if row["symbol"] == "^VIX"]
    assert (run["market_fetch"], run["status"]) == (fetch["id"], "done")
    assert "Market series" not in str(run["note"])
    assert {row["symbol"] for row in rows("forecasts")} == {"TEST"}


def test_yahoos_vix_is_an_input_without_a_setting_and_none_leaves_it_out(
    yahoo: StandIn, made: list[Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    live(yahoo, monkeypatch, LAST)
    np.testing.assert_allclose(made[0].market, expected(made[0]), rtol=1e-6)
    assert len(yahoo.market_charts()) == 1
    assert [row for row in rows("findings") if row["symbol"] == "^VIX"] == []
    monkeypatch.setenv("FORECASTING_MARKET", "none")
    live(yahoo, monkeypatch, LAST)
    assert not made[1].market.any()
    assert len(yahoo.market_charts()) == 1


def test_a_series_that_has_a_value_before_the_open_is_stored_up_to_the_session_before(
    yahoo: StandIn, made: list[Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = LAST - timedelta(days=1)
    morning = closes_at(session) + timedelta(hours=13, minutes=30)  # 05:30 in New York
    monkeypatch.setattr(clock, "now", lambda: morning)
    yahoo.add("SBUX", random_bars(days=650, seed=3, last=LAST).loc[: str(session)])
    night(session, "skip")
    assert made[0].market[-1] == np.log(VIX["close"].loc[str(session)])
    assert str(LAST) not in {str(row["session"])[:10] for row in rows("bars") if row["symbol"] == "^VIX"}
    monkeypatch.setenv("FORECASTING_SYMBOLS", "^VIX")
    monkeypatch.setenv("FORECASTING_TARGET", "range")
    night(session, "skip")  # its own night neither takes the clock for wrong
    assert {row["origin_session"] for row in rows("latest_forecasts") if row["symbol"] == "^VIX"} == {str(session)}


@pytest.mark.parametrize("fault", ["429", "no_bars"])
def test_a_night_whose_market_series_fails_goes_on_without_it_and_says_so(
    yahoo: StandIn, made: list[Windows], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    yahoo.market_fault = fault
    live(yahoo, monkeypatch, LAST)
    (run,) = rows("runs")
    assert (run["status"], run["market_fetch"], made[0].market.any()) == ("done", "", np.False_)
    assert str(run["note"]).startswith("Market series ^VIX: nothing of it was stored, so the night went without. ")
    assert {row["kind"] for row in rows("forecasts")} == {"live"}


def test_a_series_that_fails_on_a_later_night_is_asked_for_once_and_filled_forward(
    yahoo: StandIn, made: list[Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, last = between(date(2024, 3, 7), LAST)
    yahoo.today = before
    monkeypatch.setattr(clock, "now", lambda: closes_at(before) + timedelta(hours=13, minutes=30))
    ingest([make_night("SBUX", before, read_settings(), now=clock.now)])
    yahoo.market_fault = "500"
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,MSFT")
    live(yahoo, monkeypatch, last)
    requests = [row for row in rows("fetches") if row["symbol"] == "^VIX"]
    assert sorted(str(row["verdict"]) for row in requests) == ["first", "unavailable"]  # once for both symbols
    np.testing.assert_array_equal(made[-1].market[-1], made[-1].market[-2])
    notes = [str(row["note"]) for row in rows("runs") if row["as_of"] == last]
    assert all("filled forward. unavailable: " in note for note in notes)


def test_a_night_killed_after_its_fetches_ends_with_the_same_tables(
    yahoo: StandIn, monkeypatch: pytest.MonkeyPatch, made: list[Windows]
) -> None:
    with monkeypatch.context() as once:
        once.setattr("forecasting.pipeline.preprocess.market_snapshot", killed)
        with pytest.raises(KeyboardInterrupt):
            live(yahoo, monkeypatch, LAST)
    fetched = timeless("fetches")
    yahoo.market_fault = "500"  # what is stored is not asked for again
    live(yahoo, monkeypatch, LAST)
    assert timeless("fetches") == fetched
    assert made[0].has_market


@pytest.mark.slow
def test_a_replay_uses_what_was_known_of_the_series_on_each_night(
    yahoo: StandIn, made: list[Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the second morning the series fails; on the third it is there again, with a close of the day before."""
    sessions = between(date(2024, 3, 6), LAST)
    for session in sessions:
        yahoo.market_fault = "500" if session == sessions[1] else None
        live(yahoo, monkeypatch, session, "auto")
    lived = [windows.market for windows in made]
    assert lived[1][-1] == lived[1][-2] != lived[2][-2]
    made.clear()
    monkeypatch.setattr(clock, "now", lambda: closes_at(LAST) + timedelta(days=30))
    assert "forecasts the same to the bit" in replay(read_settings(), now=clock.now)
    assert len(made) == 3
    for before, after in zip(lived, [windows.market for windows in made], strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("symbol", "session"), [("VOD.L", date(2024, 3, 7)), ("7203.T", date(2024, 3, 7)), ("SBUX", date(2024, 3, 8))]
)
def test_a_night_asks_for_the_newest_session_that_had_closed_by_its_own_close(symbol: str, session: date) -> None:
    settings = Settings(source="yahoo", symbols=(symbol,), exchange="XNYS")
    night = make_night(symbol, date(2024, 3, 8), settings, now=lambda: closes_at(LAST))
    market = market_night(night)
    assert market is not None
    assert (market.symbol, market.session, market.settings.exchange) == ("^VIX", session, "XNYS")


def test_a_champion_fitted_with_another_series_gives_way_at_once_to_a_fit_from_scratch(
    vix_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = between(LAST - timedelta(days=9), LAST)[-2]
    night(before)
    (VIX[["close"]] * 4.5).rename_axis("Date").to_csv(vix_file.with_name("VVIX.csv"))
    monkeypatch.setenv("FORECASTING_MARKET", f"csv:{vix_file.with_name('VVIX.csv')}")
    with pytest.raises(ArtifactError, match=r"market series \^VVIX; found one fitted with \^VIX"):
        night(LAST, "warm")
    night(LAST)
    (run,) = [row for row in rows("runs") if row["market_fetch"] and row["as_of"] == str(LAST)]
    assert (run["mode"], run["status"]) == ("scratch", "done")
    assert "found one fitted with ^VIX" in str(run["mode_reason"])
    (fitted,) = [row for row in rows("models") if row["run_id"] == run["id"]]
    networks = [row for row in rows("forecasts") if row["origin_session"] == str(LAST) and row["calibration"]]
    assert {(row["model_id"], row["role"], row["status"]) for row in networks} == {(fitted["id"], "champion", "ok")}
