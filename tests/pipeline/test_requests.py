"""Bars of many symbols: batches, and no request to a source that has just refused one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from forecasting.errors import DataLateError, RateLimitedError, UnexpectedError
from forecasting.pipeline import requests
from forecasting.pipeline.each_symbol import combined
from forecasting.pipeline.night_run import NightRun, NightSpec, night_run
from forecasting.pipeline.night_steps import RunStep
from forecasting.pipeline.requests import Fetch
from forecasting.pipeline.retry import Refused, first_attempt, retries, waiting_note
from forecasting.pipeline.run_row import mark_waiting, open_run
from forecasting.pipeline.shard import Outcome
from forecasting.settings import Settings, read_settings
from forecasting.store import database, read
from tests.builders import LAST

NOW = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


def asked(*symbols: str, step: RunStep) -> Fetch:
    """The request for a night of each symbol."""
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    nights = [NightSpec(symbol, LAST, "volume", "sample") for symbol in symbols]
    return Fetch(
        [first_attempt([night], settings, now=NOW, unattended=True) for night in nights],
        settings,
        run_of=lambda night: night_run(night, settings, now=lambda: NOW),
        switch_source=False,
        step=step,
        now=lambda: NOW,
    )


def test_after_a_refusal_no_later_batch_is_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "INGEST_SIZE", 2)
    requested: list[list[str]] = []

    def refuse_the_second(
        stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Any]]]
    ) -> list[Outcome[Any]]:
        requested.append([run.spec.symbol for run in runs])
        return [Outcome(runs[0], "fetched"), *(Outcome(run, error=RateLimitedError("x")) for run in runs[1:])]

    fetch = asked("A", "B", "C", "D", "E", step=refuse_the_second)
    assert [night.symbol for (night,) in fetch.nights()] == ["A"]
    assert requested == [["A", "B"]]
    assert [one.attempt.night.symbol for one in fetch.refused] == ["B", "C", "D", "E"]
    errors = [one.error for one in fetch.refused]
    assert [isinstance(error, RateLimitedError) and error.requested for error in errors] == [True] + [False] * 3


def test_a_batch_is_requested_once_the_nights_of_those_before_it_have_been_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "INGEST_SIZE", 2)
    requested: list[list[str]] = []

    def step(stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Any]]]) -> list[Outcome[Any]]:
        requested.append([run.spec.symbol for run in runs])
        return [Outcome(run, "fetched") for run in runs]

    nights = asked("A", "B", "C", step=step).nights()
    assert [next(nights)[0].symbol, next(nights)[0].symbol] == ["A", "B"]
    assert requested == [["A", "B"]]
    assert [night.symbol for (night,) in nights] == ["C"]
    assert requested == [["A", "B"], ["C"]]


def test_a_night_that_waited_keeps_what_was_noted_with_its_bar(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_DATABASE_URL", sqlite_url)
    settings = read_settings()
    first = first_attempt([NightSpec("A", LAST, "volume", "sample")], settings, now=NOW, unattended=True)
    (attempt,) = retries([Refused(first, DataLateError("No bar."))], now=NOW).waiting
    run = night_run(attempt.night, settings, now=lambda: attempt.due)
    mark_waiting(run, waiting_note(attempt, settings))

    def note(stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Any]]]) -> list[Outcome[Any]]:
        with database.transaction(sqlite_url) as connection:
            open_run(connection, run, started_at=NOW, note="The calendar ends soon.")
        return [Outcome(run, "fetched")]

    for _ in range(2):
        fetch = Fetch([attempt], settings, lambda _: run, switch_source=False, step=note, now=lambda: attempt.due)
        assert list(fetch.nights()) == [attempt.nights]
        with database.reading(sqlite_url) as connection:
            stored = read.run(connection, run.id)
        assert stored is not None
        assert stored["note"] == (
            "Waited for its bar from 05:30 to 05:50 America/New_York; 2 requests. The calendar ends soon."
        )


def test_an_error_of_prefect_is_every_nights_in_one_paragraph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))

    def unreachable(stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Any]]]) -> list[Outcome[Any]]:
        raise httpx.ConnectError("seeded")

    fetch = asked("A", "B", step=unreachable)
    assert list(fetch.nights()) == []
    refused = fetch.refused
    assert [one.attempt.night.symbol for one in refused] == ["A", "B"]
    assert [type(one.error) for one in refused] == [UnexpectedError] * 2
    assert "Prefect's server did not respond as expected during this command (ConnectError: seeded)" in str(
        combined([(one.attempt.night.symbol, one.error) for one in refused], of=2)
    )
