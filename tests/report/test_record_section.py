"""The figures on the page: drawn where there is enough of them, and said where there is not."""

import pandas as pd

from forecasting.report.record_section import CHAMPIONS_SHOWN, figures
from forecasting.report.track_record import track_record
from tests.report.nights import long_record, report_data, scored, values_of


def test_a_long_record_has_a_line_in_two_layouts_columns_and_days() -> None:
    found = figures(report_data(), track_record(long_record()))
    wide, narrow = found["skill_lines"]
    assert wide.count('class="slot"') == narrow.count('class="slot"') == 21
    assert ">no skill</text>" in wide
    assert found["pit"].count('class="bar"') == 8
    assert found["pit_rows"][0]["place"] == "below 5 %"
    assert found["days"][0]["day"] == "Monday"


def test_a_first_night_draws_nothing() -> None:
    found = figures(report_data(scored=scored()), track_record(scored()))
    empty = ("skill_lines", "pit", "days", "restated", "champions")
    assert [bool(found[name]) for name in empty] == [False] * 5


def test_restated_sessions_are_counted_and_listed_in_the_pages_unit() -> None:
    first = values_of("volume").iloc[-3:].copy()
    first.iloc[1] *= 0.5
    found = figures(report_data(first_prints=first), track_record(scored()))["restated"]
    assert (found["sessions"], found["changed"], found["typical"]) == (3, 1, "100.0\N{NO-BREAK SPACE}%")
    assert [row["session"] for row in found["rows"]] == ["2024-03-07"]


def test_champions_are_the_newest_ones_with_the_present_one_first() -> None:
    days = [*pd.date_range("2024-01-01", periods=CHAMPIONS_SHOWN + 1), pd.Timestamp("2024-01-11")]  # one rolled back
    champions = pd.DataFrame(
        {
            "from_session": days,
            "decided_at": pd.date_range("2024-01-01T22:00", periods=len(days), tz="UTC"),
            "to_session": [*days[1:], pd.NaT],
            "model_id": [f"m{place}" for place in range(len(days))],
            "method": "warm",
            "why": "It passed the gate.",
        }
    )
    found = figures(report_data(champions=champions), track_record(scored()))
    assert len(found["champions"]) == CHAMPIONS_SHOWN
    assert found["champions_left_out"] == 2
    assert found["champions"][0] | {"why": ""} == {
        "since": "2024-01-11",
        "until": "now",
        "model": "m11",
        "method": "warm",
        "why": "",
    }
