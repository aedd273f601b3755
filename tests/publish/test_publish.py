"""What people read: the track record against a naive recomputation from table scores, pages, and
their index."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace
from datetime import date, timedelta

import pandas as pd
import pytest

from flows import clock
from forecasting.api import connect as connect_ledger
from forecasting.conditions import Condition
from forecasting.errors import DataLateError, NoBarError, StoreError, UsageError
from forecasting.evaluate.significance import diebold_mariano
from forecasting.ingest.earnings import reacting
from forecasting.ingest.event_files import dates_of
from forecasting.night.night import Night
from forecasting.publish import pages
from forecasting.publish.runs import run_missed
from forecasting.sessions import between, closes_at
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, read, write
from forecasting.store.connect import reading, transaction
from forecasting.store.schema import metadata
from forecasting.store.standings import WINDOWS
from forecasting.vocabulary import KINDS
from tests.builders import EVE, LAST, PRICES, random_bars, scaled, write_yahoo_csv
from tests.conftest import DATABASES
from tests.nights import after, newest_reports
from tests.postgres import copied, fresh_postgres
from tests.publish.test_export import fill, settings_of
from tests.store.mixed_nights import BASELINES, mixed_scores, naive_lines
from tests.store.rows import (
    SYMBOL,
    TARGET,
    add_scores,
    at,
    forecast_row,
    gather_statistics,
    model_row,
    part_rows,
    run_row,
    start,
    store_bars,
)

DAYS = [(0, 290), (1, 24)]
"""Seed and number of nights: more than any window, and too few live ones to stand alone."""


@pytest.fixture(scope="module", params=DAYS, ids=lambda days: f"{days[1]} nights")
def sqlite_ledger(request, tmp_path_factory, migrated_sqlite_file):
    """A ledger of mixed nights and their scores, which no test changes."""
    seed, days = request.param
    url = f"sqlite:///{shutil.copy(migrated_sqlite_file, tmp_path_factory.mktemp('mixed') / 'ledger.db')}"
    with transaction(url) as connection:
        add_scores(connection, mixed_scores(connection, seed=seed, days=days))
    return url


@pytest.fixture(scope="module")
def postgres_ledger(sqlite_ledger, postgres_server, migrated_postgres):
    """The same rows on PostgreSQL."""
    with fresh_postgres(postgres_server, template=migrated_postgres) as url:
        copied(sqlite_ledger, url)
        with transaction(url) as connection:
            gather_statistics(connection)
        yield url


@pytest.fixture(scope="module", params=DATABASES)
def url(request, sqlite_ledger):
    return request.getfixturevalue(f"{request.param}_ledger")


@pytest.fixture(scope="module")
def lines(url):
    """The scores that count, from all rows."""
    with reading(url) as connection:
        return naive_lines(connection)


def skill(both, line):
    shared = both.dropna(subset=line)
    return 1 - shared[""].mean() / shared[line].mean()


def naive_live_skill(lines):
    has_live = (lines[lines["line"] == ""]["kind"] == "live").any()
    kinds = ["live", "late"] if has_live else list(KINDS)
    found = {}
    for (kind, horizon), some in lines[lines["kind"].isin(kinds)].groupby(["kind", "horizon"]):
        published = some[some["line"] == ""].set_index("origin_session").sort_index()
        for window in WINDOWS if len(published) else ():
            held = published.iloc[-window:]
            of_held = some[some["origin_session"].isin(held.index)]
            about = {name: held[name].mean() for name in ("inside_80", "inside_90")}
            found[kind, horizon, window] = figures(of_held, horizon) | {
                "n": len(held),
                "coverage_80": about["inside_80"],
                "coverage_90": about["inside_90"],
            }
    return found


def figures(lines, horizon):
    """Losses of all lines on the same origins; a row an origin, a column a line, NaN without a
    score."""
    by_line = lines.pivot(index="origin_session", columns="line", values=["error", "pinball"]).abs()
    columns = ["", "lstm", *BASELINES]
    errors = by_line["error"].reindex(columns=columns)
    pinballs = by_line["pinball"].reindex(columns=columns)
    ranked = [name for name in BASELINES if 10 * errors[name].notna().sum() >= 9 * len(errors)]
    skills = {name: skill(errors, name) for name in ranked}
    best = min(skills, key=skills.__getitem__, default=None)
    return {
        "mae": errors[""].mean(),
        "pinball": pinballs[""].mean(),
        "best_baseline": best,
        "baseline_mae": errors[best].mean() if best else None,
        "skill": skills.get(best),
        "pinball_skill": min((skill(pinballs, name) for name in ranked), default=None),
        "network_n": errors["lstm"].notna().sum() or None,
        "network_mae": errors["lstm"].mean(),
        "network_pinball": pinballs["lstm"].mean(),
        "skill_vs_network": skill(errors, "lstm"),
        "pinball_skill_vs_network": skill(pinballs, "lstm"),
        "reference": "ridge",
        "reference_n": pinballs["ridge"].notna().sum(),
        "reference_skill": skill(pinballs, "ridge"),
        "reference_statistic": statistic(pinballs) ** 2 if horizon == 1 else None,
    }


def statistic(pinballs):
    return diebold_mariano(pinballs[""], pinballs["ridge"], horizon=1)[0]


def test_live_skill_equals_a_recomputation_from_all_scores(url, lines):
    with reading(url) as connection:
        found = read.view(connection, "live_skill", {"symbol": SYMBOL})
    expected = naive_live_skill(lines)
    assert len(found) == len(expected) > 0
    for row in found.to_dict("records"):
        for name, value in expected[row["kind"], row["horizon"], row["window_sessions"]].items():
            if pd.isna(value):
                assert pd.isna(row[name]), name
            else:
                assert row[name] == (
                    value if isinstance(value, str) else pytest.approx(value, rel=1e-6)
                ), name


def test_the_skill_that_people_are_told_is_of_live_nights_with_the_p_of_the_paired_test(url, lines):
    ahead = lines.query("kind == 'live' and horizon == 1")
    pinball = ahead.pivot(index="origin_session", columns="line", values="pinball")
    pinball = pinball[pinball[""].notna()].iloc[-max(WINDOWS) :]
    both = pinball.dropna(subset="ridge")
    with reading(url) as connection:
        found = read.skills(connection)
        assert read.skills(connection, {"symbol": SYMBOL, "target": TARGET}) == found
        assert read.skills(connection, {"symbol": "OTHER"}) == {}
    assert asdict(found[SYMBOL, TARGET]) == {
        "reference": "ridge",
        "n": len(both),
        "share": pytest.approx(1 - both[""].sum() / both["ridge"].sum()),
        "p_value": pytest.approx(diebold_mariano(both[""], both["ridge"], horizon=1)[1]),
    }
    frame = connect_ledger(url).skill(SYMBOL)
    (told,) = frame.query("kind == 'live' and horizon == 1 and window_sessions == 250")[
        "reference_p"
    ]
    assert told == found[SYMBOL, TARGET].p_value


def test_the_leads_of_a_page_are_of_the_next_session_and_of_the_five_together(url, lines):
    live = lines.query("kind == 'live'").pivot(
        index=["horizon", "origin_session"], columns="line", values="pinball"
    )
    newest = live[live[""].notna()].groupby("horizon").tail(max(WINDOWS))
    with reading(url) as connection:
        found = pages.night_view(connection, settings_of(url)).full.leads
    assert found.keys() >= {*BASELINES}
    for name, (n, *leads) in found.items():
        both = newest[["", name]].dropna()
        expected = [1 - rows[""].sum() / rows[name].sum() for rows in (both.loc[1], both)]
        assert n == len(both.loc[1])
        assert leads == pytest.approx(expected, rel=1e-6), name
        assert leads[0] != pytest.approx(leads[1], rel=1e-3), name


def test_the_page_of_a_night_before_a_split_compares_its_forecasts_with_bars_as_it_knew_them(
    night_folder, tmp_path
):
    days = between(date(2024, 3, 6), LAST)
    bars = random_bars(days=560, seed=4, last=LAST).assign(
        **{"Dividends": 0.0, "Stock Splits": 0.0}
    )
    split = scaled(bars, [0.25] * 5 + [4.0], columns=[*PRICES, "volume"])
    split.loc[str(days[1]), "Stock Splits"] = 4.0
    for day, known in zip(days, (bars, split, split), strict=True):
        write_yahoo_csv(known.loc[: str(day)], tmp_path / "TEST.csv")
        run_missed(read_settings(), as_of=day, mode="auto", now=after(day))
    settings = read_settings()
    (past,) = newest_reports(settings, days[0])
    (newest,) = newest_reports(settings)
    assert past.known.iloc[-1] == past.forecasts[0].last_value == bars["volume"].loc[str(days[0])]
    assert (
        newest.known.iloc[-1]
        == newest.forecasts[0].last_value
        == 4.0 * bars["volume"].loc[str(LAST)]
    )
    assert past.is_provisional
    ahead = newest.full.record.ahead(1)
    assert ahead["actual"].tolist() == [4.0 * bars["volume"].loc[str(day)] for day in days[1:]]
    assert ahead["q50"].iloc[0] == pytest.approx(4.0 * past.forecasts[0].q50)


NEWEST = "2024-03-08"


@pytest.fixture
def settings(sqlite_url, tmp_path):
    """A ledger of one night of SBUX's volume, and one of its range whose origin is a day older.

    Target close was forecast until 0.3: its rows are left as they are.
    """
    days = between(date(2023, 12, 8), LAST)
    with transaction(sqlite_url) as connection:
        start(connection, origins=("2024-03-07", NEWEST))
        volumes = {day.isoformat(): 90.0 + place for place, day in enumerate(days)}
        newest = {NEWEST: volumes.pop(NEWEST)}
        store_bars(connection, volumes, seen="2024-03-07T21:00")
        store_bars(connection, newest, seen="2024-03-08T21:00")
        write.add(connection, "runs", run_row("range", "2024-03-07", target="range"))
        write.add(connection, "models", model_row("other", target="range"))
        write.add(connection, "runs", run_row("close", NEWEST, target="close"))
        own = {"target": "range", "run_id": "range", "model_id": "other"}
        published = forecast_row("lstm", NEWEST)
        of_range = forecast_row("lstm", "2024-03-07") | own
        replay = forecast_row("lstm", NEWEST, kind="replay")
        write.add(connection, "forecasts", published, replay, of_range)
        withdrawn = forecast_row("lstm", NEWEST) | {"target": "close", "run_id": "close"}
        write.add(connection, "forecasts", withdrawn)
        parts = [*part_rows(published, usual=110.0, recent=0.9), *part_rows(replay, usual=1.0)]
        write.add(connection, "forecast_parts", *parts, *part_rows(of_range, usual=0.04))
    return Settings(
        data_dir=tmp_path, database_url=sqlite_url, symbols=(SYMBOL,), targets=(TARGET,)
    )


def index_lines(settings):
    """The rows of the index."""
    with reading(settings.url) as connection:
        return pages.views_of(connection, [[row] for row in read.newest_published(connection)])


def test_every_symbol_and_target_has_a_line_with_the_values_that_its_night_had_and_a_newer_late_night(
    settings,
):
    of_range, volume = before = index_lines(settings)
    assert (of_range.target, volume.target) == ("range", "volume")
    assert (of_range.usual, volume.usual) == (0.04, 110.0)
    assert (of_range.first.parts, volume.first.parts) == (
        [("usual", 0.04)],
        [("usual", 110.0), ("recent", 0.9)],
    )
    assert volume.known.iloc[-1] == 89.0 + len(between(date(2023, 12, 8), LAST))
    announced = dates_of(
        pd.to_datetime(["2024-03-07", "2024-03-12"]), ["amc", "bmo"], scheduled=[True, False]
    )
    days = between(date(2024, 1, 2), date(2024, 3, 11))
    # A split, stored by the fetch of a night that failed later
    with transaction(settings.url) as connection:
        after = {day.isoformat(): 4.0 * (500.0 + place) for place, day in enumerate(days)}
        store_bars(connection, after, seen="2024-03-12T10:30", version=2)
        write.add(
            connection, "runs", run_row("next", "2024-03-11", status="late", note="no bar yet")
        )
        # The second is not known in advance
        reports = reacting(announced).assign(source="csv").drop(columns="scheduled")
        write.add_frame(
            connection, "events", reports, symbol=SYMBOL, first_seen_at=at("2024-03-07T21:00")
        )
    of_range, volume = index_lines(settings)
    assert (of_range.first.special_days, volume.first.special_days) == (["earnings"], [])
    assert (volume.known.tolist(), volume.usual) == (before[1].known.tolist(), before[1].usual)
    assert (of_range.state, volume.state) == ("ok", "stale")
    assert volume.to_know == [Condition("late", {"reason": "no bar yet"})]


def test_a_report_writes_page_and_index_that_link_to_each_other(settings):
    written, (index,) = pages.write_reports(settings, None, now=clock.now)
    page = written.values["SBUX"]
    assert (page.name, index.name) == ("SBUX-volume.html", "index.html")
    assert 'href="SBUX-volume.html"' in index.read_text(encoding="utf-8")
    assert 'href="SBUX-range.html"' not in index.read_text(encoding="utf-8")
    assert 'href="index.html"' in page.read_text(encoding="utf-8")
    written, _ = pages.write_reports(settings.for_target("range"), None, now=clock.now)
    assert 'href="SBUX-volume.html"' in written.values["SBUX"].read_text(encoding="utf-8")
    assert not list(page.parent.glob("*.part"))


def test_a_past_night_has_a_page_of_its_own(settings):
    with transaction(settings.url) as connection:
        write.add(connection, "forecasts", forecast_row("lstm", "2024-03-07"))
    newest, _ = pages.write_reports(settings, None, now=clock.now)
    before = newest.values["SBUX"].read_bytes()
    past, _ = pages.write_reports(settings, None, EVE, now=clock.now)
    page = past.values["SBUX"]
    assert page.name == "SBUX-volume-2024-03-07.html"
    assert "night of Thu 7 Mar 2024<" in page.read_text(encoding="utf-8")
    assert newest.values["SBUX"].read_bytes() == before


def test_a_symbol_or_a_night_that_is_not_there_is_told_with_what_is(settings):
    misspelt = settings.model_copy(update={"symbols": ("SBUXX",)})
    outcomes, index = pages.write_reports(misspelt, None, now=clock.now)
    assert "holds forecasts of SBUX range, SBUX volume" in str(outcomes.errors["SBUXX"])
    assert index == []
    with transaction(settings.url) as connection:
        write.add(connection, "forecasts", forecast_row("lstm", "2024-03-07"))
    earlier, _ = pages.write_reports(settings, None, date(2024, 1, 3), now=clock.now)
    assert "found origins from 2024-03-07 to 2024-03-08." in str(earlier.errors["SBUX"])


@pytest.mark.parametrize(
    ("hours", "as_of", "newest"),
    [(-1, None, None), (1, None, date(2024, 3, 11)), (1, LAST, None)],
)
def test_forecasts_are_stale_once_their_next_session_has_closed_and_of_a_past_night_never(
    settings, hours, as_of, newest
):
    at = closes_at(date(2024, 3, 11)) + timedelta(hours=hours)
    found = pages.each_report(settings, as_of, now=lambda: at).values["SBUX"]
    assert found.newest == newest


def test_each_symbol_has_its_newest_night_whatever_came_of_it_and_the_published_forecast(
    sqlite_url,
):
    fill(sqlite_url)
    failed = run_row(
        "r9", "2024-03-08", symbol="BAD", status="failed", error="no rows of BAD", note=""
    )
    with connect.transaction(sqlite_url) as connection:
        connection.execute(metadata.tables["runs"].insert().values(failed))
    done, bad, new = pages.newest_nights(
        settings_of(sqlite_url, SYMBOL, "BAD", "NEW"), now=clock.now
    )
    assert (bad.symbol, bad.outcome.kind, bad.forecasts) == ("BAD", "failed", ())
    assert bad.to_know == [Condition("failed", {"reason": "no rows of BAD"})]
    assert new.to_know == [Condition("no_night", {"symbol": "NEW", "target": "volume"})]
    assert (done.symbol, done.outcome.kind) == (SYMBOL, "done")
    assert (done.first.row.target_session, done.first.row.q50) == (date(2024, 3, 11), 100.0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NoBarError("no session"), "done"),
        (DataLateError("no bar yet"), "late"),
        (UsageError("invalid"), "part_failed"),
    ],
)
def test_what_stopped_a_night_that_left_no_row_is_shown_unless_its_day_was_no_session(
    sqlite_url, error, kind
):
    fill(sqlite_url)
    settings = settings_of(sqlite_url)
    night = Night(date(2024, 3, 8), settings.for_symbol(SYMBOL), clock.now)
    (view,) = pages.newest_nights(settings, [replace(night, error=error)], now=clock.now)
    assert view.outcome.kind == kind


def test_a_page_names_the_row_of_its_night_that_is_missing(settings):
    # Another program may write to the file without the check of foreign keys.
    with closing(sqlite3.connect(settings.url.removeprefix("sqlite:///"))) as outside:
        outside.execute("DELETE FROM runs")
        outside.commit()
    with (
        reading(settings.url) as connection,
        pytest.raises(StoreError, match=r"missing: \S+ of runs"),
    ):
        pages.night_view(connection, settings)
