from datetime import date
from functools import partial

import numpy as np
import pandas as pd
import pytest

from forecasting.store import read, write
from tests.store.rows import (
    SERIES,
    SYMBOL,
    TARGET,
    at,
    forecast_row,
    model_row,
    run_row,
    store_bars,
    store_forecasts,
)

FIRST = "2024-03-07"
LAST = "2024-03-08"


def test_parents_are_named_from_the_nearest_to_the_oldest_and_once_in_a_circle(
    connection,
):
    links = ("cb", "ba", "a?", "xy", "yx")
    write.add(
        connection, "models", *(model_row(child, parent_id=parent) for child, parent in links)
    )
    for child, parents in {"c": ["b", "a", "?"], "x": ["y", "x"]}.items():
        model = read.row(connection, "models", {"id": child})
        assert read.lineage(connection, model)["parents"] == parents


def test_past_forecasts_are_one_row_per_origin_and_horizon_of_the_network(connection):
    def network_row(model, origin, horizon=1, label="", **changed):
        return forecast_row(model, origin, horizon, calibration=label or origin, **changed)

    replay = {"kind": "replay", "issued_at": at("2024-03-09")}
    store_forecasts(
        connection,
        network_row("lstm", "2024-03-04"),
        network_row("lstm", "2024-03-04", 2),
        network_row("lstm", "2024-03-04", label="not first", **replay),
        network_row("ridge", "2024-03-05", status="fallback"),
        network_row("lstm:2", "2024-03-05", role="challenger"),
        network_row("lstm", "2024-03-06", kind="replay", label="issued first"),
        network_row("lstm:2", "2024-03-06", label="issued last", **replay),
        network_row("lstm", "2024-03-06", 2, label="target too late"),
    )
    asked = partial(read.past_forecasts, connection, SYMBOL, TARGET, origin=date(2024, 3, 7))
    found = asked(limit=10)
    days = found["origin_session"].dt.day
    assert [*zip(days, found["horizon"], found["calibration"], strict=True)] == [
        (4, 1, "2024-03-04"),
        (4, 2, "2024-03-04"),
        (6, 1, "issued last"),
    ]
    assert found["split_factor"].tolist() == [1.0] * 3
    assert asked(limit=1)["horizon"].tolist() == [2, 1]


def test_an_empty_ledger_gives_empty_frames_of_the_same_types(connection):
    bars = read.bars(connection, SYMBOL)
    valid = ["session", "kind", "known_from", "withdrawn_from"]
    assert read.events(connection, SYMBOL).columns.tolist() == valid
    day = date(2024, 3, 8)
    series = (connection, SYMBOL, TARGET)
    for found in (
        read.actions(connection, SYMBOL),
        read.view(connection, "forecasts", SERIES),
        read.past_forecasts(*series, origin=day, limit=5),
        read.unscored_forecasts(*series, last=day),
    ):
        assert found.empty
    assert read.newest_fetch(connection, SYMBOL) is None
    assert read.champion(*series) is read.newest_finished(*series) is None
    store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
    pd.testing.assert_series_equal(bars.dtypes, read.bars(connection, SYMBOL).dtypes)


def test_a_column_of_a_view_has_the_type_of_its_values(connection):
    """`error` is a number in scores; seconds that add up to 0 are no whole number."""
    for id, error in (("r1", None), ("r2", "No bar yet.")):
        write.add(connection, "runs", run_row(id, "2024-03-08", error=error))
    nights = read.view(connection, "night_log", {"symbol": SYMBOL}).sort_values("run_id")
    assert nights["error"].tolist() == [None, "No bar yet."]
    durations = read.view(connection, "night_durations", {"symbol": SYMBOL, "step": "total"})
    for seconds in (nights["seconds_total"], durations["max_seconds"]):
        assert seconds.dtype == np.float64
        assert set(seconds) == {0.0}


FAILED = {"status": "failed", "started_at": at("2024-03-08T22:00")}
AFTERWARDS = "2024-03-08T22:30"


@pytest.mark.parametrize(
    ("failed", "later", "fetched_at", "newest"),
    [
        (FAILED, {}, AFTERWARDS, "later"),
        (FAILED, {"status": "running"}, AFTERWARDS, "later"),
        (FAILED, {}, "2024-03-08T21:00", "failed"),  # of stored bars, maybe of the same run
        (FAILED, {"status": "failed"}, AFTERWARDS, "failed"),
        (FAILED, {"target": "close"}, AFTERWARDS, "failed"),
        (FAILED | {"status": "late"}, {}, AFTERWARDS, "failed"),  # its bar is still missing
    ],
)
@pytest.mark.parametrize("requested", ["later", "other"])  # of the first of its targets
def test_a_failed_night_is_history_once_later_bars_led_to_another_night(
    connection, failed, later, fetched_at, newest, requested
):
    store_bars(connection, {FIRST: 1.0}, seen=fetched_at)
    write.update(connection, "fetches", fetched_at, {"run_id": requested})
    write.add(connection, "runs", run_row("later", FIRST, **later))
    write.add(connection, "runs", run_row("other", FIRST, target="range"))
    write.add(connection, "runs", run_row("failed", LAST, **failed))
    found = read.newest_run(connection, SYMBOL, TARGET)
    assert found
    assert found["id"] == newest
    unfinished = read.unfinished_run(connection, SYMBOL, TARGET, after=date.min)
    assert (unfinished is not None) == (newest == "failed")
    assert read.newest_runs(connection, [SYMBOL], first=date.min)[SYMBOL, TARGET] == found
