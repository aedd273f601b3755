"""When a run requests again, and what it does at the hour at which it stops waiting.

Whole ones are in tests/flows.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from pydantic import SecretStr

from forecasting.errors import (
    BadDataError,
    DataLateError,
    HistoryError,
    RateLimitedError,
    UnavailableError,
    UsageError,
)
from forecasting.night.night import make_night
from forecasting.night.rounds import Rounds
from forecasting.settings import Settings
from forecasting.store import connect
from tests.builders import EVE, LAST
from tests.nights import rows
from tests.store.rows import SYMBOL, store_bars

BEGAN = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)  # 05:30 in New York, on a Saturday
SILENT = UnavailableError("no response")
LATE = DataLateError("no bar yet", EVE)
REFUSED = RateLimitedError("refused")


class Run:
    """Rounds under a clock that moves where they wait, with the responses of a source in place of
    requests."""

    def __init__(self, settings, *symbols, patient=True):
        self.moment = BEGAN
        self.asked = []
        self.why = []
        self.ran = []
        nights = [
            make_night(symbol, LAST, settings.for_target(target), now=self.now)
            for symbol in symbols or ("AAA",)
            for target in settings.targets
        ]
        self.rounds = Rounds(
            nights, settings, scheduled_at=BEGAN if patient else None, now=self.now, wait=self.wait
        )

    def now(self):
        return self.moment

    def wait(self, until, why):
        assert until > self.moment
        self.moment = until
        self.why.append(why)

    def responses(self, *errors, of="AAA"):
        """Run to the end; of symbol `of` the requests end so, and the last one repeats.

        Those of others succeed.
        """
        given = list(errors)
        for due in self.rounds:
            nights = [night for night in due if night.symbol == of]
            fetched = [replace(night, fetch_id="fetch") for night in due if night not in nights]
            if nights:
                error = given.pop(0) if len(given) > 1 else given[0]
                fetched += [
                    replace(night, error=error, fetch_id="" if error else "fetch")
                    for night in nights
                ]
                minutes = round((self.moment - BEGAN).total_seconds() / 60)
                self.asked.append((minutes, str(nights[-1].session)))
            self.ran += self.rounds.take(fetched)
        return self


@pytest.fixture
def settings(sqlite_url, tmp_path, monkeypatch):
    monkeypatch.setenv("FORECASTING_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    return Settings(data_dir=tmp_path, database_url=SecretStr(sqlite_url), symbols=("AAA", "BBB"))


@pytest.mark.parametrize(
    ("errors", "minutes"),
    [
        ([SILENT, SILENT, SILENT, SILENT, SILENT, SILENT, None], [0, 1, 3, 8, 18, 33, 48]),
        # After a response the pauses begin anew
        ([SILENT, SILENT, LATE, SILENT, None], [0, 1, 3, 23, 24]),
        ([LATE, LATE, None], [0, 20, 40]),
        ([REFUSED, None], [0, 30]),
        ([RateLimitedError("refused", 90.0), None], [0, 2]),
        ([RateLimitedError("refused", 1.0), None], [0, 1]),  # a minute at least
        ([RateLimitedError("refused", float("nan")), None], [0, 30]),
        # Past the hour: an earlier request extends the refusal
        ([RateLimitedError("refused", 4 * 3600.0)], [0]),
        ([BadDataError("odd")], [0]),
        ([UsageError("another source")], [0]),
        ([HistoryError("too few")], [0]),
    ],
)
def test_a_pause_depends_on_the_response(settings, errors, minutes):
    run = Run(settings).responses(*errors)
    assert [minute for minute, _ in run.asked] == minutes
    assert [night.symbol for night in run.ran] == ["AAA"] * (errors[-1] is None)


def test_a_person_waits_two_seconds_once_and_only_without_a_response(settings):
    for errors, requests in (([SILENT, None], 2), ([SILENT], 2), ([LATE], 1), ([REFUSED], 1)):
        run = Run(settings, patient=False).responses(*errors)
        assert len(run.asked) == requests, errors
        assert run.moment - BEGAN == timedelta(seconds=2 * (requests - 1))


def test_the_targets_of_a_symbol_wait_together_and_go_on_with_the_older_bars(settings):
    both = settings.model_copy(update={"targets": ("volume", "range")})
    came = Run(both).responses(LATE, LATE, None)
    assert [minutes for minutes, _ in came.asked] == [0, 20, 40]
    assert [night.target for night in came.ran] == ["volume", "range"]
    assert [row["note"][:10] for row in rows("runs")] == ["Waited for"] * 2
    missing = Run(both, "BBB").responses(*[LATE] * 12, None, of="BBB")
    assert missing.asked[-2:] == [(210, str(LAST)), (210, str(EVE))]
    assert [night.session for night in missing.ran] == [EVE, EVE]
    assert [row["status"] for row in rows("runs", symbol="BBB")] == ["late", "late"]
    assert [night.target for night in missing.rounds.ended] == ["volume", "range"]


class Hurried(Run):
    """Rounds of a caller who does not wait, under a clock that stands still."""

    def wait(self, until, why):
        pass


def test_without_a_wait_the_second_request_is_made_at_once(settings):
    run = Hurried(settings, patient=False).responses(SILENT, None)
    assert (len(run.asked), run.moment) == (2, BEGAN)


def test_a_late_bar_is_requested_until_the_hour_then_the_older_bars_are(settings):
    run = Run(settings).responses(*[LATE] * 12, None)
    assert run.asked[-2:] == [(210, str(LAST)), (210, str(EVE))]
    assert [(night.session, night.error) for night in run.ran] == [(EVE, None)]
    (missing,) = run.rounds.ended
    assert str(missing.error) == (
        "The bar of 2024-03-08 was not available by 09:00 America/New_York; the night continued "
        "with the bars up to 2024-03-07."
    )
    (row,) = rows("runs")
    assert (row["status"], row["note"]) == ("late", str(missing.error))
    assert "retrying until 09:00 America/New_York" in run.why[0]


def test_where_the_older_bars_fail_the_night_has_failed(settings):
    run = Run(settings).responses(*[LATE] * 12, BadDataError("odd"))
    (ended,) = run.rounds.ended
    assert (run.ran, str(ended.error)) == ([], "odd")
    assert [row["status"] for row in rows("runs")] == ["failed"]


def test_without_a_response_the_stored_bars_are_used_and_the_run_says_that_it_failed(settings):
    alone = Run(settings).responses(SILENT)
    assert (alone.ran, [str(night.error) for night in alone.rounds.ended]) == ([], ["no response"])
    with connect.transaction(settings.url) as connection:
        store_bars(connection, {str(EVE): 90.0}, seen="2024-03-08T10:00")
    run = Run(settings, SYMBOL).responses(SILENT, of=SYMBOL)
    assert [night.session for night in run.ran] == [EVE]
    assert [str(night.error) for night in run.rounds.ended] == ["no response"]


class Watched(Run):
    """Rounds that keep the status of the night's row whenever they wait."""

    def wait(self, until, why):
        super().wait(until, why)
        self.statuses = [row["status"] for row in rows("runs")]


