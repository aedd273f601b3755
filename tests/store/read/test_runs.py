import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.store import read, write
from tests.store.rows import (
    SYMBOL,
    TARGET,
    at,
    forecast_row,
    model_row,
    run_row,
    store_bars,
    store_scored,
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
    def network_row(model, origin, horizon=1, **changed):
        label = json.dumps(changed.pop("label", origin))
        return forecast_row(model, origin, horizon, calibration=label, **changed), []

    store_scored(
        connection,
        network_row("lstm", "2024-03-04"),
        network_row("lstm", "2024-03-04", 2),
        network_row(
            "lstm", "2024-03-04", kind="replay", label="not first", issued_at=at("2024-03-09")
        ),
        network_row("ridge", "2024-03-05", status="fallback"),
        network_row("lstm:2", "2024-03-05", role="challenger"),
        network_row("lstm", "2024-03-06", kind="replay", label="issued first"),
        network_row(
            "lstm:2", "2024-03-06", kind="replay", label="issued last", issued_at=at("2024-03-09")
        ),
        network_row("lstm", "2024-03-06", 2, label="target too late"),
    )
    found = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7), limit=10)
    newest = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7), limit=1)
    rows = [
        (str(row.origin_session.date()), row.horizon, json.loads(row.calibration))
        for row in found.itertuples()
    ]
    assert rows == [
        ("2024-03-04", 1, "2024-03-04"),
        ("2024-03-04", 2, "2024-03-04"),
        ("2024-03-06", 1, "issued last"),
    ]
    assert newest["horizon"].tolist() == [2, 1]
    assert found["split_factor"].tolist() == [1.0] * 3


EVENT_COLUMNS = ["session", "kind", "known_from", "withdrawn_from"]


def test_an_empty_ledger_gives_empty_frames_of_the_same_types(connection):
    bars = read.bars(connection, SYMBOL)
    assert read.actions(connection, SYMBOL).empty
    assert read.events(connection, SYMBOL).columns.tolist() == EVENT_COLUMNS
    series = (connection, SYMBOL, TARGET)
    for found in (
        read.newest_fetch(connection, SYMBOL),
        read.row(connection, "runs", {"id": "r1"}),
        read.champion(*series),
        read.newest_finished(*series),
    ):
        assert found is None
    day = date(2024, 3, 8)
    for frame in (
        read.view(connection, "forecasts", {"symbol": SYMBOL, "target": TARGET}),
        read.past_forecasts(*series, origin=day, limit=5),
        read.unscored_forecasts(*series, last=day),
    ):
        assert frame.empty
    store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
    pd.testing.assert_series_equal(bars.dtypes, read.bars(connection, SYMBOL).dtypes)


def test_a_column_that_is_a_number_in_one_table_and_a_text_in_another_is_what_its_values_are(
    connection,
):
    for id, error in (("r1", None), ("r2", "No bar yet.")):
        write.add(connection, "runs", run_row(id, "2024-03-08", error=error, seconds_train=2.5))
    nights = read.view(connection, "night_log", {"symbol": SYMBOL}).sort_values("run_id")
    assert [error if error else None for error in nights["error"]] == [None, "No bar yet."]


def test_a_night_without_durations_took_0_seconds_as_a_float(connection):
    write.add(connection, "runs", run_row("r1", "2024-03-08"))
    nights, durations = (
        read.view(connection, name, {"symbol": SYMBOL}) for name in ("night_log", "night_durations")
    )
    assert (nights["seconds_total"].dtype, nights["seconds_total"].tolist()) == (np.float64, [0.0])
    total = durations[durations["step"] == "total"]
    assert (total["max_seconds"].dtype, total["max_seconds"].tolist()) == (np.float64, [0.0])


FAILED = {"status": "failed", "started_at": at("2024-03-08T22:00")}


@pytest.mark.parametrize(
    ("failed", "later", "fetched_at", "newest"),
    [
        (FAILED, {}, "2024-03-08T22:30", "later"),
        (FAILED, {"status": "running"}, "2024-03-08T22:30", "later"),
        (FAILED, {}, "2024-03-08T21:00", "failed"),  # of stored bars, maybe of the same run
        (FAILED, {"status": "failed"}, "2024-03-08T22:30", "failed"),
        (FAILED, {"target": "close"}, "2024-03-08T22:30", "failed"),
        (FAILED | {"status": "late"}, {}, "2024-03-08T22:30", "failed"),  # its bar is still missing
    ],
)
@pytest.mark.parametrize("requested", ["later", "other"])  # of the first of its targets
def test_a_failed_night_is_history_once_later_bars_led_to_another_night(
    connection, failed, later, fetched_at, newest, requested
):
    store_bars(connection, {FIRST: 1.0}, seen=fetched_at)
    write.update(connection, "fetches", fetched_at, {"run_id": requested})
    write.add(
        connection,
        "runs",
        run_row("later", FIRST, **later),
        run_row("other", FIRST, target="range"),
        run_row("failed", LAST, **failed),
    )
    found = read.newest_run(connection, SYMBOL, TARGET)
    assert found and found["id"] == newest
    unfinished = read.unfinished_run(connection, SYMBOL, TARGET, after=date.min)
    assert (unfinished is not None) == (newest == "failed")
    line = read.newest_runs(connection, [SYMBOL], first=date.min)[SYMBOL, TARGET]
    assert str(line["as_of"]) == (FIRST if newest == "later" else LAST)
