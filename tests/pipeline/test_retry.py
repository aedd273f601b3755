from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from forecasting.errors import (
    BadDataError,
    DataLateError,
    ForecastingError,
    HistoryError,
    RateLimitedError,
    UnavailableError,
)
from forecasting.pipeline.night_run import NightSpec
from forecasting.pipeline.retry import (
    Attempt,
    Refused,
    deadline_of,
    due_first,
    first_attempt,
    late_alerts,
    missing_bar_note,
    next_attempt,
    pause_after,
    retries,
    waited_note,
    waiting_message,
)
from forecasting.settings import Settings

NIGHT = NightSpec("SBUX", date(2024, 3, 6), "volume", "yahoo")
MORNING = datetime(2024, 3, 7, 10, 30, tzinfo=UTC)  # 05:30 in New York, where nine is 14:00 UTC
NINE = datetime(2024, 3, 7, 14, 0, tzinfo=UTC)


def pauses(*errors: ForecastingError, unattended: bool = True) -> list[float | None]:
    """Minutes between requests that end with these errors and take no time; None where the retries end."""
    attempt: Attempt | None = first_attempt([NIGHT], Settings(), now=MORNING, unattended=unattended)
    found: list[float | None] = []
    for error in errors:
        assert attempt is not None
        now = attempt.due
        attempt = next_attempt(attempt, error, now=now)
        found.append((attempt.due - now).total_seconds() / 60 if attempt else None)
    return found


def test_a_refusal_pauses_for_half_an_hour_or_as_long_as_the_source_states() -> None:
    assert pauses(RateLimitedError("x"), RateLimitedError("x", retry_after_s=5400.0)) == [30.0, 90.0]


@pytest.mark.parametrize(
    ("stated", "minutes"), [(0.0, 1.0), (-5.0, 1.0), (1e9, 24 * 60.0), (math.nan, 30.0), (math.inf, 30.0)]
)
def test_a_pause_that_a_source_states_is_a_minute_at_least_and_a_day_at_most(stated: float, minutes: float) -> None:
    assert pause_after(RateLimitedError("x", retry_after_s=stated), 0) == timedelta(minutes=minutes)


def test_requests_without_a_response_are_repeated_after_growing_pauses() -> None:
    assert pauses(*[UnavailableError("x")] * 7) == [1.0, 2.0, 5.0, 10.0, 15.0, 15.0, 15.0]


def test_the_pauses_start_at_one_minute_again_after_a_response() -> None:
    assert pauses(UnavailableError("x"), UnavailableError("x"), DataLateError("x"), UnavailableError("x")) == [
        1,
        2,
        20,
        1,
    ]


def test_a_late_bar_is_requested_every_twenty_minutes_and_last_at_the_deadline() -> None:
    assert pauses(*[DataLateError("x")] * 12) == [20.0] * 10 + [10.0, None]


def test_a_refusal_that_lasts_past_the_deadline_ends_the_retries() -> None:
    assert pauses(*[RateLimitedError("x")] * 8) == [30.0] * 7 + [None]


@pytest.mark.parametrize("error", [BadDataError("x"), HistoryError("x")])
def test_an_error_that_a_retry_cannot_fix_is_not_retried(error: ForecastingError) -> None:
    assert pauses(error) == [None]


def attempts(*symbols: str) -> list[Attempt]:
    nights = [NightSpec(symbol, NIGHT.session, "volume", "yahoo") for symbol in symbols]
    return [first_attempt([night], Settings(), now=MORNING, unattended=True) for night in nights]


def test_symbols_that_were_not_requested_after_a_refusal_are_put_off_without_a_failure() -> None:
    refusal, (asked, unasked, bad) = RateLimitedError("x"), attempts("AAA", "BBB", "CCC")
    found = retries(
        [Refused(asked, refusal), Refused(unasked, refusal.without_request()), Refused(bad, BadDataError("x"))],
        now=MORNING,
    )
    half_past = MORNING + timedelta(minutes=30)
    assert [(one.night.symbol, one.due, one.failures) for one in found.waiting] == [("AAA", half_past, 1)]
    assert [(one.night.symbol, one.due, one.failures) for one in found.put_off] == [("BBB", half_past, 0)]
    assert [one.attempt.night.symbol for one in found.stopped] == ["CCC"]


def test_what_is_due_first_is_all_that_is_due_by_then() -> None:
    first, second = attempts("AAA", "BBB")
    later = next_attempt(first, DataLateError("x"), now=MORNING)
    assert later is not None
    assert due_first([later, second], now=MORNING) == ([second], [later])


def test_an_interactive_run_retries_once_after_two_seconds_and_only_without_a_response() -> None:
    assert pauses(UnavailableError("x"), UnavailableError("x"), unattended=False) == [2 / 60, None]
    assert pauses(DataLateError("x"), unattended=False) == pauses(RateLimitedError("x"), unattended=False) == [None]


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


