from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import payload_hash
from forecasting.ingest.revisions import nothing_changed
from forecasting.store import read, schema, write
from forecasting.store.connect import reading, transaction
from tests.store.rows import (
    SYMBOL,
    TARGET,
    at,
    bar_rows,
    fetched,
    forecast_row,
    model_row,
    part_rows,
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
            for table in schema.metadata.sorted_tables
            if not table.name.endswith("_lock")
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
    added = write.add_fetch(connection, fetched(versions), change, fetch_id="f1", fetched_at=when, run_id="r1")
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
    margin = {"run_id": "r1", "symbol": SYMBOL, "target": TARGET, "session": date(2024, 3, 7), "baseline": "ridge"}
    margin |= {"deficit": 0.06, "origins": 250, "statistic": 1.2, "limit_statistic": 3.0, "limit_deficit": 0.05}
    return [
        int(added),
        write.add_events(connection, SYMBOL, events, source="csv:earnings.csv", first_seen_at=when),
        write.add(connection, "runs", run_row("r1", "2024-03-07")),
        write.add(connection, "models", model_row("m1")),
        write.add_forecasts(connection, [forecast]),
        write.add_scores(connection, [score_row(forecast, inside_80=np.bool_(True), bar_version=np.int64(1))]),
        write.add(connection, "promotions", promotion),
        write.add(connection, "metrics", metric),
        write.add(connection, "forecast_parts", *part_rows(forecast, usual=50.0, report=2.0)),
        write.add(connection, "fallback_margins", margin),
    ]


def test_a_night_written_twice_is_stored_once(database_url):
    with transaction(database_url) as connection:
        assert a_night(connection) == [1] * 8 + [2, 1]
    once = all_rows(database_url)
    assert {name: len(rows) for name, rows in once.items()} == {
        **dict.fromkeys(once, 1),
        "bar_versions": 2,
        "forecast_parts": 2,
        "standings": 6,  # three windows, of the published forecasts and of the network
    }
    with transaction(database_url) as connection:
        assert a_night(connection) == [0] * 10
    assert all_rows(database_url) == once


def test_a_failed_transaction_writes_nothing(database_url):
    empty = all_rows(database_url)
    with pytest.raises(RuntimeError), transaction(database_url) as connection:
        a_night(connection)
        raise RuntimeError
    assert all_rows(database_url) == empty


def test_a_restated_bar_touches_no_other_session_symbol_or_older_version(database_url):
    def fetch(symbol: str, seen: str, versions: pd.DataFrame, *settled: str) -> None:
        brought = replace(fetched(bar_rows({"2024-03-06": 1.0, "2024-03-08": 1.0})), symbol=symbol)
        change = revision(versions, settled=settled)
        id = f"{symbol} {seen}"
        assert write.add_fetch(connection, brought, change, fetch_id=id, fetched_at=at(seen), run_id=None)

    three = {"2024-03-06": 1.0, "2024-03-07": 1.0, "2024-03-08": 1.0}
    with transaction(database_url) as connection:
        for symbol in (SYMBOL, "MSFT"):
            fetch(symbol, "2024-03-09", bar_rows(three))
        fetch("MSFT", "2024-03-10", bar_rows({"2024-03-07": 2.0}, version=2))
        fetch(SYMBOL, "2024-03-11", bar_rows({"2024-03-06": 2.0, "2024-03-08": 2.0}, version=2))
        fetch(SYMBOL, "2024-03-12", bar_rows({"2024-03-08": 3.0}, version=3), "2024-03-06", "2024-03-07")
        table = schema.bar_versions
        columns = (table.c.symbol, table.c.session, table.c.version, table.c.superseded_at, table.c.settled_at)
        rows = connection.execute(sa.select(*columns).order_by(*table.primary_key)).all()
    assert [
        (symbol, session.day, version, *(when and when.day for when in instants))
        for symbol, session, version, *instants in rows
    ] == [
        ("MSFT", 6, 1, None, None),
        ("MSFT", 7, 1, 10, None),
        ("MSFT", 7, 2, None, None),
        ("MSFT", 8, 1, None, None),
        (SYMBOL, 6, 1, 11, None),
        (SYMBOL, 6, 2, None, 12),
        (SYMBOL, 7, 1, None, 12),
        (SYMBOL, 8, 1, 11, None),
        (SYMBOL, 8, 2, 12, None),
        (SYMBOL, 8, 3, None, None),
    ]


def test_a_fetch_is_stored_with_what_was_asked_received_and_concluded(database_url):
    first, last, when = date(2024, 3, 7), date(2024, 3, 8), at("2024-03-08T21:00")
    whole = replace(fetched(bar_rows({"2024-03-07": 1.0, "2024-03-08": 1.0})), currency="USD")
    empty = replace(whole, bars=whole.bars.iloc[:0])
    late = nothing_changed("late", "no bar of 2024-03-08 yet")
    with transaction(database_url) as connection:
        for id, response, change in (("whole", whole, revision(bar_rows({}))), ("empty", empty, late)):
            assert write.add_fetch(connection, response, change, fetch_id=id, fetched_at=when, run_id="r1")
        rows = [dict(row) for row in connection.execute(sa.select(schema.fetches).order_by("id")).mappings()]
    names = ("first_received", "last_received", "row_count", "adjustment_session", "adjustment", "verdict", "detail")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (None, None, 0, None, None, "late", "no bar of 2024-03-08 yet"),
        (first, last, 2, last, 1.0, "extended", "for a test"),
    ]
    assert [row["payload_hash"] for row in rows] == [payload_hash(empty), payload_hash(whole)]
    asked = {"run_id": "r1", "source": "csv:SBUX.csv", "symbol": SYMBOL, "title": "Starbucks", "currency": "USD"}
    asked |= {"first_asked": first, "last_asked": last, "fetched_at": when, "library_version": "pandas 3"}
    assert [{name: row[name] for name in asked} for row in rows] == [asked, asked]


