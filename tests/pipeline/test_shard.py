"""A shard of nights: an outcome for each, one night's failure never another's, the same tables as shards of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from forecasting.errors import BadDataError, HistoryError, RateLimitedError, SourceError, StoreError, UnavailableError
from forecasting.ingest.sources import Fetched
from forecasting.ingest.sources.files import Files
from forecasting.pipeline import ingest, shard
from forecasting.pipeline.evaluate import score_and_decide
from forecasting.pipeline.ingest import fetch_and_store
from forecasting.pipeline.night_run import NightRun, NightSpec, night_run
from forecasting.pipeline.predict import write_forecasts
from forecasting.pipeline.preprocess import write_windows
from forecasting.pipeline.publish import publish_pages
from forecasting.pipeline.retry import Refused, first_attempt, retries
from forecasting.pipeline.run_row import close_nights, timed
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.train import fit_challengers
from forecasting.settings import Settings
from forecasting.store import database, writes
from tests.builders import LAST, random_bars
from tests.nights import contents
from tests.store.rows import run_row

NOW = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


def settings_of(folder: Path, url: str) -> Settings:
    named = {"data_dir": folder, "database_url": SecretStr(url), "members": 1, "train_sessions": 320}
    return Settings(_env_file=None, symbols=("AAA", "BBB", "CCC"), **named)  # type: ignore[arg-type]


def runs_of(settings: Settings, source: str, session: date = LAST) -> list[NightRun]:
    return [
        night_run(NightSpec(symbol, session, "volume", source), settings, now=lambda: NOW)
        for symbol in settings.symbols
    ]


@pytest.fixture
def panel(tmp_path: Path) -> str:
    """A file of three symbols: BBB has too few sessions to forecast from."""
    path = tmp_path / "panel.parquet"
    days = {"AAA": 560, "BBB": 200, "CCC": 560}
    parts = [random_bars(days=days[name], seed=seed).assign(symbol=name) for seed, name in enumerate(days)]
    pd.concat(parts).rename_axis("date").reset_index().to_parquet(path)
    return f"parquet:{path}"


def worked_off(runs: list[NightRun]) -> list[Outcome[int]]:
    """The nights through every step, each step on those that the one before has not stopped."""
    fetched = fetch_and_store(runs)
    alive = [one.run for one in fetched if one.error is None]
    if not alive:
        return [Outcome(one.run, error=one.error) for one in fetched]
    with timed(alive, "preprocess"):
        inputs = [one.get() for one in write_windows(alive)]
    challengers = [one.get() for one in fit_challengers(alive, inputs)]
    forecasts = write_forecasts(alive, inputs, challengers)
    for step in (score_and_decide(alive, inputs), publish_pages(alive), forecasts):
        assert [one.error for one in step] == [None] * len(alive)
    close_nights(alive)
    done = {one.run.id: one for one in forecasts}
    return [done.get(one.run.id, Outcome(one.run, error=one.error)) for one in fetched]


@pytest.mark.slow
def test_a_shard_gives_the_same_tables_as_its_nights_one_by_one(
    sqlite_url: str, postgres_url: str, tmp_path: Path, panel: str
) -> None:
    together, apart = settings_of(tmp_path / "together", sqlite_url), settings_of(tmp_path / "apart", postgres_url)
    for session, rows in ((date(2024, 3, 7), 30), (LAST, 35)):  # on the second night a challenger too
        outcomes = worked_off(runs_of(together, panel, session))
        assert [one.value for one in outcomes] == [rows, None, rows]
        assert isinstance(outcomes[1].error, HistoryError)
        for run in runs_of(apart, panel, session):
            worked_off([run])
    assert contents(sqlite_url) == contents(postgres_url)


def test_a_symbol_that_the_source_lacks_stops_no_other(sqlite_url: str, tmp_path: Path, panel: str) -> None:
    settings = settings_of(tmp_path, sqlite_url).model_copy(update={"symbols": ("AAA", "ZZZ", "CCC")})
    outcomes = fetch_and_store(runs_of(settings, panel))
    assert [one.error is None for one in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, BadDataError)


@pytest.fixture
def runs(database_url: str, tmp_path: Path) -> list[NightRun]:
    return runs_of(settings_of(tmp_path, database_url), "sample")


def stored(run: NightRun) -> list[str]:
    with database.reading(run.settings.url) as connection:
        return sorted(connection.scalars(sa.text("SELECT id FROM runs")))


def test_a_write_that_fails_is_undone_for_its_night_alone(runs: list[NightRun]) -> None:
    def write(connection: database.Connection, run: NightRun, place: int) -> str:
        writes.start_run(connection, run_row(f"run {place}", str(LAST)))
        if place == 1:
            raise StoreError("seeded")
        return run.spec.symbol

    outcomes = shard.write_each(shard.given(runs, [0, 1, 2]), write)
    assert [one.value for one in outcomes] == ["AAA", None, "CCC"]
    assert str(outcomes[1].error) == "seeded"
    assert stored(runs[0]) == ["run 0", "run 2"]


def test_a_row_that_the_database_refuses_is_its_own_nights_error(runs: list[NightRun]) -> None:
    def write(connection: database.Connection, run: NightRun, place: int) -> int:
        row = run_row(f"run {place}", str(LAST))
        return writes.start_run(connection, row if place != 1 else row | {"status": None})

    outcomes = shard.write_each(shard.given(runs, [0, 1, 2]), write)
    assert [one.value for one in outcomes] == [1, None, 1]
    assert isinstance(outcomes[1].error, StoreError)
    assert "The database refused a row" in str(outcomes[1].error)
    assert stored(runs[0]) == ["run 0", "run 2"]


def test_a_database_that_is_not_there_is_every_nights_failure(tmp_path: Path) -> None:
    runs = runs_of(settings_of(tmp_path, f"sqlite:///{tmp_path / 'nowhere' / 'forecasting.db'}"), "sample")
    with pytest.raises(StoreError, match="cannot be opened"):
        shard.read_each(shard.given(runs, runs), lambda connection, run, _: None)


def test_an_error_passes_through_the_rest_of_the_chain_and_no_later_step_runs_on_it(runs: list[NightRun]) -> None:
    seen: list[str] = []

    def compute(run: NightRun, place: int) -> float:
        seen.append(run.spec.symbol)
        return 1 / place

    computed = shard.compute_each(shard.given(runs, [1, 0, 2]), compute)
    again = shard.compute_each(computed, lambda run, value: compute(run, int(1 / value)))
    assert seen == ["AAA", "BBB", "CCC", "AAA", "CCC"]
    assert [one.value for one in again] == [1.0, None, 0.5]
    assert again[1].error is computed[1].error
    with pytest.raises(ZeroDivisionError):
        again[1].get()


def test_nothing_is_opened_for_nights_that_have_all_failed(tmp_path: Path) -> None:
    runs = runs_of(settings_of(tmp_path, f"sqlite:///{tmp_path / 'nowhere' / 'forecasting.db'}"), "sample")
    failed: list[Outcome[Any]] = [Outcome(run, error=HistoryError("seeded")) for run in runs]
    for chain in (shard.read_each, shard.write_each):
        assert [str(one.error) for one in chain(failed, lambda connection, run, value: value)] == ["seeded"] * 3


def test_the_only_outcome_of_a_shard_of_one_is_its_value_or_its_error(runs: list[NightRun]) -> None:
    assert shard.only([Outcome(runs[0], 7)]) == 7
    with pytest.raises(HistoryError, match="seeded"):
        shard.only([Outcome[int](runs[0], error=HistoryError("seeded"))])


class AllAtOnce(Files):
    """The panel as a source that answers for several symbols at once."""

    def __init__(self, path: Path) -> None:
        super().__init__("parquet", path)
        self.requests: list[list[str]] = []

    def fetch_many(self, symbols: Sequence[str], first: date, last: date) -> dict[str, Fetched | SourceError]:
        self.requests.append(list(symbols))
        return {symbol: Files.fetch(self, symbol, first, last) for symbol in symbols if symbol != "ZZZ"}

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        raise AssertionError(f"{symbol} was requested by itself")


def test_a_source_of_many_symbols_is_asked_once_for_all_of_them(
    sqlite_url: str, tmp_path: Path, panel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = AllAtOnce(Path(panel.removeprefix("parquet:")))
    monkeypatch.setattr(ingest, "source_of", lambda *_, **__: source)
    settings = settings_of(tmp_path, sqlite_url).model_copy(update={"symbols": ("AAA", "ZZZ", "CCC")})
    outcomes = fetch_and_store(runs_of(settings, panel))
    assert source.requests == [["AAA", "ZZZ", "CCC"]]
    assert [type(one.error) for one in outcomes] == [type(None), BadDataError, type(None)]
    assert "nothing of ZZZ" in str(outcomes[1].error)


def test_a_request_for_many_symbols_that_fails_is_the_error_of_each(
    sqlite_url: str, tmp_path: Path, panel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = AllAtOnce(Path(panel.removeprefix("parquet:")))
    monkeypatch.setattr(ingest, "source_of", lambda *_, **__: source)
    runs = runs_of(settings_of(tmp_path, sqlite_url), panel)
    refused = RateLimitedError("refused", 60.0)
    monkeypatch.setattr(source, "fetch_many", Mock(side_effect=refused))
    assert [repr(one.error) for one in fetch_and_store(runs)] == [repr(refused)] * 3
    monkeypatch.setattr(source, "fetch_many", Mock(side_effect=KeyError("a fault of the source")))
    told = [one.error for one in fetch_and_store(runs)]
    assert [type(error) for error in told] == [BadDataError] * 3
    assert all("failed with KeyError: 'a fault of the source'" in str(error) for error in told)


def test_answers_of_another_kind_in_a_response_for_many_symbols_are_faults_of_the_source(
    sqlite_url: str, tmp_path: Path, panel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = AllAtOnce(Path(panel.removeprefix("parquet:")))
    monkeypatch.setattr(ingest, "source_of", lambda *_, **__: source)
    answers = {"AAA": pd.DataFrame({"close": [1.0]}), "BBB": ValueError("a fault of the source"), "CCC": None}
    monkeypatch.setattr(source, "fetch_many", Mock(return_value=answers))
    told = [one.error for one in fetch_and_store(runs_of(settings_of(tmp_path, sqlite_url), panel))]
    assert [type(error) for error in told] == [BadDataError] * 3
    parts = ("found DataFrame", "failed with ValueError: a fault of the source", "nothing of CCC")
    assert all(part in str(error) for part, error in zip(parts, told, strict=True))


class ResponseError(UnavailableError):
    """An error of a source that wants more than its message."""

    def __init__(self, status: int, server: str) -> None:
        super().__init__(f"HTTP {status} of {server}")
        self.status = status


def test_a_request_for_many_symbols_that_fails_is_retried_for_all_of_them_after_the_pause(
    sqlite_url: str, tmp_path: Path, panel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = AllAtOnce(Path(panel.removeprefix("parquet:")))
    monkeypatch.setattr(ingest, "source_of", lambda *_, **__: source)
    settings = settings_of(tmp_path, sqlite_url)
    for error, pause in ((ResponseError(503, "a"), 1), (RateLimitedError("refused"), 30)):
        monkeypatch.setattr(source, "fetch_many", Mock(side_effect=error))
        refused = [
            Refused(first_attempt([one.run.spec], settings, now=NOW, unattended=True), one.error)  # type: ignore[arg-type]
            for one in fetch_and_store(runs_of(settings, panel))
        ]
        found = retries(refused, now=NOW)
        assert [one.due for one in found.waiting] == [NOW + timedelta(minutes=pause)] * 3
        assert (found.put_off, found.stopped) == ([], [])


class Closed:
    """A source that raises one error object for every symbol."""

    name = "closed"
    error = UnavailableError("The house is closed.")

    def fetch(self, symbol: str, first: date, last: date) -> Fetched:
        raise self.error


def test_symbols_that_were_requested_are_retried_as_such_although_their_error_is_one_object(
    sqlite_url: str, tmp_path: Path, panel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "source_of", lambda *_, **__: Closed())
    settings = settings_of(tmp_path, sqlite_url)
    refused = [
        Refused(first_attempt([one.run.spec], settings, now=NOW, unattended=True), one.error)  # type: ignore[arg-type]
        for one in fetch_and_store(runs_of(settings, panel))
    ]
    found = retries(refused, now=NOW)
    assert [one.failures for one in found.waiting] == [1] * 3
    assert (found.put_off, found.stopped) == ([], [])


def test_after_a_refusal_of_many_symbols_the_others_are_not_requested(
    sqlite_url: str, tmp_path: Path, panel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = AllAtOnce(Path(panel.removeprefix("parquet:")))
    refuse = Mock(side_effect=RateLimitedError("refused"))
    monkeypatch.setattr(source, "fetch_many", refuse)
    monkeypatch.setattr(ingest, "source_of", lambda *_, **__: source)
    settings = settings_of(tmp_path, sqlite_url)
    first, second, third = runs_of(settings, panel)
    earlier = night_run(replace(third.spec, session=date(2024, 3, 7)), settings, now=lambda: NOW)
    outcomes = fetch_and_store([first, second, earlier])
    assert [call.args[0] for call in refuse.call_args_list] == [["AAA", "BBB"]]
    errors = [outcome.error for outcome in outcomes]
    assert all(type(error) is RateLimitedError and str(error) == "refused" for error in errors)
    assert [isinstance(error, RateLimitedError) and error.requested for error in errors] == [True, True, False]
