"""Nights with a witness, without Prefect: findings and notes of it, and forecasts that it does not touch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest

from flows import clock
from forecasting.errors import SourceError, UnavailableError, UsageError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.sources import Fetched, plugins
from forecasting.pipeline import ingest
from forecasting.pipeline.health import checked, night_checks
from forecasting.pipeline.night import Night, make_night
from forecasting.pipeline.replay import replay
from forecasting.settings import read_settings
from tests.builders import LAST, random_bars
from tests.nights import ON_BOTH_DATABASES, counts, killed, night, rows, timeless

pytestmark = pytest.mark.usefixtures("plain_flows")

BARS = random_bars(days=650, seed=3, last=LAST)


class House:
    """A witness that answers for one symbol at a time; `answer` may raise."""

    name = "house"

    def __init__(self, answer: Callable[[str], pd.DataFrame]) -> None:
        self.answer = answer
        self.asked: list[object] = []

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        self.asked.append(symbol)
        bars = self.answer(symbol).loc[str(first) : str(last)]
        return Fetched(self.name, symbol, first, last, bars, make_actions([]), "1.0", "of the house")


class ManyHouse(House):
    """The same for many in one request."""

    def fetch_many(self, symbols: Sequence[str], first: date, last: date) -> dict[str, Fetched]:
        self.asked.append(tuple(symbols))
        return {symbol: super(ManyHouse, self).fetch(symbol, first, last) for symbol in symbols if symbol != "LACKS"}


def with_volume(factor: float, place: int = -1) -> pd.DataFrame:
    other = BARS.copy()
    other.iloc[place, other.columns.get_loc("volume")] *= factor
    return other


def installed(monkeypatch: pytest.MonkeyPatch, source: House) -> House:
    """The source, as the one that FORECASTING_WITNESS names."""
    monkeypatch.setenv("FORECASTING_WITNESS", "house:x")
    real = plugins.source_of
    monkeypatch.setattr(plugins, "source_of", lambda text, **of: source if text == "house:x" else real(text, **of))
    return source


def fetched(*symbols: str, refusals: dict[str, SourceError] | None = None) -> list[Night]:
    """The outcomes of the step of a night that fetches bars and compares them with the witness."""
    settings = read_settings()
    return ingest.ingest([make_night(name, LAST, settings, now=clock.now) for name in symbols], refusals=refusals)


def notes() -> dict[str, str]:
    return {str(row["symbol"]): str(row["note"]) for row in rows("runs")}


def findings() -> list[tuple[str, str, str, float]]:
    return [
        (str(row["symbol"]), str(row["session"]), str(row["rule"]), round(float(str(row["value"])), 4))
        for row in rows("findings")
    ]


def test_a_disagreement_is_one_finding_on_table_and_page_and_neither_a_rerun_nor_a_replay_asks_again(
    night_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = installed(monkeypatch, House(lambda _: with_volume(2.0)))
    night(LAST, "skip")
    assert findings() == [("TEST", str(LAST), "witness_volume", 2.0)]
    (finding,), (fetch,), (run,) = rows("findings"), rows("fetches"), rows("runs")
    assert (finding["fetch_id"], finding["cleared_at"]) == (fetch["id"], fetch["fetched_at"])
    assert (run["status"], "Witness" in str(run["note"])) == ("done", False)
    page = (night_folder / "reports" / "TEST-volume.html").read_text(encoding="utf-8")
    assert "house has this multiple of the bar" in page
    before = counts()
    night(LAST, "skip")
    assert "forecasts the same to the bit" in replay(read_settings(), now=clock.now)
    assert (counts(), house.asked) == (before, ["TEST"])


@pytest.mark.usefixtures("done_on_the_seventh")
def test_forecasts_bars_and_fetches_are_the_same_bits_with_and_without_a_witness(
    night_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated_sqlite_file: Path
) -> None:
    tables = ("forecasts", "bar_versions", "corporate_actions", "fetches", "models", "events", "promotions", "runs")
    alone = {name: timeless(name) for name in tables}
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "again"))
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "forecasting.db").write_bytes(migrated_sqlite_file.read_bytes())
    monkeypatch.delenv("FORECASTING_DATABASE_URL")
    house = installed(monkeypatch, House(lambda _: BARS * 3.0))
    night(date(2024, 3, 7))
    assert house.asked == ["TEST"]
    assert {one[2] for one in findings()} == {"witness_close_factor", "witness_volume_factor"}
    assert {name: timeless(name) for name in tables} == alone


@ON_BOTH_DATABASES
def test_a_night_killed_around_the_findings_of_its_witness_ends_with_the_same_rows(
    night_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, House(lambda _: BARS * 3.0))
    for place in ("write.add_flags", "check_shape", "witness.disagreements"):
        with monkeypatch.context() as once, pytest.raises(KeyboardInterrupt):
            once.setattr(f"forecasting.pipeline.ingest.{place}", killed)
            fetched("TEST")
    assert findings() == []
    fetched("TEST")
    fetched("TEST")
    assert sorted(one[2] for one in findings()) == ["witness_close_factor", "witness_volume_factor"]
    assert len(rows("fetches")) == len(rows("runs")) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Mock(side_effect=UnavailableError("The house is closed.")), "The house is closed."),
        (Mock(side_effect=ZeroDivisionError("of other people's code")), "of other people's code"),
        (lambda _: BARS.drop(columns="volume"), "in another shape than the canonical one"),
        (lambda _: BARS.iloc[:0], f"It has none of the 20 sessions up to {LAST}."),
    ],
)
def test_a_witness_that_fails_leaves_a_note_and_the_night_goes_on(
    night_folder: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], pd.DataFrame], words: str
) -> None:
    house = installed(monkeypatch, House(answer))
    (outcome,) = fetched("TEST")
    assert (outcome.error, house.asked, findings()) == (None, ["TEST"], [])
    assert "Witness house:x: nothing was compared. " in notes()["TEST"]
    assert words in notes()["TEST"]


def test_a_witness_that_never_responds_is_waited_for_once_and_what_came_before_counts(
    night_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "WAIT_S", 1.0)
    release, doubled = threading.Event(), with_volume(2.0)

    def answer(symbol: str) -> pd.DataFrame:
        if symbol == "OTHER":
            release.wait()
        return doubled

    house = installed(monkeypatch, House(answer))
    refusals = dict[str, SourceError]()
    fetched("TEST", "OTHER", refusals=refusals)
    assert findings() == [("TEST", str(LAST), "witness_volume", 2.0)]
    assert ("Witness" in notes()["TEST"], "It did not respond in 1 s." in notes()["OTHER"]) == (False, True)
    fetched("THIRD", refusals=refusals)
    assert house.asked == ["TEST", "OTHER"]
    assert "It failed a moment ago; no further request was made." in notes()["THIRD"]
    release.set()


def test_many_symbols_are_one_request_and_one_that_is_left_out_has_a_note(
    night_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = installed(monkeypatch, ManyHouse(lambda _: with_volume(0.5)))
    fetched("TEST", "LACKS")
    assert house.asked == [("TEST", "LACKS"), "TEST"]
    assert findings() == [("TEST", str(LAST), "witness_volume", 0.5)]
    assert "It has no bars of the symbol." in notes()["LACKS"]


def test_a_witness_that_cannot_be_used_is_refused_before_anything_starts(
    night_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_WITNESS", "alpacca")
    with pytest.raises(UsageError, match=r"FORECASTING_WITNESS names no source .* 'alpacca'"):
        night(LAST, "skip")
    assert sum(counts().values()) == 0
    (row,) = [row for row in checked(night_checks(read_settings(), now=clock.now)) if row["check"] == "witness"]
    assert (row["state"], "alpacca" in row["found"]) == ("wrong", True)
