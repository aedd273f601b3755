from collections import defaultdict
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from sqlalchemy.exc import IntegrityError

from forecasting.errors import DataLateError, RateLimitedError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import payload_hash
from forecasting.ingest.revisions import nothing_changed
from forecasting.store import read, schema, write
from forecasting.store.connect import reading, transaction
from forecasting.store.files import write_whole
from tests.store.rows import (
    SYMBOL,
    add_scores,
    all_rows,
    at,
    bar_rows,
    event_frame,
    fetched,
    forecast_row,
    model_row,
    part_rows,
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
    "window_from": date(2024, 3, 1),
    "window_to": date(2024, 3, 8),
    "n": 1,
}


def metrics(*horizons, value=1.0):
    return [METRIC | {"horizon": horizon, "value": value} for horizon in horizons]


def every_row(connection):
    return {
        table.name: all_rows(connection, table)
        for table in schema.metadata.sorted_tables
        if not table.name.endswith("_lock")
    }


def a_night(connection):
    """A row in every table."""
    versions = bar_rows({"2024-03-07": 80.0, "2024-03-08": 90.0})
    low = Finding(date(2024, 3, 8), "low_volume", "flag", float("nan"), "half of usual")
    actions = make_actions([("2024-03-07", "dividend", 0.57)])
    change = revision(versions, settled=("2024-03-07",), actions=actions, findings=(low,))
    when = at("2024-03-08T21:00")
    about = {"fetch_id": "f1", "fetched_at": when, "run_id": "r1"}
    event = event_frame("2024-05-01")
    forecast = forecast_row("m1", "2024-03-07", run_id="r1", fetch_id="f1")
    score = score_row(forecast, inside_80=np.bool_(True), bar_version=np.int64(1))
    return [
        int(write.add_fetch(connection, fetched(versions), change, **about)),
        write.add_frame(connection, "events", event, symbol=SYMBOL, first_seen_at=when),
        write.add(connection, "runs", run_row("r1", "2024-03-07")),
        write.add(connection, "models", model_row("m1")),
        write.add(connection, "weights", {"model_id": "m1", "card": "{}", "tensors": b"\0"}),
        write.add(connection, "forecasts", forecast),
        add_scores(connection, [score]),
        write.add(connection, "metrics", *metrics(0)),
        write.add(connection, "forecast_parts", *part_rows(forecast, usual=50.0, report=2.0)),
        write.add(connection, "total_forecasts", total_row(forecast)),
        write.add(connection, "total_scores", score_row(forecast)),
    ]


def test_a_night_written_twice_is_stored_once(connection):
    assert a_night(connection) == [1] * 8 + [2, 1, 1]
    once = every_row(connection)
    assert {name: len(rows) for name, rows in once.items()} == {
        **dict.fromkeys(once, 1),
        "bar_versions": 2,
        "forecast_parts": 2,
        "standings": 6,  # three windows, of the published forecasts and of the network
    }
    assert a_night(connection) == [0] * 11
    assert every_row(connection) == once


def test_a_failed_transaction_writes_nothing(database_url):
    with pytest.raises(RuntimeError), transaction(database_url) as connection:
        a_night(connection)
        raise RuntimeError
    with reading(database_url) as connection:
        assert not any(every_row(connection).values())


