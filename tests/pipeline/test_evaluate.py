"""Who is champion after a night, by what the ledger holds: the table of decisions, through the store and the step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from forecasting.pipeline.evaluate import promotion, read_evidence
from forecasting.pipeline.night_run import NightRun, NightSpec, artifact_folder, night_run
from forecasting.preprocess.windows import make_windows
from forecasting.sessions import between, shift
from forecasting.settings import Settings
from forecasting.store import read, tables, writes
from forecasting.store.database import Connection, transaction
from forecasting.train import checkpoint
from forecasting.train.fit import fit
from tests.builders import no_events, random_bars
from tests.store.rows import SYMBOL, TARGET, bar_rows, fetched, forecast_row, model_row, revision, run_row, score_row

LAST = date(2024, 3, 8)
NIGHT = NightSpec(SYMBOL, LAST, TARGET, "csv:SBUX.csv")

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def fitted() -> checkpoint.Checkpoint:
    bars = random_bars(days=500, seed=3, last=LAST)
    settings = Settings().model_copy(update={"members": 1})
    windows = make_windows(bars, no_events(), origin=LAST, target=TARGET, exchange="XNYS", train_sessions=300)
    return fit(windows, mode="scratch", parent=None, settings=settings)


def lived(
    connection: Connection, settings: Settings, fitted: checkpoint.Checkpoint, pinballs: dict[str, float], origins: int
) -> None:
    """A ledger in which the champion and the nightly challengers have spoken and been scored at `origins` origins."""
    sessions = between(shift(LAST, -origins), LAST)
    versions = bar_rows({str(session): 90.0 for session in sessions})
    change = revision(versions, settled=tuple(str(session) for session in sessions))
    at = forecast_row("champion", str(LAST))["issued_at"]
    writes.add_fetch(connection, fetched(versions), change, fetch_id="2024-01-02T21:00", fetched_at=at, run_id=None)
    run = tonight(settings)
    writes.start_run(connection, run_row(run.id, str(LAST), settings_hash=settings.hash))
    for name, run_id in (("champion", "first"), ("challenger", run.id)):
        kept = checkpoint.save(fitted, artifact_folder(settings, name))
        where = {"artifact_path": f"artifacts/{name}", "artifact_hash": kept.sha256, "run_id": run_id}
        writes.add_model(connection, model_row(name, trained_to=sessions[0], **where))
    for name in pinballs.keys() - {"champion", "challenger"}:
        writes.add_model(connection, model_row(name, name))
    first = {"id": "p", "symbol": SYMBOL, "target": TARGET, "session": sessions[0], "challenger": "champion"}
    first |= {"winner": "champion", "origins": 0, "reason": "", "trigger": "night", "decided_at": at}
    writes.add_promotion(connection, first)
    for at_origin, origin in enumerate(sessions[:-1]):
        writes.start_run(connection, run_row(str(origin), str(origin), settings_hash=settings.hash))
        writes.add_model(connection, model_row(f"of {origin}", run_id=str(origin)))  # that night's challenger
        for name, pinball in pinballs.items():
            said = forecast_row(f"of {origin}" if name == "challenger" else name, str(origin))
            said["role"] = name if name in ("champion", "challenger") else "baseline"
            writes.add_forecasts(connection, [said])
            model = "lstm" if name in ("champion", "challenger") else name
            shock = 0.02 * ((at_origin * 7) % 5 - 2)
            own = 0.002 * ((at_origin * (3 if name == "champion" else 5)) % 7 - 3)
            writes.add_scores(connection, [score_row(said, model=model, pinball=pinball * (1 + shock + own))])


def tonight(settings: Settings) -> NightRun:
    return night_run(NIGHT, settings, now=lambda: datetime(2024, 3, 9, 10, 30, tzinfo=UTC))


def decided(url: str, settings: Settings) -> dict[str, Any]:
    run = tonight(settings)
    with transaction(url) as connection:
        evidence = read_evidence(connection, run, None)
        if evidence.challenger is not None:  # else it was decided before
            writes.add_promotion(connection, promotion(run, evidence, []) or {})
        found = read.decision_of_run(connection, run.id)
        champion = read.champion(connection, SYMBOL, TARGET)
    assert found is not None
    assert champion is not None
    assert champion["id"] == found["winner"]
    return found


def settings_of(tmp_path: Path, url: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=SecretStr(url), members=1)


@pytest.mark.parametrize(
    ("case", "pinballs", "origins", "winner", "words"),
    [
        ("better", {"champion": 4.0, "challenger": 3.6, "ridge": 4.4}, 40, "challenger", "better by 10"),
        ("worse", {"champion": 4.0, "challenger": 4.1, "ridge": 4.4}, 40, "champion", "worse by 2"),
        ("tied", {"champion": 4.0, "challenger": 4.0, "ridge": 4.4}, 40, "challenger", "a tie ("),
        ("too few origins", {"champion": 4.0, "challenger": 2.0, "ridge": 4.4}, 19, "champion", "19 common origins"),
        ("missing baseline", {"champion": 4.0, "challenger": 3.6}, 40, "challenger", "better by 10"),
    ],
)
def test_the_ledger_decides_who_speaks_tomorrow(
    database_url: str,
    tmp_path: Path,
    fitted: checkpoint.Checkpoint,
    case: str,
    pinballs: dict[str, float],
    origins: int,
    winner: str,
    words: str,
) -> None:
    settings = settings_of(tmp_path, database_url)
    with transaction(database_url) as connection:
        lived(connection, settings, fitted, pinballs, origins)
    found = decided(database_url, settings)
    assert (found["winner"], found["origins"]) == (winner, origins)
    assert words in found["reason"]
    assert found["best_baseline"] == ("ridge" if "ridge" in pinballs else "")
    assert (found["baseline_pinball"] is None) == ("ridge" not in pinballs)
    assert decided(database_url, settings) == found  # a second evaluation of the night changes nothing


def test_what_challengers_of_other_settings_lost_says_nothing_of_tonights(
    database_url: str, tmp_path: Path, fitted: checkpoint.Checkpoint
) -> None:
    settings = settings_of(tmp_path, database_url)
    with transaction(database_url) as connection:
        lived(connection, settings, fitted, {"champion": 4.0, "challenger": 3.6, "ridge": 4.4}, 40)
        older = sa.update(tables.runs).where(tables.runs.c.as_of < shift(LAST, -12)).values(settings_hash="other")
        connection.execute(older)
    found = decided(database_url, settings)
    assert (found["winner"], found["origins"]) == ("champion", 12)
    assert "12 common origins, at least 20 are needed" in found["reason"]


def altered(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"damaged")


def missing(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


@pytest.mark.parametrize(("damage", "words"), [(altered, "SHA-256"), (missing, "No such file")])
def test_a_better_challenger_that_cannot_be_run_is_refused_and_the_champion_stays(
    sqlite_url: str, tmp_path: Path, fitted: checkpoint.Checkpoint, damage: Damage, words: str
) -> None:
    settings = settings_of(tmp_path, sqlite_url)
    with transaction(sqlite_url) as connection:
        lived(connection, settings, fitted, {"champion": 4.0, "challenger": 3.6, "ridge": 4.4}, 40)
    damage(artifact_folder(settings, "challenger"))
    found = decided(sqlite_url, settings)
    assert found["winner"] == "champion"
    assert found["reason"].startswith("refused, the champion stays: ")
    assert words in found["reason"]
    assert "better by 10" in found["reason"]


@pytest.mark.parametrize("damage", [altered, missing])
def test_a_champion_that_cannot_be_run_gives_way_even_to_a_challenger_that_is_worse(
    sqlite_url: str, tmp_path: Path, fitted: checkpoint.Checkpoint, damage: Damage
) -> None:
    settings = settings_of(tmp_path, sqlite_url)
    with transaction(sqlite_url) as connection:
        lived(connection, settings, fitted, {"champion": 4.0, "challenger": 4.4, "ridge": 4.4}, 40)
    damage(artifact_folder(settings, "champion"))
    found = decided(sqlite_url, settings)
    assert found["winner"] == "challenger"
    assert found["reason"].startswith("the champion cannot be run, so the challenger takes over: ")


def test_a_champion_of_an_older_architecture_gives_way(
    sqlite_url: str, tmp_path: Path, fitted: checkpoint.Checkpoint
) -> None:
    settings = settings_of(tmp_path, sqlite_url)
    with transaction(sqlite_url) as connection:
        lived(connection, settings, fitted, {"champion": 4.0, "challenger": 4.4, "ridge": 4.4}, 40)
        old = artifact_folder(settings, "champion") / "model.json"
        old.write_text(json.dumps(json.loads(old.read_text()) | {"architecture": 0}))
        hashed = hashlib.sha256(old.read_bytes()).hexdigest()
        table = tables.models
        connection.execute(table.update().where(table.c.id == "champion").values(artifact_hash=hashed))
    found = decided(sqlite_url, settings)
    assert found["winner"] == "challenger"
    assert "architecture 2; found 1 and 0" in found["reason"]
