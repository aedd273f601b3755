from decimal import Decimal

import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.store import read, views, write
from forecasting.store.connect import engine, reading, transaction
from forecasting.store.migrate import upgrade
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.store.rows import (
    SYMBOL,
    at,
    event_frame,
    forecast_row,
    model_row,
    part_rows,
    promotion_row,
    run_row,
    score_row,
    start,
    store_bars,
    store_scored,
    total_row,
    view_rows,
)


def test_bars_shows_the_current_version_alone(connection):
    store_bars(
        connection,
        {"2024-03-07": 80.0, "2024-03-08": 50.0},
        seen="2024-03-08T21:00",
        settled=("2024-03-07",),
    )
    store_bars(connection, {"2024-03-08": 90.0}, seen="2024-03-09T21:00", version=2)
    assert view_rows(connection, "bars", "session", "volume", "version", "settled") == [
        (pd.Timestamp("2024-03-07"), 80.0, 1, True),
        (pd.Timestamp("2024-03-08"), 90.0, 2, False),
    ]


def test_latest_forecasts_shows_the_published_forecast_of_the_newest_origin(connection):
    store_scored(
        connection,
        (forecast_row("lstm", "2024-03-06", 1), []),
        (forecast_row("lstm", "2024-03-06", 2), []),
        (forecast_row("ridge", "2024-03-07", 1, status="fallback", reason="no champion"), []),
        (forecast_row("ridge", "2024-03-07", 1, kind="replay", issued_at=at("2024-04-01")), []),
        (forecast_row("lstm", "2024-03-07", 1, role="challenger"), []),
    )
    names = ("horizon", "origin_session", "model", "kind", "status", "reason", "q50")
    assert view_rows(connection, "latest_forecasts", *names) == [
        (1, pd.Timestamp("2024-03-07"), "ridge", "live", "fallback", "no champion", 100.0),
        (2, pd.Timestamp("2024-03-06"), "lstm", "live", "ok", "", 100.0),
    ]


def test_latest_forecasts_says_how_unusual_the_session_is_and_why(connection):
    told = forecast_row("lstm", "2024-03-14", calendar="triple witching")
    network = 100.0 / (50.0 * 1.9 * 0.96 * 1.004)
    close = forecast_row("lstm", "2024-03-14", target="close")
    moved = [("2024-03-15", "seen"), ("2024-03-18", "seen"), ("2024-03-18", "withdrawn")]
    start(connection, origins=("2024-03-14",))
    write.add(connection, "runs", run_row("close", "2024-03-14", target="close"))
    write.add(connection, "forecasts", told, forecast_row("lstm", "2024-03-14", 2), close)
    parts = {"usual": 50.0, "weekday": 0.96, "report": 1.9, "recent": 1.004, "network": network}
    write.add(connection, "forecast_parts", *part_rows(told, **parts))
    for day, (session, rule) in enumerate(moved, 1):
        event = event_frame(session, rule, announced=pd.Timestamp("2024-03-14"))
        write.add_events(
            connection, SYMBOL, event, source="csv", first_seen_at=at(f"2024-03-0{day}")
        )
    found = view_rows(
        connection,
        "latest_forecasts",
        "target",
        "horizon",
        "usual",
        "vs_usual",
        "special_day",
        "why",
    )
    earnings = "earnings after the close before"
    assert found == [
        ("close", 1, 95.0, pytest.approx(100 / 95 - 1), earnings, None),
        (
            "volume",
            1,
            50.0,
            1.0,
            f"triple witching, {earnings}",
            "weekday x0.96, report x1.90, network x1.09",
        ),
        ("volume", 2, None, None, "", None),
    ]


def test_the_rounded_forecasts_have_the_digits_that_a_reader_of_their_target_needs(connection):
    origin = "2024-03-14"
    start(connection, origins=(origin,))
    for target in ("close", "range"):
        write.add(connection, "runs", run_row(target, origin, target=target))
    volume, *others = [
        forecast_row("lstm", origin, horizon, **about, **dict.fromkeys(QUANTILE_COLUMNS, median))
        for horizon, median, about in (
            (1, 4310293408.5, {}),
            (1, 91.0571, {"target": "close", "last_value": 80.0}),
            (2, 1.084371, {"target": "close", "last_value": 1.1}),
            (1, 0.0153449, {"target": "range"}),
        )
    ]
    write.add(connection, "forecasts", volume, *others)
    write.add(connection, "forecast_parts", *part_rows(volume, usual=4.1e9))
    found = connection.exec_driver_sql(
        "SELECT q50, usual, change_percent FROM latest_forecasts_rounded ORDER BY target, horizon"
    ).all()
    assert [[None if value is None else Decimal(str(value)) for value in row] for row in found] == [
        [Decimal("91.06"), 80, Decimal("13.82")],
        [Decimal("1.0844"), Decimal("1.1"), Decimal("-1.42")],
        [Decimal("0.0153"), None, None],
        [4310293409, 4100000000, Decimal("5.13")],
    ]
    assert str(found[-1][0]) == "4310293409"


