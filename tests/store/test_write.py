from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from forecasting.errors import DataLateError
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
    event_frame,
    fetched,
    forecast_row,
    model_row,
    part_rows,
    promotion_row,
    revision,
    run_row,
    score_row,
    start,
    total_row,
)

METRIC = {
    "model_id": "m",
    "symbol": "S",
    "target": "volume",
    "metric": "mae",
    "scope": "live",
    "run_id": "r",
}
METRIC |= {"window_from": date(2024, 3, 1), "window_to": date(2024, 3, 8), "n": 1}


def metrics(*horizons, value=1.0):
    return [METRIC | {"horizon": horizon, "value": value} for horizon in horizons]


def all_rows(connection):
    return {
        table.name: [
            tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))
        ]
        for table in schema.metadata.sorted_tables
        if not table.name.endswith("_lock")
    }


def a_night(connection):
    """A row in every table."""
    versions = bar_rows({"2024-03-07": 80.0, "2024-03-08": 90.0})
    change = revision(
        versions,
        settled=("2024-03-07",),
        actions=make_actions([("2024-03-07", "dividend", 0.57)]),
        findings=(Finding(date(2024, 3, 8), "low_volume", "flag", float("nan"), "half of usual"),),
    )
    when = at("2024-03-08T21:00")
    forecast = forecast_row("m1", "2024-03-07", run_id="r1", fetch_id="f1")
    added = write.add_fetch(
        connection, fetched(versions), change, fetch_id="f1", fetched_at=when, run_id="r1"
    )
    margin = {
        "run_id": "r1",
        "symbol": SYMBOL,
        "target": TARGET,
        "session": date(2024, 3, 7),
        "baseline": "ridge",
    }
    margin |= {
        "deficit": 0.06,
        "origins": 250,
        "statistic": 1.2,
        "limit_statistic": 3.0,
        "limit_deficit": 0.05,
    }
    return [
        int(added),
        write.add_events(
            connection, SYMBOL, event_frame("2024-05-01"), source="csv", first_seen_at=when
        ),
        write.add(connection, "runs", run_row("r1", "2024-03-07")),
        write.add(connection, "models", model_row("m1")),
        write.add(connection, "forecasts", forecast),
        write.add_scores(
            connection, [score_row(forecast, inside_80=np.bool_(True), bar_version=np.int64(1))]
        ),
        write.add(connection, "promotions", promotion_row("m1", "2024-03-08")),
        write.add(connection, "metrics", *metrics(0)),
        write.add(connection, "forecast_parts", *part_rows(forecast, usual=50.0, report=2.0)),
        write.add(connection, "fallback_margins", margin),
        write.add(connection, "total_forecasts", total_row(forecast)),
        write.add(connection, "total_scores", score_row(forecast)),
    ]


def test_a_night_written_twice_is_stored_once(connection):
    assert a_night(connection) == [1] * 8 + [2, 1, 1, 1]
    once = all_rows(connection)
    assert {name: len(rows) for name, rows in once.items()} == {
        **dict.fromkeys(once, 1),
        "bar_versions": 2,
        "forecast_parts": 2,
        "standings": 6,  # three windows, of the published forecasts and of the network
    }
    assert a_night(connection) == [0] * 12
    assert all_rows(connection) == once


def test_a_failed_transaction_writes_nothing(database_url):
    with pytest.raises(RuntimeError), transaction(database_url) as connection:
        a_night(connection)
        raise RuntimeError
    with reading(database_url) as connection:
        assert not any(all_rows(connection).values())


def test_a_restated_bar_touches_no_other_session_symbol_or_older_version(connection):
    def fetch(symbol, seen, versions, *settled):
        brought = replace(fetched(bar_rows({"2024-03-06": 1.0, "2024-03-08": 1.0})), symbol=symbol)
        change = revision(versions, settled=settled)
        id = f"{symbol} {seen}"
        assert write.add_fetch(
            connection, brought, change, fetch_id=id, fetched_at=at(seen), run_id=""
        )

    three = {"2024-03-06": 1.0, "2024-03-07": 1.0, "2024-03-08": 1.0}
    for symbol in (SYMBOL, "MSFT"):
        fetch(symbol, "2024-03-09", bar_rows(three))
    fetch("MSFT", "2024-03-10", bar_rows({"2024-03-07": 2.0}, version=2))
    fetch(SYMBOL, "2024-03-11", bar_rows({"2024-03-06": 2.0, "2024-03-08": 2.0}, version=2))
    fetch(
        SYMBOL, "2024-03-12", bar_rows({"2024-03-08": 3.0}, version=3), "2024-03-06", "2024-03-07"
    )
    fetch(SYMBOL, "2024-03-13", bar_rows({}), "2024-03-06")  # which is settled, once
    table = schema.bar_versions
    columns = (
        table.c.symbol,
        table.c.session,
        table.c.version,
        table.c.superseded_at,
        table.c.settled_at,
    )
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


