"""Nights that wait: Prefect's state meanwhile, the tables afterwards. Waiting moves the clock."""

import json
import logging
import os
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prefect import get_client
from prefect.context import FlowRunContext

from flows import clock, reporting
from flows import nightly as nightly_module
from flows.nightly import nightly
from forecasting.errors import LockedError
from forecasting.report import wording
from forecasting.sessions import closes_at
from forecasting.settings import read_settings
from forecasting.store import lock
from tests.builders import EVE, LAST, random_bars
from tests.nights import newest_reports, select
from tests.plain_flows import without_prefect
from tests.yahoo_stand_in import StandIn, asked_here, missing_row, null_volume

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def yahoo(night_folder, monkeypatch):
    """Yahoo with seeded SBUX bars up to LAST, on the morning after; there is no market series."""
    for name, value in {"SOURCE": "yahoo", "SYMBOLS": "SBUX", "MARKET": "none"}.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    stand_in = StandIn(random_bars(days=650, seed=3, last=LAST))
    with asked_here(stand_in, monkeypatch.setattr) as served:
        set_morning_after(served, monkeypatch, LAST)
        yield served


def set_morning_after(served, monkeypatch, session):
    """Set the clock to half past five in the morning after `session`; waiting moves it."""
    set_clock(closes_at(session) + timedelta(hours=13, minutes=30), monkeypatch)
    served.today = session


_moment = [datetime(2024, 3, 9, tzinfo=UTC)]


def _now():
    return _moment[0]


def set_clock(moment, monkeypatch):
    """Set the clock, also of a run that has begun, until something waits for a later instant."""
    _moment[0] = moment
    monkeypatch.setattr(clock, "now", _now)
    monkeypatch.setattr(clock, "wait_until", lambda later: set_clock(later, monkeypatch))


def record_waits(monkeypatch, then=lambda waits: None):
    """The waits to come: New York time, the run's state in Prefect and its message, statuses in the
    table runs.

    `then` is called after each, with the number of waits so far.
    """
    seen = []

    def wait(later):
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(FlowRunContext.get().flow_run.id).state
        assert state.is_running()
        statuses = "+".join(status for (status,) in select("status", "runs ORDER BY as_of, symbol"))
        at = f"{later.astimezone(ZoneInfo('America/New_York')):%H:%M}"
        seen.append((at, state.name, str(state.message), statuses))
        set_clock(later, monkeypatch)
        monkeypatch.setattr(clock, "wait_until", wait)
        then(len(seen))

    monkeypatch.setattr(clock, "wait_until", wait)
    return seen


def run_morning_after(session, stand_in, monkeypatch):
    """A night on the morning after the session, before or after the one under test."""
    set_morning_after(stand_in, monkeypatch, session)
    night_without_prefect()