def test_forecast_revisions_follows_a_session_from_five_sessions_ahead_to_one(connection):
    medians = {
        "2024-03-01": 100.0,
        "2024-03-04": 110.0,
        "2024-03-05": 99.0,
        "2024-03-06": 99.0,
        "2024-03-07": 108.0,
    }
    rows = [
        forecast_row("lstm", origin, 5 - place, q50=medians[origin])
        for place, origin in enumerate(medians)
    ]
    scores = [[{}], [], [], [], [{"error": 18.0}]]
    again = rows[-1] | {"kind": "replay", "issued_at": at("2024-04-01"), "q50": 101.0}
    others = (again, []), (forecast_row("ridge", "2024-03-07", role="baseline"), [])
    store_scored(connection, *zip(rows, scores, strict=True), *others)
    found = view_rows(
        connection, "forecast_revisions", "horizon", "q50", "revision", "actual", "error"
    )
    assert found[::-1] == [
        (5, 100.0, None, 90.0, 10.0),
        (4, 110.0, pytest.approx(0.1), None, None),
        (3, 99.0, pytest.approx(-0.1), None, None),
        (2, 99.0, 0.0, None, None),
        (1, 108.0, pytest.approx(108 / 99 - 1), 90.0, 18.0),
    ]


def test_forecast_vs_actual_shows_the_first_print_and_the_newest_settled_score(connection):
    settled = {"stage": "settled", "bar_version": 1, "actual": 80.0, "error": 20.0, "pinball": 8.0}
    restated = {
        "stage": "settled",
        "bar_version": 2,
        "actual": 95.0,
        "error": 5.0,
        "pinball": 2.0,
        "inside_80": False,
    }
    store_scored(
        connection,
        (forecast_row("lstm", "2024-03-06"), [{}, settled, restated]),
        (forecast_row("ridge", "2024-03-06", role="baseline"), [{}]),
        (forecast_row("lstm", "2024-03-07"), []),
    )
    names = (
        "origin_session",
        "role",
        "first_print_error",
        "settled_error",
        "error",
        "pinball",
        "actual",
        "inside_80",
    )
    old = pd.Timestamp("2024-03-06")
    new = pd.Timestamp("2024-03-07")
    assert view_rows(connection, "forecast_vs_actual", *names) == [
        (old, "baseline", 10.0, None, 10.0, 4.0, 90.0, True),
        (old, "champion", 10.0, 5.0, 5.0, 2.0, 95.0, False),
        (new, "champion", None, None, None, None, None, None),
    ]


def test_quantile_forecasts_is_the_long_form(connection):
    store_scored(connection, (forecast_row("lstm", "2024-03-07"), []))
    names = ("output_type_id", "value", "output_type", "origin_date", "target_end_date")
    found = view_rows(connection, "quantile_forecasts", *names)
    shared = ("quantile", pd.Timestamp("2024-03-07"), pd.Timestamp("2024-03-08"))
    levels = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    assert found == [(level, 70.0 + 10 * place, *shared) for place, level in enumerate(levels)]


def test_an_upgrade_keeps_grants_on_the_views(postgres_url):
    with transaction(postgres_url) as connection:
        connection.exec_driver_sql('CREATE ROLE "night-reader"')
        connection.exec_driver_sql('GRANT SELECT ON bars TO "night-reader"')
        connection.exec_driver_sql("GRANT SELECT ON night_log TO PUBLIC")
    try:
        upgrade(postgres_url)
        with reading(postgres_url) as connection:
            allowed = sa.text("SELECT has_table_privilege('night-reader', :name, 'SELECT')")
            assert [name for name in views.VIEWS if connection.scalar(allowed, {"name": name})] == [
                "bars",
                "night_log",
            ]
    finally:
        with engine(postgres_url).begin() as connection:
            connection.exec_driver_sql('DROP OWNED BY "night-reader"')
            connection.exec_driver_sql('DROP ROLE "night-reader"')


