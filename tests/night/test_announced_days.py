"""Closures, half days and index reviews that no calendar has, from a file or a command to a night
and its replay."""

import re
from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from flows import clock
from flows.start import start_night
from forecasting.audit.verify import verify
from forecasting.errors import DataLateError, UsageError
from forecasting.night import plan
from forecasting.night.run_log import mark_stopped
from forecasting.publish import messages
from forecasting.settings import read_settings
from forecasting.store import connect, read
from tests.builders import random_bars, write_yahoo_csv
from tests.nights import after, night, rows, select

WEDNESDAY, THURSDAY, FRIDAY, MONDAY, TUESDAY = (date(2024, 3, day) for day in (6, 7, 8, 11, 12))


@pytest.fixture
def write_bars(night_folder, plain_flows, csv_of_bars):
    """Writes the bars up to a session, without that of the Friday unless it traded."""
    bars = random_bars(days=651, seed=3, last=MONDAY)
    traded_without_friday = bars.drop(pd.Timestamp(FRIDAY))

    def write(last, *, has_friday=False):
        traded = bars if has_friday else traded_without_friday
        write_yahoo_csv(traded.loc[: pd.Timestamp(last)], csv_of_bars)

    return write


@pytest.fixture
def write_days(tmp_path, monkeypatch):
    """Writes announced days, as `kind,day` a line, and names the file in FORECASTING_EVENTS."""

    def write(*lines):
        text = "\n".join(["kind,announced,timing", *(f"{line}," for line in lines)])
        (tmp_path / "days.csv").write_text(f"{text}\n")
        monkeypatch.setenv("FORECASTING_EVENTS", f"csv:{tmp_path / 'days.csv'}")

    return write


def at(monkeypatch, session, hours=13.0):
    monkeypatch.setattr(clock, "now", after(session, hours))


def targets(origin):
    found = select("origin_session, target_session, role", "forecasts")
    days = {target for day, target, role in found if (day, role) == (str(origin), "champion")}
    return sorted(map(date.fromisoformat, days))


def statuses():
    return dict(select("as_of, status", "runs"))


def test_a_closure_from_the_file_is_no_session_from_the_night_on_that_saw_it_first(
    write_bars, write_days, monkeypatch
):
    write_bars(WEDNESDAY)
    at(monkeypatch, WEDNESDAY)
    night()
    write_days(f"closed,{FRIDAY}")
    write_bars(THURSDAY)
    at(monkeypatch, THURSDAY)
    night()
    at(monkeypatch, FRIDAY)
    night()  # nothing is due
    checked = messages.check_fresh(now=clock.now)
    assert not messages.newest_digest(read_settings(), now=clock.now).stale
    write_bars(MONDAY)
    at(monkeypatch, MONDAY)
    night()
    assert statuses() == {str(day): "done" for day in (WEDNESDAY, THURSDAY, MONDAY)}
    assert targets(WEDNESDAY)[:3] == [THURSDAY, FRIDAY, MONDAY]
    assert targets(THURSDAY)[:2] == [MONDAY, TUESDAY]
    assert f"{THURSDAY}" in checked
    assert not rows("findings", rule="missing_session")
    scored = {
        (row["origin_session"], row["horizon"])
        for row in rows("scores")
        if row["target_session"] == str(MONDAY)
    }
    assert {(str(THURSDAY), 1), (str(WEDNESDAY), 3)} <= scored
    found = verify(read_settings(), now=clock.now)
    found.raise_failed()
    assert re.search("TEST volume: 3 nights.* the same to the bit", found.values["TEST"])


def test_a_night_that_was_late_is_closed_by_a_command(write_bars, monkeypatch):
    write_bars(THURSDAY)
    at(monkeypatch, THURSDAY)
    night()
    at(monkeypatch, FRIDAY)
    (late,) = plan.planned_nights(
        read_settings(), as_of=None, mode="auto", now=clock.now, trigger="schedule"
    )
    mark_stopped(replace(late, error=DataLateError("No bar has come.", newest=THURSDAY)))
    assert statuses() == {str(THURSDAY): "done", str(FRIDAY): "late"}
    start_night(as_of=None, mode="auto", switch_source=False, closed=FRIDAY)
    assert statuses() == {str(THURSDAY): "done", str(FRIDAY): "closed"}
    with connect.reading(read_settings().url) as connection:
        assert read.unfinished_run(connection, "TEST", "volume", after=THURSDAY) is None
        assert (
            read.newest_runs(connection, ["TEST"], first=THURSDAY)["TEST", "volume"]["as_of"]
            == THURSDAY
        )
    events = rows("events")
    start_night(as_of=None, mode="auto", switch_source=False, closed=FRIDAY)
    assert rows("events") == events
    assert (
        plan.planned_nights(
            read_settings(), as_of=None, mode="auto", now=clock.now, trigger="schedule"
        )
        == []
    )
    write_bars(MONDAY)
    at(monkeypatch, MONDAY)
    night()
    assert statuses() == {str(THURSDAY): "done", str(FRIDAY): "closed", str(MONDAY): "done"}
    assert not rows("findings", rule="missing_session")


@pytest.mark.parametrize(
    ("day", "told"),
    [
        (date(2024, 3, 9), "a Saturday on which it does not trade"),
        (MONDAY, "Expected a day up to today"),
        (THURSDAY, "a bar of TEST is stored"),
    ],
)
def test_a_day_that_cannot_be_closed_is_refused(write_bars, monkeypatch, day, told):
    write_bars(THURSDAY)
    at(monkeypatch, THURSDAY)
    night()
    at(monkeypatch, FRIDAY)
    with pytest.raises(UsageError, match=told):
        plan.close_session(read_settings(), day, now=clock.now)
    assert not rows("events", kind="closed")


def test_a_closure_taken_out_of_the_file_in_time_is_a_session_again(
    write_bars, write_days, monkeypatch
):
    write_bars(WEDNESDAY)
    write_days(f"closed,{FRIDAY}")
    at(monkeypatch, WEDNESDAY)
    night()
    assert targets(WEDNESDAY)[:2] == [THURSDAY, MONDAY]
    write_days()
    write_bars(FRIDAY, has_friday=True)
    at(monkeypatch, FRIDAY)
    night()
    assert statuses() == {str(day): "done" for day in (WEDNESDAY, THURSDAY, FRIDAY)}
    assert targets(THURSDAY)[0] == FRIDAY
    found = verify(read_settings(), now=clock.now)
    found.raise_failed()
    assert "TEST volume: 3 nights" in found.values["TEST"]


def test_half_days_and_index_reviews_move_the_flags_of_nights_that_have_seen_them(
    write_bars, write_days, monkeypatch
):
    write_bars(THURSDAY)
    write_days(f"half_day,{MONDAY}", f"index_review,{TUESDAY}")
    at(monkeypatch, THURSDAY)
    night()
    calendar = select("target_session, calendar", "forecasts WHERE role = 'champion'")
    assert (str(MONDAY), "half day") in calendar
    assert (str(TUESDAY), "index review") in calendar
    assert {row["status"] for row in rows("runs")} == {"done"}
