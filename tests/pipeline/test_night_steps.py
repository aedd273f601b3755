"""The steps of a night; whole nights, killed at every step, are in `tests/flows/test_nightly.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from forecasting.errors import ForecastingError
from forecasting.pipeline.night_run import NightRun, NightSpec, night_run
from forecasting.pipeline.night_steps import finish_nights
from forecasting.pipeline.shard import Outcome
from forecasting.settings import Settings
from tests.builders import LAST

NOW = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)


def test_a_night_that_is_neither_forecast_nor_scored_has_both_errors_in_the_log_and_the_first_as_its_own(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, database_url=SecretStr(sqlite_url))  # type: ignore[call-arg]

    def unreachable(stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Any]]]) -> list[Outcome[Any]]:
        raise ForecastingError(f"{stage} failed")

    run = night_run(NightSpec("AAA", LAST, "volume", "sample"), settings, now=lambda: NOW)
    (outcome,) = finish_nights([run], step=unreachable)
    assert str(outcome.error) == "preprocess failed"
    assert [record.getMessage() for record in caplog.records] == [
        f"AAA {LAST}: its closed sessions were not scored: score failed"
    ]
