from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from forecasting.store import read, schema, write
from forecasting.store.connect import transaction
from forecasting.store.read import unscored_forecasts
from tests.store.rows import SYMBOL, TARGET, run_row, store_bars

EVENT_COLUMNS = ["session", "kind", "known_from", "withdrawn_from"]


def test_an_empty_ledger_gives_empty_frames_of_the_same_types(database_url):
    with transaction(database_url) as connection:
        bars = read.bars(connection, SYMBOL)
        assert read.actions(connection, SYMBOL).empty
        assert read.events(connection, SYMBOL).columns.tolist() == EVENT_COLUMNS
        assert read.newest_fetch(connection, SYMBOL) is None
        assert read.run(connection, "r1") is None
        assert read.champion(connection, SYMBOL, TARGET) is None
        assert read.table_rows(connection, "models", {"symbol": SYMBOL}) == []
        assert read.newest_finished(connection, SYMBOL, TARGET) is None
        assert read.forecasts(connection, SYMBOL, TARGET).empty
        assert read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 8), limit=5).empty
        assert unscored_forecasts(connection, SYMBOL, "range", last=date(2024, 3, 8)).empty
        store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
        pd.testing.assert_series_equal(bars.dtypes, read.bars(connection, SYMBOL).dtypes)


def test_a_view_is_read_with_the_types_of_the_tables(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-08": 100.0}, seen="2024-03-08T21:00")
        found = read.view(connection, "bars", SYMBOL)
        assert read.view(connection, "bars", "KO").empty
    assert found["session"].tolist() == [pd.Timestamp("2024-03-08")]
    assert found["first_seen_at"].tolist() == [pd.Timestamp("2024-03-08T21:00Z")]
    assert found["settled"].tolist() == [False]
    assert schema.bar_versions.c.volume.name in found


def test_a_column_that_is_a_number_in_one_table_and_a_text_in_another_is_what_its_values_are(database_url):
    with transaction(database_url) as connection:
        for id, error in (("r1", None), ("r2", "No bar yet.")):
            write.add(connection, "runs", run_row(id, "2024-03-08", error=error, seconds_train=2.5))
        nights = read.view(connection, "night_log", SYMBOL).sort_values("run_id")
    assert [error if error else None for error in nights["error"]] == [None, "No bar yet."]


def test_a_night_without_durations_took_0_seconds_as_a_float(database_url):
    with transaction(database_url) as connection:
        write.add(connection, "runs", run_row("r1", "2024-03-08"))
        nights, durations = (read.view(connection, name, SYMBOL) for name in ("night_log", "night_durations"))
    assert (nights["seconds_total"].dtype, nights["seconds_total"].tolist()) == (np.float64, [0.0])
    total = durations[durations["step"] == "total"]
    assert (total["max_seconds"].dtype, total["max_seconds"].tolist()) == (np.float64, [0.0])