def test_a_restated_bar_touches_no_other_session_symbol_or_older_version(connection):
    def fetch(symbol, day, volumes, version=1, settled=()):
        response = fetched(bar_rows({"2024-03-06": 1.0}), symbol)
        change = revision(bar_rows(volumes, version=version), settled=settled)
        about = {"fetch_id": f"{symbol} {day}", "fetched_at": at(f"2024-03-{day}"), "run_id": ""}
        assert write.add_fetch(connection, response, change, **about)

    three = {"2024-03-06": 1.0, "2024-03-07": 1.0, "2024-03-08": 1.0}
    fetch(SYMBOL, "09", three)
    fetch("MSFT", "09", three)
    fetch("MSFT", "10", {"2024-03-07": 2.0}, 2)
    fetch(SYMBOL, "11", {"2024-03-06": 2.0, "2024-03-08": 2.0}, 2)
    fetch(SYMBOL, "12", {"2024-03-08": 3.0}, 3, ("2024-03-06", "2024-03-07"))
    fetch(SYMBOL, "13", {}, settled=("2024-03-06",))  # which is settled, once
    found = defaultdict(list)
    for row in all_rows(connection, schema.bar_versions):
        instants = (row["superseded_at"], row["settled_at"])
        days = [instant and instant.day for instant in instants]
        found[row["symbol"], row["session"].day].append((row["version"], *days))
    assert found == {
        ("MSFT", 6): [(1, None, None)],
        ("MSFT", 7): [(1, 10, None), (2, None, None)],
        ("MSFT", 8): [(1, None, None)],
        (SYMBOL, 6): [(1, 11, None), (2, None, 12)],
        (SYMBOL, 7): [(1, None, 12)],
        (SYMBOL, 8): [(1, 11, None), (2, 12, None), (3, None, None)],
    }


def test_a_fetch_is_stored_with_what_was_asked_received_and_concluded(connection):
    days = (date(2024, 3, 7), date(2024, 3, 8))
    whole = replace(fetched(bar_rows(dict.fromkeys(map(str, days), 1.0))), currency="USD")
    empty = replace(whole, bars=whole.bars.iloc[:0])
    late = nothing_changed(DataLateError("no bar of 2024-03-08 yet"))
    about = {"run_id": "r1", "fetched_at": at("2024-03-08T21:00")}
    write.add_fetch(connection, whole, revision(bar_rows({})), fetch_id="whole", **about)
    write.add_fetch(connection, empty, late, fetch_id="empty", **about)
    limited = nothing_changed(RateLimitedError("HTTP 429", 120.0))
    write.add_fetch(connection, empty, limited, fetch_id="limited", **about)
    asked = {
        **about,
        "source": "csv:SBUX.csv",
        "symbol": SYMBOL,
        "title": "Starbucks",
        "currency": "USD",
        "first_asked": days[0],
        "last_asked": days[1],
        "library_version": "pandas 3",
    }
    names = ("id", "first_received", "last_received", "row_count", "payload_hash")
    names += ("adjustment_session", "adjustment", "verdict", "detail", "paused_until")
    until = at("2024-03-08T21:02")
    nothing = (None, None, 0, payload_hash(empty), None, None)
    received = [
        ("empty", *nothing, late.verdict, late.detail, None),
        ("limited", *nothing, limited.verdict, limited.detail, until),
        ("whole", *days, 2, payload_hash(whole), days[1], 1.0, "extended", "for a test", None),
    ]
    assert all_rows(connection, schema.fetches) == [
        asked | dict(zip(names, row, strict=True)) for row in received
    ]
    assert read.paused_until(connection, "csv:SBUX.csv") == until
    assert read.paused_until(connection, "csv:KO.csv") is None


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
    kept = [row["value"] for row in all_rows(connection, schema.metrics)]
    assert kept == [1.0 + horizon % 2 for horizon in range(30)]


def test_characters_that_a_database_refuses_are_stored_as_the_sign_for_unknown_ones(connection):
    given = {"note": "a\0b \ud800 c", "error": "\udfff\U0001f600"}
    write.add(connection, "runs", run_row("r1", "2024-03-08", **given))
    (found,) = all_rows(connection, schema.runs)
    assert (found["note"], found["error"]) == ("a\ufffdb \ufffd c", "\ufffd\U0001f600")


# Findings.

FIRST = date(2024, 3, 4)
BAD = date(2024, 3, 5)
LAST = date(2024, 3, 7)


def night(connection, day, *findings, first=FIRST, last=LAST, symbol=SYMBOL):
    """A fetch of a day of March at noon, asked for a span, that found these; whether it is new."""
    response = fetched(bar_rows({str(first): 1.0, str(last): 1.0}), symbol)
    change = revision(bar_rows({}), findings=findings)
    about = {"fetch_id": f"{symbol} {day}", "fetched_at": at(f"2024-03-{day:02}T12:00")}
    return write.add_fetch(connection, response, change, run_id="", **about)


