import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.store import read, views, write
from forecasting.store.connect import engine, reading, transaction
from forecasting.store.migrate import upgrade
from forecasting.vocabulary import QUANTILE_COLUMNS, QUANTILES
from tests.store.rows import (
    SYMBOL,
    at,
    event_frame,
    forecast_row,
    part_rows,
    run_row,
    store_bars,
    store_forecasts,
    store_scored,
    total_row,
    view_rows,
)


def test_latest_forecasts_shows_the_published_forecast_of_the_newest_origin(connection):
    store_forecasts(
        connection,
        forecast_row("lstm", "2024-03-06", 1),
        forecast_row("lstm", "2024-03-06", 2),
        forecast_row("ridge", "2024-03-07", status="fallback", reason="no network"),
        forecast_row("ridge", "2024-03-07", kind="replay", issued_at=at("2024-04-01")),
        forecast_row("lstm", "2024-03-07", role="challenger"),
    )
    names = ("horizon", "origin_session", "model", "kind", "status", "reason", "q50")
    assert view_rows(connection, "latest_forecasts", *names) == [
        (1, pd.Timestamp("2024-03-07"), "ridge", "live", "fallback", "no network", 100.0),
        (2, pd.Timestamp("2024-03-06"), "lstm", "live", "ok", "", 100.0),
    ]


def test_latest_forecasts_says_how_unusual_the_session_is_and_why(connection):
    first = forecast_row("lstm", "2024-03-14", calendar="triple witching")
    ranges = forecast_row("lstm", "2024-03-14", target="range")
    withdrawn = forecast_row("lstm", "2024-03-14", target="close")
    store_forecasts(connection, first, forecast_row("lstm", "2024-03-14", 2), ranges, withdrawn)
    for target in ("range", "close"):
        write.add(connection, "runs", run_row(target, "2024-03-14", target=target))
    parts = {"usual": 50.0, "weekday": 0.96, "report": 1.9, "recent": 1.004, "network": 1.092}
    write.add(connection, "forecast_parts", *part_rows(first, **parts))
    moved = [("2024-03-15", "seen"), ("2024-03-18", "seen"), ("2024-03-18", "withdrawn")]
    for day, (session, rule) in enumerate(moved, 1):
        event = event_frame(session, rule, announced=pd.Timestamp("2024-03-14"))
        seen = at(f"2024-03-0{day}")
        write.add_frame(connection, "events", event, symbol=SYMBOL, first_seen_at=seen)
    names = ("target", "horizon", "usual", "vs_usual", "special_day", "why")
    earnings = "earnings after the close before"
    why = "weekday x0.96, report x1.90, network x1.09"
    assert view_rows(connection, "latest_forecasts", *names) == [
        ("range", 1, None, None, earnings, None),
        ("volume", 1, 50.0, 1.0, f"triple witching, {earnings}", why),
        ("volume", 2, None, None, "", None),
    ]


def test_the_rounded_forecasts_have_the_digits_that_a_reader_of_their_target_needs(connection):
    medians = [
        (1, 0.0153449, {"target": "range"}),
        (1, 4310293408.5, {}),
    ]
    rows = [
        forecast_row(
            "lstm", "2024-03-14", horizon, **changed | dict.fromkeys(QUANTILE_COLUMNS, q50)
        )
        for horizon, q50, changed in medians
    ]
    store_forecasts(connection, *rows)
    write.add(connection, "runs", run_row("range", "2024-03-14", target="range"))
    write.add(connection, "forecast_parts", *part_rows(rows[-1], usual=4.1e9))
    query = (
        "SELECT q50, usual, change_percent FROM latest_forecasts_rounded ORDER BY target, horizon"
    )
    found = connection.exec_driver_sql(query).all()
    assert [[value and float(value) for value in row] for row in found] == [
        [0.0153, None, None],
        [4310293409, 4100000000, 5.13],
    ]
    assert str(found[-1][0]) == "4310293409"


def test_forecast_revisions_follows_a_session_from_five_sessions_ahead_to_one(connection):
    medians = {"01": 100.0, "04": 110.0, "05": 99.0, "06": 99.0, "07": 108.0}
    rows = [
        forecast_row("lstm", f"2024-03-{day}", 5 - place, q50=medians[day])
        for place, day in enumerate(medians)
    ]
    scores = [[{}], [], [], [], [{"error": 18.0}]]
    again = rows[-1] | {"kind": "replay", "issued_at": at("2024-04-01"), "q50": 101.0}
    others = (again, []), (forecast_row("ridge", "2024-03-07", role="baseline"), [])
    store_scored(connection, *zip(rows, scores, strict=True), *others)
    names = ("horizon", "q50", "revision", "actual", "error")
    assert view_rows(connection, "forecast_revisions", *names) == [
        (1, 108.0, pytest.approx(108 / 99 - 1), 90.0, 18.0),
        (2, 99.0, 0.0, None, None),
        (3, 99.0, pytest.approx(-0.1), None, None),
        (4, 110.0, pytest.approx(0.1), None, None),
        (5, 100.0, None, 90.0, 10.0),
    ]


