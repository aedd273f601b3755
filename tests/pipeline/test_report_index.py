"""The index of a ledger: rows of the store as lines, and links to the pages that are there."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from flows import clock
from forecasting.errors import UsageError
from forecasting.pipeline.publish import (
    newest_nights,
    outcome_page,
    page_data,
    report_data,
    symbol_lines,
    update_index,
    write_reports,
)
from forecasting.report.night_view import ReportData, SymbolLine
from forecasting.report.prefect import RunTimes
from forecasting.sessions import between
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import reading, transaction
from forecasting.store.schema import metadata
from tests.pipeline.test_export import fill, settings_of
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, model_row, run_row, score_row, start, store_bars

LAST = "2024-03-08"


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    """A ledger of one night of SBUX's volume, and one of its close whose origin is a day older."""
    days = between(date(2023, 12, 8), date(2024, 3, 8))
    with transaction(sqlite_url) as connection:
        start(connection, origins=("2024-03-07", LAST))
        volumes = {day.isoformat(): 90.0 + place for place, day in enumerate(days)}
        newest = {LAST: volumes.pop(LAST)}
        store_bars(connection, volumes, seen="2024-03-07T21:00")
        store_bars(connection, newest, seen="2024-03-08T21:00")
        write.add(connection, "runs", run_row("close", "2024-03-07", target="close"))
        write.add(connection, "models", model_row("other", target="close"))
        own = {"target": "close", "run_id": "close", "model_id": "other"}
        forecasts = [forecast_row("lstm", LAST), forecast_row("lstm", "2024-03-07") | own]
        write.add_forecasts(connection, forecasts)
    return Settings(data_dir=tmp_path, database_url=sqlite_url, symbols=(SYMBOL,), target=TARGET)


def lines(settings: Settings) -> list[SymbolLine]:
    """The rows of the index."""
    with reading(settings.url) as connection:
        return symbol_lines(connection, read.newest_nights(connection), folder=settings.data_dir)


def test_every_symbol_and_target_has_a_line_with_the_values_that_its_night_had_and_a_newer_late_night(
    settings: Settings,
) -> None:
    close, volume = before = lines(settings)
    assert (close.forecast["target"], volume.forecast["target"]) == ("close", "volume")
    assert (len(close.values), len(volume.values)) == (30, 30)
    assert volume.values[-1] == 89.0 + len(between(date(2023, 12, 8), date(2024, 3, 8)))
    assert (close.page, volume.page) == ("", "")
    days = between(date(2024, 1, 2), date(2024, 3, 11))
    with transaction(settings.url) as connection:  # a split, stored by the fetch of a night that failed later
        after = {day.isoformat(): 4.0 * (500.0 + place) for place, day in enumerate(days)}
        store_bars(connection, after, seen="2024-03-12T10:30", version=2)
        write.add(connection, "runs", run_row("next", "2024-03-11", status="late", note="no bar yet"))
    close, volume = lines(settings)
    assert (volume.values, volume.usual) == (before[1].values, before[1].usual)
    assert (close.state, volume.state, volume.reason) == ("ok", "data late", "no bar yet")


def test_a_report_writes_page_and_index_that_link_to_each_other(settings: Settings) -> None:
    (written,), (index,) = write_reports(settings, None, now=clock.now)
    page = written.get()
    assert (page.name, index.name) == ("SBUX-volume.html", "index.html")
    assert 'href="SBUX-volume.html"' in index.read_text(encoding="utf-8")
    assert 'href="SBUX-close.html"' not in index.read_text(encoding="utf-8")
    assert 'href="index.html"' in page.read_text(encoding="utf-8")
    (written,), _ = write_reports(settings.model_copy(update={"target": "close"}), None, now=clock.now)
    close = written.get()
    assert 'href="SBUX-volume.html"' in close.read_text(encoding="utf-8")
    assert not list(page.parent.glob("*.part"))


def test_a_past_night_has_a_page_of_its_own(settings: Settings) -> None:
    with transaction(settings.url) as connection:
        write.add_forecasts(connection, [forecast_row("lstm", "2024-03-07")])
        write.add(connection, "models", model_row("lstm:2"))
        write.add(connection, "promotions", promotion("2024-03-06", "lstm"))
        write.add(connection, "promotions", promotion(LAST, "lstm:2"))
    (newest,), _ = write_reports(settings, None, now=clock.now)
    before = newest.get().read_bytes()
    (past,), _ = write_reports(settings, None, date(2024, 3, 7), now=clock.now)
    page = past.get()
    assert page.name == "SBUX-volume-2024-03-07.html"
    assert 'id="night-of">Thursday 7 March 2024<' in page.read_text(encoding="utf-8")
    assert newest.get().read_bytes() == before
    assert origins_in(page) == ["2024-03-07"]
    assert champions_in(page) == [("2024-03-06", "now")]
    assert champions_in(newest.get()) == [("2024-03-08", "now"), ("2024-03-06", "2024-03-08")]
    assert origins_in(newest.get()) == ["2024-03-07", "2024-03-08"]


