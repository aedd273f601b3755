"""Past nights of a simulated world run again.

In a ledger as it was before their morning, or in one with altered rows.

Altered are rows from after the origin, or an input; such a copy has every row of the nights after
it, none of its own.
Only SQLite: the copies are files.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from forecasting.audit.verify import rerun_night
from forecasting.ingest import witness
from forecasting.night.night import make_night
from forecasting.night.steps.predict import write_forecasts
from forecasting.night.steps.preprocess import write_windows
from forecasting.night.steps.train import fit_challenger
from forecasting.sessions import next_sessions
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, write
from forecasting.store.schema import metadata
from forecasting.targets import TARGETS
from forecasting.vocabulary import QUANTILE_COLUMNS, Mode

if TYPE_CHECKING:
    from tests.faults.world import World

DERIVED = ("runs", "models", "promotions", "forecasts", "scores")
SAME_BITS = "the same bits"
COMPARED = ("role", "status", *QUANTILE_COLUMNS)

Rows = Mapping[str, Mapping[tuple[Any, ...], dict[str, Any]]]

Night = dict[str, Any]
"""A row of runs, with `known_at` and `issued_at` of its forecasts."""

OWN = (
    # By this night, or after it
    "DELETE FROM scores WHERE target_session <= :origin AND scored_at >= :issued_at",
    "DELETE FROM scores WHERE (symbol, target, origin_session) = (:symbol, :target, :origin)",
    "DELETE FROM forecasts WHERE run_id = :run",
    "DELETE FROM promotions WHERE run_id = :run",
    "DELETE FROM models WHERE run_id = :run",
    "DELETE FROM runs WHERE id = :run",
)

_QUANTILES = ", ".join(f"{name} = {name} * 1.5" for name in COMPARED if name.startswith("q"))
_SUMS = ("error", "pinball", "champion_error", "champion_pinball")

AFTER = {
    "bars": """UPDATE bar_versions SET open = open * 1.7, high = high * 2.1, low = low * 1.3, close = close * 1.7,
        volume = volume * 3 + 7 WHERE session > :origin OR first_seen_at > :known_at""",
    "bars settled": "UPDATE bar_versions SET settled_at = NULL WHERE settled_at > :known_at",
    "bars "
    "superseded": "UPDATE bar_versions SET superseded_at = NULL WHERE superseded_at > :known_at",
    "actions": "UPDATE corporate_actions SET value = value * 1.5 WHERE first_seen_at > :known_at",
    "a "
    "split": """INSERT OR REPLACE INTO corporate_actions (symbol, session, kind, first_seen_at, value, fetch_id)
        SELECT symbol, :next, 'split', :later, 4.0, min(id) FROM fetches GROUP BY symbol""",
    "events": """UPDATE events SET timing = 'amc', known_rule = 'withdrawn', known_from = :origin
        WHERE first_seen_at > :known_at""",
    "an event": """INSERT OR IGNORE INTO events
        (symbol, session, kind, first_seen_at, known_from, known_rule, announced, timing, source)
        SELECT DISTINCT symbol, :next, 'earnings', :later, :origin, 'seen', :next, 'bmo', 'x' FROM fetches""",
    "fetches": "UPDATE fetches SET adjustment = 0.5, row_count = 1, detail = 'x' WHERE fetched_at "
    "> :known_at",
    "findings": """UPDATE findings SET severity = 'reject', cleared_at = NULL
        WHERE fetch_id IN (SELECT id FROM fetches WHERE fetched_at > :known_at)""",
    "models": """UPDATE models SET refused = 'x', chain_epochs = 999, artifact_hash = 'x', trained_to = :next
        WHERE run_id IN (SELECT id FROM runs WHERE as_of > :origin)""",
    "promotions": """UPDATE promotions SET winner = (SELECT min(id) FROM models WHERE name = 'lstm')
        WHERE session > :origin""",
    "forecasts": f"""UPDATE forecasts SET {_QUANTILES}, role = 'silenced', status = 'fallback', calibration = ''
        WHERE origin_session > :origin""",
    "scores": """UPDATE scores SET actual = actual * 2, error = -3 * error, pinball = 5 * pinball, inside_80 = 0
        WHERE target_session > :origin""",
    "standings": "UPDATE standings SET n = n + 5, "
    f"{', '.join(f'{name} = 3 * {name} + 1' for name in _SUMS)}",
    "runs": "UPDATE runs SET status = 'failed', mode = 'skip', note = 'x', market_fetch = '' WHERE "
    "as_of > :origin",
}
"""Statements that alter what no forecast of the night can have known, by what they alter."""


def lines(rows: Iterable[Any], run_id: str) -> dict[tuple[int, str], list[Any]]:
    """What a night forecast, by horizon and model."""
    made = (row for row in rows if row["run_id"] == run_id)
    return {(row["horizon"], row["model_id"]): [row[name] for name in COMPARED] for row in made}


def issued(world: World, run: Night) -> dict[tuple[int, str], list[Any]]:
    """What the night forecast when it was run."""
    return lines(world.invariants.rows["forecasts"].values(), run["id"])


def replay_one(
    world: World,
    run: dict[str, Any],
    born: Mapping[str, Mapping[tuple[Any, ...], int]],
    variables: dict[str, str],
) -> str:
    """Whether the night gave `the same bits`, or why it was not run again.

    Raises where a bit differs.
    """
    rows = world.invariants.rows
    morning = born["runs"][run["id"],]
    before = {
        name: {key: row for key, row in rows[name].items() if born[name][key] < morning}
        for name in DERIVED
    }
    before["promotions"] |= {
        key: row
        for key, row in rows["promotions"].items()
        # By hand, on the same morning perhaps
        if row["run_id"] is None and row["decided_at"] <= run["started_at"]
    }
    champion = champion_before(before, run)
    if champion is not None and (champion["artifact_path"] is None or champion["id"] in world.lost):
        return "its champion's weights are gone"
    folder = copied_weights(world, "again")
    shutil.copy(world.empty, folder / "forecasting.db")
    with settings_of(variables, folder) as scratch:
        with connect.reading(world.url) as source, connect.transaction(scratch.url) as target:
            write.copy_inputs(source, target)
            findings = metadata.tables["findings"]
            # No input of any forecast
            target.execute(findings.delete().where(findings.c.rule.in_(witness.RULES)))
            for name in DERIVED:
                gone = {"artifact_path": None} if name == "models" else {}
                kept = [
                    row | gone if row.get("id") in world.lost else row
                    for row in before[name].values()
                ]
                write.add(target, name, *kept)
        fetch = next(
            row["fetch_id"] for row in rows["forecasts"].values() if row["run_id"] == run["id"]
        )
        rerun_night(run | {"fetch_id": fetch}, scratch, [], now=world.now)
        found = forecast_in(scratch, run)
        wanted = issued(world, run)
    assert found == wanted, (run, [line for line in wanted if found.get(line) != wanted[line]][:5])
    return SAME_BITS


def copied_weights(world: World, name: str) -> Path:
    """A new data folder with a copy of the world's weights."""
    shutil.rmtree(world.folder / name, ignore_errors=True)
    shutil.copytree(world.folder / "data" / "artifacts", world.folder / name / "artifacts")
    return world.folder / name


