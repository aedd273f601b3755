from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import sqlalchemy as sa

from forecasting.store import read, write
from forecasting.store.read import unscored_forecasts
from forecasting.values import parse_alerts
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, model_row, part_rows, run_row, store_bars, store_scored


def test_the_newest_finished_night_is_the_newest_that_is_done(connection):
    for day, status in ((5, "done"), (6, "done"), (7, "running")):
        write.add(connection, "runs", run_row(f"r{day}", f"2024-03-0{day}", status=status))
    assert read.newest_finished(connection, SYMBOL, TARGET) == date(2024, 3, 6)
    assert read.newest_finished(connection, SYMBOL, "close") is None


def test_the_market_series_of_a_run_is_that_of_the_fetch_that_it_names(connection):
    store_bars(connection, {"2024-03-05": 1.0}, seen="2024-03-05T22:00")
    used = run_row("with", "2024-03-05", market_fetch="2024-03-05T22:00")
    write.add(connection, "runs", used, run_row("without", "2024-03-06"))
    found = [read.market_of_run(connection, run_id) for run_id in ("with", "without", "no such", None)]
    assert found == [SYMBOL, "", "", ""]


def test_the_durations_of_several_symbols_are_those_of_the_target_alone(connection):
    others: list[dict] = [{}, {"symbol": "MSFT"}, {"symbol": "OTHER"}, {"target": "close"}]
    nights = [run_row(f"r{place}", "2024-03-05", seconds_train=2.0, **other) for place, other in enumerate(others)]
    write.add(connection, "runs", *nights)
    found = read.durations(connection, [SYMBOL, "MSFT"], TARGET)
    trained = found[found["step"] == "train"].sort_values("symbol")
    assert trained[["symbol", "n", "median_seconds"]].values.tolist() == [["MSFT", 1, 2.0], [SYMBOL, 1, 2.0]]


def test_the_running_nights_are_those_of_that_status_oldest_first(connection):
    for as_of, status in (("2024-03-07", "running"), ("2024-03-05", "running"), ("2024-03-06", "done")):
        write.add(connection, "runs", run_row(as_of, as_of, status=status))
    assert read.running(connection) == ["2024-03-05", "2024-03-07"]


def base_row(id: str, day: int, **changed: object) -> dict[str, object]:
    """Pretrained weights made in the evening of a day in March."""
    made = {"method": "base", "symbol": "", "scope": "panel", "base": f"{TARGET}-{id}"}
    files = {"artifact_path": f"weights/{id}", "artifact_hash": "0" * 64, "trained_to": date(2024, 3, day)}
    return model_row(id, created_at=at(f"2024-03-0{day}T22:00"), **{**made, **files, **changed})


def test_pretrained_weights_are_read_newest_first_and_as_known_at_an_instant(connection: sa.Connection) -> None:
    others = [model_row("m1"), base_row("range", 4, target="range")]
    write.add(connection, "models", *others, base_row("older", 4), base_row("newer", 6))
    assert [row["id"] for row in read.pretrained(connection, TARGET)] == ["newer", "older"]
    (known,) = read.pretrained(connection, TARGET, known_at=at("2024-03-06T21:59"))
    assert known["id"] == "older"
    assert len(read.pretrained(connection, TARGET, known_at=at("2024-03-06T22:00"))) == 2


def test_the_ids_of_kept_and_of_pruned_weights_are_those_of_the_symbol_newest_first(connection: sa.Connection) -> None:
    made = {"older": 1, "old": 4, "new": 5, "newer": 6}
    kept = {"artifact_path": "artifacts/x", "artifact_hash": "0" * 64}
    rows = [model_row(id, created_at=at(f"2024-03-0{day}T22:00"), **kept) for id, day in made.items()]
    rows[:2] = [row | {"artifact_path": None} for row in rows[:2]]
    write.add(connection, "models", *rows, model_row("baseline"), model_row("of another", symbol="KO", **kept))
    assert read.network_ids(connection, SYMBOL, TARGET, pruned=False) == ["newer", "new"]
    assert read.network_ids(connection, SYMBOL, TARGET, pruned=True) == ["old", "older"]