def test_the_page_of_a_past_night_counts_what_was_known_on_that_night(settings: Settings) -> None:
    """A volume of 90, restated to 99 on the night after, when the model forecasts once more."""
    forecast = forecast_row("lstm", "2024-03-07")
    with transaction(settings.url) as connection:
        write.add_forecasts(connection, [forecast])
        write.add_scores(connection, [score_row(forecast, actual=90.0)])
    before = past_night(settings)
    with transaction(settings.url) as connection:
        write.add(connection, "runs", run_row("2024-03-11", "2024-03-11"))
        store_bars(connection, {LAST: 99.0}, seen="2024-03-11T21:00", version=2)
        store_bars(connection, {"2024-03-11": 90.0}, seen="2024-03-12T21:00", settled=(LAST,))
        write.add_scores(connection, [score_row(forecast, stage="settled", bar_version=2, actual=99.0)])
        write.add_forecasts(connection, [forecast_row("lstm", "2024-03-11")])
    since = past_night(settings)
    assert before.scored["actual"].tolist() == since.scored["actual"].tolist() == [90.0]
    assert before.lineage == since.lineage


def past_night(settings: Settings) -> ReportData:
    """What the page of the night of LAST is made of."""
    with reading(settings.url) as connection:
        night = report_data(connection, settings, origin=date.fromisoformat(LAST))
        return page_data(connection, night)


def promotion(session: str, winner: str) -> dict[str, object]:
    return {
        "id": session,
        "symbol": SYMBOL,
        "target": TARGET,
        "session": date.fromisoformat(session),
        "challenger": winner,
        "winner": winner,
        "origins": 0,
        "reason": "It passed the gate.",
        "trigger": "night",
        "decided_at": at(f"{session}T22:00"),
    }


def champions_in(page: Path) -> list[tuple[str, str]]:
    """Since and until of each champion in the page."""
    table = page.read_text(encoding="utf-8").split('data-name="champions"')[1].split("</table>")[0]
    return re.findall(r'<th scope="row" class="keep">(.*?)</th><td class="keep" data-label="until">(.*?)</td>', table)


def origins_in(page: Path) -> list[str]:
    """The nights that a reader of the page can pick."""
    found = re.search(r'id="nights">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    document = json.loads(found[1])
    return [document["sessions"][night["origin"]] for night in document["nights"]]


def test_a_path_for_several_symbols_is_refused(settings: Settings, tmp_path: Path) -> None:
    several = settings.model_copy(update={"symbols": (SYMBOL, "MSFT")})
    with pytest.raises(UsageError, match="Expected one symbol for `report --out`, found 2: SBUX, MSFT"):
        write_reports(several, tmp_path / "page.html", now=clock.now)


def test_a_symbol_or_a_night_that_is_not_there_is_told_with_what_is(settings: Settings) -> None:
    misspelt = settings.model_copy(update={"symbols": ("SBUXX",)})
    for asked, day, words in (
        (misspelt, None, "--symbol SBUXX --target volume. The database holds forecasts of SBUX close, SBUX volume."),
        (misspelt, date(2024, 1, 3), "forecasting run --symbol SBUXX --target volume. The database holds"),
        (settings, date(2024, 1, 3), "found the origin 2024-03-08 alone. Make one: forecasting catch-up --from 2024-"),
    ):
        (outcome,), index = write_reports(asked, None, day, now=clock.now)
        assert (words in str(outcome.error), index) == (True, [])
    with transaction(settings.url) as connection:
        write.add_forecasts(connection, [forecast_row("lstm", "2024-03-07")])
    (earlier,), _ = write_reports(settings, None, date(2024, 1, 3), now=clock.now)
    assert "found origins from 2024-03-07 to 2024-03-08." in str(earlier.error)


def test_an_index_that_cannot_be_written_after_a_night_is_a_warning(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "reports").write_text("a file in place of the folder", encoding="utf-8")
    update_index(Settings(data_dir=tmp_path, database_url=sqlite_url), now=clock.now)
    ((level, message),) = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert (level, message[:46]) == ("WARNING", "the index of the pages was not written: The pa")


def test_each_symbol_has_its_newest_night_whatever_came_of_it_and_the_published_forecast(sqlite_url: str) -> None:
    fill(sqlite_url)
    failed = run_row("r9", "2024-03-08", symbol="BAD", status="failed", error="no rows of BAD", note="")
    with connect.transaction(sqlite_url) as connection:
        connection.execute(metadata.tables["runs"].insert().values(failed))
    done, bad, new = newest_nights(settings_of(sqlite_url, SYMBOL, "BAD", "NEW"))
    assert (bad.symbol, bad.status, bad.reason, bad.forecast) == ("BAD", "failed", "no rows of BAD", {})
    assert (new.symbol, new.status, new.run) == ("NEW", "no night yet", None)
    assert (done.symbol, done.status, done.opens) == (SYMBOL, "done", datetime(2024, 3, 11, 13, 30, tzinfo=UTC))
    assert (done.forecast["target_session"], done.forecast["q50"]) == (date(2024, 3, 11), 100.0)


def test_the_page_of_a_run_has_the_usual_durations_of_its_symbols_alone(sqlite_url: str) -> None:
    fill(sqlite_url)
    with connect.transaction(sqlite_url) as connection:
        connection.execute(metadata.tables["runs"].update().values(seconds_train=2.0))
        other = run_row("r9", "2024-03-08", symbol="OTHER", note="", seconds_train=500.0)
        connection.execute(metadata.tables["runs"].insert().values(other))
    settings, now = settings_of(sqlite_url), datetime(2024, 3, 8, 22, 0, tzinfo=UTC)
    page = outcome_page(settings, newest_nights(settings), RunTimes(now, now, now))
    assert page.key == "outcomes-volume"
    rows = [line.replace("\N{NO-BREAK SPACE}", " ") for line in str(page.body).splitlines()]
    assert "| train | 2.0 s | 2.0 s | 2.0 s |  |" in rows
