from datetime import date

import pytest

from forecasting.errors import UsageError
from forecasting.ingest.event_files import check_events, days_of_file, read_events_csv

CLOSED = ("closed", date(2027, 3, 11))
HALF = ("half_day", date(2027, 3, 12))
REVIEW = ("index_review", date(2026, 11, 13))
FILE = """symbol,kind,announced,timing
SBUX,,2027-01-26,amc
SBUX,earnings,2027-04-27,amc
MSFT,earnings,2027-04-22,amc
,earnings,2027-04-01,amc
,closed,2027-03-11,
SBUX,Half_Day,2027-03-12,
MSFT,index_review,2026-11-13,
"""


@pytest.fixture
def option(tmp_path):
    (tmp_path / "dates.csv").write_text(FILE)
    return f"csv:{tmp_path / 'dates.csv'}"


def test_a_file_has_earnings_dates_of_each_symbol_and_days_of_one_or_all(option, tmp_path):
    earnings = read_events_csv(tmp_path / "dates.csv", "SBUX")
    assert earnings["announced"].dt.date.tolist() == [date(2027, 1, 26), date(2027, 4, 27)]
    assert list(earnings.columns) == ["announced", "timing", "scheduled"]
    assert days_of_file(option, "SBUX") == {CLOSED, HALF}
    assert days_of_file(option, "MSFT") == {CLOSED, REVIEW}
    assert days_of_file(option, "KO") == {CLOSED}
    assert read_events_csv(tmp_path / "dates.csv", "KO").empty


def test_a_misspelt_kind_is_named_with_its_line(option, tmp_path):
    (tmp_path / "dates.csv").write_text(FILE.replace(",closed,", ",close,"))
    with pytest.raises(UsageError, match=r"line 6: expected the kind earnings, closed, .*'close'"):
        days_of_file(option, "KO")


def test_a_file_of_days_alone_is_of_all_symbols_and_needs_no_column_of_them(option, tmp_path):
    (tmp_path / "dates.csv").write_text("kind,announced,timing\nclosed,2027-03-11,\n")
    assert check_events(option, ["SBUX", "MSFT"]) == "dates.csv"
    assert days_of_file(option, "MSFT") == {CLOSED}
    (tmp_path / "dates.csv").write_text("kind,announced,timing\n,2027-03-11,\n")
    with pytest.raises(UsageError, match="column symbol"):
        check_events(option, ["SBUX", "MSFT"])
