"""Who is champion after a night, by what the ledger holds: the table of decisions, through the store and the step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from forecasting.pipeline.evaluate import score_and_decide
from forecasting.pipeline.folders import artifact_folder
from forecasting.pipeline.night import Night, make_night
from forecasting.preprocess.windows import make_windows
from forecasting.sessions import shift
from forecasting.settings import Settings
from forecasting.store import read, write
from forecasting.store.connect import Connection, reading, transaction
from forecasting.train import checkpoint
from forecasting.train.fit import fit
from tests.builders import no_events, random_bars
from tests.store.rows import SYMBOL, TARGET, bar_rows, fetched, forecast_row, model_row, revision, run_row

LAST = date(2024, 3, 8)

GATE = '{"origins": 40, "first": "2024-01-02", "last": "2024-02-28", "challenger": 3.9, "champion": 4.0}'


@pytest.fixture(scope="module")
def fitted() -> checkpoint.Checkpoint:
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
    return replace(night, windows=Path("windows.npz"), data_as_of=datetime(2024, 3, 9, 10, tzinfo=UTC))


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
    database_url: str,
    tmp_path: Path,
    fitted: checkpoint.Checkpoint,
    changed: dict[str, Any],
    damage: Callable[[Path], object] | None,
    winner: str,
    words: str,
) -> None:
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
    sqlite_url: str, tmp_path: Path, fitted: checkpoint.Checkpoint, could_forecast: bool
) -> None:
    """Decided already, the forecasts of such a night would be another champion's once it is run again."""
    settings = settings_of(tmp_path, sqlite_url)
    with transaction(sqlite_url) as connection:
        refused = "a weight is too far" if could_forecast else ""
        fitted_tonight(connection, settings, fitted, champion=not could_forecast, refused=refused)
    night = tonight(settings)
    score_and_decide(night if could_forecast else replace(night, windows=None))
    with reading(sqlite_url) as connection:
        assert read.row(connection, "promotions", {"run_id": night.id}) is None
