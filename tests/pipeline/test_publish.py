"""The track record that people read, against a naive recomputation from table scores."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from flows.cli import app
from forecasting.pipeline import publish
from forecasting.pipeline.publish import LINE_ORIGINS, SHOWN_SESSIONS, report_data
from forecasting.pipeline.run import run_missed
from forecasting.report.night_view import ReportData
from forecasting.report.page import render_page
from forecasting.report.record import ENOUGH_LIVE
from forecasting.report.terminal import line_listing
from forecasting.report.units import percent
from forecasting.report.wording import forecaster_label
from forecasting.sessions import between, closes_at
from forecasting.settings import read_settings
from forecasting.store import read, write
from forecasting.store.connect import reading, transaction
from forecasting.store.score_views import WINDOWS
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.conftest import DATABASES
from tests.nights import newest_reports
from tests.pipeline.test_export import settings_of
from tests.postgres import copied, fresh_postgres
from tests.store.mixed_nights import BASELINES, mixed_scores, naive_lines
from tests.store.rows import SYMBOL, gather_statistics

Figures = dict[tuple[object, ...], Any]

DAYS = [(0, 290), (1, 24), (2, 70)]
"""Seed and number of nights: more than any window, too few live ones to stand alone, and between these."""


@pytest.fixture(scope="module", params=DAYS, ids=lambda days: f"{days[1]} nights")
def sqlite_ledger(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_sqlite_file: Path
) -> str:
    """A ledger of mixed nights and their scores, which no test changes."""
    seed, days = request.param
    url = f"sqlite:///{shutil.copy(migrated_sqlite_file, tmp_path_factory.mktemp('mixed') / 'ledger.db')}"
    scores = mixed_scores(url, seed=seed, days=days)
    with transaction(url) as connection:
        write.add_scores(connection, scores)
    return url


@pytest.fixture(scope="module")
def postgres_ledger(sqlite_ledger: str, postgres_server: sa.Engine, migrated_postgres: str) -> Iterator[str]:
    """The same rows on PostgreSQL."""
    with fresh_postgres(postgres_server, template=migrated_postgres) as url:
        copied(sqlite_ledger, url)
        with transaction(url) as connection:
            gather_statistics(connection)
        yield url


@pytest.fixture(scope="module", params=DATABASES)
def url(request: pytest.FixtureRequest, sqlite_ledger: str) -> str:
    return request.getfixturevalue(f"{request.param}_ledger")


@pytest.fixture(scope="module")
def lines(url: str) -> pd.DataFrame:
    """The scores that count, from all rows."""
    with reading(url) as connection:
        return naive_lines(connection)


@pytest.fixture(scope="module")
def data(url: str) -> ReportData:
    """What the page of the symbol is made of."""
    with reading(url) as connection:
        return report_data(connection, settings_of(url))


def losses_by_line(lines: pd.DataFrame, name: str) -> pd.DataFrame:
    """A row an origin, a column a line; NaN where a line has no score."""
    return lines.assign(loss=lines[name].abs()).pivot(index="origin_session", columns="line", values="loss")


def skill(both: pd.DataFrame, line: str) -> float:
    return 1 - both[""].mean() / both[line].mean()


def naive_live_skill(lines: pd.DataFrame) -> Figures:
    found = {}
    kinds = {"live", "late"} if (lines.query("line == ''")["kind"] == "live").any() else set(lines["kind"])
    for (kind, horizon), some in lines[lines["kind"].isin(kinds)].groupby(["kind", "horizon"]):
        published = some[some["line"] == ""].set_index("origin_session")
        if published.empty:
            continue
        for window in WINDOWS:
            held = published.sort_index().iloc[-window:]
            errors, pinballs = (
                losses_by_line(some, name).reindex(held.index).reindex(columns=["", "lstm", *BASELINES])
                for name in ("error", "pinball")
            )
            ranked = [name for name in BASELINES if 10 * errors[name].notna().sum() >= 9 * len(held)]
            by_skill = {name: skill(errors.dropna(subset=name), name) for name in ranked}
            best = min(by_skill, key=by_skill.__getitem__) if by_skill else None
            network = errors.dropna(subset="lstm")
            found[kind, horizon, window] = {
                "n": len(held),
                "mae": errors[""].mean(),
                "pinball": pinballs[""].mean(),
                "coverage_80": held["inside_80"].mean(),
                "coverage_90": held["inside_90"].mean(),
                "best_baseline": best,
                "baseline_mae": errors[best].mean() if best else None,
                "skill": by_skill[best] if best else None,
                "pinball_skill": min((skill(pinballs.dropna(subset=name), name) for name in ranked), default=None),
                "network_n": len(network) or None,
                "network_mae": errors["lstm"].mean(),
                "network_pinball": pinballs["lstm"].mean(),
                "skill_vs_network": skill(network, "lstm"),
                "pinball_skill_vs_network": skill(pinballs.dropna(subset="lstm"), "lstm"),
            }
    return found


def test_live_skill_equals_a_recomputation_from_all_scores(url: str, lines: pd.DataFrame) -> None:
    with reading(url) as connection:
        found = read.view(connection, "live_skill", SYMBOL)
    expected = naive_live_skill(lines)
    assert len(found) == len(expected) > 0
    for row in found.to_dict("records"):
        figures = expected[row["kind"], row["horizon"], row["window_sessions"]]
        for name, value in figures.items():
            if pd.isna(value):
                assert pd.isna(row[name]), name
            else:
                assert row[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-6)), name


def counting(lines: pd.DataFrame) -> pd.DataFrame:
    """The scores of the newest origins that the page counts: live before late before replay, or live alone."""
    newest = sorted(lines["origin_session"].unique())[-SHOWN_SESSIONS:]
    rows = lines[lines["origin_session"].isin(newest)]
    live = rows[rows["kind"] == "live"]
    if live[live["line"] == ""]["origin_session"].nunique() >= ENOUGH_LIVE:
        return live
    place = rows["kind"].map({"live": 0, "late": 1, "replay": 2})
    rows = rows.assign(place=place).sort_values("place")
    return rows.groupby(["line", "horizon", "origin_session"], as_index=False).head(1)


@pytest.fixture(scope="module")
def skills(lines: pd.DataFrame) -> Figures:
    """The figures of each forecaster and horizon, 0 for all: n, and both lines' mean losses on the same forecasts."""
    rows = counting(lines)
    key = ["origin_session", "horizon", "kind"]
    ours = rows[rows["line"] == ""].set_index(key)
    found = {}
    for name in ("lstm", *BASELINES):
        theirs = rows[rows["line"] == name].set_index(key)
        shared = ours.index.intersection(theirs.index)
        for horizon in (0, 1, 2):
            both = [one for one in shared if horizon in (0, one[1])]
            if both:
                mine, other = ours.loc[both], theirs.loc[both]
                losses = [mine["error"].abs().mean(), other["error"].abs().mean()]
                losses += [mine["pinball"].mean(), other["pinball"].mean()]
                found[name, horizon] = (len(both), *losses, 1 - losses[0] / losses[1], 1 - losses[2] / losses[3])
    return found