@pytest.mark.parametrize(
    ("error", "status"), [(LATE, "late"), (SILENT, "failed"), (REFUSED, "failed")]
)
def test_only_a_night_whose_bar_is_missing_is_late_while_it_waits(settings, error, status):
    run = Watched(settings).responses(error, None)
    assert run.statuses == [status]


def test_one_symbols_wait_does_not_hold_up_another(settings):
    assert [night.symbol for night in Run(settings, "AAA", "BBB").responses(LATE, None).ran] == [
        "BBB",
        "AAA",
    ]
    (row,) = rows("runs")
    assert (
        str(row["note"]) == "Waited for its bar from 05:30 to 05:50 America/New_York; 2 requests."
    )


@pytest.mark.parametrize(
    ("source", "day", "rounds", "words"),
    [
        ("csv:feed.csv", "2024-03-01", 13, "was not available by 09:00"),
        ("csv:feed.csv", "2024-02-29", 2, "csv:feed.csv ends 6 sessions before 2024-03-08"),
        ("yahoo", "2024-02-29", 13, "was not available by 09:00"),
    ],
)
def test_a_file_that_ended_more_than_a_week_ago_is_named_at_once_and_any_other_source_awaited(
    settings, source, day, rounds, words
):
    late = DataLateError("no bar yet", date.fromisoformat(day))
    run = Run(settings.model_copy(update={"source": source}))
    run.responses(*[late] * (rounds - 1), None)
    assert len(run.asked) == rounds
    (missing,) = run.rounds.ended
    assert words in str(missing.error)
    assert [(str(night.session), night.error) for night in run.ran] == [(day, None)]


def test_a_cause_is_logged_once_for_all_symbols_and_waits_and_once_at_the_end(settings, caplog):
    run = Run(settings, "AAA", "BBB")
    for due in run.rounds:
        late = [DataLateError(f"{night.symbol} has no bar yet.", EVE) for night in due]
        fetched = [
            replace(night, error=error if night.session == LAST else None, fetch_id="fetch")
            for night, error in zip(due, late, strict=True)
        ]
        run.rounds.take(fetched)
    assert (len(run.why), {why.partition(" Next")[0] for why in run.why}) == (
        11,
        {"AAA, BBB: each has no bar yet."},
    )
    assert [record.getMessage() for record in caplog.records] == [
        "AAA, BBB: each has no bar yet. Retrying until 09:00 America/New_York.",
        "AAA, BBB: The bar of 2024-03-08 was not available by 09:00 America/New_York; the night "
        "continued with the bars up to 2024-03-07.",
    ]


@pytest.mark.parametrize(
    ("due", "began", "until"),
    [
        ("2024-03-08T22:30", "2024-03-08T22:30", "2024-03-09T14:00"),
        ("2024-03-11T12:00", "2024-03-11T12:00", "2024-03-11T13:00"),
        ("2024-03-11T09:30", "2024-03-11T12:59", "2024-03-11T13:00"),
        # After the run of another target, which waited
        ("2024-03-11T09:30", "2024-03-11T13:05", "2024-03-11T13:05"),
        # Started by hand before its hour
        ("2024-03-11T09:30", "2024-03-11T09:10", "2024-03-11T13:00"),
    ],
)
def test_it_waits_until_the_stated_hour_after_it_was_due_and_never_past_the_next_open(
    settings, due, began, until
):
    run = Run(settings)
    run.moment, planned = (pd.Timestamp(text, tz=UTC).to_pydatetime() for text in (began, due))
    nights = [make_night("AAA", LAST, settings, now=run.now)]
    run.rounds = Rounds(nights, settings, scheduled_at=planned, now=run.now, wait=run.wait)
    run.responses(LATE)
    assert run.moment == pd.Timestamp(until, tz=UTC)
