"""Nights that go on without their bar; whole ones are in `tests/flows/test_patient_nights.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from forecasting.errors import DataLateError, StoreError
from forecasting.pipeline.night_run import NightRun, NightSpec, night_run
from forecasting.pipeline.retry import Refused, first_attempt
from forecasting.pipeline.run_row import open_run
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.without_bar import go_on
from forecasting.settings import Settings
from forecasting.store import database, writes
from tests.builders import LAST
from tests.store.rows import run_row

NOW = datetime(2024, 3, 9, 14, 30, tzinfo=UTC)
BEFORE = date(2024, 3, 7)


@pytest.mark.parametrize("raised", [True, False])
def test_a_late_night_whose_scoring_fails_has_failed(sqlite_url: str, tmp_path: Path, raised: bool) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, database_url=SecretStr(sqlite_url))  # type: ignore[call-arg]
    with database.transaction(sqlite_url) as connection:
        writes.start_run(connection, run_row("before", str(BEFORE), symbol="AAA", status="done"))
    error = StoreError("the scores cannot be written")

    def fail_to_score(
        stage: str, runs: Sequence[NightRun], work: Callable[[], list[Outcome[Any]]]
    ) -> list[Outcome[Any]]:
        if stage != "score":
            with database.transaction(sqlite_url) as connection:
                for run in runs:
                    open_run(connection, run, started_at=NOW, note="The calendar ends soon.")
            return [Outcome(run, "fetched") for run in runs]
        if raised:
            raise error
        return [Outcome(run, error=error) for run in runs]

    night = NightSpec("AAA", LAST, "volume", "sample")
    attempt = first_attempt([night], settings, now=NOW, unattended=True)
    found = go_on(
        [Refused(attempt, DataLateError("no bar yet", BEFORE))],
        settings,
        run_of=lambda spec: night_run(spec, settings, now=lambda: NOW),
        step=fail_to_score,
        publish=lambda run, page: None,
        now=lambda: NOW,
    )
    assert (found.failed, found.nights, len(found.notes)) == ([(night, error)], [], 1)
    with database.reading(sqlite_url) as connection:
        row = connection.execute(sa.text("SELECT status, error, note FROM runs WHERE id <> 'before'")).one()
    assert tuple(row) == ("failed", str(error), f"{found.notes[0]} The calendar ends soon.")