def test_parents_are_named_from_the_nearest_to_the_oldest_and_once_in_a_circle(connection: sa.Connection) -> None:
    links = ("cb", "ba", "a?", "xy", "yx")
    write.add(connection, "models", *(model_row(child, parent_id=parent) for child, parent in links))
    assert read.lineage(connection, "c")["parents"] == ["b", "a", "?"]
    assert read.lineage(connection, "x")["parents"] == ["y", "x"]
    assert read.lineage(connection, "nobody")["parents"] == []


def test_the_champion_is_the_winner_of_the_newest_promotion(connection):
    row = {"symbol": SYMBOL, "target": TARGET, "session": date(2024, 3, 8), "challenger": "m1", "origins": 0}
    row |= {"reason": "", "trigger": "night"}
    write.add(connection, "models", *(model_row(id, created_at=at(f"2024-03-0{id[1]}")) for id in ("m1", "m2")))
    for minute, winner in enumerate(("m2", "m1")):
        decided = {"id": f"p{minute}", "winner": winner, "decided_at": at(f"2024-03-08T22:0{minute}")}
        write.add(connection, "promotions", row | decided)
    champion = read.champion(connection, SYMBOL, TARGET)
    assert champion is not None
    assert champion["id"] == "m1"
    assert read.champion(connection, SYMBOL, "close") is None
    newest_first = read.table_rows(connection, "models", {"symbol": SYMBOL}, order=("created_at DESC", "id"))
    assert [model["id"] for model in newest_first] == ["m2", "m1"]


FIRST, LAST = "2024-03-07", "2024-03-08"


def ledger(connection: sa.Connection, *scores: dict, of_baseline: Sequence[dict] = ()) -> None:
    """Two nights of SBUX, the newer one issued twice, with a baseline and a second horizon that do not count."""
    newest = forecast_row("lstm", LAST)
    store_scored(
        connection,
        (forecast_row("lstm", FIRST), scores),
        (forecast_row("ridge", FIRST, role="baseline"), of_baseline),
        (newest, []),
        (newest | {"kind": "replay", "issued_at": at("2025-01-01T00:00")}, []),
        (forecast_row("lstm", LAST, 2), []),
    )


def test_the_newest_night_is_its_live_forecast_one_session_ahead(connection: sa.Connection) -> None:
    ledger(connection)
    (night,) = read.newest_nights(connection)
    assert (night["symbol"], night["target"], night["kind"]) == (SYMBOL, TARGET, "live")
    assert (night["origin_session"], night["horizon"]) == (date(2024, 3, 8), 1)
    assert night["title"] == "Starbucks"


def test_alerts_are_counted_on_the_published_forecasts_one_session_ahead(connection: sa.Connection) -> None:
    raised = {name: 160.0 + 10.0 * place for place, name in enumerate(QUANTILE_COLUMNS)}
    old, newest = forecast_row("lstm", FIRST), forecast_row("lstm", LAST, **raised)
    hidden = forecast_row("lstm", LAST, kind="replay", issued_at=at("2025-01-01T00:00"))
    rows = [old, newest, hidden, forecast_row("ridge", FIRST, role="baseline"), forecast_row("lstm", LAST, 2)]
    text = "median > 1.5 usual; width < 41; median < 150; SBUX q90 > 100; MSFT q05 > 0"
    store_scored(connection, *((row, []) for row in rows))
    write.add(connection, "forecast_parts", *part_rows(newest, usual=100.0, report=1.9))
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


def test_an_assistants_questions_are_answered_from_the_newest_rows(connection: sa.Connection) -> None:
    ledger(connection)
    shown = [(FIRST, 1, 100.0), (LAST, 1, 40.0), (LAST, 2, 100.0)]
    for origin, horizon, usual in shown:
        parts = part_rows(forecast_row("lstm", origin, horizon), usual=usual, report=100.0 / usual)
        write.add(connection, "forecast_parts", *parts)
    questions = ("latest", "history", "skill", "why")
    for symbol in (SYMBOL, ""):
        latest, history, skill, why = (
            read.answer(connection, question, symbol=symbol, target=TARGET, limit=3) for question in questions
        )
        assert [(row["horizon"], row["usual"]) for row in latest] == [(1, 40.0), (2, 100.0)]
        assert {(row["origin_session"], row["role"]) for row in history} == {(date(2024, 3, 8), "champion")}
        assert [(row["part"], row["factor"]) for row in why] == [("usual", 40.0), ("report", 2.5), ("usual", 100.0)]
        assert skill == []
    assert read.answer(connection, "latest", symbol="MSFT", target=TARGET, limit=3) == []