def rejected(value=None, day=BAD):
    return Finding(day, "price_unknown", "reject", value, "A price is missing.")


JUMP = Finding(LAST, "price_jump", "flag", 2.1, "Close moved.")


def stored(connection):
    """Fetch that first showed each finding, and the day on which it was cleared."""
    return sorted(
        (row["fetch_id"], row["cleared_at"] and row["cleared_at"].day)
        for row in all_rows(connection, schema.findings)
    )


OLD = {"last": FIRST}
NEW = {"first": date(2024, 3, 6)}


@pytest.mark.parametrize(
    ("nights", "expected"),
    [
        ([(rejected(), {})] * 4, [(8, None)]),
        ([(rejected(), {}), (None, {}), *[(rejected(), {})] * 2], [(8, 9), (10, None)]),
        ([(rejected(), {}), (None, NEW), (None, OLD)], [(8, None)]),
        ([(rejected(by), {}) for by in (100.0, 100.0000001, 250.0)], [(8, 10), (10, None)]),
        ([(JUMP, {})] * 2, [(8, 8), (9, 9)]),
    ],
    ids=["the same", "corrected, then wrong", "not covered", "wrong in another way", "a flag"],
)
def test_a_finding_is_stored_once_and_cleared_by_the_fetch_that_no_longer_shows_it(
    connection, nights, expected
):
    for day, (finding, asked) in enumerate(nights, 8):
        findings = [finding] if finding else []
        assert night(connection, day, *findings, **asked)
        assert not night(connection, day, *findings, **asked)
    days = sorted((f"{SYMBOL} {first}", cleared) for first, cleared in expected)
    assert stored(connection) == days


@pytest.mark.parametrize("day", [None, date(2027, 1, 4)], ids=["no date", "after today"])
def test_a_row_of_no_session_yet_stays_open_by_its_line_whatever_sessions_are_asked_for(
    connection, day
):
    lines = [Finding(day, "row_unreadable", "reject", line, "Left out.") for line in (602, 603)]
    shown = lines if day is None else lines[:1]
    night(connection, 8, *shown)
    night(connection, 9, *shown, **OLD)
    assert stored(connection) == [(f"{SYMBOL} 8", None)] * len(shown)
    assert read.findings(connection, f"{SYMBOL} 9")["value"].tolist() == [602, 603][: len(shown)]
    night(connection, 10, **OLD)
    assert stored(connection) == [(f"{SYMBOL} 8", 10)] * len(shown)


def test_a_night_shows_its_open_and_its_new_findings(connection):
    night(connection, 8, rejected(), JUMP)
    night(connection, 9, rejected(), rejected(day=FIRST))
    night(connection, 10, rejected(day=FIRST))
    night(connection, 11, symbol="MSFT")
    for day, shown in {8: [BAD, LAST], 9: [FIRST, BAD], 10: [FIRST]}.items():
        found = read.findings(connection, f"{SYMBOL} {day}")
        assert found["session"].dt.date.tolist() == shown
    assert read.findings(connection, "MSFT 11").empty
    # Another symbol's fetch clears none
    assert stored(connection)[-1] == (f"{SYMBOL} 9", None)
    since = read.findings(connection, f"{SYMBOL} 9")["since"]
    assert since.dt.day.tolist() == [9, 8]


def test_a_file_is_written_whole_through_a_link_or_left_as_it_was(tmp_path):
    (tmp_path / "folder").mkdir()
    real = tmp_path / "folder" / "real.csv"
    link = tmp_path / "link.csv"
    link.symlink_to(real)
    write_whole(link, lambda draft: draft.write_text("one"))
    assert (real.read_text(), link.is_symlink()) == ("one", True)

    def half(draft):
        draft.write_text("half")
        raise OSError

    with pytest.raises(OSError):
        write_whole(link, half)
    assert real.read_text() == "one"
    assert [path.name for path in real.parent.iterdir()] == ["real.csv"]
