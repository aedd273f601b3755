"""What became of the nights of a run: in the list of failures, in the log, and in each night's row."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from forecasting.errors import DataLateError, ForecastingError, NoBarError, UnavailableError
from forecasting.pipeline.night_run import NightSpec, night_run
from forecasting.pipeline.night_shard import every_night_failed, shards_of
from forecasting.pipeline.night_steps import directly
from forecasting.pipeline.retry import Refused, first_attempt
from forecasting.pipeline.run_outcomes import Outcomes
from forecasting.pipeline.run_row import close_nights, open_run
from forecasting.pipeline.without_bar import RunOf, go_on
from forecasting.settings import Settings
from forecasting.store import database
from tests.builders import LAST

NOW = datetime(2024, 3, 9, 14, 30, tzinfo=UTC)
NIGHTS = [NightSpec(symbol, LAST, "volume", "sample") for symbol in ("AAA", "BBB")]


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path, database_url=SecretStr(sqlite_url))  # type: ignore[call-arg]


def maker(settings: Settings) -> RunOf:
    return lambda night: night_run(night, settings, now=lambda: NOW)


def stored(settings: Settings) -> list[tuple[object, ...]]:
    with database.reading(settings.url) as connection:
        return [tuple(row) for row in connection.execute(sa.text("SELECT symbol, status, error FROM runs ORDER BY 1"))]


def test_the_nights_of_a_lost_shard_are_failed_in_their_rows_too(settings: Settings) -> None:
    run_of, outcomes, lost = maker(settings), Outcomes(), ForecastingError("two workers were lost")
    (shard,) = shards_of([[run_of(night)] for night in NIGHTS], settings, size=5)
    for one in every_night_failed(shard, lost):
        outcomes.add(one, run_of)
    assert outcomes.failed == [("AAA", lost), ("BBB", lost)]
    assert stored(settings) == [("AAA", "failed", str(lost)), ("BBB", "failed", str(lost))]


def test_a_night_that_a_lost_worker_had_completed_is_done(settings: Settings) -> None:
    run_of, outcomes, lost = maker(settings), Outcomes(), ForecastingError("the scheduler was lost")
    runs = [run_of(night) for night in NIGHTS]
    with database.transaction(settings.url) as connection:
        open_run(connection, runs[0], started_at=NOW)
    close_nights(runs[:1])
    (shard,) = shards_of([[run] for run in runs], settings, size=5)
    for one in every_night_failed(shard, lost):
        outcomes.add(one, run_of)
    assert (outcomes.done, outcomes.failed) == ([runs[0].id], [("BBB", lost)])


def test_a_past_session_without_a_bar_is_failed_in_its_row_and_does_not_fail_the_run(settings: Settings) -> None:
    run_of, outcomes, error = maker(settings), Outcomes(), NoBarError("no bar of the origin")
    (shard,) = shards_of([[run_of(NIGHTS[0])]], settings, size=5)
    for one in every_night_failed(shard, error):
        outcomes.add(one, run_of)
    assert (outcomes.failed, outcomes.without_bar) == ([], [str(error)])
    assert stored(settings) == [("AAA", "failed", str(error))]


def test_a_row_that_cannot_be_written_hides_no_failure(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = settings.model_copy(update={"database_url": SecretStr(f"sqlite:///{tmp_path / 'none' / 'x.db'}")})
    run_of, outcomes, lost = maker(broken), Outcomes(), ForecastingError("two workers were lost")
    (shard,) = shards_of([[run_of(night)] for night in NIGHTS], broken, size=5)
    for one in every_night_failed(shard, lost):
        outcomes.add(one, run_of)
    assert outcomes.failed == [("AAA", lost), ("BBB", lost)]
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"] * 2


@pytest.mark.parametrize(
    ("error", "status"), [(UnavailableError("no response"), "failed"), (DataLateError("x"), "late")]
)
def test_a_failed_request_is_one_line_of_the_log(
    settings: Settings, error: ForecastingError, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = first_attempt(NIGHTS[:1], settings, now=NOW, unattended=False)
    run_of, outcomes = maker(settings), Outcomes()
    left = go_on(
        [Refused(attempt, error)],
        settings,
        run_of=run_of,
        step=directly,
        publish=lambda run, page: None,
        now=lambda: NOW,
    )
    outcomes.add_without_bar(left)
    outcomes.add_unanswered(left, run_of)
    assert outcomes.failed == [("AAA", error)]
    assert stored(settings) == [("AAA", status, str(error))]
    assert [record.getMessage() for record in caplog.records] == [f"AAA {LAST}: {error}"]
