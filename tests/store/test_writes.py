from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import Finding
from forecasting.store import read, tables, writes
from forecasting.store.database import reading, transaction
from tests.store.rows import (
    SYMBOL,
    TARGET,
    at,
    bar_rows,
    fetched,
    forecast_row,
    model_row,
    revision,
    run_row,
    score_row,
    start,
    store_bars,
)


def all_rows(url: str) -> dict[str, list[tuple]]:
    with reading(url) as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
            for table in tables.metadata.sorted_tables
        }


def a_night(connection: sa.Connection) -> list[int]:
    """A row in every table."""
    versions = bar_rows({"2024-03-07": 80.0, "2024-03-08": 90.0})
    change = revision(
        versions,
        settled=("2024-03-07",),
        actions=make_actions([("2024-03-07", "dividend", 0.57)]),
        findings=(Finding(date(2024, 3, 8), "low_volume", "flag", float("nan"), "half of usual"),),
    )
    when, forecast = at("2024-03-08T21:00"), forecast_row("m1", "2024-03-07", run_id="r1", fetch_id="f1")
    added = writes.add_fetch(connection, fetched(versions), change, fetch_id="f1", fetched_at=when, run_id="r1")
    events = pd.DataFrame(
        {
            "session": pd.to_datetime(["2024-05-01"]),
            "kind": "earnings",
            "known_from": pd.to_datetime(["2024-04-01"]),
            "announced": pd.to_datetime(["2024-04-30"]),
            "timing": "amc",
            "known_rule": "21 sessions",
        }
    )
    metric = {"model_id": "m1", "symbol": SYMBOL, "target": TARGET, "horizon": 0, "metric": "mae", "scope": "live"}
    metric |= {"window_from": date(2024, 3, 1), "window_to": date(2024, 3, 8), "run_id": "r1", "value": 10.0, "n": 1}
    promotion = {"id": "p1", "symbol": SYMBOL, "target": TARGET, "session": date(2024, 3, 8), "challenger": "m1"}
    promotion |= {"winner": "m1", "origins": 0, "reason": "first", "trigger": "night", "decided_at": when}
    return [
        int(added),
        writes.add_events(connection, SYMBOL, events, source="csv:earnings.csv", first_seen_at=when),
        writes.start_run(connection, run_row("r1", "2024-03-07")),
        writes.add_model(connection, model_row("m1")),
        writes.add_forecasts(connection, [forecast]),
        writes.add_scores(connection, [score_row(forecast, inside_80=np.bool_(True), bar_version=np.int64(1))]),
        writes.add_promotion(connection, promotion),
        writes.add_metrics(connection, [metric]),
    ]


def test_a_night_written_twice_is_stored_once(database_url):
    with transaction(database_url) as connection:
        assert a_night(connection) == [1] * 8
    once = all_rows(database_url)
    assert {name: len(rows) for name, rows in once.items()} == {
        **dict.fromkeys(once, 1),
        "bar_versions": 2,
        "standings": 6,  # three windows, of the published forecasts and of the network
    }
    with transaction(database_url) as connection:
        assert a_night(connection) == [0] * 8
    assert all_rows(database_url) == once


def test_a_failed_transaction_writes_nothing(database_url):
    empty = all_rows(database_url)
    with pytest.raises(RuntimeError), transaction(database_url) as connection:
        a_night(connection)
        raise RuntimeError
    assert all_rows(database_url) == empty


def test_a_new_version_supersedes_the_one_before_and_leaves_its_values(database_url):
    with transaction(database_url) as connection:
        store_bars(
            connection, {"2024-03-07": 80.0, "2024-03-08": 50.0}, seen="2024-03-08T21:00", settled=("2024-03-07",)
        )
        store_bars(connection, {"2024-03-08": 90.0}, seen="2024-03-09T21:00", version=2, settled=("2024-03-08",))
    versions = all_rows(database_url)["bar_versions"]
    names = [column.name for column in tables.bar_versions.columns]
    found = [dict(zip(names, row, strict=True)) for row in versions]
    kept = ("session", "version", "volume", "superseded_at", "settled_at")
    first, second = at("2024-03-08T21:00"), at("2024-03-09T21:00")
    assert [tuple(row[name] for name in kept) for row in found] == [
        (date(2024, 3, 7), 1, 80, None, first),
        (date(2024, 3, 8), 1, 50, second, None),
        (date(2024, 3, 8), 2, 90, None, second),
    ]


