"""What the index reads: the newest night of every symbol and target, whatever else the ledger holds."""

from __future__ import annotations

from datetime import date

import pandas as pd
import sqlalchemy as sa

from forecasting.store import read, write
from forecasting.store.connect import reading, transaction
from forecasting.values import parse_alerts
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, part_rows, run_row, score_row, start

FIRST, LAST = "2024-03-07", "2024-03-08"


def ledger(connection: sa.Connection) -> None:
    """Two nights of SBUX, the newer one issued twice, with a baseline and a second horizon that do not count."""
    start(connection, origins=(FIRST, LAST), models=("lstm", "ridge"))
    newest = forecast_row("lstm", LAST)
    write.add_forecasts(
        connection,
        [
            forecast_row("lstm", FIRST),
            forecast_row("ridge", FIRST, role="baseline"),
            newest,
            newest | {"kind": "replay", "issued_at": at("2025-01-01T00:00")},
            forecast_row("lstm", LAST, 2),
        ],
    )


def test_the_newest_night_is_its_live_forecast_one_session_ahead(database_url: str) -> None:
    with transaction(database_url) as connection:
        ledger(connection)
    with reading(database_url) as connection:
        (night,) = read.newest_nights(connection)
    assert (night["symbol"], night["target"], night["kind"]) == (SYMBOL, TARGET, "live")
    assert (night["origin_session"], night["horizon"]) == (date(2024, 3, 8), 1)
    assert night["title"] == "Starbucks"


def test_alerts_are_counted_on_the_published_forecasts_one_session_ahead(database_url: str) -> None:
    raised = {name: 160.0 + 10.0 * place for place, name in enumerate(QUANTILE_COLUMNS)}
    old, newest = forecast_row("lstm", FIRST), forecast_row("lstm", LAST, **raised)
    hidden = forecast_row("lstm", LAST, kind="replay", issued_at=at("2025-01-01T00:00"))
    rows = [old, newest, hidden, forecast_row("ridge", FIRST, role="baseline"), forecast_row("lstm", LAST, 2)]
    text = "median > 1.5 usual; width < 41; median < 150; SBUX q90 > 100; MSFT q05 > 0"
    with transaction(database_url) as connection:
        start(connection, origins=(FIRST, LAST), models=("lstm", "ridge"))
        write.add_forecasts(connection, rows)
        write.add(connection, "forecast_parts", *part_rows(newest, usual=100.0, report=1.9))
    with reading(database_url) as connection:
        found = read.alerts_held(connection, [SYMBOL, "MSFT"], TARGET, parse_alerts(text), nights=250)
        (one,) = read.alerts_held(connection, [SYMBOL], TARGET, parse_alerts("q50 > 0"), nights=1)
        close = read.alerts_held(connection, [SYMBOL], "close", parse_alerts(text), nights=250)
    assert [(str(row["alert"]), row["held"], row["nights"], row["tonight"]) for row in found] == [
        ("median > 1.5 usual", 1, 1, True),  # the older night has no usual value
        ("width < 41", 2, 2, True),
        ("median < 150", 1, 2, False),
        ("SBUX q90 > 100", 2, 2, True),
    ]
    assert (one["held"], one["nights"], close) == (1, 1, [])


def test_an_assistants_questions_are_answered_from_the_newest_rows(database_url: str) -> None:
    newest, next_one = forecast_row("lstm", LAST), forecast_row("lstm", LAST, 2)
    with transaction(database_url) as connection:
        start(connection, origins=(FIRST, LAST), models=("lstm", "ridge"))
        write.add_forecasts(connection, [forecast_row("lstm", FIRST), newest, next_one, newest | {"kind": "replay"}])
        write.add_forecasts(connection, [forecast_row("ridge", LAST, role="baseline")])
        write.add(
            connection, "forecast_parts", *part_rows(newest, usual=40.0, report=2.5), *part_rows(next_one, usual=100.0)
        )
        write.add(connection, "forecast_parts", *part_rows(forecast_row("lstm", FIRST), usual=100.0))
    with reading(database_url) as connection:
        for symbol in (SYMBOL, ""):
            found = {
                name: read.answer(connection, name, symbol=symbol, target=TARGET, limit=3)
                for name in ("latest", "history", "skill", "why")
            }
            assert [(row["horizon"], row["usual"]) for row in found["latest"]] == [(1, 40.0), (2, 100.0)]
            assert [(row["origin_session"], row["role"]) for row in found["history"]] == [
                (date(2024, 3, 8), "champion")
            ] * 3
            assert [(row["part"], row["factor"]) for row in found["why"]] == [
                ("usual", 40.0),
                ("report", 2.5),
                ("usual", 100.0),
            ]
            assert found["skill"] == []
        assert read.answer(connection, "latest", symbol="MSFT", target=TARGET, limit=3) == []


def test_the_last_result_is_the_newest_origins_settled_score(database_url: str) -> None:
    forecast, baseline = forecast_row("lstm", FIRST), forecast_row("ridge", FIRST, role="baseline")
    with transaction(database_url) as connection:
        ledger(connection)
        scores = [score_row(forecast), score_row(forecast, stage="settled", bar_version=2, actual=99.0)]
        write.add_scores(connection, [*scores, score_row(baseline, stage="settled", bar_version=2, actual=1.0)])
    with reading(database_url) as connection:
        found = read.last_results(connection, [SYMBOL], first=date(2024, 3, 1))
        assert read.last_results(connection, [SYMBOL], first=date(2024, 3, 8)) == {}
    assert found[SYMBOL, TARGET]["actual"] == 99.0
    assert found[SYMBOL, TARGET]["q50"] == 100.0


def test_the_newest_run_is_that_of_the_newest_session(database_url: str) -> None:
    with transaction(database_url) as connection:
        write.add(connection, "runs", run_row("a", "2024-03-08"))
        write.add(connection, "runs", run_row("b", "2024-03-11", status="late", note="no bar"))
    with reading(database_url) as connection:
        found = read.newest_runs(connection, [SYMBOL], first=date(2024, 3, 9))
        assert read.newest_runs(connection, [SYMBOL], first=date(2024, 3, 12)) == {}
    assert (found[SYMBOL, TARGET]["status"], found[SYMBOL, TARGET]["note"]) == ("late", "no bar")


def add_event(connection: sa.Connection, symbol: str, session: date, rule: str, day: str) -> None:
    stamp = pd.Timestamp(session)
    row = {"session": stamp, "kind": "earnings", "known_from": pd.Timestamp(day), "known_rule": rule}
    event = pd.DataFrame([row | {"announced": stamp - pd.Timedelta(days=1), "timing": "amc"}])
    write.add_events(connection, symbol, event, source="yahoo", first_seen_at=at(f"{day}T10:30"))


def test_events_of_any_number_of_symbols_take_one_statement(database_url: str) -> None:
    session, symbols = date(2024, 5, 8), ("AAPL", "MSFT", SYMBOL)
    with transaction(database_url) as connection:
        for symbol in symbols:
            add_event(connection, symbol, session, "seen", "2024-04-13")
        add_event(connection, "MSFT", session, "withdrawn", "2024-04-20")
    with reading(database_url) as connection:
        statements: list[str] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *of: statements.append(of[2]))
        found = read.events_on(connection, {session})
    assert found == {("AAPL", session): ["earnings"], (SYMBOL, session): ["earnings"]}
    assert len(statements) == 1
