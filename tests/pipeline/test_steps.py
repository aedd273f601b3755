"""Forecasts as written, and who is champion after a night, by what the ledger holds."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from forecasting.pipeline.evaluate import score_and_decide
from forecasting.pipeline.folders import artifact_folder
from forecasting.pipeline.night import Night, make_night
from forecasting.pipeline.run import run_missed
from forecasting.preprocess.windows import make_windows
from forecasting.report.terminal import night_text
from forecasting.report.wording import notices
from forecasting.sessions import closes_at, shift
from forecasting.settings import Settings, read_settings
from forecasting.store import read, write
from forecasting.store.connect import Connection, reading, transaction
from forecasting.train import checkpoint
from forecasting.train.fit import fit
from forecasting.vocabulary import Mode
from tests.builders import LAST, no_events, random_bars, set_small_night, write_yahoo_csv
from tests.nights import newest_reports
from tests.store.rows import (
    SYMBOL,
    TARGET,
    bar_rows,
    fetched,
    forecast_row,
    model_row,
    revision,
    run_row,
)


@pytest.mark.parametrize(("since", "is_near"), [(-4, True), (-24, False)])
def test_a_night_near_a_jump_whose_hold_has_ended_says_so(tmp_path, sqlite_url, monkeypatch, since, is_near):
    """Prices are halved while as many shares trade: no split, and taken after three sessions."""
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300)
    settings = read_settings()
    bars = random_bars(days=560, seed=4, last=LAST)
    bars.iloc[since:, :5] /= 2.0
    for night in (bars.index[since - 1].date(), LAST):
        write_yahoo_csv(bars.loc[: str(night)], tmp_path / "TEST.csv")
        moment = closes_at(night) + timedelta(hours=13)
        run_missed(settings, as_of=night, mode="auto", now=lambda moment=moment: moment)
    (data,) = newest_reports(settings)
    assert [notice.title for notice in notices(data)].count("Break in the bars") == is_near
    assert ("Break in the bars" in night_text(data, now=moment, width=None)) is is_near
    assert {str(bars.index[since].date()) in reason for reason in data.rows["reason"]} == {is_near}


@pytest.mark.parametrize(("target", "usual"), [("volume", 1.0), ("close", 1.02)])
def test_a_forecast_made_before_a_split_calibrates_on_its_own_share_basis(
    tmp_path, sqlite_url, monkeypatch, target, usual
):
    """Split 2:1: the first new bar is the median of its old forecast, so every factor falls by its nominal share."""
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300, target=target)
    settings = read_settings()
    eve = shift(LAST, -1)
    bars = random_bars(days=560, seed=4, last=LAST).assign(**{"Dividends": 0.0, "Stock Splits": 0.0})
    prices = ["open", "high", "low", "close", "adj_close"]
    for night in (eve, LAST):
        if night == LAST:
            with reading(settings.url) as connection:
                asked = "SELECT q50 FROM forecasts WHERE role = 'champion' AND horizon = 1"
                median = connection.scalar(sa.text(asked))
            bars[prices] /= 2.0
            bars["volume"] *= 2.0
            bars.loc[str(LAST), "Stock Splits"] = 2.0
            if target == "volume":
                bars.loc[str(LAST), "volume"] = round(2.0 * median)
            else:
                bars.loc[str(LAST), prices] *= median / 2.0 / bars.loc[str(LAST), "close"]
        write_yahoo_csv(bars.loc[: str(night)], tmp_path / "TEST.csv")
        moment = closes_at(night) + timedelta(hours=13)
        run_missed(settings, as_of=night, mode="auto", now=lambda moment=moment: moment)
    with reading(settings.url) as connection:
        asked = (
            f"SELECT calibration FROM forecasts WHERE role = 'champion' AND origin_session = '{LAST}' AND horizon = 5"
        )
        factors = json.loads(connection.scalar(sa.text(asked)) or "")["factors"]
    outside = np.array([0.1, 0.2, 0.5, 0.0, 0.5, 0.2, 0.1])  # of each pair; one of the five horizons has closed
    by_hand = np.where(outside > 0.0, usual * np.exp(-0.015 / 5.0 * outside), 1.0)
    np.testing.assert_allclose(factors, by_hand, rtol=1e-12)


@pytest.mark.slow
def test_the_nights_most_like_tonight_are_those_with_the_nearest_parts_and_what_came(tmp_path, sqlite_url, monkeypatch):
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300)
    write_yahoo_csv(bars := random_bars(days=560, seed=4, last=LAST), tmp_path / "TEST.csv")
    for ago in range(4, -1, -1):
        night = shift(LAST, -ago)
        mode: Mode = "skip" if ago < 4 else "auto"
        run_missed(read_settings(), as_of=night, mode=mode, now=lambda: closes_at(LAST) + timedelta(hours=13))
    (data,) = newest_reports(read_settings())
    with reading(read_settings().url) as connection:
        asked = "SELECT origin_session, part, factor FROM forecast_parts WHERE horizon = 1 AND part <> 'usual'"
        logs = np.log(
            pd.DataFrame(connection.execute(sa.text(asked)).mappings().all()).pivot_table(
                index="origin_session", columns="part", values="factor"
            )
        )
    distances = ((logs - logs.loc[str(LAST)]) ** 2).sum(axis=1).drop(str(LAST)).sort_values()
    nearest = [shift(pd.Timestamp(day).date(), 1) for day in distances.index[:3]]
    assert [day for day, _, _ in data.alike] == nearest
    assert [actual for _, _, actual in data.alike] == [bars["volume"][str(day)] for day in nearest]
    assert f"{nearest[0].day} {nearest[0]:%B %Y} (median" in night_text(data, now=closes_at(LAST), width=None)


GATE = '{"origins": 40, "first": "2024-01-02", "last": "2024-02-28", "challenger": 3.9, "champion": 4.0}'


@pytest.fixture(scope="module")
def fitted():
    bars = random_bars(days=500, seed=3, last=LAST)
    settings = Settings().model_copy(update={"members": 1})
    windows = make_windows(bars, no_events(), origin=LAST, target=TARGET, exchange="XNYS", train_sessions=300)
    return fit(windows, mode="scratch", parent=None, settings=settings)


def fitted_tonight(
    connection: Connection, settings: Settings, fitted: checkpoint.Checkpoint, *, champion: bool = True, **changed: Any
) -> None:
    """A ledger with tonight's fit, changed as told, and a champion unless told otherwise; no forecast is scored yet."""
    versions = bar_rows({str(LAST): 90.0})
    at = forecast_row("champion", str(LAST))["issued_at"]
    change = revision(versions, settled=(str(LAST),))
    write.add_fetch(connection, fetched(versions), change, fetch_id="2024-01-02T21:00", fetched_at=at, run_id=None)
    run = tonight(settings)
    write.add(connection, "runs", run_row(run.id, str(LAST), settings_hash=settings.hash))
    for name, run_id in (("champion", "first"), ("challenger", run.id)):
        kept = checkpoint.save(fitted, artifact_folder(settings, name))
        where = {"artifact_path": f"artifacts/{name}", "artifact_hash": kept, "run_id": run_id}
        own = {"gate": GATE} | changed if name == "challenger" else {}
        write.add(connection, "models", model_row(name, trained_to=LAST, **where, **own))
    if champion:
        first = {"id": "p", "symbol": SYMBOL, "target": TARGET, "session": shift(LAST, -1), "challenger": "champion"}
        first |= {"winner": "champion", "origins": 0, "reason": "", "trigger": "night", "decided_at": at}
        write.add(connection, "promotions", first)


