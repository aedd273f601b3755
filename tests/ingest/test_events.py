from datetime import date

import pandas as pd
import pytest

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.events import COLUMNS, bundled_events, check_events, reacting, read_events_csv, withdrawn
from forecasting.sessions import shift


def write(folder, text):
    path = folder / "earnings.csv"
    path.write_text(text)
    return path


def rows(frame, *columns):
    return [
        tuple(value.date() if isinstance(value, pd.Timestamp) else value for value in row)
        for row in frame[list(columns)].itertuples(index=False)
    ]


def test_after_the_close_the_next_session_reacts_and_before_the_open_the_same(tmp_path):
    events = read_events_csv(write(tmp_path, "announced,timing\n2023-11-02,bmo\n2024-01-30,amc\n2024-03-08,amc\n"))
    assert rows(reacting(events), "session", "kind", "timing", "announced") == [
        (date(2023, 11, 2), "earnings", "bmo", date(2023, 11, 2)),
        (date(2024, 1, 31), "earnings", "amc", date(2024, 1, 30)),
        (date(2024, 3, 11), "earnings", "amc", date(2024, 3, 8)),
    ]


def test_an_unknown_timing_reacts_the_same_day_and_a_day_without_trading_the_next(tmp_path):
    events = read_events_csv(write(tmp_path, "announced,timing\n2024-01-30,\n2024-02-17,amc\n2025-01-09,bmo\n"))
    assert rows(reacting(events), "session") == [(date(2024, 1, 30),), (date(2024, 2, 20),), (date(2025, 1, 10),)]


def test_an_announcement_of_the_next_session_moves_no_reaction_to_a_day_without_trading(tmp_path):
    events = read_events_csv(write(tmp_path, "announced,timing\n2024-01-27,amc\n2024-01-29,bmo\n2024-02-01,amc\n"))
    assert rows(reacting(events), "session") == [(date(2024, 1, 29),), (date(2024, 2, 2),)]


def test_without_a_first_seen_day_the_default_rule_applies_and_is_recorded(tmp_path):
    events = read_events_csv(write(tmp_path, "announced,timing\n2024-01-30,amc\n"))
    known_from = shift(date(2024, 1, 31), -21)
    assert rows(reacting(events), "known_from", "known_rule") == [(known_from, "21 sessions ahead")]


def test_a_first_seen_day_is_used_from_its_session_on(tmp_path):
    lines = ["2024-01-30,amc,2024-01-06", "2024-04-30,amc,", "2024-07-30,amc,2024-07-01T08:00:00Z"]
    text = "\n".join(["announced,timing,first_seen_at", *lines])
    assert rows(reacting(read_events_csv(write(tmp_path, text))), "session", "known_from", "known_rule") == [
        (date(2024, 1, 31), date(2024, 1, 8), "seen"),
        (date(2024, 5, 1), shift(date(2024, 5, 1), -21), "21 sessions ahead"),
        (date(2024, 7, 31), date(2024, 7, 1), "seen"),
    ]


def test_coming_dates_of_a_live_list_are_known_from_the_day_it_was_seen(tmp_path):
    events = read_events_csv(write(tmp_path, "announced,timing\n2024-01-30,amc\n2024-04-30,amc\n"))
    assert rows(reacting(events, seen=date(2024, 3, 9)), "session", "known_from", "known_rule") == [
        (date(2024, 1, 31), shift(date(2024, 1, 31), -21), "21 sessions ahead"),
        (date(2024, 5, 1), date(2024, 3, 11), "seen"),
    ]


def test_no_event_is_known_after_it_happened_and_every_session_is_traded():
    frame = reacting(bundled_events("SBUX"))
    assert (frame["known_from"] < frame["session"]).all()
    assert frame["session"].is_unique and frame["session"].is_monotonic_increasing
    assert len(frame) == 65
    assert rows(frame.iloc[[0, -1]], "session") == [(date(2010, 1, 21),), (date(2026, 1, 28),)]


@pytest.mark.parametrize(
    ("listed", "moved"),
    [
        (["2024-05-07", "2024-07-30"], [date(2024, 5, 1)]),
        (["2024-04-23"], [date(2024, 5, 1)]),
        (["2024-04-30", "2024-05-07"], []),  # named still
        (["2024-07-30"], []),  # the next quarter's alone: a short list
        (["2024-01-30"], []),  # nothing to come
        ([], []),
    ],
)
def test_a_coming_date_is_withdrawn_only_by_another_close_by(listed, moved):
    tonight = date(2024, 4, 12)
    coming = listed_events(["2024-04-30"])[["session", "kind", "announced", "timing"]]
    withdrawals = withdrawn(coming, listed_events(listed), session=tonight)
    assert rows(withdrawals, "session", "known_from", "known_rule") == [(day, tonight, "withdrawn") for day in moved]


def listed_events(days):
    announced = pd.to_datetime(pd.Series(days, dtype=str)).astype("datetime64[ns]")
    return reacting(pd.DataFrame({"announced": announced, "timing": "amc"}), seen=date(2024, 4, 12))


def test_other_symbols_have_no_bundled_events():
    frame = reacting(bundled_events("PEP"))
    assert frame.empty
    assert list(frame.columns) == COLUMNS
    pd.testing.assert_series_equal(frame.dtypes, reacting(bundled_events("SBUX")).dtypes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("day,timing\n2024-01-30,amc\n", "lacks the column announced; it has timing, 1 other"),
        (
            "announced,timing\n2024-01-30,amc\n30.4.2024,amc\n",
            r"line 3: expected a date like 2024-01-30, from 1962 to 2059; found '99\.9\.",
        ),
        ("announced,timing\n2024-01-30,noon\n", "line 2: expected the timing bmo, amc or empty; found 'aaaa'"),
        (
            "announced,timing,first_seen_at\n2024-01-30,amc,soon\n",
            "line 2: expected a date like 2024-01-30, from 1962 to 2059; found 'aaaa'",
        ),
    ],
)
def test_an_invalid_file_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(BadDataError, match=message):
        read_events_csv(write(tmp_path, text))


def test_a_file_of_several_symbols_gives_each_its_own_dates_and_a_line_of_another_stops_none(tmp_path):
    lines = ["2024-01-30,amc,ADBE", "2024-02-06,bmo,PEP", "2024-04-30,amc,ADBE", "soon,amc,KO"]
    path = write(tmp_path, "\n".join(["announced,timing,Ticker", *lines]))
    announced = {symbol: rows(read_events_csv(path, symbol), "announced") for symbol in ("ADBE", "PEP", "SBUX")}
    assert announced == {
        "ADBE": [(date(2024, 1, 30),), (date(2024, 4, 30),)],
        "PEP": [(date(2024, 2, 6),)],
        "SBUX": [],
    }
    check_events(f"csv:{path}", ["ADBE", "PEP"])
    with pytest.raises(BadDataError, match="line 5: expected a date"):
        check_events(f"csv:{path}", ["KO"])


def test_a_file_that_says_no_symbol_is_refused_for_several(tmp_path):
    option = "csv:" + str(write(tmp_path, "announced,timing\n2024-01-30,amc\n"))
    check_events(option, ["ADBE"])
    check_events(None, ["ADBE", "PEP"])
    with pytest.raises(UsageError, match="column symbol"):
        check_events(option, ["ADBE", "PEP"])


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="found nothing at"):
        read_events_csv(tmp_path / "none.csv")