def test_the_path_of_a_models_weights_is_cleared_and_its_hash_kept(database_url):
    with transaction(database_url) as connection:
        for id in ("m1", "m2"):
            write.add(connection, "models", model_row(id, artifact_path=f"artifacts/{id}", artifact_hash="abc"))
        assert [write.clear_artifact_path(connection, id) for id in ("m1", "m3")] == [1, 0]
        table = schema.models
        found = connection.execute(sa.select(table.c.id, table.c.artifact_path, table.c.artifact_hash)).all()
    assert sorted(map(tuple, found)) == [("m1", None, "abc"), ("m2", "artifacts/m2", "abc")]


def test_a_later_fetch_settles_a_bar_once(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
        for seen in ("2024-03-08T21:00", "2024-03-11T21:00"):
            change = revision(bar_rows({}), settled=("2024-03-07",))
            brought = fetched(bar_rows({"2024-03-08": 1.0}))
            write.add_fetch(connection, brought, change, fetch_id=seen, fetched_at=at(seen), run_id=None)
        settled_at = connection.scalar(sa.select(schema.bar_versions.c.settled_at))
    assert settled_at == at("2024-03-08T21:00")


def test_an_unknown_volume_is_null_and_not_0(database_url):
    with transaction(database_url) as connection:
        store_bars(connection, {"2024-03-08": float("nan")}, seen="2024-03-08T21:00")
        assert connection.scalar(sa.select(schema.bar_versions.c.volume)) is None
        assert np.isnan(read.bars(connection, SYMBOL)["volume"].iloc[0])


def test_a_forecast_that_is_not_finite_is_refused(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
        for value in (float("nan"), float("inf")):
            with pytest.raises(ValueError, match=f"finite quantiles of model lstm for SBUX volume .* q95 {value}"):
                write.add_forecasts(connection, [forecast_row("lstm", "2024-03-07", q95=value)])


@pytest.mark.parametrize(
    "broken",
    [{"q05": 75.0, "q10": 74.0}, {"target_session": date(2024, 3, 7)}, {"model_id": "missing"}, {"run_id": "none"}],
    ids=lambda broken: next(iter(broken)),
)
def test_a_forecast_that_breaks_the_schema_is_refused_and_not_ignored(database_url, broken):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
    with pytest.raises(IntegrityError), transaction(database_url) as connection:
        write.add_forecasts(connection, [forecast_row("lstm", "2024-03-07") | broken])


def test_a_run_is_updated_as_it_proceeds(database_url):
    with transaction(database_url) as connection:
        write.add(connection, "runs", run_row("r1", "2024-03-08", status="running"))
        assert write.update_run(connection, "r1", {"status": "done", "seconds_train": np.float64(3.5)}) == 1
        assert write.update_run(connection, "r2", {"status": "done"}) == 0
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
            write.add_events(connection, SYMBOL, frame, source="csv", first_seen_at=at(seen))
            for frame, seen in ((events, "2024-03-07"), (events, "2024-03-08"), (moved, "2024-03-09"))
        ]
        now = read.events(connection, SYMBOL)
        before = read.events(connection, SYMBOL, known_at=at("2024-03-08T12:00"))
    assert added == [2, 0, 1]
    assert [day.date().isoformat() for day in now["session"]] == ["2024-01-31", "2024-04-30"]
    assert [day.date().isoformat() for day in before["session"]] == ["2024-01-31", "2024-05-01"]
