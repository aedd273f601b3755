from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.ingest.event_history import (
    COLUMNS,
    KEY,
    VALUES,
    Lists,
    announced_events,
    changes,
    drop_moved,
    unseen,
    validity_intervals,
)
from forecasting.ingest.events import COLUMNS as LIST_COLUMNS
from tests.store.rows import at

TONIGHT = date(2024, 4, 12)
MAY_1, MAY_8 = "2024-05-01", "2024-05-08"

Event = dict[str, object]


def event(
    session: str,
    known_from: str = "2024-04-01",
    rule: str = "seen",
    *,
    announced: str | None = None,
    source: str = "yahoo",
    seen: str = "2024-04-01T22:00",
) -> Event:
    """An event announced after the close of the day before `session`, unless stated."""
    day = pd.Timestamp(session)
    return {
        "session": day,
        "kind": "earnings",
        "known_from": pd.Timestamp(known_from),
        "known_rule": rule,
        "announced": pd.Timestamp(announced) if announced else day - pd.Timedelta(days=1),
        "timing": "amc",
        "source": source,
        "first_seen_at": pd.Timestamp(at(seen)),
    }


def frame(*events: Event, columns: list[str] = COLUMNS) -> pd.DataFrame:
    typed = dict.fromkeys(("session", "known_from", "announced"), "datetime64[ns]")
    found = pd.DataFrame(list(events), columns=COLUMNS).astype(typed)
    return found[columns]


def lists(usable: pd.DataFrame | None = None, listed: pd.DataFrame | None = None) -> Lists:
    empty = frame(columns=LIST_COLUMNS)
    return Lists(
        usable=empty if usable is None else usable,
        listed=empty if listed is None else listed,
        usable_source="csv:earnings.csv",
        listed_source="yahoo",
        seen_at=at("2024-04-12T22:00"),
    )