def test_the_hour_of_the_deadline_is_a_setting() -> None:
    settings = Settings(late_until=time(7, 15))
    assert deadline_of(NIGHT, settings, now=MORNING) == datetime(2024, 3, 7, 12, 15, tzinfo=UTC)


def test_a_stated_hour_that_the_clocks_of_a_day_skip_is_named_as_they_show_it() -> None:
    night, settings = NightSpec("SBUX", date(2024, 3, 8), "volume", "yahoo"), Settings(late_until=time(2, 30))
    attempt = first_attempt([night], settings, now=datetime(2024, 3, 10, 6, 20, tzinfo=UTC), unattended=True)
    late = next_attempt(attempt, DataLateError("No bar."), now=attempt.due)
    assert late is not None
    assert waiting_message([late], settings) == "No bar. Next request at 01:40, retrying until 03:30 America/New_York."


def test_the_note_of_a_night_that_waited_has_its_times_and_the_number_of_requests() -> None:
    attempt = first_attempt([NIGHT], Settings(), now=MORNING, unattended=True)
    for _ in range(2):
        attempt = next_attempt(attempt, DataLateError("x"), now=attempt.due) or attempt
    assert waited_note(attempt, Settings(), now=attempt.due) == (
        "Waited for its bar from 05:30 to 06:10 America/New_York; 3 requests."
    )


def test_the_note_of_a_missing_bar_has_the_hour_and_the_newest_bar() -> None:
    attempt, newest = first_attempt([NIGHT], Settings(), now=MORNING, unattended=True), date(2024, 3, 5)
    assert missing_bar_note(attempt, DataLateError("x"), newest, Settings(), now=NINE) == (
        "The bar of 2024-03-06 was not available by 09:00 America/New_York; "
        "the night continued with the bars up to 2024-03-05."
    )
    held = DataLateError("x", newest, "SBUX's bar of 2024-03-06 is held back. --switch-source accepts it.")
    assert missing_bar_note(attempt, held, newest, Settings(), now=NINE) == (
        "SBUX's bar of 2024-03-06 is held back. --switch-source accepts it. It was not available by 09:00 "
        "America/New_York; the night continued with the bars up to 2024-03-05."
    )
    assert missing_bar_note(attempt, UnavailableError("No response."), newest, Settings(), now=NINE) == (
        "No response. Stopped retrying at 09:00 America/New_York; the night continued with the bars up to 2024-03-05."
    )


def test_a_run_that_waits_says_why_when_it_requests_again_and_until_when() -> None:
    waiting = first_attempt([NIGHT], Settings(), now=MORNING, unattended=True)
    late = next_attempt(waiting, DataLateError("SBUX has no usable bar yet."), now=MORNING)
    assert late is not None
    assert waiting_message([late], Settings()) == (
        "SBUX has no usable bar yet. Next request at 05:50, retrying until 09:00 America/New_York."
    )


def test_of_many_waiting_symbols_three_reasons_are_quoted_each_once() -> None:
    errors = [RateLimitedError("too many requests"), *(DataLateError(f"{name} is late.") for name in "ABCA")]
    found = [
        next_attempt(first_attempt([NIGHT], Settings(), now=MORNING, unattended=True), e, now=MORNING) for e in errors
    ]
    message = waiting_message([one for one in found if one is not None], Settings())
    assert message.startswith("too many requests A is late. B is late. And 1 more. Next request at 05:50, ")


def test_a_late_bar_is_an_alert_once_and_only_of_an_unattended_night() -> None:
    late, gone = DataLateError("the bar of 2024-03-06 is missing"), UnavailableError("x")
    first = first_attempt([NIGHT], Settings(), now=MORNING, unattended=True)
    waiting = [
        replace(first, error=error, failures=failures, late=failures, unattended=unattended)
        for error, failures, unattended in ((late, 1, True), (late, 2, True), (late, 1, False), (gone, 1, True))
    ]
    found = late_alerts(waiting)
    assert [(one.event, one.symbol, one.session, one.words) for one in found] == [
        ("night.late", "SBUX", NIGHT.session, "the bar of 2024-03-06 is missing")
    ]


def test_a_bar_that_is_late_after_other_failures_is_an_alert_once() -> None:
    gone, late = UnavailableError("x"), DataLateError("no bar")
    (attempt,), found = attempts("AAA"), list[str]()
    for error in (gone, RateLimitedError("x"), late, late, gone, late):
        waiting = retries([Refused(attempt, error)], now=attempt.due).waiting
        found.append("".join(one.event for one in late_alerts(waiting)))
        (attempt,) = waiting
    assert found == ["", "", "night.late", "", "", ""]
