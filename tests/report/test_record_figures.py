"""The figures of the track record beyond losses, against counts made by hand."""

import numpy as np
import pandas as pd
import pytest

from forecasting.report.record_figures import (
    ENOUGH_FOR_SHARES,
    ENOUGH_NIGHTS,
    WINDOW,
    errors_by_day,
    pit_histogram,
    restated,
    skill_over_time,
)
from forecasting.report.track_record import track_record
from forecasting.vocabulary import Target
from tests.report.nights import SPREAD, long_record, score, scored


def test_skill_over_time_is_that_of_the_newest_window_against_the_best_baseline() -> None:
    record = track_record(long_record(origins=40))
    name, skill = skill_over_time(record)
    ours = record.ahead(1).iloc[-WINDOW:]["pinball"].sum()
    theirs = record.baselines.query("name == 'ridge' and horizon == 1").sort_values("origin_session")
    assert name == "ridge"
    assert len(skill) == 40 - WINDOW + 1
    assert skill["skill"].iloc[-1] == pytest.approx(1 - ours / theirs["pinball"].iloc[-WINDOW:].sum())
    assert skill["session"].iloc[-1] == record.ahead(1)["target_session"].iloc[-1]


def test_a_young_record_has_no_line() -> None:
    name, skill = skill_over_time(track_record(long_record(origins=ENOUGH_NIGHTS - 1)))
    assert (name, len(skill)) == ("", 0)
    assert len(skill_over_time(track_record(scored()))[1]) == 0


def test_every_actual_falls_into_one_gap_and_shares_are_of_all() -> None:
    # Twenty below every quantile, ten between the median and the next one above, ten above all.
    actuals = [1.0] * 20 + [11.0] * 10 + [99.0] * 10
    found = pit_histogram(track_record(scored(*(score(ago=ago, actual=a) for ago, a in enumerate(actuals, 1)))))
    shares = dict(zip(found["place"], found["share"], strict=True))
    assert shares == {
        "below 5 %": 0.5,
        "5 to 10 %": 0.0,
        "10 to 25 %": 0.0,
        "25 to 50 %": 0.0,
        "50 to 75 %": 0.25,
        "75 to 90 %": 0.0,
        "90 to 95 %": 0.0,
        "above 95 %": 0.25,
    }
    assert SPREAD[3] * 10 < 11.0 < SPREAD[4] * 10
    assert found["expected"].sum() == pytest.approx(1.0)
    assert (found["low"] <= found["expected"]).all()
    assert (found["high"] >= found["expected"]).all()


def test_few_forecasts_give_no_shares() -> None:
    few = track_record(long_record(origins=ENOUGH_FOR_SHARES - 1))
    assert len(pit_histogram(few)) == 0
    assert len(errors_by_day(few, lambda session: [])) == 0


def test_errors_by_day_count_each_forecast_by_its_weekday_and_by_each_note() -> None:
    record = track_record(long_record(origins=40))
    ahead = record.ahead(1)
    special = ahead["target_session"].iloc[0]
    found = errors_by_day(record, lambda session: ["earnings", "half day"] if session == special else [])
    rows = found.set_index("day")
    assert rows.index.tolist() == ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "earnings", "half day"]
    assert rows.loc[:"Friday", "n"].sum() == 40
    assert rows.loc["earnings", ["n", "mae", "bias"]].tolist() == pytest.approx(
        [1, abs(ahead["error"].iloc[0]), ahead["error"].iloc[0]]
    )
    mondays = ahead[[session.weekday() == 0 for session in ahead["target_session"]]]
    assert rows.loc["Monday", "inside_80"] == pytest.approx(mondays["inside_80"].mean())


def test_restated_sessions_are_those_that_differ_newest_first() -> None:
    days = pd.to_datetime(["2024-03-06", "2024-03-07", "2024-03-08", "2024-03-11"])
    first = pd.Series([100.0, 100.0, 100.0, np.nan], index=days)
    found = restated(first, pd.Series([110.0, 100.0, 95.0, 5.0], index=days), target="volume")
    assert found["session"].dt.day.tolist() == [8, 6]
    assert found["change"].tolist() == pytest.approx([-0.05, 0.1])


@pytest.mark.parametrize(
    ("target", "first", "now", "changed"),
    [
        ("volume", 9_000_000.0, 9_000_001.0, True),
        ("close", 91.06, 91.0605, False),
        ("close", 91.06, 91.07, True),
        ("close", 0.0050, 0.0051, True),
        ("range", 0.0193, 0.01931, False),
        ("range", 0.0193, 0.0194, True),
    ],
)
def test_a_price_within_the_tolerance_of_ingest_is_not_restated(
    target: Target, first: float, now: float, changed: bool
) -> None:
    days = pd.to_datetime(["2024-03-08"])
    assert len(restated(pd.Series([first], index=days), pd.Series([now], index=days), target=target)) == changed