def test_a_fetch_is_stored_with_what_was_asked_received_and_concluded(connection):
    first = date(2024, 3, 7)
    last = date(2024, 3, 8)
    when = at("2024-03-08T21:00")
    whole = replace(fetched(bar_rows({"2024-03-07": 1.0, "2024-03-08": 1.0})), currency="USD")
    empty = replace(whole, bars=whole.bars.iloc[:0])
    late = nothing_changed(DataLateError("no bar of 2024-03-08 yet"))
    for id, response, change in (("whole", whole, revision(bar_rows({}))), ("empty", empty, late)):
        assert write.add_fetch(
            connection, response, change, fetch_id=id, fetched_at=when, run_id="r1"
        )
    rows = [
        dict(row) for row in connection.execute(sa.select(schema.fetches).order_by("id")).mappings()
    ]
    names = (
        "first_received",
        "last_received",
        "row_count",
        "adjustment_session",
        "adjustment",
        "verdict",
        "detail",
    )
    assert [tuple(row[name] for name in names) for row in rows] == [
        (None, None, 0, None, None, "late", "no bar of 2024-03-08 yet"),
        (first, last, 2, last, 1.0, "extended", "for a test"),
    ]
    assert [row["payload_hash"] for row in rows] == [payload_hash(empty), payload_hash(whole)]
    asked = {
        "run_id": "r1",
        "source": "csv:SBUX.csv",
        "symbol": SYMBOL,
        "title": "Starbucks",
        "currency": "USD",
    }
    asked |= {
        "first_asked": first,
        "last_asked": last,
        "fetched_at": when,
        "library_version": "pandas 3",
    }
    assert [{name: row[name] for name in asked} for row in rows] == [asked, asked]


def test_a_forecast_that_breaks_the_schema_is_refused_and_not_ignored(connection):
    start(connection, origins=("2024-03-07",))
    broken = [
        {"q05": 75.0, "q10": 74.0},
        {"q95": float("nan")},
        {"target_session": date(2024, 3, 7)},
    ]
    for each in (*broken, {"model_id": "missing"}, {"run_id": "none"}):
        with pytest.raises(IntegrityError), connection.begin_nested():
            write.add(connection, "forecasts", forecast_row("lstm", "2024-03-07") | each)


# What values become, and what a database refuses.


def test_the_count_is_of_new_rows_and_a_stored_row_stays(connection):
    # One of them twice
    assert write.add(connection, "metrics", *metrics(*range(0, 30, 2), 0)) == 15
    assert write.add(connection, "metrics", *metrics(*range(30), value=2.0)) == 15
    table = schema.metrics
    kept = connection.execute(sa.select(table.c.value).order_by(table.c.horizon)).scalars().all()
    assert kept == [1.0 + horizon % 2 for horizon in range(30)]


def test_values_of_numpy_and_pandas_are_stored_as_python_ones(connection):
    started = datetime(2024, 3, 8, 17, 0, 0, 250, tzinfo=timezone(timedelta(hours=-5)))
    row = run_row("r1", "2024-03-08") | {
        "as_of": pd.Timestamp("2024-03-08"),
        "started_at": pd.Timestamp(started),
    }
    row |= {
        "finished_at": pd.NaT,
        "seconds_train": np.float64("nan"),
        "seconds_predict": np.float32(0.5),
    }
    write.add(connection, "runs", row | {"note": np.str_("quiet")})
    found = connection.execute(sa.select(schema.runs)).one()
    assert (found.as_of, found.started_at) == (date(2024, 3, 8), started.astimezone(UTC))
    assert (found.finished_at, found.seconds_train, found.seconds_predict, found.note) == (
        None,
        None,
        0.5,
        "quiet",
    )


def test_texts_and_numbers_are_read_back_exactly(connection):
    texts = [
        '"quoted"',
        "back\\slash",
        "{a,b}",
        "NULL",
        "",
        "two\nlines",
        " spaces ",
        "it's",
        "Größe %s",
    ]
    values = [
        0.1 + 0.2,
        -1.5,
        0.0,
        5e-324,
        -1.7976931348623157e308,
        float("inf"),
        1e16,
        123456789.123,
        1 / 3,
    ]
    given = [
        metrics(at)[0] | {"baseline": texts[at], "value": values[at]} for at in range(len(texts))
    ]
    # Other columns
    given = [row | ({} if place == 3 else {"p_value": 0.5}) for place, row in enumerate(given)]
    assert write.add(connection, "metrics", *given) == len(texts)
    table = schema.metrics
    columns = (table.c.baseline, table.c.value, table.c.p_value)
    found = connection.execute(sa.select(*columns).order_by("horizon")).all()
    assert [row.baseline for row in found] == texts
    assert [row.value.hex() for row in found] == [value.hex() for value in values]
    assert [row.p_value for row in found] == [0.5] * 3 + [None] + [0.5] * 5