def test_forecast_vs_actual_shows_the_first_print_and_the_newest_settled_score(connection):
    settled = {"stage": "settled", "actual": 80.0, "error": 20.0}
    restated = {"stage": "settled", "bar_version": 2, "actual": 95.0, "error": 5.0, "pinball": 2.0}
    store_scored(
        connection,
        (forecast_row("lstm", "2024-03-06"), [{}, settled, restated | {"inside_80": False}]),
        (forecast_row("ridge", "2024-03-06", role="baseline"), [{}]),
        (forecast_row("lstm", "2024-03-07"), []),
        (forecast_row("lstm", "2024-03-08"), [{}]),
    )
    store_bars(connection, {"2024-03-11": 90.0}, seen="2024-03-11T21:00")
    as_it_was = {"settled": ("2024-03-11",)}
    store_bars(connection, {"2024-03-12": 50.0}, seen="2024-03-12T21:00", **as_it_was)
    names = ("role", "first_print_error", "settled_error", "error", "pinball", "actual")
    names += ("actual_less_median",)
    by = ("origin_session", "role")
    assert view_rows(connection, "forecast_vs_actual", *names, "inside_80", by=by) == [
        ("baseline", 10.0, None, 10.0, 4.0, 90.0, -10.0, True),
        ("published", 10.0, 5.0, 5.0, 2.0, 95.0, -5.0, False),
        ("published", None, None, None, None, None, None, None),
        ("published", 10.0, 10.0, 10.0, 4.0, 90.0, -10.0, True),
    ]


def test_quantile_forecasts_is_the_long_form(connection):
    store_forecasts(connection, forecast_row("lstm", "2024-03-07"))
    names = ("output_type_id", "value", "output_type", "origin_date", "target_end_date")
    shared = ("quantile", pd.Timestamp("2024-03-07"), pd.Timestamp("2024-03-08"))
    values = [70.0, 80.0, 90.0, 100.0, 110.0, 120.0, 130.0]
    assert view_rows(connection, "quantile_forecasts", *names) == [
        (level, value, *shared) for level, value in zip(QUANTILES, values, strict=True)
    ]


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


def test_night_durations_has_the_median_and_the_95th_percentile_of_each_step_of_the_newest_nights(
    connection,
):
    for day in range(1, 6):
        seconds = {"seconds_ingest": float(day), "seconds_train": 10.0 * day}
        write.add(connection, "runs", run_row(f"r{day}", f"2024-03-0{day}", **seconds))
    failed = run_row("failed", "2024-03-08", status="failed", seconds_ingest=900.0)
    write.add(connection, "runs", failed)
    names = ("step_order", "step", "n", "median_seconds", "p95_seconds", "max_seconds")
    assert view_rows(connection, "night_durations", *names) == [
        (1, "ingest", 5, 3.0, pytest.approx(4.8), 5.0),
        (3, "train", 5, 30.0, pytest.approx(48.0), 50.0),
        (6, "total", 5, 33.0, pytest.approx(52.8), 55.0),
    ]
    later = [str(day.date()) for day in pd.bdate_range("2024-04-01", periods=60)]
    write.add(connection, "runs", *(run_row(day, day, seconds_ingest=1.0) for day in later))
    newest = view_rows(connection, "night_durations", "step", "n", "max_seconds", "first_night")
    assert newest[0] == ("ingest", 60, 1.0, pd.Timestamp("2024-04-01"))


DAY = ("session", "kind", "day", "ahead")
FIRST = "2024-04-30"
MOVED = "2024-05-01"


def test_calendar_days_are_those_of_published_forecasts_once_and_ahead_of_the_newest_bar(
    connection,
):
    store_forecasts(
        connection,
        forecast_row("lstm", "2024-03-13", 2, calendar="triple witching"),
        forecast_row("lstm", "2024-03-14", 1, calendar="triple witching"),
        forecast_row("lstm", "2024-03-14", 2, calendar="after a holiday"),
        forecast_row("lstm", "2024-03-14", 3),
        forecast_row("ridge", "2024-03-14", 4, role="baseline", calendar="half day"),
    )
    store_bars(connection, {"2024-03-15": 100.0}, seen="2024-03-15T21:00")
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
        frame = event_frame(session, rule, announced=pd.Timestamp(FIRST))
        seen = at(f"2024-03-0{day}T21:00")
        write.add_frame(connection, "events", frame, symbol=SYMBOL, first_seen_at=seen)
        events = read.events(connection, SYMBOL)
        valid = events.loc[events["withdrawn_from"].isna(), "session"]
        assert valid.tolist() == [pd.Timestamp(expected)]
        assert view_rows(connection, "special_days", *DAY) == [
            (pd.Timestamp(expected), "earnings", "earnings after the close before", False)
        ]


