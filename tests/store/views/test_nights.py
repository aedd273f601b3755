from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from forecasting.store import write
from forecasting.store.connect import transaction
from forecasting.store.views import DURATION_NIGHTS
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, run_row, score_row, start, view_rows


def test_night_log_shows_what_retraining_gained_and_cost(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=(), models=("lstm", "lstm:2"))
        seconds = {"seconds_ingest": 1.0, "seconds_preprocess": 0.5, "seconds_train": 6.0, "seconds_predict": 0.5}
        write.add(connection, "runs", run_row("2024-03-07", "2024-03-07", mode="warm", mode_reason="due", **seconds))
        write.add(connection, "runs", run_row("2024-03-08", "2024-03-08", mode="skip", seconds_train=0.0, note="late"))
        champion = forecast_row("lstm", "2024-03-07")
        challenger = forecast_row("lstm:2", "2024-03-07", role="challenger")
        write.add_forecasts(connection, [champion, challenger, forecast_row("lstm", "2024-03-08")])
        promotion = {"id": "p1", "symbol": SYMBOL, "target": TARGET, "session": pd.Timestamp("2024-03-07")}
        promotion |= {"challenger": "lstm:2", "winner": "lstm", "origins": 3, "reason": "too few origins"}
        promotion |= {"trigger": "night", "decided_at": at("2024-03-07"), "run_id": "2024-03-07"}
        write.add(connection, "promotions", promotion)
    names = ("as_of", "mode", "seconds_total", "decision", "skill_gained", "seconds_cost", "note")
    warm = (pd.Timestamp("2024-03-07"), "warm", 8.0, "too few origins")
    second = pd.Timestamp("2024-03-08")
    quiet = (second, "skip", 0.0, None, None, None, "late")
    assert view_rows(database_url, "night_log", *names) == [
        (*warm, None, 6.0, ""),
        quiet,
    ]
    with transaction(database_url) as connection:
        write.add_scores(connection, [score_row(champion, pinball=4.0), score_row(challenger, pinball=3.0)])
    assert view_rows(database_url, "night_log", *names) == [
        (*warm, 0.25, 6.0, ""),
        quiet,
    ]


def test_in_night_log_retraining_is_compared_with_the_silenced_champion_not_with_the_published_baseline(database_url):
    roles = {"ridge": ("champion", 1.0), "lstm": ("silenced", 4.0), "lstm:2": ("challenger", 3.0)}
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",), models=tuple(roles))
        for model, (role, pinball) in roles.items():
            row = forecast_row(model, "2024-03-07", role=role)
            write.add_forecasts(connection, [row])
            write.add_scores(connection, [score_row(row, pinball=pinball)])
    assert view_rows(database_url, "night_log", "skill_gained") == [(0.25,)]


DURATIONS = ("step_order", "step", "n", "median_seconds", "p95_seconds", "max_seconds")


def test_night_durations_has_the_median_and_the_95th_percentile_of_each_step(database_url):
    with transaction(database_url) as connection:
        for day in range(1, 6):
            seconds = {"seconds_ingest": float(day), "seconds_train": 10.0 * day}
            write.add(connection, "runs", run_row(f"r{day}", f"2024-03-0{day}", **seconds))
        write.add(connection, "runs", run_row("failed", "2024-03-08", status="failed", seconds_ingest=900.0))
    assert view_rows(database_url, "night_durations", *DURATIONS) == [
        (1, "ingest", 5, 3.0, pytest.approx(4.8), 5.0),
        (3, "train", 5, 30.0, pytest.approx(48.0), 50.0),
        (6, "total", 5, 33.0, pytest.approx(52.8), 55.0),
    ]


def test_night_durations_leaves_older_nights_out(database_url):
    first = date(2024, 1, 1)
    with transaction(database_url) as connection:
        for place in range(DURATION_NIGHTS + 1):
            seconds = 100.0 if place == 0 else 1.0
            write.add(connection, "runs", run_row(f"r{place}", str(first + timedelta(place)), seconds_ingest=seconds))
    names = ("step", "n", "max_seconds", "first_night")
    assert view_rows(database_url, "night_durations", *names)[0] == ("ingest", 60, 1.0, pd.Timestamp("2024-01-02"))
