from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from forecasting.pipeline.health import nothing_new
from forecasting.settings import Settings


@pytest.mark.parametrize(
    ("now", "newest", "closed"),
    [
        ("2026-11-27T10:30", date(2026, 11, 25), "Thursday 2026-11-26"),  # the morning after Thanksgiving
        ("2026-11-28T10:30", date(2026, 11, 27), ""),  # two mornings later, after the shortened Friday
        ("2026-11-26T20:00", date(2026, 11, 25), ""),  # that day, before its session would have closed
        ("2026-11-27T03:00", date(2026, 11, 25), "Thursday 2026-11-26"),  # and after: a schedule in the evening
        ("2026-05-26T09:30", date(2026, 5, 22), "Monday 2026-05-25"),  # a weekend is no holiday
        ("2026-05-26T09:30", date(2018, 12, 31), ""),  # nor is one why a file ends years ago
    ],
)
def test_a_night_without_work_says_why_and_names_the_holiday(now: str, newest: date, closed: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    sentences = [
        f"Nothing new since the session {newest} of XNYS.",
        *([f"XNYS was closed on {closed}."] * bool(closed)),
    ]
    assert nothing_new(Settings(_env_file=None), as_of=newest, now=lambda: moment) == " ".join(sentences)