def night_without_prefect(target="volume", *, patient=True):
    """The runs of a night as a plain function, where nothing of Prefect's is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        without_prefect(patch.setattr)
        return nightly_module.nightly(target=target, patient=patient)


def test_a_late_night_waits_in_a_visible_state_without_errors_and_ends_with_its_bar(
    yahoo, monkeypatch, posted, caplog
):
    monkeypatch.setattr(logging.getLogger("prefect.task_runs"), "handlers", [caplog.handler])
    yahoo.edits = [missing_row(LAST)]
    waits = record_waits(monkeypatch, lambda n: yahoo.edits.clear() if n == 3 else None)
    nightly(patient=True)
    assert [(at, state, status) for at, state, _, status in waits] == [
        (at, "Waiting", "late") for at in ("05:50", "06:10", "06:30")
    ]
    assert "no usable bar for the session 2024-03-08 yet" in waits[0][2]
    assert not [
        one
        for one in caplog.records
        if one.levelno > logging.WARNING and one.name.startswith("prefect")
    ]
    assert [json.loads(body)["message"].startswith("All well.") for body in posted] == [True]
    assert select("status, note", "runs") == [
        ("done", "Waited for its bar from 05:30 to 06:30 America/New_York; 4 requests.")
    ]
    assert select("verdict, count(*)", "fetches GROUP BY verdict ORDER BY verdict") == [
        ("first", 1),
        ("late", 3),
    ]
    assert select("DISTINCT kind", "forecasts") == [("live",)]


def test_while_a_run_waits_for_a_volume_that_of_a_range_goes_on_and_one_by_hand_leaves_it_nothing_to_do(
    yahoo, monkeypatch
):
    yahoo.edits = [null_volume(LAST)]
    ended = []

    def after(waits):
        if waits == 2:  # its volume has come, and this run asks again at its next hour
            night_without_prefect("range")
            yahoo.edits.clear()
            night_without_prefect("volume", patient=False)
            ended.extend(select("target, status, note", "runs ORDER BY target"))

    waits = record_waits(monkeypatch, after)
    state = nightly(patient=True, return_state=True)
    assert [(at, name) for at, name, *_ in waits] == [("05:50", "Waiting"), ("06:10", "Waiting")]
    assert ended == [("range", "done", ""), ("volume", "done", "")]
    assert state.name == "Completed"
    assert select("target, status, note", "runs ORDER BY target") == ended
    assert select("DISTINCT kind", "forecasts") == [("live",)]
    (forecast,) = select(
        "DISTINCT round(q50)",
        "forecasts f JOIN models m ON m.id = model_id "
        "WHERE name = 'last_value' AND f.target = 'volume'",
    )
    assert forecast == (yahoo.series["SBUX"][0]["volume"].iloc[-1],)
    assert select("count(*)", "models WHERE name = 'lstm' AND target = 'volume'") == [(1,)]


def test_an_unattended_run_waits_while_another_one_has_the_lock(yahoo, monkeypatch):
    with ExitStack() as other:
        other.enter_context(lock.night_lock(read_settings().url, "night"))
        waits = record_waits(monkeypatch, lambda n: other.close() if n == 2 else None)
        assert nightly(patient=True, return_state=True).name == "Completed"
    assert [(at, name) for at, name, *_ in waits] == [("05:30", "Queued")] * 2
    assert f"held by another run (process {os.getpid()} on " in waits[0][2]
    with lock.night_lock(read_settings().url, "night"):
        monkeypatch.setattr(reporting, "TURN", 3 * reporting.ASK_EVERY)
        waits = record_waits(monkeypatch)
        with pytest.raises(LockedError):
            nightly(patient=True)
    assert [name for _, name, *_ in waits] == ["Queued"] * 3


def test_runs_of_later_hours_are_skipped_and_after_half_a_day_fail_naming_the_one_that_hangs(
    yahoo, monkeypatch, posted
):
    settings = read_settings()
    with lock.unattended_lock(settings.data_dir, "nightly", ("volume",)) as held:
        for hours in (11.9, 12.0):
            taken = (clock.now() - timedelta(hours=hours)).timestamp()
            os.utime(held.name, (taken, taken))
            state = nightly(patient=True, return_state=True)
            if hours < 12.0:
                assert (state.name, posted) == ("Skipped", [])
    (message,) = map(json.loads, posted)
    assert state.is_failed()
    assert message["title"] == "forecasting: SBUX volume: the run failed (night.failed)"
    assert f"at work (process {os.getpid()} on " in message["message"]
    assert ", since 2024-03-08 22:30 UTC)" in message["message"]


def test_after_an_hour_of_waiting_the_one_message_has_what_is_ready_and_until_when_the_run_waits(
    yahoo, monkeypatch, posted
):
    bars, actions = yahoo.series["SBUX"]
    yahoo.series |= {
        "MSFT": (random_bars(days=650, seed=4, last=LAST), actions),
        "SBUX": (bars.iloc[:-1], actions),
    }
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,MSFT")
    counts = []

    def after(waits):
        counts.append(len(posted))
        if waits == 5:
            yahoo.series["SBUX"] = (bars, actions)

    waits = record_waits(monkeypatch, after)
    nightly(patient=True)
    assert [at for at, *_ in waits] == ["05:50", "06:10", "06:30", "06:50", "07:10"]
    assert counts == [0, 0, 0, 1, 1]
    (message,) = map(json.loads, posted)
    title = "forecasting: 1 of 2 volume forecasts of Mon 11 Mar, 1 thing to know"
    assert message["title"] == title
    lines = message["message"].splitlines()
    assert lines[0] == "1 thing to know."
    assert lines[1].startswith("- SBUX volume: stale. ")
    assert lines[1].endswith(" Retrying until 09:00 America/New_York.")
    assert lines[4].startswith("- MSFT volume: ")
    assert select("status", "runs") == [("done",), ("done",)]


def test_a_bar_that_does_not_come_leaves_the_night_late_with_its_note_everywhere(
    yahoo, monkeypatch
):
    run_morning_after(date(2024, 3, 6), yahoo, monkeypatch)
    issued = select("count(*)", "forecasts")
    set_morning_after(yahoo, monkeypatch, EVE)
    yahoo.edits = [missing_row(EVE)]
    monkeypatch.setenv("FORECASTING_LATE_UNTIL", "06:30")
    waits = record_waits(monkeypatch)
    state = nightly(patient=True, return_state=True)
    note = "The bar of 2024-03-07 was not available by 06:30 America/New_York; the night continued "
    note += "with the bars up to 2024-03-06."
    assert (state.name, str(state.message).partition(" 1 forecast: 1 stale. ")[0]) == (
        "Stale",
        note,
    )
    assert [waits[0][0], waits[-1][0], len(waits)] == ["05:50", "06:30", 3]
    assert select("status, note", "runs ORDER BY as_of") == [("done", ""), ("late", note)]
    assert select("count(*)", "forecasts") == issued  # those of the night before remain
    (shown,) = newest_reports(read_settings())
    (notice,) = wording.notices(shown)
    facts = (notice.title, note in notice.text, [*shown.findings["rule"]])
    assert facts == ("Stale", True, ["missing_session"])
    yahoo.edits = []
    run_morning_after(LAST, yahoo, monkeypatch)
    assert select("status", "runs ORDER BY as_of") == [("done",)] * 3
    assert wording.notices(newest_reports(read_settings())[0]) == []


def test_a_file_that_is_gone_is_told_where_its_newest_night_is_done(
    night_folder, monkeypatch, posted
):
    set_clock(datetime(2024, 3, 9, 10, 30, tzinfo=UTC), monkeypatch)
    nightly(patient=True)
    Path(read_settings().source.partition(":")[2]).unlink()
    assert nightly(patient=True, return_state=True).is_failed()
    _, told = map(json.loads, posted)
    assert told["title"] == "forecasting: TEST volume: the run failed (night.failed)"