CHANGE = ("from_session", "to_session", "model_id", "method", "replaced", "why", "trigger")


def test_champions_has_a_row_for_each_change_in_the_order_of_the_sessions(connection):
    """Decisions of five nights, the newest made first, as when a span is caught up afterwards."""
    rows = [
        promotion_row(
            "b",
            "2024-03-08",
            id="x",
            trigger="rollback",
            decided_at=at("2024-03-09T01:00"),
            champion="b",
        ),
        promotion_row("d", "2024-03-08", champion="b"),
        promotion_row("a", "2024-03-05", champion="a", challenger="b"),
        promotion_row("a", "2024-03-04"),
        promotion_row("b", "2024-03-06", champion="a", decided_at=at("2024-03-20T01:00")),
        promotion_row("b", "2024-03-07", champion="b", challenger="c"),
    ]
    write.add(
        connection,
        "models",
        *(model_row(id, method="warm" if id > "a" else "scratch") for id in "abcd"),
    )
    write.add(connection, "promotions", *rows)
    first, second, third = (pd.Timestamp(f"2024-03-0{day}") for day in (4, 6, 8))
    assert view_rows(connection, "champions", *CHANGE, by=("from_session", "decided_at")) == [
        (first, second, "a", "scratch", None, "a on 2024-03-04", "night"),
        (second, third, "b", "warm", "a", "b on 2024-03-06", "night"),
        (third, third, "d", "warm", "b", "d on 2024-03-08", "night"),
        (third, None, "b", "warm", "d", "b on 2024-03-08", "rollback"),
    ]


def test_night_log_shows_what_retraining_gained_and_cost(connection):
    start(connection, origins=(), models=("lstm", "lstm:2"))
    seconds = {
        "seconds_ingest": 1.0,
        "seconds_preprocess": 0.5,
        "seconds_train": 6.0,
        "seconds_predict": 0.5,
    }
    write.add(
        connection,
        "runs",
        run_row("2024-03-07", "2024-03-07", mode="warm", mode_reason="due", **seconds),
    )
    write.add(
        connection,
        "runs",
        run_row("2024-03-08", "2024-03-08", mode="skip", seconds_train=0.0, note="late"),
    )
    champion = forecast_row("lstm", "2024-03-07")
    challenger = forecast_row("lstm:2", "2024-03-07", role="challenger")
    write.add(connection, "forecasts", champion, challenger, forecast_row("lstm", "2024-03-08"))
    decided = {"challenger": "lstm:2", "reason": "too few origins", "run_id": "2024-03-07"}
    write.add(connection, "promotions", promotion_row("lstm", "2024-03-07", **decided))
    names = ("as_of", "mode", "seconds_total", "decision", "skill_gained", "seconds_cost", "note")
    warm = (pd.Timestamp("2024-03-07"), "warm", 8.0, "too few origins")
    quiet = (pd.Timestamp("2024-03-08"), "skip", 0.0, None, None, None, "late")
    assert view_rows(connection, "night_log", *names) == [(*warm, None, 6.0, ""), quiet]
    write.add_scores(
        connection, [score_row(champion, pinball=4.0), score_row(challenger, pinball=3.0)]
    )
    assert view_rows(connection, "night_log", *names) == [(*warm, 0.25, 6.0, ""), quiet]


def test_in_night_log_retraining_is_compared_with_the_silenced_champion_not_with_the_published_baseline(
    connection,
):
    roles = {"ridge": ("champion", 1.0), "lstm": ("silenced", 4.0), "lstm:2": ("challenger", 3.0)}
    rows = (
        (forecast_row(name, "2024-03-07", role=roles[name][0]), [{"pinball": roles[name][1]}])
        for name in roles
    )
    store_scored(connection, *rows)
    assert view_rows(connection, "night_log", "skill_gained") == [(0.25,)]


DURATIONS = ("step_order", "step", "n", "median_seconds", "p95_seconds", "max_seconds")