def add_report(connection, session: str, rule: str, *, seen: str, source: str = "rhythm") -> None:
    day = pd.Timestamp(session)
    event = event_frame(session, rule, source=source, announced=day, timing="")
    write.add_frame(connection, "events", event, symbol=SYMBOL, first_seen_at=at(seen))


def test_an_expected_report_is_told_apart_until_it_is_withdrawn_or_announced(connection):
    shown = ("session", "day", "known_rule")
    add_report(connection, FIRST, "expected", seen="2024-03-01")
    session = pd.Timestamp(FIRST)
    expected = [(session, "earnings expected", "expected")]
    assert view_rows(connection, "special_days", *shown) == expected
    assert read.report_days(connection, SYMBOL) == {session.date(): True}
    assert read.report_days(connection, SYMBOL, known_at=at("2024-02-29")) == {}
    assert read.unannounced_symbols(connection) == {SYMBOL}
    add_report(connection, FIRST, "withdrawn", seen="2024-03-02")
    assert view_rows(connection, "special_days", *shown) == []
    add_report(connection, MOVED, "seen", seen="2024-03-03", source="yahoo")
    assert view_rows(connection, "special_days", *shown) == [
        (pd.Timestamp(MOVED), "earnings", "seen")
    ]
    assert read.report_days(connection, SYMBOL) == {pd.Timestamp(MOVED).date(): False}
    assert read.unannounced_symbols(connection) == set()


def test_a_report_that_was_found_in_the_volume_is_shown_as_one_that_was_announced(connection):
    add_report(connection, FIRST, "expected", seen="2024-03-01")
    add_report(connection, FIRST, "volume", seen="2024-03-02")
    assert read.report_days(connection, SYMBOL) == {pd.Timestamp(FIRST).date(): False}


@pytest.mark.parametrize(
    ("expected", "shown"),
    [
        ("2024-05-10", True),
        ("2024-03-15", True),
        ("2024-02-29", True),  # 10 sessions before the origin
        ("2024-02-28", False),
    ],
)
def test_forecasts_have_the_report_that_was_expected_when_they_were_issued(
    connection, expected, shown
):
    days = pd.bdate_range("2024-02-01", "2024-03-14").strftime("%Y-%m-%d")
    store_bars(connection, dict.fromkeys(days, 100.0), seen="2024-03-14T21:00")
    store_forecasts(connection, forecast_row("lstm", "2024-03-14"))
    add_report(connection, "2024-06-03", "expected", seen="2024-03-01")
    add_report(connection, "2024-06-03", "withdrawn", seen="2024-03-02")
    add_report(connection, expected, "expected", seen="2024-03-03")
    # An announcement after the forecast was issued does not change what it is shown with.
    add_report(connection, expected, "seen", seen="2024-07-01", source="yahoo")
    day = "earnings?" if expected == "2024-03-15" else ""
    for view in ("published_forecasts", "latest_forecasts", "latest_forecasts_rounded"):
        ((special_day, report),) = view_rows(connection, view, "special_day", "expected_report")
        assert special_day == day
        assert report == pd.Timestamp(expected) if shown else pd.isna(report)


def test_the_newest_totals_are_those_of_the_published_forecast_against_usual_sessions(connection):
    rows = [
        forecast_row("lstm", "2024-03-08", 1),
        forecast_row("ridge", "2024-03-08", 1, role="baseline"),
        forecast_row("lstm", "2024-03-08", 1, kind="replay"),
        forecast_row("lstm", "2024-03-07", 1),
    ]
    store_forecasts(connection, *rows)
    totals = [total_row(row, horizon=2, q50=90.0) for row in rows[1:]]
    totals += [total_row(rows[0], horizon=2, q50=50.0), total_row(rows[0], horizon=20, q50=300.0)]
    write.add(connection, "total_forecasts", *totals)
    write.add(connection, "forecast_parts", *part_rows(rows[0], usual=20.0))
    names = ("horizon", "q50", "usual", "vs_usual", "kind", "model")
    found = view_rows(connection, "latest_totals", *names)
    assert found == [
        (2, 50.0, 40.0, 0.25, "live", "lstm"),
        (20, 300.0, 400.0, -0.25, "live", "lstm"),
    ]