def test_the_last_result_is_the_newest_origins_settled_score(connection: sa.Connection) -> None:
    settled = {"stage": "settled", "bar_version": 2, "actual": 99.0}
    ledger(connection, {}, settled, of_baseline=[settled | {"actual": 1.0}])
    found = read.last_results(connection, [SYMBOL], first=date(2024, 3, 1))
    assert read.last_results(connection, [SYMBOL], first=date(2024, 3, 8)) == {}
    assert (found[SYMBOL, TARGET]["actual"], found[SYMBOL, TARGET]["q50"]) == (99.0, 100.0)


def test_the_newest_run_is_that_of_the_newest_session(connection: sa.Connection) -> None:
    write.add(connection, "runs", run_row("a", "2024-03-08"))
    write.add(connection, "runs", run_row("b", "2024-03-11", status="late", note="no bar"))
    found = read.newest_runs(connection, [SYMBOL], first=date(2024, 3, 9))
    assert read.newest_runs(connection, [SYMBOL], first=date(2024, 3, 12)) == {}
    assert (found[SYMBOL, TARGET]["status"], found[SYMBOL, TARGET]["note"]) == ("late", "no bar")


def add_event(connection: sa.Connection, symbol: str, session: date, rule: str, day: str) -> None:
    stamp = pd.Timestamp(session)
    row = {"session": stamp, "kind": "earnings", "known_from": pd.Timestamp(day), "known_rule": rule}
    event = pd.DataFrame([row | {"announced": stamp - pd.Timedelta(days=1), "timing": "amc"}])
    write.add_events(connection, symbol, event, source="yahoo", first_seen_at=at(f"{day}T10:30"))


def test_events_of_any_number_of_symbols_take_one_statement(connection: sa.Connection) -> None:
    session, symbols = date(2024, 5, 8), ("AAPL", "MSFT", SYMBOL)
    for symbol in symbols:
        add_event(connection, symbol, session, "seen", "2024-04-13")
    add_event(connection, "MSFT", session, "withdrawn", "2024-04-20")
    statements: list[str] = []
    sa.event.listen(connection, "before_cursor_execute", lambda *of: statements.append(of[2]))
    found = read.events_on(connection, {session})
    assert found == {("AAPL", session): ["earnings"], (SYMBOL, session): ["earnings"]}
    assert len(statements) == 1


def test_the_parts_of_a_median_are_read_in_their_order(connection):
    rows = [forecast_row("lstm", origin) for origin in ("2024-03-06", "2024-03-07")]
    store_scored(connection, *((row, []) for row in rows))
    for row in rows:
        write.add(connection, "forecast_parts", *part_rows(row, usual=50.0, report=2.5, calendar=0.8))
    found = read.parts(connection, SYMBOL, TARGET, first=date(2024, 3, 7), last=date(2024, 3, 7))
    assert len(read.parts(connection, SYMBOL, TARGET, first=date(2024, 3, 6), last=date(2024, 3, 7))) == 6
    assert list(zip(found["part"], found["factor"], strict=True)) == [("usual", 50), ("report", 2.5), ("calendar", 0.8)]
    assert found["factor"].prod() == 100.0