def test_characters_that_a_database_refuses_are_stored_as_the_sign_for_unknown_ones(connection):
    write.add(
        connection,
        "runs",
        run_row("r1", "2024-03-08", note="a\0b \ud800 c", error="\udfff\U0001f600"),
    )
    connection.execute(
        sa.update(schema.runs).values(write.plain({"mode_reason": "d\0"}, schema.runs))
    )
    columns = (schema.runs.c.note, schema.runs.c.error, schema.runs.c.mode_reason)
    found = tuple(connection.execute(sa.select(*columns)).one())
    assert found == ("a\ufffdb \ufffd c", "\ufffd\U0001f600", "d\ufffd")


def test_a_missing_value_is_refused(connection):
    with pytest.raises(IntegrityError):
        write.add(connection, "metrics", *metrics(1, value=float("nan")))


# Findings.

FIRST = date(2024, 3, 4)
BAD = date(2024, 3, 5)
LAST = date(2024, 3, 7)


def night(
    connection,
    seen,
    *findings,
    sessions=(FIRST, LAST),
    symbol=SYMBOL,
):
    """A fetch at noon of the day `seen`, asked for the span of `sessions`, that found these."""
    response = replace(fetched(bar_rows({day.isoformat(): 1.0 for day in sessions})), symbol=symbol)
    change = revision(bar_rows({}), findings=findings)
    id = seen if symbol == SYMBOL else symbol
    return write.add_fetch(
        connection, response, change, fetch_id=id, fetched_at=at(f"{seen}T12:00"), run_id=""
    )


def rejected(value=None, day=BAD):
    return Finding(day, "price_unknown", "reject", value, "A price is missing.")


def jump(day=BAD):
    return Finding(day, "price_jump", "flag", 2.1, "Close moved.")


def stored(connection):
    """Rule, fetch that first showed it and the day on which it was cleared."""
    table = schema.findings
    found = connection.execute(
        sa.select(table).order_by(table.c.fetch_id, table.c.session, table.c.rule)
    )
    return [
        (row.rule, row.fetch_id, f"{row.cleared_at:%Y-%m-%d}" if row.cleared_at else None)
        for row in found
    ]


OLD = {"sessions": (FIRST,)}
NEW = {"sessions": (date(2024, 3, 6), LAST)}
NIGHTS: dict[
    str, tuple[list[tuple[list[Finding], dict[str, Any]]], list[tuple[int, int | None]]]
] = {
    "the same bad row every night": ([([rejected()], {})] * 4, [(8, None)]),
    "corrected, then wrong again": (
        [([rejected()], {}), ([], {}), *[([rejected()], {})] * 2],
        [(8, 9), (10, None)],
    ),
    "not covered by later fetches": ([([rejected()], {}), ([], NEW), ([], OLD)], [(8, None)]),
    "wrong in another way": (
        [([rejected(by)], {}) for by in (100.0, 100.0000001, 250.0)],
        [(8, 10), (10, None)],
    ),
    "a flag is cleared by its own fetch": ([([jump()], {})] * 2, [(8, 8), (9, 9)]),
}


@pytest.mark.parametrize("case", NIGHTS)
def test_a_finding_is_stored_once_and_cleared_by_the_fetch_that_no_longer_shows_it(
    connection, case
):
    nights, expected = NIGHTS[case]
    for day, (findings, asked) in enumerate(nights, 8):
        assert night(connection, f"2024-03-{day:02}", *findings, **asked)
        assert not night(connection, f"2024-03-{day:02}", *findings, **asked)
    rule = nights[0][0][0].rule
    days = [
        (f"2024-03-{seen:02}", cleared and f"2024-03-{cleared:02}") for seen, cleared in expected
    ]
    assert stored(connection) == [(rule, *each) for each in days]


def test_a_night_shows_its_open_and_its_new_findings(connection):
    night(connection, "2024-03-08", rejected(), jump(LAST))
    night(connection, "2024-03-09", rejected(), rejected(day=FIRST))
    night(connection, "2024-03-10", rejected(day=FIRST))
    night(connection, "2024-03-11", symbol="MSFT")
    shown = {id: read.findings(connection, id) for id in ("2024-03-08", "2024-03-09", "2024-03-10")}
    days = {id: [day.date() for day in frame["session"]] for id, frame in shown.items()}
    assert days == {"2024-03-08": [BAD, LAST], "2024-03-09": [FIRST, BAD], "2024-03-10": [FIRST]}
    assert read.findings(connection, "MSFT").empty
    # Another symbol's fetch clears none
    assert stored(connection)[-1] == ("price_unknown", "2024-03-09", None)
    since = shown["2024-03-09"]["since"]
    assert since.tolist() == [
        pd.Timestamp(at("2024-03-09T12:00")),
        pd.Timestamp(at("2024-03-08T12:00")),
    ]
