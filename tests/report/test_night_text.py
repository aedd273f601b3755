"""Whole views of the terminal, as wide as 80 columns and as a pipe."""

# ruff: noqa: RUF001 - what is printed is compared as it is

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from forecasting.report.data import FINDING_COLUMNS
from forecasting.report.night_text import age, line_listing, night_text
from forecasting.report.text_table import text_table
from tests.report.nights import ORIGIN, forecasts, report_data, scored

NOW = datetime(2024, 3, 9, 12, tzinfo=UTC)

NIGHT = """\
SBUX volume: Starbucks Corporation
SBUX is expected to trade 7.16 M shares on Monday 11 March 2024 (80 % interval
5.01–10.74 M), 1 % above Friday's 7.09 M and 2 % above the usual 7.03 M (median
of 20 sessions).

session         median  80 % interval  vs usual  status  special day
--------------  ------  -------------  --------  ------  ---------------
Mon 2024-03-11    7.16     5.01–10.74      +2 %  ok
Tue 2024-03-12    7.23     5.06–10.84      +3 %  ok
Wed 2024-03-13    7.30     5.11–10.95      +4 %  ok      earnings
Thu 2024-03-14    7.37     5.16–11.05      +5 %  ok
Fri 2024-03-15    7.44     5.21–11.16      +6 %  ok      triple witching

In M shares; usual is 7.03 M shares, the median of 20 sessions up to 2024-03-08.

Published:   lstm 3f9c2ab1a77d0e11, warm, trained up to 2024-03-06
Data:        bars up to 2024-03-08, 15 h old, fetched 2024-03-09 10:31 UTC
Last result: Fri 8 Mar: forecast 7.44 M, actual 7.09 M (−5 %), inside the 80 %
             interval 5.21–11.16

Of its last 40 forecasts one session ahead, 32 landed inside the 80 % interval
and the median missed by 1.12 M on average: 50 % more than the best baseline
there, ridge.

record        n  error  best baseline  its error  skill  pinball skill  in 80 %
-----------  --  -----  -------------  ---------  -----  -------------  -------
20 sessions  20   1.04  ridge               0.70  −49 %          −49 %     80 %
40 sessions  40   1.12  ridge               0.75  −50 %          −50 %     80 %

against       n  our error  its error    skill  pinball skill
----------  ---  ---------  ---------  -------  -------------
ridge       200       1.12       0.75  −49.8 %        −49.8 %
last value  200       1.12       1.49  +25.1 %        +25.1 %

record: one session ahead. against: one to five sessions ahead, on the forecasts
that both have. error: mean absolute error of the median in M shares. skill: 1 -
error / its error, + is better; pinball skill: the same of the loss over all
seven quantiles."""

LINES = """\
symbol  session    median  80 % interval   usual  last  skill  data  notes
------  ---------  ------  -------------  ------  ----  -----  ----  -----------
SBUX    Mon 03-11  7.16 M     5.01–10.74    +2 %  hit   −49 %  15 h
MSFT    Mon 03-11  $52.60    51.81–53.91  +1.0 %  hit   −60 %  15 h
IBM     Mon 03-11  7.16 M     5.01–10.74    +2 %               15 h  night
                                                                     2024-03-11
                                                                     failed,
                                                                     late,
                                                                     fallback"""


def test_a_night_in_full_at_80_columns() -> None:
    assert night_text(report_data(), now=NOW, width=80) == NIGHT


def test_bars_whose_newest_volumes_are_unknown_are_as_new_as_their_prices() -> None:
    data = report_data()
    data.history.iloc[-5:, data.history.columns.get_loc("value")] = float("nan")
    assert "bars up to 2024-03-08, 15 h old, newest known volume of 2024-03-01, fetched" in night_text(
        data, now=NOW, width=None
    )


def test_bars_whose_newest_day_the_calendar_no_longer_has_are_as_old_as_the_session_before() -> None:
    shown = night_text(replace(report_data(), exchange="XSAU"), now=NOW, width=None)  # not Fridays
    assert "bars up to 2024-03-08, 2 d old" in shown


def test_in_a_pipe_a_night_has_the_same_words_and_a_line_for_each_sentence() -> None:
    piped = night_text(report_data(), now=NOW, width=None)
    assert piped.split() == NIGHT.split()
    assert any(line.startswith("Last result: ") and line.endswith("5.21–11.16") for line in piped.splitlines())


def test_many_symbols_are_a_line_each_at_80_columns() -> None:
    nights = [
        report_data(),
        report_data("close", run={"symbol": "MSFT"}),
        report_data(
            run={"symbol": "IBM"},
            scored=scored(),
            forecasts=forecasts(kind="late", status="fallback"),
            unfinished={"as_of": "2024-03-11", "status": "failed", "error": "x", "note": ""},
        ),
    ]
    assert text_table(*line_listing(nights, now=NOW), width=80) == LINES


def test_rejected_rows_and_missing_sessions_are_one_line() -> None:
    found = [("2024-03-01", "high_below_low", "reject"), ("2024-03-07", "high_below_low", "reject")]
    found += [("2024-02-01", "missing_session", "flag"), ("2024-03-05", "price_jump", "flag")]
    rows = [dict(zip(FINDING_COLUMNS, (*one, None, "why", NOW), strict=True)) for one in found]
    data = report_data(findings=pd.DataFrame(rows))
    (line,) = [one for one in night_text(data, now=NOW, width=None).splitlines() if one.startswith("Findings:")]
    assert line == "Findings:    high below low 2024-03-07 and 1 more; missing session 2024-02-01"
    assert line_listing([data], now=NOW)[1][0][-1] == "rows rejected"


def test_the_first_night_has_neither_a_result_nor_a_record() -> None:
    shown = night_text(report_data(scored=scored()), now=NOW, width=80)
    assert shown.endswith("fetched 2024-03-09 10:31 UTC")
    assert str(ORIGIN) in shown


@pytest.mark.parametrize(
    ("hours", "shown"),
    [(-1, "0 min"), (1, "60 min"), (14.4, "14 h"), (47, "47 h"), (72, "3 d"), (24 * 365.25 * 8, "8.0 y")],
)
def test_an_age_is_in_the_unit_that_people_use(hours: float, shown: str) -> None:
    assert age(NOW - timedelta(hours=hours), NOW) == shown
