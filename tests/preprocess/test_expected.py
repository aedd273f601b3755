"""What an origin knows of reports that nobody announced."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.preprocess.expected import Expected, known_at, rules_to_record
from forecasting.sessions import calendar

DAYS = calendar("XNYS").sessions
FIRST = int(DAYS.searchsorted(pd.Timestamp("2020-01-02")))
# Reports on a Tuesday, a quarter apart; each comes 52 weeks after that of the year before.
REPORTS = [pd.Timestamp("2020-02-04") + pd.Timedelta(weeks=13 * place) for place in range(16)]


def events(reports=REPORTS[:8]):
    """Return announced reports, each known 21 sessions before it."""
    known_from = DAYS[DAYS.searchsorted(pd.DatetimeIndex(reports)) - 21]
    return pd.DataFrame({"session": reports, "kind": "earnings", "known_from": known_from})


def volume(until, busy=REPORTS, seed=3):
    """Return volumes up to a session, three times the usual on the busy ones."""
    days = DAYS[FIRST : int(DAYS.searchsorted(pd.Timestamp(until), side="right"))]
    values = 1e6 * np.exp(np.random.default_rng(seed).normal(0.0, 0.1, len(days)))
    return pd.Series(np.where(days.isin(busy), 3.0 * values, values), days)


def known(origin, dates=None, **changed):
    """Return what an origin knows, given the volume up to it."""
    dates = events() if dates is None else dates
    bars = volume(origin, **changed)
    return known_at(dates, date.fromisoformat(origin), volume=bars, exchange="XNYS")


def test_a_report_is_expected_from_last_years_21_sessions_ahead():
    due = REPORTS[8].date()
    ahead = DAYS[DAYS.searchsorted(REPORTS[8]) - 21]
    assert known(str((ahead - pd.Timedelta(days=1)).date())).expected is None
    expected = known(str(ahead.date())).expected
    assert expected.due == due
    assert expected.sessions[np.argmax(expected.probabilities)] == due
    assert 0.4 < max(expected.probabilities) < 1.0
    assert sum(expected.probabilities) < 1.0


def test_volume_that_did_not_react_moves_the_report_to_later_sessions():
    silent = known("2022-02-03", busy=REPORTS[:8]).expected
    assert silent.due == REPORTS[8].date()
    likelihood = dict(zip(silent.sessions, silent.probabilities, strict=True))
    assert max(likelihood, key=likelihood.get) > silent.due
    assert likelihood[silent.due] < 0.25


def test_a_report_whose_weeks_are_over_is_found_where_the_volume_reacted():
    moved = REPORTS[8] + pd.Timedelta(days=2)
    over = known("2022-02-28", busy=[*REPORTS[:8], moved])
    assert over.found == (moved.date(),)
    assert over.events["session"].iloc[-1] == moved
    assert over.expected is None


def test_the_chain_of_reports_goes_on_for_years_without_a_list():
    over = known("2023-10-20")
    assert over.found == tuple(report.date() for report in REPORTS[8:15])
    assert over.expected.due == REPORTS[15].date()


def test_a_report_without_a_reaction_is_not_found_but_its_year_goes_on():
    over = known("2023-01-20", busy=REPORTS[:8])
    assert over.found == ()
    assert over.expected.due == REPORTS[12].date()


def test_nothing_is_expected_once_a_report_is_announced():
    origin = "2022-01-28"
    assert known(origin).expected is not None
    announced = known(origin, events(REPORTS[:9]))
    assert announced.expected is None
    pd.testing.assert_frame_equal(announced.events, events(REPORTS[:9]))


def test_nothing_is_expected_of_three_reports():
    assert known("2020-10-28", events(REPORTS[:3])).expected is None


@pytest.mark.parametrize("origin", ["2022-02-03", "2022-05-10", "2023-10-20"])
def test_what_an_origin_knows_does_not_change_with_later_bars_and_dates(origin):
    later = known_at(
        events(REPORTS),
        date.fromisoformat(origin),
        volume=volume(origin),
        exchange="XNYS",
    )
    known_then = events(REPORTS)[lambda rows: rows["known_from"] <= origin]
    assert later.expected == known(origin, known_then).expected
    assert later.found == known(origin, known_then).found


DUE = date(2022, 2, 1)
NEAR = date(2022, 2, 8)


@pytest.mark.parametrize(
    ("found", "due", "rows", "recorded"),
    [
        ([], DUE, [], {DUE: "expected"}),
        ([], DUE, [(DUE, "expected", "rhythm")], {}),
        ([], DUE, [(NEAR, "seen", "yahoo")], {}),
        ([], DUE, [(NEAR, "withdrawn", "yahoo")], {DUE: "expected"}),
        ([DUE], None, [(DUE, "expected", "rhythm")], {DUE: "volume"}),
        ([NEAR], None, [(DUE, "expected", "rhythm")], {NEAR: "volume", DUE: "withdrawn"}),
        ([], None, [(DUE, "expected", "rhythm"), (DUE, "seen", "yahoo")], {}),
        ([], None, [(DUE, "expected", "rhythm"), (NEAR, "seen", "yahoo")], {DUE: "withdrawn"}),
        ([DUE], None, [(DUE, "volume", "rhythm"), (NEAR, "seen", "yahoo")], {DUE: "withdrawn"}),
        ([], None, [(DUE, "volume", "rhythm")], {}),
        ([], None, [(DUE, "volume", "rhythm"), (DUE, "withdrawn", "rhythm")], {}),
    ],
)
def test_a_report_is_recorded_once_until_a_date_of_its_quarter_replaces_it(
    found, due, rows, recorded
):
    stored = pd.DataFrame(rows, columns=["session", "known_rule", "source"])
    stored["session"] = pd.to_datetime(stored["session"])
    expected = None if due is None else Expected(due, (due,), (1.0,))
    assert rules_to_record(found, expected, stored) == recorded
