from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from forecasting.pipeline.health import closed_since, nothing_new
from forecasting.settings import Settings


@pytest.mark.parametrize(
    ("now", "newest", "told"),
    [
        # The morning after Thanksgiving, and two mornings later, after the shortened Friday.
        (
            datetime(2026, 11, 27, 10, 30, tzinfo=UTC),
            date(2026, 11, 25),
            "Nothing new: the newest session there is, 2026-11-25, was already done. "
            "XNYS was closed on Thursday 2026-11-26.",
        ),
        (
            datetime(2026, 11, 28, 10, 30, tzinfo=UTC),
            date(2026, 11, 27),
            "Nothing new: the newest session there is, 2026-11-27, was already done.",
        ),
        # Thanksgiving itself, before and after its session would have closed: a schedule in the evening runs after.
        (
            datetime(2026, 11, 26, 20, tzinfo=UTC),
            date(2026, 11, 25),
            "Nothing new: the newest session there is, 2026-11-25, was already done.",
        ),
        (
            datetime(2026, 11, 27, 3, tzinfo=UTC),
            date(2026, 11, 25),
            "Nothing new: the newest session there is, 2026-11-25, was already done. "
            "XNYS was closed on Thursday 2026-11-26.",
        ),
        # A weekend is no holiday, and Memorial Day Monday is one on Tuesday morning.
        (
            datetime(2026, 5, 26, 9, 30, tzinfo=UTC),
            date(2026, 5, 22),
            "Nothing new: the newest session there is, 2026-05-22, was already done. "
            "XNYS was closed on Monday 2026-05-25.",
        ),
        # A file that ends years ago is not behind because of a holiday.
        (
            datetime(2026, 5, 26, 9, 30, tzinfo=UTC),
            date(2018, 12, 31),
            "Nothing new: the newest session there is, 2018-12-31, was already done.",
        ),
    ],
)
def test_a_night_without_work_says_why_and_names_the_holiday(now: datetime, newest: date, told: str) -> None:
    assert nothing_new(Settings(_env_file=None), as_of=newest, now=lambda: now) == told


@pytest.mark.parametrize(
    ("now", "newest", "closed"),
    [
        # Riyadh trades from Sunday to Thursday: a Saturday evening, and the week of Eid al-Fitr.
        (datetime(2024, 3, 9, 18, tzinfo=UTC), date(2024, 3, 7), []),
        (datetime(2024, 4, 9, 5, tzinfo=UTC), date(2024, 4, 4), [date(2024, 4, 7), date(2024, 4, 8)]),
    ],
)
def test_a_usual_day_without_trading_is_no_holiday(now: datetime, newest: date, closed: list[date]) -> None:
    assert closed_since(newest, "XSAU", now=lambda: now) == closed