def intervals(found: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [
        tuple(str(value)[:10] for value in row) for row in found[["session", "known_from", "withdrawn_from"]].values
    ]


def dates(found: pd.DataFrame) -> list[tuple[str, str, str]]:
    return [
        (f"{row.session:%Y-%m-%d}", f"{row.known_from:%Y-%m-%d}", str(row.known_rule)) for row in found.itertuples()
    ]


def changed(stored: pd.DataFrame, of: Lists) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Source and rows of each change that adds any."""
    found = changes(stored, of, session=TONIGHT, exchange="XNYS")
    return [(change.source, dates(change.rows)) for change in found if len(change.rows)]


def test_unseen_keeps_new_events_and_those_that_differ_from_the_newest_stored_row():
    stored = frame(event(MAY_1, "2024-03-28"), event(MAY_1))
    rows = frame(event(MAY_1), event(MAY_8), columns=[*KEY, *VALUES])
    pd.testing.assert_frame_equal(unseen(stored, rows), rows.iloc[[1]])
    pd.testing.assert_frame_equal(unseen(frame(), rows), rows)


@pytest.mark.parametrize(
    "other",
    [
        event(MAY_1, "2024-04-02"),
        event(MAY_1, rule="21 sessions ahead"),
        event(MAY_1, announced="2024-05-01"),
        event(MAY_1) | {"timing": "bmo"},
    ],
)
def test_unseen_compares_first_session_rule_date_and_timing(other):
    assert len(unseen(frame(event(MAY_1)), frame(other))) == 1


def test_an_interval_ends_with_a_withdrawal_and_a_later_row_begins_another():
    rows = frame(
        event(MAY_1),
        event(MAY_1, "2024-04-12", "withdrawn"),
        event(MAY_1, "2024-04-18"),
        event(MAY_8, "2024-04-12"),
    )
    assert intervals(validity_intervals(rows)) == [
        (MAY_1, "2024-04-01", "2024-04-12"),
        (MAY_1, "2024-04-18", "NaT"),
        (MAY_8, "2024-04-12", "NaT"),
    ]


def test_the_newest_row_of_an_interval_counts():
    rows = frame(event(MAY_1, "2024-04-01"), event(MAY_1, "2024-03-28"))
    assert intervals(validity_intervals(rows)) == [(MAY_1, "2024-03-28", "NaT")]


def test_no_rows_give_no_intervals():
    assert validity_intervals(frame()).empty


def test_of_one_announcement_under_two_sessions_only_the_newest_is_kept():
    rows = frame(event(MAY_1, announced="2024-05-01"), event("2024-05-02", announced="2024-05-01"), event(MAY_8))
    assert intervals(drop_moved(validity_intervals(rows))) == [
        ("2024-05-02", "2024-04-01", "NaT"),
        (MAY_8, "2024-04-01", "NaT"),
    ]


def test_a_withdrawn_interval_is_kept_beside_the_session_that_replaced_it():
    rows = frame(
        event(MAY_1, announced="2024-05-01"),
        event(MAY_1, "2024-04-12", "withdrawn", announced="2024-05-01"),
        event("2024-05-02", "2024-04-12", announced="2024-05-01"),
    )
    assert intervals(drop_moved(validity_intervals(rows))) == [
        (MAY_1, "2024-04-01", "2024-04-12"),
        ("2024-05-02", "2024-04-12", "NaT"),
    ]


def test_announced_events_are_those_of_the_source_after_the_day_and_not_withdrawn():
    rows = frame(
        event("2024-04-12"),
        event(MAY_1),
        event(MAY_8),
        event(MAY_8, "2024-04-12", "withdrawn"),
        event("2024-05-15", source="csv:earnings.csv"),
    )
    expected = frame(event(MAY_1), columns=["session", "kind", "announced", "timing"])
    pd.testing.assert_frame_equal(announced_events(rows, source="yahoo", after=TONIGHT), expected)


def test_a_listed_date_is_added_once():
    listed = frame(event(MAY_1, "2024-04-12"), columns=LIST_COLUMNS)
    assert changed(frame(), lists(listed=listed)) == [("yahoo", [(MAY_1, "2024-04-12", "seen")])]
    assert changed(frame(event(MAY_1)), lists(listed=listed)) == []


def test_a_listed_date_that_moved_is_added_and_the_old_one_withdrawn_from_tonight():
    listed = frame(event(MAY_8, "2024-04-12"), columns=LIST_COLUMNS)
    assert changed(frame(event(MAY_1)), lists(listed=listed)) == [
        ("yahoo", [(MAY_8, "2024-04-12", "seen")]),
        ("yahoo", [(MAY_1, "2024-04-12", "withdrawn")]),
    ]


def test_a_list_withdraws_no_date_of_another_source():
    stored = frame(event(MAY_1, source="csv:earnings.csv"))
    listed = frame(event(MAY_8, "2024-04-12"), columns=LIST_COLUMNS)
    assert changed(stored, lists(listed=listed)) == [("yahoo", [(MAY_8, "2024-04-12", "seen")])]


def test_past_dates_come_from_the_file_where_there_is_one_and_else_from_the_list():
    past = "2024-01-31"
    listed = frame(event(past, "2024-01-01", "21 sessions ahead"), columns=LIST_COLUMNS)
    usable = frame(event("2023-11-02", "2023-10-04", "21 sessions ahead"), columns=LIST_COLUMNS)
    assert changed(frame(), lists(listed=listed)) == [("yahoo", [(past, "2024-01-01", "21 sessions ahead")])]
    assert changed(frame(), lists(usable, listed)) == [
        ("csv:earnings.csv", [("2023-11-02", "2023-10-04", "21 sessions ahead")])
    ]


def test_a_listed_date_that_the_file_has_is_not_added_twice():
    usable = frame(event(MAY_1, "2024-04-01", "21 sessions ahead"), columns=LIST_COLUMNS)
    listed = frame(event(MAY_1, "2024-04-12"), columns=LIST_COLUMNS)
    assert changed(frame(), lists(usable, listed)) == [
        ("csv:earnings.csv", [(MAY_1, "2024-04-01", "21 sessions ahead")])
    ]


def test_empty_lists_change_nothing():
    assert changed(frame(event(MAY_1)), lists()) == []
    assert changed(frame(), lists()) == []