def test_night_durations_has_the_median_and_the_95th_percentile_of_each_step_of_the_newest_nights(
    connection,
):
    for day in range(1, 6):
        seconds = {"seconds_ingest": float(day), "seconds_train": 10.0 * day}
        write.add(connection, "runs", run_row(f"r{day}", f"2024-03-0{day}", **seconds))
    write.add(
        connection, "runs", run_row("failed", "2024-03-08", status="failed", seconds_ingest=900.0)
    )
    assert view_rows(connection, "night_durations", *DURATIONS) == [
        (1, "ingest", 5, 3.0, pytest.approx(4.8), 5.0),
        (3, "train", 5, 30.0, pytest.approx(48.0), 50.0),
        (6, "total", 5, 33.0, pytest.approx(52.8), 55.0),
    ]
    later = [str(day.date()) for day in pd.bdate_range("2024-04-01", periods=60)]
    write.add(connection, "runs", *(run_row(day, day, seconds_ingest=1.0) for day in later))
    names = ("step", "n", "max_seconds", "first_night")
    assert view_rows(connection, "night_durations", *names)[0] == (
        "ingest",
        60,
        1.0,
        pd.Timestamp("2024-04-01"),
    )


DAY = ("session", "kind", "day", "ahead")
FIRST = "2024-04-30"
MOVED = "2024-05-01"


def test_calendar_days_are_those_of_published_forecasts_once_and_ahead_of_the_newest_bar(
    connection,
):
    start(connection, origins=("2024-03-13", "2024-03-14"), models=("lstm", "ridge"))
    store_bars(connection, {"2024-03-15": 100.0}, seen="2024-03-15T21:00")
    expiry = {"calendar": "triple witching"}
    day_after = {"calendar": "after a holiday"}
    write.add(
        connection,
        "forecasts",
        forecast_row("lstm", "2024-03-13", 2, **expiry),
        forecast_row("lstm", "2024-03-14", 1, **expiry),
        forecast_row("lstm", "2024-03-14", 2, **day_after),
        forecast_row("lstm", "2024-03-14", 3),
        forecast_row("ridge", "2024-03-14", 4, role="baseline", calendar="half day"),
    )
    assert view_rows(connection, "special_days", *DAY) == [
        (pd.Timestamp("2024-03-15"), "calendar", "triple witching", False),
        (pd.Timestamp("2024-03-18"), "calendar", "after a holiday", True),
    ]


def test_earnings_are_those_that_a_night_has(connection):
    steps = [
        (FIRST, "seen", FIRST),
        (MOVED, "seen", MOVED),  # the same announcement under another session
        (MOVED, "withdrawn", FIRST),
        (MOVED, "seen", MOVED),
        (FIRST, "withdrawn", MOVED),
    ]
    for day, (session, rule, expected) in enumerate(steps, 1):
        timing = "amc" if session == MOVED else "bmo"
        frame = event_frame(session, rule, announced=pd.Timestamp("2024-04-30"), timing=timing)
        write.add_events(
            connection, SYMBOL, frame, source="yahoo", first_seen_at=at(f"2024-03-0{day}T21:00")
        )
        events = read.events(connection, SYMBOL)
        assert events.loc[events["withdrawn_from"].isna(), "session"].tolist() == [
            pd.Timestamp(expected)
        ]
        assert view_rows(connection, "special_days", "session") == [(pd.Timestamp(expected),)]
    found = view_rows(connection, "special_days", *DAY)
    assert found == [(pd.Timestamp(MOVED), "earnings", "earnings after the close before", False)]


def test_the_newest_totals_are_those_of_the_published_forecast_against_usual_sessions(connection):
    published = [forecast_row("lstm", "2024-03-08", horizon) for horizon in (2, 3)]
    other = forecast_row("ridge", "2024-03-08", 2, role="baseline")
    replay = published[0] | {"kind": "replay"}
    before = forecast_row("lstm", "2024-03-07", 2)
    rows = [*published, other, replay, before]
    store_scored(connection, *((row, []) for row in rows))
    totals = [total_row(row, q50=50.0 * place) for place, row in enumerate(rows, start=1)]
    write.add(connection, "total_forecasts", *totals)
    write.add(connection, "forecast_parts", *part_rows(published[0], usual=20.0))
    names = ("horizon", "q50", "usual", "vs_usual", "kind", "model")
    found = view_rows(connection, "latest_totals", *names)
    assert found == [(2, 50.0, 40.0, 0.25, "live", "lstm"), (3, 100.0, None, None, "live", "lstm")]
