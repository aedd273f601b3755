from __future__ import annotations

from datetime import date

import pandas as pd

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.store import read, write
from forecasting.store.connect import reading, transaction
from forecasting.store.read import unscored_forecasts
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, score_row, start, store_bars


def unscored(url: str, target: str = TARGET, last: str = "2024-03-08") -> list[tuple[str, int, float]]:
    with reading(url) as connection:
        found = unscored_forecasts(connection, SYMBOL, target, last=date.fromisoformat(last))
    return [(row.stage, row.bar_version, row.volume) for row in found.itertuples()]


def test_a_forecast_is_unscored_against_first_print_then_settled_then_restated_bar(database_url):
    forecast = forecast_row("lstm", "2024-03-07")
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
        write.add_forecasts(connection, [forecast])
    assert unscored(database_url) == []
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-08": 80.0}, seen="2024-03-08T21:00")
    assert unscored(database_url) == [("first_print", 1, 80.0)]
    assert unscored(database_url, last="2024-03-07") == []
    with transaction(database_url) as connection:
        write.add_scores(connection, [score_row(forecast)])
    assert unscored(database_url) == []
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-08": 90.0}, seen="2024-03-09T21:00", version=2, settled=("2024-03-08",))
    assert unscored(database_url) == [("settled", 2, 90.0)]
    with transaction(database_url) as connection:
        write.add_scores(connection, [score_row(forecast, stage="settled", bar_version=2)])
        store_bars(connection, {"2024-03-08": 91.0}, seen="2024-05-01T21:00", version=3, settled=("2024-03-08",))
    assert unscored(database_url) == [("settled", 3, 91.0)]


def test_a_bar_without_the_targets_value_leaves_nothing_to_score(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
        write.add_forecasts(connection, [forecast_row("lstm", "2024-03-07", target=name) for name in (TARGET, "close")])
        store_bars(connection, {"2024-03-08": float("nan")}, seen="2024-03-08T21:00")
    assert unscored(database_url) == []
    assert [row[:2] for row in unscored(database_url, "close")] == [("first_print", 1)]
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-08": 70.0}, seen="2024-03-09T21:00", version=2)
    assert unscored(database_url) == [("first_print", 2, 70.0)]


def test_a_forecast_made_before_a_split_is_scored_on_its_own_share_basis(database_url):
    split = make_actions([("2024-03-08", "split", 2.0)])
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-06", "2024-03-07", "2024-03-08"))
        store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:00")
        store_bars(
            connection,
            {"2024-03-07": 200.0},
            seen="2024-03-08T21:00",
            version=2,
            settled=("2024-03-07",),
            actions=split,
        )
        store_bars(connection, {"2024-03-08": 210.0, "2024-03-11": 220.0}, seen="2024-03-11T21:00")
        rows = [forecast_row("lstm", origin) for origin in ("2024-03-06", "2024-03-07", "2024-03-08")]
        rows[2]["data_as_of"] = at("2024-03-08T21:00")  # its bars were on the new basis already
        write.add_forecasts(connection, rows)
        found = unscored_forecasts(connection, SYMBOL, TARGET, last=date(2024, 3, 11))
        past = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 11), limit=9)
        before = read.past_forecasts(
            connection, SYMBOL, TARGET, origin=date(2024, 3, 8), limit=9, known_at=at("2024-03-07T21:00")
        )
    actuals = [(str(row.target_session.date()), row.stage, row.volume, row.close) for row in found.itertuples()]
    assert actuals == [
        ("2024-03-07", "first_print", 100.0, 11.0),
        ("2024-03-07", "settled", 100.0, 22.0),
        ("2024-03-08", "first_print", 105.0, 22.0),
        ("2024-03-11", "first_print", 220.0, 11.0),
    ]
    assert past["split_factor"].tolist() == [2.0, 2.0, 1.0]
    assert before["split_factor"].tolist() == [1.0, 1.0]


def test_a_split_of_years_before_the_bars_changes_no_basis(database_url):
    old = make_actions([("2001-04-30", "split", 2.0)])
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
        write.add_forecasts(connection, [forecast_row("lstm", "2024-03-07")])
        store_bars(connection, {"2024-03-08": 100.0}, seen="2024-03-08T21:00", actions=old)
    assert unscored(database_url) == [("first_print", 1, 100.0)]


def test_a_forecast_is_not_compared_with_bars_of_a_history_that_the_user_accepted_after_it(database_url):
    accepted = Finding(date(2024, 3, 7), "history_accepted", "flag", 25.0, "Accepted.")
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-06", "2024-03-07", "2024-03-08"))
        store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:00", settled=("2024-03-07",))
        store_bars(
            connection,
            {"2024-03-07": 7.0},
            seen="2024-03-08T21:00",
            version=2,
            settled=("2024-03-07",),
            findings=[accepted],
        )
        store_bars(connection, {"2024-03-08": 8.0}, seen="2024-03-08T22:00")
        store_bars(connection, {"2024-03-11": 9.0}, seen="2024-03-11T21:00")
        rows = [forecast_row("lstm", origin) for origin in ("2024-03-06", "2024-03-07", "2024-03-08")]
        rows[2]["data_as_of"] = at("2024-03-08T21:00")  # made of the other history
        write.add_forecasts(connection, rows)
        found = unscored_forecasts(connection, SYMBOL, TARGET, last=date(2024, 3, 11))
        past = read.past_forecasts(
            connection, SYMBOL, TARGET, origin=date(2024, 3, 11), limit=9, known_at=at("2024-03-11T21:00")
        )
        write.add_scores(connection, [score_row(row) for row in rows])
        averaged = [
            frame["origin_session"].dt.day.tolist()
            for instant in (at("2024-03-08T20:00"), at("2024-03-11T21:00"))
            for frame in (  # the nights of a page, and those that it averages
                read.issued(connection, SYMBOL, TARGET, origins=9, basis_at=instant),
                read.scored(connection, SYMBOL, TARGET, origins=9, known_at=instant),
            )
        ]
        losses = read.losses(connection, SYMBOL, TARGET, last=date(2024, 3, 11), origins=9)
    assert averaged == [[6, 7, 8], [6, 7, 8], [8], [8]]
    assert losses["origin_session"].dt.day.tolist() == [8]
    scores = [(row.stage, row.bar_version, row.volume) for row in found.itertuples()]
    assert scores == [("first_print", 1, 100.0), ("first_print", 1, 9.0)]
    before, newest = pd.Timestamp("2024-03-08T20:59:59.999999Z"), pd.Timestamp("2024-03-11T21:00Z")
    assert past["bars_at"].tolist() == [before, before, newest]
