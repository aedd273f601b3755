from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.ingest.bar_rules import STALE_EARNINGS, Finding
from forecasting.ingest.event_history import COLUMNS
from forecasting.ingest.listed_earnings import joined, needs_own_list, stale_dates
from tests.store.rows import at

TONIGHT = date(2024, 4, 12)


def listed(*days: str) -> pd.DataFrame:
    """A list with these dates, after the close."""
    return pd.DataFrame({"announced": pd.DatetimeIndex(list(days)).as_unit("ns"), "timing": ["amc"] * len(days)})


def of_sessions(*days: str) -> pd.DataFrame:
    """A list in the columns that are looked at, reacting on these sessions."""
    return pd.DataFrame({"session": pd.DatetimeIndex(list(days)).as_unit("ns")})


def stored(*days: str, withdrawn: str | None = None) -> pd.DataFrame:
    """Event rows that react on these sessions; the one on `withdrawn` has been withdrawn."""
    rows = [
        (pd.Timestamp(day), "earnings", pd.Timestamp("2024-01-02"), rule, pd.Timestamp(day), "amc", "yahoo")
        for day in days
        for rule in ("seen", "withdrawn")[: 1 + (day == withdrawn)]
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS[:-1]).astype({"session": "datetime64[ns]"})
    return frame.assign(first_seen_at=pd.Timestamp(at("2024-01-02T22:00")))


def test_a_calendar_with_the_next_date_is_enough_once_the_past_is_stored():
    assert not needs_own_list(of_sessions("2024-01-31"), listed("2024-04-30"), session=TONIGHT)


@pytest.mark.parametrize(
    ("known", "calendar"),
    [
        (of_sessions(), listed("2024-04-30")),  # a new symbol
        (of_sessions("2023-11-03"), listed("2024-04-30")),  # a quarter was missed
        (of_sessions("2024-05-01"), listed("2024-04-30")),  # only the future is stored
        (of_sessions("2024-01-31"), listed()),
        (of_sessions("2024-01-31"), listed("2024-04-12")),  # announced today: the next one is not listed
    ],
)
def test_without_the_next_date_or_the_last_one_the_own_list_is_requested(known, calendar):
    assert needs_own_list(known, calendar, session=TONIGHT)


def test_both_lists_are_joined_and_the_calendars_date_of_a_quarter_counts():
    own = listed("2024-01-30", "2024-04-29", "2024-07-30")
    assert joined(own, listed("2024-05-01"))["announced"].dt.strftime("%m-%d").tolist() == ["01-30", "05-01", "07-30"]
    pd.testing.assert_frame_equal(joined(own, listed()), own)
    pd.testing.assert_frame_equal(joined(listed(), own), own)
    assert joined(listed(), listed()).empty


def test_an_empty_list_is_a_finding_of_the_newest_session_that_reacted():
    found = stale_dates(of_sessions(), [], stored("2023-11-03", "2024-01-31"), session=TONIGHT)
    detail = "The newest known earnings date is of this session; the source lists none."
    assert found == [Finding(date(2024, 1, 31), STALE_EARNINGS, "flag", None, detail)]
    assert found[0].is_persistent


def test_a_list_without_a_coming_date_is_a_finding_after_sixty_days():
    past = of_sessions("2023-11-03", "2024-01-31")
    assert stale_dates(past, [], stored(), session=date(2024, 3, 31)) == []
    (found,) = stale_dates(past, [], stored(), session=date(2024, 4, 2))
    assert found.session == date(2024, 1, 31)
    assert found.detail.endswith("the source lists 2, none of them coming.")


def test_a_stored_coming_date_does_not_hide_that_the_source_lists_none():
    (found,) = stale_dates(of_sessions(), [], stored("2024-01-31", "2024-05-01"), session=TONIGHT)
    assert found.session == date(2024, 1, 31)


def test_a_coming_date_of_either_list_is_no_finding():
    assert stale_dates(of_sessions("2024-05-01"), [], stored("2024-01-31"), session=TONIGHT) == []
    assert stale_dates(of_sessions(), [of_sessions("2024-05-01")], stored("2024-01-31"), session=TONIGHT) == []


def test_a_symbol_that_has_not_reported_within_a_year_has_no_finding():
    assert stale_dates(of_sessions(), [], stored(), session=TONIGHT) == []
    assert stale_dates(of_sessions(), [], stored("2023-03-01"), session=TONIGHT) == []
    assert stale_dates(of_sessions(), [], stored("2024-01-31", withdrawn="2024-01-31"), session=TONIGHT) == []
