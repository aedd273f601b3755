from __future__ import annotations

import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.sessions import between
from forecasting.store import views, write
from forecasting.store.connect import engine, reading, transaction
from forecasting.store.migrate import upgrade
from tests.store.rows import SYMBOL, at, forecast_row, part_rows, run_row, score_row, start, store_bars, view_rows


def test_bars_shows_the_current_version_alone(database_url):
    with transaction(database_url) as connection:
        store_bars(
            connection, {"2024-03-07": 80.0, "2024-03-08": 50.0}, seen="2024-03-08T21:00", settled=("2024-03-07",)
        )
        store_bars(connection, {"2024-03-08": 90.0}, seen="2024-03-09T21:00", version=2)
    assert view_rows(database_url, "bars", "session", "volume", "version", "settled") == [
        (pd.Timestamp("2024-03-07"), 80.0, 1, True),
        (pd.Timestamp("2024-03-08"), 90.0, 2, False),
    ]


def test_latest_forecasts_shows_the_published_forecast_of_the_newest_origin(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-06", "2024-03-07"), models=("lstm", "ridge"))
        write.add_forecasts(
            connection,
            [
                forecast_row("lstm", "2024-03-06", 1),
                forecast_row("lstm", "2024-03-06", 2),
                forecast_row("ridge", "2024-03-07", 1, status="fallback", reason="no champion"),
                forecast_row("ridge", "2024-03-07", 1, kind="replay", issued_at=at("2024-04-01")),
                forecast_row("lstm", "2024-03-07", 1, role="challenger"),
            ],
        )
    found = view_rows(
        database_url, "latest_forecasts", "horizon", "origin_session", "model", "kind", "status", "reason", "q50"
    )
    assert found == [
        (1, pd.Timestamp("2024-03-07"), "ridge", "live", "fallback", "no champion", 100.0),
        (2, pd.Timestamp("2024-03-06"), "lstm", "live", "ok", "", 100.0),
    ]


def test_latest_forecasts_says_how_unusual_the_session_is_and_why(database_url):
    told = forecast_row("lstm", "2024-03-14", calendar="triple witching")
    network = 100.0 / (50.0 * 1.9 * 0.96 * 1.004)
    close = forecast_row("lstm", "2024-03-14", target="close")
    moved = [("2024-03-15", "seen", "01"), ("2024-03-18", "seen", "02"), ("2024-03-18", "withdrawn", "03")]
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-14",))
        write.add(connection, "runs", run_row("close", "2024-03-14", target="close"))
        write.add_forecasts(connection, [told, forecast_row("lstm", "2024-03-14", 2), close])
        parts = {"usual": 50.0, "calendar": 0.96, "report": 1.9, "recent": 1.004, "network": network}
        write.add(connection, "forecast_parts", *part_rows(told, **parts))
        for session, rule, day in moved:
            row = {"session": pd.Timestamp(session), "kind": "earnings", "known_from": pd.Timestamp("2024-03-01")}
            row |= {"announced": pd.Timestamp("2024-03-14"), "timing": "amc", "known_rule": rule}
            write.add_events(connection, SYMBOL, pd.DataFrame([row]), source="csv", first_seen_at=at(f"2024-03-{day}"))
    found = view_rows(database_url, "latest_forecasts", "target", "horizon", "usual", "vs_usual", "special_day", "why")
    earnings = "earnings after the close before"
    assert found == [
        ("close", 1, 95.0, pytest.approx(100 / 95 - 1), earnings, None),
        ("volume", 1, 50.0, 1.0, f"triple witching, {earnings}", "calendar x0.96, report x1.90, network x1.09"),
        ("volume", 2, None, None, "", None),
    ]


def test_forecast_revisions_follows_a_session_from_five_sessions_ahead_to_one(database_url):
    medians = {"2024-03-01": 100.0, "2024-03-04": 110.0, "2024-03-05": 99.0, "2024-03-06": 99.0, "2024-03-07": 108.0}
    rows = [
        forecast_row("lstm", origin, horizon, q50=median)
        for horizon, (origin, median) in zip((5, 4, 3, 2, 1), medians.items(), strict=True)
    ]
    with transaction(database_url) as connection:
        start(connection, origins=tuple(medians), models=("lstm", "ridge"))
        again = rows[-1] | {"kind": "replay", "issued_at": at("2024-04-01"), "q50": 101.0}
        write.add_forecasts(connection, [*rows, again, forecast_row("ridge", "2024-03-07", role="baseline")])
        write.add_scores(connection, [score_row(rows[0]), score_row(rows[4], error=18.0)])
    found = view_rows(database_url, "forecast_revisions", "horizon", "q50", "revision", "actual", "error")
    assert found[::-1] == [
        (5, 100.0, None, 90.0, 10.0),
        (4, 110.0, pytest.approx(0.1), None, None),
        (3, 99.0, pytest.approx(-0.1), None, None),
        (2, 99.0, 0.0, None, None),
        (1, 108.0, pytest.approx(108 / 99 - 1), 90.0, 18.0),
    ]


def test_forecast_vs_actual_shows_the_first_print_and_the_newest_settled_score(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-06", "2024-03-07"), models=("lstm", "ridge"))
        scored, first, later = (
            forecast_row("lstm", "2024-03-06"),
            forecast_row("ridge", "2024-03-06", role="baseline"),
            forecast_row("lstm", "2024-03-07"),
        )
        write.add_forecasts(connection, [scored, first, later])
        write.add_scores(
            connection,
            [
                score_row(scored),
                score_row(scored, stage="settled", bar_version=1, actual=80.0, error=20.0, pinball=8.0),
                score_row(scored, stage="settled", bar_version=2, actual=95.0, error=5.0, pinball=2.0, inside_80=False),
                score_row(first),
            ],
        )
    names = ("origin_session", "role", "first_print_error", "settled_error", "error", "pinball", "actual", "inside_80")
    old, new = pd.Timestamp("2024-03-06"), pd.Timestamp("2024-03-07")
    assert view_rows(database_url, "forecast_vs_actual", *names) == [
        (old, "baseline", 10.0, None, 10.0, 4.0, 90.0, True),
        (old, "champion", 10.0, 5.0, 5.0, 2.0, 95.0, False),
        (new, "champion", None, None, None, None, None, None),
    ]


def test_quantile_forecasts_is_the_long_form(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-07",))
        write.add_forecasts(connection, [forecast_row("lstm", "2024-03-07")])
    found = view_rows(
        database_url, "quantile_forecasts", "output_type_id", "value", "output_type", "origin_date", "target_end_date"
    )
    shared = ("quantile", pd.Timestamp("2024-03-07"), pd.Timestamp("2024-03-08"))
    levels = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    assert found == [(level, 70.0 + 10 * place, *shared) for place, level in enumerate(levels)]


def scored(url: str, errors: dict[str, list[float]], *, kind: str = "live") -> None:
    """A line of scores for each model, one a session from 2024-01-03 on; None leaves a session out; pinball is half."""
    sessions = [
        day.isoformat() for day in between(pd.Timestamp("2024-01-03").date(), pd.Timestamp("2025-06-30").date())
    ]
    forecasts, scores = [], []
    for model, line in errors.items():
        for origin, error in zip(sessions, line, strict=False):
            if error is None:
                continue
            role = "champion" if model == "lstm" else "challenger" if model == "lstm:2" else "baseline"
            forecasts.append(forecast_row(model, origin, role=role, kind=kind))
            losses = {
                "error": error,
                "pinball": abs(error) / 2,
                "inside_80": abs(error) < 3,
                "inside_90": abs(error) < 5,
            }
            scores.append(score_row(forecasts[-1], **losses))
    with transaction(url) as connection:
        start(connection, origins=tuple(sessions[: max(map(len, errors.values()))]), models=tuple(errors))
        write.add_forecasts(connection, forecasts)
        write.add_scores(connection, scores)


SKILL = (
    "kind",
    "window_sessions",
    "n",
    "mae",
    "best_baseline",
    "baseline_mae",
    "skill",
    "pinball_skill",
    "coverage_80",
)


def test_live_skill_is_against_the_best_baseline_of_each_window(database_url):
    scored(
        database_url,
        {
            "lstm": [4.0] * 5 + [-2.0] * 20,
            "lstm:2": [0.1] * 25,
            "ridge": [1.0] * 5 + [4.0] * 20,
            "seasonal": [9.0] * 5 + [-3.25] * 20,
        },
    )
    assert view_rows(database_url, "live_skill", *SKILL) == [
        (
            "live",
            20,
            20,
            2.0,
            "seasonal",
            pytest.approx(3.25),
            pytest.approx(1 - 2 / 3.25),
            pytest.approx(1 - 2 / 3.25),
            1.0,
        ),
        ("live", 60, 25, 2.4, "ridge", 3.4, pytest.approx(1 - 2.4 / 3.4), pytest.approx(1 - 2.4 / 3.4), 0.8),
        ("live", 250, 25, 2.4, "ridge", 3.4, pytest.approx(1 - 2.4 / 3.4), pytest.approx(1 - 2.4 / 3.4), 0.8),
    ]


def test_live_skill_is_negative_when_the_best_baseline_is_better_than_the_champion(database_url):
    scored(database_url, {"lstm": [4.0] * 5, "ridge": [-2.0] * 5})
    assert view_rows(database_url, "live_skill", "skill", "pinball_skill") == [(-1.0, -1.0)] * 3


def test_in_live_skill_a_baseline_without_an_error_is_the_best_and_skill_is_null(database_url):
    scored(database_url, {"lstm": [1.0] * 5, "ridge": [0.0] * 5, "seasonal": [4.0] * 5})
    assert view_rows(database_url, "live_skill", "best_baseline", "baseline_mae", "skill") == [("ridge", 0.0, None)] * 3


def test_in_live_skill_a_baseline_counts_on_the_nights_on_which_it_is_published(database_url):
    """Ten nights of the network, then ten of the ridge in its place, which is the better of the baselines on all 20."""
    roles = [("champion", "baseline")] * 10 + [("silenced", "champion")] * 10
    sessions = [str(day) for day in between(pd.Timestamp("2024-01-03").date(), pd.Timestamp("2024-02-29").date())[:20]]
    errors = {"lstm": [4.0] * 20, "ridge": [3.0] * 10 + [1.0] * 10, "har": [2.5] * 20}
    forecasts = [
        forecast_row(model, origin, role={"lstm": network, "ridge": ridge}.get(model, "baseline"))
        for origin, (network, ridge) in zip(sessions, roles, strict=True)
        for model in errors
    ]
    places = {pd.Timestamp(origin).date(): place for place, origin in enumerate(sessions)}
    scores = []
    for row in forecasts:
        error = errors[row["model_id"]][places[row["origin_session"]]]
        scores.append(score_row(row, error=error, pinball=error / 2))
    with transaction(database_url) as connection:
        start(connection, origins=tuple(sessions), models=tuple(errors))
        write.add_forecasts(connection, forecasts)
        write.add_scores(connection, scores)
    names = ("n", "mae", "best_baseline", "baseline_mae", "skill", "pinball_skill")
    assert view_rows(database_url, "live_skill", *names)[0] == (20, 2.5, "ridge", 2.0, -0.25, -0.25)
    network = ("network_n", "network_mae", "network_pinball", "skill_vs_network", "pinball_skill_vs_network")
    assert view_rows(database_url, "live_skill", *network)[0] == (20, 4.0, 2.0, 0.375, 0.375)


def score_replays(url: str) -> None:
    with transaction(url) as connection:
        origins = ("2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08")
        start(connection, origins=origins, models=("lstm:r", "ridge:r"))
        for origin in origins:
            for model, role, error in (("lstm:r", "champion", 4.0), ("ridge:r", "baseline", 2.0)):
                row = forecast_row(model, origin, role=role, kind="replay")
                write.add_forecasts(connection, [row])
                write.add_scores(connection, [score_row(row, error=error, pinball=error)])


def test_live_skill_leaves_replays_out_beside_live_nights(database_url):
    score_replays(database_url)
    found = [row[:4] for row in view_rows(database_url, "live_skill", *SKILL) if row[1] == 20]
    assert found == [("replay", 20, 4, 4.0)]
    live = forecast_row("lstm:r", "2024-01-05")
    with transaction(database_url) as connection:
        write.add_forecasts(connection, [live])
        write.add_scores(connection, [score_row(live, error=1.0)])
    found = [row[:4] for row in view_rows(database_url, "live_skill", *SKILL) if row[1] == 20]
    assert found == [("live", 20, 1, 1.0)]


def test_an_upgrade_keeps_grants_on_the_views(postgres_url):
    with transaction(postgres_url) as connection:
        connection.exec_driver_sql('CREATE ROLE "night-reader"')
        connection.exec_driver_sql('GRANT SELECT ON bars TO "night-reader"')
        connection.exec_driver_sql("GRANT SELECT ON night_log TO PUBLIC")
    try:
        upgrade(postgres_url)
        with reading(postgres_url) as connection:
            allowed = [
                connection.scalar(
                    sa.text("SELECT has_table_privilege('night-reader', :name, 'SELECT')"), {"name": name}
                )
                for name in views.VIEWS
            ]
        assert dict(zip(views.VIEWS, allowed, strict=True)) == dict.fromkeys(views.VIEWS, False) | {
            "bars": True,
            "night_log": True,
        }
    finally:
        with engine(postgres_url).begin() as connection:
            connection.exec_driver_sql('DROP OWNED BY "night-reader"')
            connection.exec_driver_sql('DROP ROLE "night-reader"')
