"""A past night run again in a copy of its ledger in which rows were altered: those after its origin, or an input.

The copy has every row of the nights after it, none of its own. Only SQLite: the copy is a file.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

from forecasting.pipeline.night import make_night
from forecasting.pipeline.predict import write_forecasts
from forecasting.pipeline.preprocess import write_windows
from forecasting.pipeline.train import fit_challenger
from forecasting.sessions import next_sessions, shift
from forecasting.settings import read_settings
from forecasting.store import connect
from forecasting.store.schema import metadata
from forecasting.vocabulary import Mode
from tests.faults.ledger_rules import learned
from tests.faults.replayed import COMPARED

if TYPE_CHECKING:
    from tests.faults.world import World

Night = dict[str, Any]
"""A row of runs, with `known_at` and `issued_at` of its forecasts."""

Lines = dict[tuple[int, str], tuple[Any, ...]]
"""What a night forecast, by horizon and model."""

OWN = (
    "DELETE FROM scores WHERE target_session <= :origin AND scored_at >= :issued_at",  # by this night, or after it
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
    "bars superseded": "UPDATE bar_versions SET superseded_at = NULL WHERE superseded_at > :known_at",
    "actions": "UPDATE corporate_actions SET value = value * 1.5 WHERE first_seen_at > :known_at",
    "a split": """INSERT OR REPLACE INTO corporate_actions (symbol, session, kind, first_seen_at, value, fetch_id)
        SELECT symbol, :next, 'split', :later, 4.0, min(id) FROM fetches GROUP BY symbol""",
    "events": """UPDATE events SET timing = 'amc', known_rule = 'withdrawn', known_from = :origin
        WHERE first_seen_at > :known_at""",
    "an event": """INSERT OR IGNORE INTO events
        (symbol, session, kind, first_seen_at, known_from, known_rule, announced, timing, source)
        SELECT DISTINCT symbol, :next, 'earnings', :later, :origin, 'seen', :next, 'bmo', 'x' FROM fetches""",
    "fetches": "UPDATE fetches SET adjustment = 0.5, row_count = 1, detail = 'x' WHERE fetched_at > :known_at",
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
    "standings": f"UPDATE standings SET n = n + 5, {', '.join(f'{name} = 3 * {name} + 1' for name in _SUMS)}",
    "runs": "UPDATE runs SET status = 'failed', mode = 'skip', note = 'x', market_fetch = '' WHERE as_of > :origin",
}
"""Statements that alter what no forecast of the night can have known, by what they alter."""

_VERSION = "version = (SELECT max(b.version) FROM bar_versions b WHERE b.symbol = bar_versions.symbol AND " + (
    "b.session = bar_versions.session AND b.first_seen_at <= :known_at)"
)
_BAR = f"""UPDATE bar_versions SET volume = volume * 1.05, high = high * 1.02, low = low * 0.98, close = close * 1.01
    WHERE symbol = :symbol AND session = :{{session}} AND {_VERSION}"""

BEFORE = {
    "the newest bar": _BAR.format(session="origin"),
    "a bar of the window": _BAR.format(session="earlier"),
    "the market series": f"""UPDATE bar_versions SET close = close * 1.1
        WHERE symbol LIKE '^%' AND session = :origin AND {_VERSION}""",
    "a past forecast": "",  # its raw quantiles are JSON
}
"""Statements that alter an input of the night."""


FEW = 5
"""Origins of closed forecasts below which a night need not show that it learns from them."""


def night_of(world: World, run: dict[str, Any]) -> Night:
    """A finished run, and when its bars were fetched and its forecasts issued."""
    row = next(row for row in world.invariants.rows["forecasts"].values() if row["run_id"] == run["id"])
    return {**run, "known_at": row["data_as_of"], "issued_at": row["issued_at"]}


def issued(world: World, run: Night) -> Lines:
    """What the night forecast when it was run."""
    rows = [row for row in world.invariants.rows["forecasts"].values() if row["run_id"] == run["id"]]
    return {(row["horizon"], row["model_id"]): tuple(row[name] for name in COMPARED) for row in rows}


def decided(world: World, run: Night) -> set[str]:
    """What the night has decided from earlier ones: paths on which a later value could move a forecast."""
    rows = [row for row in world.invariants.rows["forecasts"].values() if row["run_id"] == run["id"]]
    found = {path for row in rows for path in learned(row)}
    found |= {"a baseline published" for row in rows if row["status"] == "fallback"}
    found |= {"a fit because of drift"} if run["mode_reason"].startswith("drift: ") else set()
    decisions = world.invariants.rows["promotions"].values()
    return found | {"a promotion" for row in decisions if row["run_id"] == run["id"]} | {run["target"]}


def altered_after(world: World, run: Night) -> Lines:
    """What the night forecasts where every value after its origin is another one."""
    return _again(world, run, lambda connection, values: [connection.execute(sql, values) for sql in AFTER.values()])


def altered_before(world: World, run: Night, what: str) -> Lines | None:
    """What the night forecasts without a fit where one input is another one; None where it has no such input."""
    changed: list[int] = []

    def alter(connection: sqlite3.Connection, values: dict[str, Any]) -> None:
        if BEFORE[what]:
            changed.append(connection.execute(BEFORE[what], values).rowcount)
        else:
            changed.append(_alter_past(connection, values))

    found = _again(world, run, alter, fit=False)
    return found if changed[0] else None


def _alter_past(connection: sqlite3.Connection, values: dict[str, Any]) -> int:
    """Raise the level of closed forecasts, so that their actual values lie far below their quantiles; how many.

    Of fewer than FEW origins none is: where all actual values lie below already, as after a fall, nothing would move.
    """
    closed = connection.execute(
        """SELECT origin_session, horizon, model_id, kind, calibration FROM forecasts
        WHERE symbol = :symbol AND target = :target AND target_session <= :origin AND calibration <> ''""",
        values,
    ).fetchall()
    if len({origin for origin, *_ in closed}) < FEW:
        return 0
    for *key, text in closed:
        raw = json.loads(text)
        changed = json.dumps(raw | {"level": raw["level"] + 3.0})
        connection.execute(
            """UPDATE forecasts SET calibration = ? WHERE (symbol, target, origin_session, horizon, model_id, kind) =
            (?, ?, ?, ?, ?, ?)""",
            (changed, values["symbol"], values["target"], *key),
        )
    return len(closed)


def _again(
    world: World, run: Night, alter: Callable[[sqlite3.Connection, dict[str, Any]], object], *, fit: bool = True
) -> Lines:
    folder = world.folder / "altered"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world.folder / "data" / "artifacts", folder / "artifacts")
    source, copy = sqlite3.connect(world.url.removeprefix("sqlite:///")), sqlite3.connect(folder / "forecasting.db")
    source.backup(copy)
    source.close()
    values = _values(run)
    for statement in OWN:
        copy.execute(statement, values)
    alter(copy, values)
    copy.commit()
    copy.close()
    variables = {f"FORECASTING_{name}": value for name, value in world.invariants.environment[run["id"],].items()}
    with mock.patch.dict(os.environ, variables):
        asked = run["mode"] if run["mode_reason"].startswith("asked for") else "auto"
        return _forecast(world, run, asked if fit else "skip", {"data_dir": folder, "database_url": None})


def _forecast(world: World, run: Night, asked: Mode, place: dict[str, Any]) -> Lines:
    settings = read_settings().model_copy(update=place)
    settings = settings.model_copy(update={"target": run["target"], "events": None})
    again = replace(make_night(run["symbol"], run["as_of"], settings, now=world.now, mode=asked), source=run["source"])
    write_forecasts(fit_challenger(write_windows(again)))
    with connect.reading(settings.url) as connection:
        rows = connection.execute(metadata.tables["forecasts"].select()).mappings()
        made = [row for row in rows if row["run_id"] == run["id"]]
    return {(row["horizon"], row["model_id"]): tuple(row[name] for name in COMPARED) for row in made}


def _values(run: Night) -> dict[str, Any]:
    origin = run["as_of"]
    return {
        "run": run["id"],
        "symbol": run["symbol"],
        "target": run["target"],
        "origin": origin.isoformat(),
        "next": next_sessions(origin, 2)[1].isoformat(),
        "earlier": shift(origin, -20).isoformat(),
        "known_at": _text(run["known_at"]),
        "issued_at": _text(run["issued_at"]),
        "later": _text(run["known_at"] + timedelta(days=2)),
    }


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S.%f}"