def fallbacks(lines: pd.DataFrame) -> int:
    rows = counting(lines)
    return int(rows[(rows["line"] == "") & (rows["model"] != "lstm")]["origin_session"].nunique())


def test_the_pages_figures_equal_a_recomputation_from_all_scores(
    data: ReportData, lines: pd.DataFrame, skills: Figures
) -> None:
    page = render_page(data)
    (table,) = re.findall(r'<table class="mid" id="skills".*?</table>', page, flags=re.DOTALL)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>.*</tr>", table)[1:]]
    unit = data.unit
    assert [row[:5] for row in rows] == [
        [
            forecaster_label(name),
            unit.number(skills[name, 1][2]),
            str(skills[name, 1][0]),
            percent(skills[name, 1][5], signed=True),
            percent(skills[name, 1][6], signed=True),
        ]
        for name in [*sorted(BASELINES, key=lambda name: skills[name, 1][4]), "lstm"]
    ]
    assert f"published in the network's place on {fallbacks(lines)} of these nights" in page


@pytest.fixture
def shown(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The output of `forecasting show` with further options."""
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FORECASTING_DATABASE_URL", url)

    def show(*options: str) -> str:
        result = CliRunner().invoke(app, ["show", "--symbol", SYMBOL, *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    return show


def test_show_as_json_equals_a_recomputation_from_all_scores(
    lines: pd.DataFrame, skills: Figures, shown: Callable[..., str]
) -> None:
    (document,) = json.loads(shown("--json"))
    names = ("n", "mae", "their_mae", "pinball", "their_pinball", "skill_mae", "skill_pinball")
    rows = document["track_record"]["skills"]
    found = {(row["forecaster"], row["horizon"]): tuple(row[name] for name in names) for row in rows}
    assert found == {key: pytest.approx(figures) for key, figures in skills.items()}
    rows_counted = counting(lines).query("line == ''")
    assert document["track_record"] | {"skills": rows} == {
        "origins": rows_counted["origin_session"].nunique(),
        "kinds": rows_counted.groupby("kind")["origin_session"].nunique().to_dict(),
        "fallbacks": fallbacks(lines),
        "skills": rows,
    }


@pytest.mark.parametrize("origins", [LINE_ORIGINS, ENOUGH_LIVE - 1], ids=["enough", "too few to decide"])
def test_a_line_of_a_listing_is_the_same_without_the_older_scores(
    url: str, data: ReportData, origins: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "LINE_ORIGINS", origins)
    with reading(url) as connection:
        brief = report_data(connection, settings_of(url), brief=True)
    now, held = datetime(2026, 1, 1, tzinfo=UTC), data.scored["origin_session"].nunique()
    assert line_listing([brief], now=now) == line_listing([data], now=now)
    assert brief.scored["origin_session"].nunique() == (min(held, origins) if origins == LINE_ORIGINS else held)


def test_the_page_of_a_night_before_a_split_compares_its_forecasts_with_bars_as_it_knew_them(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300)
    days = between(date(2024, 3, 6), LAST)
    bars = random_bars(days=560, seed=4, last=LAST).assign(**{"Dividends": 0.0, "Stock Splits": 0.0})
    after = bars.copy()
    after[["open", "high", "low", "close", "adj_close"]] /= 4.0
    after["volume"] *= 4.0
    after.loc[str(days[1]), "Stock Splits"] = 4.0
    for day, known in zip(days, (bars, after, after), strict=True):
        write_yahoo_csv(known.loc[: str(day)], tmp_path / "TEST.csv")
        moment = closes_at(day) + timedelta(hours=13)
        run_missed(read_settings(), as_of=day, mode="auto", now=lambda moment=moment: moment)
    settings = read_settings()
    (past,), (newest,) = newest_reports(settings, days[0]), newest_reports(settings)
    assert past.known.iloc[-1] == past.forecasts["last_value"].iloc[0] == bars["volume"].loc[str(days[0])]
    assert newest.known.iloc[-1] == newest.forecasts["last_value"].iloc[0] == 4.0 * bars["volume"].loc[str(LAST)]
    assert past.is_provisional
    ahead = newest.scored[(newest.scored["role"] == "champion") & (newest.scored["horizon"] == 1)]
    assert ahead["actual"].tolist() == [4.0 * bars["volume"].loc[str(day)] for day in days[1:]]
    median = past.forecasts.sort_values("horizon")["q50"].iloc[0]
    assert ahead["q50"].iloc[0] == pytest.approx(4.0 * median)
    with reading(settings.url) as connection:
        page = publish.page_data(connection, past)
    assert page.issued is not None
    assert set(page.issued["split_factor"]) == {1.0}
    assert page.first_prints is not None
    assert page.first_prints.iloc[-1] == past.known.iloc[-1]
