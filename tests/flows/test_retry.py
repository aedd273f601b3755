from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from flows.retry import Attempt, deadline_of, first_attempt, next_attempt
from forecasting.errors import (
    BadDataError,
    DataLateError,
    ForecastingError,
    HistoryError,
    RateLimitedError,
    UnavailableError,
)
from forecasting.pipeline.night_run import NightSpec
from forecasting.settings import Settings

NIGHT = NightSpec("SBUX", date(2024, 3, 6), "volume", "yahoo")
MORNING = datetime(2024, 3, 7, 10, 30, tzinfo=UTC)  # 05:30 in New York, where nine is 14:00 UTC
NINE = datetime(2024, 3, 7, 14, 0, tzinfo=UTC)


def waits(*troubles: ForecastingError, unattended: bool = True) -> list[float | None]:
    """Minutes between the requests that end with these, each of which takes no time; None where asking ends."""
    attempt: Attempt | None = first_attempt([NIGHT], Settings(), now=MORNING, unattended=unattended)
    found: list[float | None] = []
    for trouble in troubles:
        assert attempt is not None
        now = attempt.due
        attempt = next_attempt(attempt, trouble, now=now)
        found.append((attempt.due - now).total_seconds() / 60 if attempt else None)
    return found


def test_a_refusal_wants_half_an_hour_or_what_the_source_names() -> None:
    assert waits(RateLimitedError("x"), RateLimitedError("x", retry_after_s=5400.0)) == [30.0, 90.0]


def test_silence_is_asked_over_after_minutes_that_grow() -> None:
    assert waits(*[UnavailableError("x")] * 7) == [1.0, 2.0, 5.0, 10.0, 15.0, 15.0, 15.0]


def test_silence_after_an_answer_begins_with_a_minute_again() -> None:
    assert waits(UnavailableError("x"), UnavailableError("x"), DataLateError("x"), UnavailableError("x")) == [
        1,
        2,
        20,
        1,
    ]


def test_a_late_bar_is_asked_for_every_twenty_minutes_and_last_at_the_stated_hour() -> None:
    assert waits(*[DataLateError("x")] * 12) == [20.0] * 10 + [10.0, None]


def test_a_refusal_that_lasts_past_the_stated_hour_ends_the_wait() -> None:
    assert waits(*[RateLimitedError("x")] * 8) == [30.0] * 7 + [None]


@pytest.mark.parametrize("trouble", [BadDataError("x"), HistoryError("x")])
def test_what_asking_again_cannot_mend_is_not_asked_again(trouble: ForecastingError) -> None:
    assert waits(trouble) == [None]


def test_a_person_is_asked_to_wait_two_seconds_once_and_only_for_silence() -> None:
    assert waits(UnavailableError("x"), UnavailableError("x"), unattended=False) == [2 / 60, None]
    assert waits(DataLateError("x"), unattended=False) == waits(RateLimitedError("x"), unattended=False) == [None]


@pytest.mark.parametrize(
    ("session", "now", "until"),
    [
        (date(2024, 3, 6), MORNING, NINE),
        (date(2024, 3, 6), datetime(2024, 3, 6, 23, 30, tzinfo=UTC), NINE),  # the evening before
        (date(2024, 3, 8), datetime(2024, 3, 9, 10, 30, tzinfo=UTC), datetime(2024, 3, 9, 14, 0, tzinfo=UTC)),
        # Past nine of a Saturday: Sunday's nine, an hour earlier by the sun since clocks went forward.
        (date(2024, 3, 8), datetime(2024, 3, 9, 15, 0, tzinfo=UTC), datetime(2024, 3, 10, 13, 0, tzinfo=UTC)),
        # Past nine of a trading day: until the open, after which no forecast of the night is live.
        (date(2024, 3, 6), NINE + timedelta(minutes=10), datetime(2024, 3, 7, 14, 30, tzinfo=UTC)),
        (date(2021, 3, 1), MORNING, datetime(2021, 3, 2, 14, 30, tzinfo=UTC)),  # an old night waits for nothing
    ],
)
def test_a_night_waits_until_the_stated_hour_and_never_past_the_next_open(
    session: date, now: datetime, until: datetime
) -> None:
    night = NightSpec("SBUX", session, "volume", "yahoo")
    assert deadline_of(night, Settings(), now=now) == until


def test_the_stated_hour_is_a_setting() -> None:
    settings = Settings(late_until=time(7, 15))
    assert deadline_of(NIGHT, settings, now=MORNING) == datetime(2024, 3, 7, 12, 15, tzinfo=UTC)
