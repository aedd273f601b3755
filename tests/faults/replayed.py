"""One night of a simulated world, run again in a ledger that holds what was there before its morning."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from unittest import mock

from forecasting.ingest import witness
from forecasting.pipeline.replay import rerun_night
from forecasting.settings import read_settings
from forecasting.store import connect, write
from forecasting.store.insert import insert
from forecasting.store.schema import metadata
from forecasting.vocabulary import QUANTILE_COLUMNS

if TYPE_CHECKING:
    from tests.faults.world import World

DERIVED = ("runs", "models", "promotions", "forecasts", "scores")
SAME_BITS = "the same bits"
COMPARED = ("role", "status", *QUANTILE_COLUMNS)

Rows = Mapping[str, Mapping[tuple[Any, ...], dict[str, Any]]]


def replay_one(
    world: World,
    run: dict[str, Any],
    rows: Rows,
    born: Mapping[str, Mapping[tuple[Any, ...], int]],
    variables: dict[str, str],
) -> str:
    """Whether the night gave `the same bits`, or why it was not run again; raises where a bit differs."""
    morning = born["runs"][run["id"],]
    before = {name: {key: row for key, row in rows[name].items() if born[name][key] < morning} for name in DERIVED}
    before["promotions"] |= {
        key: row
        for key, row in rows["promotions"].items()
        if row["run_id"] is None and row["decided_at"] <= run["started_at"]  # by hand, on the same morning perhaps
    }
    champion = champion_before(before, run)
    if champion is not None and (champion["artifact_path"] is None or champion["id"] in world.lost):
        return "its champion's weights are gone"
    with mock.patch.dict(os.environ, {f"FORECASTING_{name}": value for name, value in variables.items()}):
        settings = read_settings()
        folder = world.folder / "again"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(world.folder / "data" / "artifacts", folder / "artifacts")
        scratch = settings.model_copy(update={"data_dir": folder, "database_url": None})
        shutil.copy(world.empty, folder / "forecasting.db")
        with connect.reading(world.url) as source, connect.transaction(scratch.url) as target:
            write.copy_inputs(source, target)
            findings = metadata.tables["findings"]
            target.execute(findings.delete().where(findings.c.rule.in_(witness.RULES)))  # no input of any forecast
            for name in DERIVED:
                kept = [row | {"artifact_path": None} if _is_gone(row, world) else row for row in before[name].values()]
                insert(target, metadata.tables[name], kept)
        used = {row["fetch_id"] for row in rows["forecasts"].values() if row["run_id"] == run["id"]}
        rerun_night(run | {"fetch_id": used.pop()}, scratch, [], now=world.now)
        with connect.reading(scratch.url) as connection:
            again = connection.execute(metadata.tables["forecasts"].select()).mappings()
            found = {_line(row): [row[name] for name in COMPARED] for row in again if row["run_id"] == run["id"]}
    wanted = {
        _line(row): [row[name] for name in COMPARED] for row in rows["forecasts"].values() if row["run_id"] == run["id"]
    }
    assert found == wanted, (run, [line for line in wanted if found.get(line) != wanted[line]][:5])
    return SAME_BITS


def _line(row: Any) -> tuple[Any, ...]:
    return row["horizon"], row["model_id"]


def champion_before(rows: Rows, run: dict[str, Any]) -> dict[str, Any] | None:
    """The champion of a run's symbol and target when it began, a row of models; None before the first."""
    decided = [
        row
        for row in rows["promotions"].values()
        if (row["symbol"], row["target"]) == (run["symbol"], run["target"])
        and row["session"] <= run["as_of"]
        and row["run_id"] != run["id"]
    ]
    if not decided:
        return None
    newest = max(decided, key=lambda row: (row["session"], row["decided_at"], row["id"]))
    return rows["models"][newest["winner"],]


def _is_gone(row: dict[str, Any], world: World) -> bool:
    return "artifact_path" in row and row["id"] in world.lost