@contextmanager
def settings_of(variables: Mapping[str, str], folder: Path) -> Iterator[Settings]:
    """Within the block, the environment and the settings of a past night, in another data folder."""
    with mock.patch.dict(
        os.environ, {f"FORECASTING_{name}": value for name, value in variables.items()}
    ):
        yield read_settings().model_copy(update={"data_dir": folder, "database_url": None})


def forecast_in(settings: Settings, run: Night) -> dict[tuple[int, str], list[Any]]:
    with connect.reading(settings.url) as connection:
        return lines(
            connection.execute(metadata.tables["forecasts"].select()).mappings(), run["id"]
        )


def champion_before(rows: Rows, run: dict[str, Any]) -> dict[str, Any] | None:
    """The champion of a run's symbol and target when it began, a row of models.

    None before the first.
    """
    decided = [
        row
        for row in rows["promotions"].values()
        if (row["symbol"], row["target"]) == (run["symbol"], run["target"])
        and row["session"] <= run["as_of"]
        and row["run_id"] != run["id"]
    ]
    newest = max(
        decided, key=lambda row: (row["session"], row["decided_at"], row["id"]), default=None
    )
    return None if newest is None else rows["models"][newest["winner"],]


def learned(row: dict[str, Any]) -> list[str]:
    """What earlier forecasts have decided of this one."""
    weight = json.loads(row["calibration"])["weight"] if row["calibration"] else None
    found = (
        ["a weight other than the usual one"]
        if weight not in (None, TARGETS[row["target"]].network_weight)
        else []
    )
    return [*found, "the network is behind"] if "the network is behind" in row["reason"] else found


def decided(world: World, run: Night) -> set[str]:
    """What the night has decided from earlier ones.

    Paths on which a later value could move a forecast.
    """
    rows = [
        row for row in world.invariants.rows["forecasts"].values() if row["run_id"] == run["id"]
    ]
    found = {path for row in rows for path in learned(row)}
    found |= {"a baseline published" for row in rows if row["status"] == "fallback"}
    found |= {"a fit because of drift"} if run["mode_kind"] == "drift" else set()
    decisions = world.invariants.rows["promotions"].values()
    return (
        found | {"a promotion" for row in decisions if row["run_id"] == run["id"]} | {run["target"]}
    )


def altered_after(world: World, run: Night) -> dict[tuple[int, str], list[Any]]:
    """What the night forecasts where every value after its origin is another one."""
    folder = copied_weights(world, "altered")
    origin = run["as_of"]
    values = {name: run[name] for name in ("symbol", "target")} | {
        "run": run["id"],
        "origin": origin.isoformat(),
    }
    values["next"] = next_sessions(origin, 2)[1].isoformat()
    instants = {name: run[name] for name in ("known_at", "issued_at")} | {
        "later": run["known_at"] + timedelta(days=2)
    }
    values |= {name: f"{instant:%Y-%m-%d %H:%M:%S.%f}" for name, instant in instants.items()}
    with (
        closing(sqlite3.connect(world.url.removeprefix("sqlite:///"))) as source,
        closing(sqlite3.connect(folder / "forecasting.db")) as copy,
    ):
        source.backup(copy)
        for statement in (*OWN, *AFTER.values()):
            copy.execute(statement, values)
        copy.commit()
    mode: Mode = run["mode"] if run["mode_kind"] == "asked" else "auto"
    with settings_of(world.invariants.environment[run["id"],], folder) as settings:
        settings = settings.model_copy(update={"target": run["target"], "events": None})
        again = make_night(run["symbol"], origin, settings, now=world.now, mode=mode)
        write_forecasts(fit_challenger(write_windows(replace(again, source=run["source"]))))
        return forecast_in(settings, run)