def test_a_later_fetch_settles_a_bar_once(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
        for seen in ("2024-03-08T21:00", "2024-03-11T21:00"):
            change = revision(bar_rows({}), settled=("2024-03-07",))
            brought = fetched(bar_rows({"2024-03-08": 1.0}))
            writes.add_fetch(connection, brought, change, fetch_id=seen, fetched_at=at(seen), run_id=None)
        settled_at = connection.scalar(sa.select(tables.bar_versions.c.settled_at))
    assert settled_at == at("2024-03-08T21:00")


def test_an_unknown_volume_is_null_and_not_0(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-08": float("nan")}, seen="2024-03-08T21:00")
        assert connection.scalar(sa.select(tables.bar_versions.c.volume)) is None
        assert np.isnan(read.bars(connection, SYMBOL)["volume"].iloc[0])


def test_a_fetch_keeps_the_adjustment_that_the_next_one_is_compared_with(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-07": 1.0, "2024-03-08": 1.0}, seen="2024-03-08T21:00")
        row = read.newest_fetch(connection, SYMBOL)
    assert row is not None
    assert (row["adjustment_session"], row["adjustment"]) == (date(2024, 3, 8), 1.0)


def test_a_forecast_that_is_not_finite_is_refused(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
        for value in (float("nan"), float("inf")):
            with pytest.raises(ValueError, match="finite quantiles of model lstm for SBUX volume on 2024-03-08"):
                writes.add_forecasts(connection, [forecast_row("lstm", "2024-03-07", q95=value)])


@pytest.mark.parametrize(
    "broken",
    [{"q05": 75.0, "q10": 74.0}, {"target_session": date(2024, 3, 7)}, {"model_id": "missing"}, {"run_id": "none"}],
    ids=lambda broken: next(iter(broken)),
)
def test_a_forecast_that_breaks_the_schema_is_refused_and_not_ignored(database_url, broken):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
    with pytest.raises(IntegrityError), transaction(database_url) as connection:
        writes.add_forecasts(connection, [forecast_row("lstm", "2024-03-07") | broken])


def test_a_score_without_a_value_is_refused(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
        forecast = forecast_row("lstm", "2024-03-07")
        writes.add_forecasts(connection, [forecast])
    with pytest.raises(IntegrityError), transaction(database_url) as connection:
        writes.add_scores(connection, [score_row(forecast, pinball=float("nan"))])


def test_a_run_is_updated_as_it_proceeds(database_url):
    with transaction(database_url) as connection:
        writes.start_run(connection, run_row("r1", "2024-03-08", status="running"))
        assert writes.update_run(connection, "r1", {"status": "done", "seconds_train": np.float64(3.5)}) == 1
        assert writes.update_run(connection, "r2", {"status": "done"}) == 0
        row = read.run(connection, "r1")
    assert row is not None
    assert (row["status"], row["seconds_train"], row["as_of"]) == ("done", 3.5, date(2024, 3, 8))


def test_only_events_that_are_new_or_moved_are_added(database_url):
    events = pd.DataFrame(
        {
            "session": pd.to_datetime(["2024-01-31", "2024-05-01"]),
            "kind": "earnings",
            "known_from": pd.to_datetime(["2024-01-02", "2024-04-01"]),
            "announced": pd.to_datetime(["2024-01-30", "2024-04-30"]),
            "timing": "amc",
            "known_rule": "21 sessions",
        }
    )
    moved = events.assign(session=pd.to_datetime(["2024-01-31", "2024-04-30"]), timing=["amc", "bmo"])
    with transaction(database_url) as connection:
        added = [
            writes.add_events(connection, SYMBOL, frame, source="csv", first_seen_at=at(seen))
            for frame, seen in ((events, "2024-03-07"), (events, "2024-03-08"), (moved, "2024-03-09"))
        ]
        now = read.events(connection, SYMBOL)
        before = read.events(connection, SYMBOL, known_at=at("2024-03-08T12:00"))
    assert added == [2, 0, 1]
    assert [day.date().isoformat() for day in now["session"]] == ["2024-01-31", "2024-04-30"]
    assert [day.date().isoformat() for day in before["session"]] == ["2024-01-31", "2024-05-01"]