def test_past_forecasts_are_one_row_per_origin_and_horizon_of_the_network(connection):
    def network_row(model: str, origin: str, horizon: int = 1, **changed: object) -> tuple[dict[str, object], list]:
        label = json.dumps(changed.pop("label", origin))
        return forecast_row(model, origin, horizon, calibration=label, **changed), []

    store_scored(
        connection,
        network_row("lstm", "2024-03-04"),
        network_row("lstm", "2024-03-04", 2),
        network_row("lstm", "2024-03-04", kind="replay", label="not first", issued_at=at("2024-03-09")),
        network_row("ridge", "2024-03-05", status="fallback"),
        network_row("lstm:2", "2024-03-05", role="challenger"),
        network_row("lstm", "2024-03-06", kind="replay", label="issued first"),
        network_row("lstm:2", "2024-03-06", kind="replay", label="issued last", issued_at=at("2024-03-09")),
        network_row("lstm", "2024-03-06", 2, label="target too late"),
    )
    found = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7), limit=10)
    newest = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7), limit=1)
    rows = [(str(row.origin_session.date()), row.horizon, json.loads(row.calibration)) for row in found.itertuples()]
    assert rows == [("2024-03-04", 1, "2024-03-04"), ("2024-03-04", 2, "2024-03-04"), ("2024-03-06", 1, "issued last")]
    assert newest["horizon"].tolist() == [2, 1]
    assert found["split_factor"].tolist() == [1.0] * 3


def test_issued_forecasts_are_of_the_newest_origins_without_challengers_and_live_ones_count_first(connection):
    newest = forecast_row("lstm", "2024-03-08")
    rows = [forecast_row("lstm", "2024-03-06"), forecast_row("lstm", "2024-03-07"), newest]
    rows += [newest | {"kind": "replay", "issued_at": at("2025-01-01T00:00"), "q50": 101.0}]
    rows += [forecast_row("lstm:2", "2024-03-08", role="challenger")]
    rows += [forecast_row("ridge", "2024-03-08", role="baseline")]
    store_scored(connection, *((row, []) for row in rows))
    found = read.issued(connection, SYMBOL, TARGET, origins=2)
    until = read.issued(connection, SYMBOL, TARGET, origins=2, last=date(2024, 3, 7))
    assert sorted(zip(found["origin_session"].dt.day, found["name"], found["kind"], strict=True)) == [
        (7, "lstm", "live"),
        (8, "lstm", "live"),
        (8, "ridge", "live"),
    ]
    assert set(found["q50"]) == {100.0}
    assert found["split_factor"].tolist() == [1.0, 1.0, 1.0]
    assert until["origin_session"].dt.day.tolist() == [6, 7]


EVENT_COLUMNS = ["session", "kind", "known_from", "withdrawn_from"]


def test_an_empty_ledger_gives_empty_frames_of_the_same_types(connection):
    bars = read.bars(connection, SYMBOL)
    assert read.actions(connection, SYMBOL).empty
    assert read.events(connection, SYMBOL).columns.tolist() == EVENT_COLUMNS
    assert read.newest_fetch(connection, SYMBOL) is None
    assert read.row(connection, "runs", {"id": "r1"}) is None
    assert read.champion(connection, SYMBOL, TARGET) is None
    assert read.table_rows(connection, "models", {"symbol": SYMBOL}) == []
    assert read.newest_finished(connection, SYMBOL, TARGET) is None
    assert read.forecasts(connection, SYMBOL, TARGET).empty
    assert read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 8), limit=5).empty
    assert unscored_forecasts(connection, SYMBOL, "range", last=date(2024, 3, 8)).empty
    store_bars(connection, {"2024-03-08": 1.0}, seen="2024-03-08T21:00")
    pd.testing.assert_series_equal(bars.dtypes, read.bars(connection, SYMBOL).dtypes)


def test_a_column_that_is_a_number_in_one_table_and_a_text_in_another_is_what_its_values_are(connection):
    for id, error in (("r1", None), ("r2", "No bar yet.")):
        write.add(connection, "runs", run_row(id, "2024-03-08", error=error, seconds_train=2.5))
    nights = read.view(connection, "night_log", SYMBOL).sort_values("run_id")
    assert [error if error else None for error in nights["error"]] == [None, "No bar yet."]


def test_a_night_without_durations_took_0_seconds_as_a_float(connection):
    write.add(connection, "runs", run_row("r1", "2024-03-08"))
    nights, durations = (read.view(connection, name, SYMBOL) for name in ("night_log", "night_durations"))
    assert (nights["seconds_total"].dtype, nights["seconds_total"].tolist()) == (np.float64, [0.0])
    total = durations[durations["step"] == "total"]
    assert (total["max_seconds"].dtype, total["max_seconds"].tolist()) == (np.float64, [0.0])
