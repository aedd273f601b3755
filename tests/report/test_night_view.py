from datetime import date

import pandas as pd

from tests.report.nights import ORIGIN, forecasts, report_data


def test_the_last_value_is_the_newest_known_one_up_to_the_origin():
    values = pd.Series(
        [5.0, 6.0, float("nan"), 99.0], index=pd.to_datetime(["2024-03-06", "2024-03-07", ORIGIN, "2024-03-11"])
    )
    data = report_data(history=pd.DataFrame({"value": values, "settled": [True, False, True, True]}))
    assert (data.known.iloc[-1], data.is_provisional) == (6.0, True)
    assert data.known.index[-1] == date(2024, 3, 7)


def test_rows_are_sorted_nearest_session_first_with_sessions_as_dates():
    shuffled = forecasts().iloc[[3, 0, 4, 1, 2]]
    shuffled = shuffled.assign(target_session=pd.to_datetime(shuffled["target_session"]))
    rows = report_data(forecasts=shuffled).rows
    assert rows["horizon"].tolist() == [1, 2, 3, 4, 5]
    assert rows["target_session"].tolist() == [date(2024, 3, day) for day in (11, 12, 13, 14, 15)]