def tonight(settings: Settings) -> Night:
    """The night after preprocess."""
    night = make_night(SYMBOL, LAST, settings, now=lambda: datetime(2024, 3, 9, 10, 30, tzinfo=UTC))
    return replace(night, data_as_of=datetime(2024, 3, 9, 10, tzinfo=UTC))


def decided(url: str, settings: Settings) -> dict[str, Any]:
    run = score_and_decide(tonight(settings))
    with reading(url) as connection:
        found = read.row(connection, "promotions", {"run_id": run.id})
        champion = read.champion(connection, SYMBOL, TARGET)
    assert found is not None
    assert champion is not None
    assert champion["id"] == found["winner"]
    return found


def settings_of(tmp_path: Path, url: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=SecretStr(url), members=1)


WEIGHTS = "weights.safetensors"
OF_THE_GATE = {"compared": "hindcasts", "origins": 40, "champion_pinball": 4.0, "challenger_pinball": 3.9}
OF_THE_GATE |= {"first_origin": date(2024, 1, 2), "last_origin": date(2024, 2, 28)}


@pytest.mark.parametrize(
    ("changed", "damage", "winner", "words"),
    [
        ({"method": "warm"}, None, "challenger", "A refresh of the champion that passed the gate takes over."),
        ({"refused": "a weight is too far"}, None, "champion", "stays; the gate refused the fit: a weight is too far."),
        ({}, lambda folder: (folder / WEIGHTS).write_bytes(b"damaged"), "champion", "SHA-256"),
        ({}, lambda folder: (folder / WEIGHTS).unlink(), "champion", "No such file"),
    ],
)
def test_a_fit_that_passed_the_gate_and_can_be_run_takes_over_once(
    database_url, tmp_path, fitted, changed, damage, winner, words
):
    settings = settings_of(tmp_path, database_url)
    with transaction(database_url) as connection:
        fitted_tonight(connection, settings, fitted, **changed)
    if damage is not None:
        damage(artifact_folder(settings, "challenger"))
    found = decided(database_url, settings)
    assert (found["champion"], found["winner"]) == ("champion", winner)
    assert words in found["reason"]
    assert {name: found[name] for name in OF_THE_GATE} == OF_THE_GATE
    assert decided(database_url, settings) == found  # a second evaluation of the night changes nothing


@pytest.mark.parametrize("could_forecast", [True, False])
def test_neither_a_refused_fit_without_a_champion_nor_a_night_that_could_not_forecast_decides(
    sqlite_url, tmp_path, fitted, could_forecast
):
    """Decided already, the forecasts of such a night would be another champion's once it is run again."""
    settings = settings_of(tmp_path, sqlite_url)
    with transaction(sqlite_url) as connection:
        refused = "a weight is too far" if could_forecast else ""
        fitted_tonight(connection, settings, fitted, champion=not could_forecast, refused=refused)
    night = tonight(settings)
    score_and_decide(night if could_forecast else replace(night, data_as_of=None))
    with reading(sqlite_url) as connection:
        assert read.row(connection, "promotions", {"run_id": night.id}) is None
