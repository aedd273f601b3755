from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from forecasting.store import read, schema, write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, TARGET, run_row, store_bars


def test_the_newest_finished_night_is_the_newest_that_is_done(database_url):
    with transaction(database_url) as connection:
        for as_of, status in (("2024-03-05", "done"), ("2024-03-06", "done"), ("2024-03-07", "running")):
            write.add(connection, "runs", run_row(as_of, as_of, status=status))
        assert read.newest_finished(connection, SYMBOL, TARGET) == date(2024, 3, 6)
        assert read.newest_finished(connection, SYMBOL, "close") is None


def test_the_market_series_of_a_run_is_that_of_the_fetch_that_it_names(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-05": 1.0}, seen="2024-03-05T22:00")
        for run_id, day, fetch_id in (("with", "2024-03-05", "2024-03-05T22:00"), ("without", "2024-03-06", "")):
            write.add(connection, "runs", run_row(run_id, day))
            write.update_run(connection, run_id, {"market_fetch": fetch_id})
        found = [read.market_of_run(connection, run_id) for run_id in ("with", "without", "no such", None)]
    assert found == [SYMBOL, "", "", ""]


def test_the_durations_of_several_symbols_are_those_of_the_target_alone(database_url):
    nights = [run_row("a", "2024-03-05", seconds_train=2.0), run_row("b", "2024-03-05", symbol="MSFT")]
    nights += [run_row("c", "2024-03-05", symbol="OTHER"), run_row("d", "2024-03-05", target="close")]
    with transaction(database_url) as connection:
        for night in nights:
            write.add(connection, "runs", night)
        connection.execute(schema.runs.update().values(seconds_train=2.0, status="done"))
        found = read.durations(connection, [SYMBOL, "MSFT"], TARGET)
    trained = found[found["step"] == "train"].sort_values("symbol")
    assert trained[["symbol", "n", "median_seconds"]].values.tolist() == [["MSFT", 1, 2.0], [SYMBOL, 1, 2.0]]


def test_the_running_nights_are_found_by_their_own_index(database_url):
    with transaction(database_url) as connection:
        for as_of, status in (("2024-03-07", "running"), ("2024-03-05", "running"), ("2024-03-06", "done")):
            write.add(connection, "runs", run_row(as_of, as_of, status=status))
        assert read.running(connection) == ["2024-03-05", "2024-03-07"]
        if connection.dialect.name == "postgresql":  # which reads a table of three rows whole
            connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        plan = connection.execute(sa.text(f"{explain} SELECT id FROM runs WHERE {schema.RUNNING} ORDER BY as_of"))
        assert "ix_runs_running" in str(plan.all())
