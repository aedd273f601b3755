"""Work every finished night off again in a ledger of its own, from the stored bars alone, and compare: an audit.

The source is not asked. What the ledger was told is copied to an empty database, and each night runs there through the
same steps, knowing what it knew on its day. So every forecast must come out again to the bit: same machine, same code.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from flows import clock
from flows.night import Night
from flows.steps import evaluate, predict, preprocess, train
from forecasting.errors import ReplayError, UsageError
from forecasting.preprocess.targets import QUANTILE_COLUMNS
from forecasting.settings import Mode, Settings, read_settings
from forecasting.store import copies, database, lineage, reads, writes

Row = dict[str, Any]

_COMPARED = ("role", "status", *QUANTILE_COLUMNS)
"""What must be equal; kind and times cannot be, for all of it is made afterwards."""


@dataclass(frozen=True)
class Lived:
    """What the ledger says of the nights to be replayed, oldest first, and of the champions named by hand meanwhile."""

    nights: list[Row]
    by_hand: list[Row]


def replay(*, last: date | None = None) -> str:
    """A sentence a symbol that says all its finished nights up to `last` came out again to the bit.

    The ledger and weights of the replay stay in the folder `replay` of the data folder until the next one.

    Raises:
        UsageError: There is no finished night of these settings.
        ReplayError: A forecast came out otherwise; names the first.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    said: list[str] = []
    for symbol in settings.symbols:
        lived = finished_nights(symbol, settings, last=last)
        with elsewhere(settings) as apart:
            for row in lived.nights:
                live_again(row, apart, [hand for hand in lived.by_hand if hand["session"] == row["as_of"]])
        said.append(compare(symbol, settings, apart, lived.nights))
    return "\n".join(said)


def finished_nights(symbol: str, settings: Settings, *, last: date | None) -> Lived:
    """The finished nights of a symbol under the settings in force.

    Raises:
        UsageError: There is none.
    """
    with database.reading(settings.url) as connection:
        runs = lineage.finished_runs(connection, symbol, settings.target, settings_hash=settings.hash)
        by_hand = lineage.decisions_by_hand(connection, symbol, settings.target)
    kept = [row for row in runs if last is None or row["as_of"] <= last]
    if not kept:
        raise UsageError(
            f"No finished night of {symbol} {settings.target} under the settings in force is stored"
            f"{f' up to {last}' if last else ''}; there is nothing to replay. `forecasting settings` lists them."
        )
    return Lived(kept, by_hand)


@contextmanager
def elsewhere(settings: Settings) -> Iterator[Settings]:
    """Within the block this process works on an empty ledger of its own, told what the present one was told."""
    folder = settings.data_dir.absolute() / "replay"
    shutil.rmtree(folder, ignore_errors=True)
    moved = {"FORECASTING_DATA_DIR": str(folder), "FORECASTING_DATABASE_URL": f"sqlite:///{folder / 'forecasting.db'}"}
    before = {name: os.environ.get(name) for name in moved}
    os.environ |= moved
    try:
        apart = read_settings()
        database.upgrade(apart.url)
        with database.reading(settings.url) as told, database.transaction(apart.url) as copied:
            copies.copy_told(told, copied)
        yield apart
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def live_again(row: Row, settings: Settings, by_hand: list[Row]) -> None:
    """Work one night off without asking its source, then the champions that were named by hand after it."""
    asked: Mode = row["mode"] if row["mode_reason"].startswith("asked for") else "auto"
    night = Night(row["symbol"], row["as_of"], row["target"], row["source"], settings.events, asked, row["trigger"])
    path = preprocess.write_windows(night, settings)
    predict.write_forecasts(night, settings, path, challenger_id=train.fit_challenger(night, settings, path))
    evaluate.score_and_decide(night, settings)
    evaluate.close_night(night, settings)
    with database.transaction(settings.url) as connection:
        for hand in by_hand:
            writes.add_promotion(connection, hand | {"decided_at": clock.now()})


def compare(symbol: str, settings: Settings, apart: Settings, nights: list[Row]) -> str:
    """How many forecasts of how many nights are the same.

    Raises:
        ReplayError: Names the first that differs, and how many do.
    """
    wanted, found = (_said(symbol, one, {row["id"] for row in nights}) for one in (settings, apart))
    wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if wrong:
        origin, horizon, model = wrong[0]
        raise ReplayError(
            f"{len(nights)} nights of {symbol} {settings.target} were expected to come out again to the bit; "
            f"{len(wrong)} of {len(wanted)} forecasts did not, the first at the origin {origin}, horizon {horizon}, "
            f"model {model}: {wanted.get(wrong[0])} was issued, {found.get(wrong[0])} came out. Same machine, code "
            f"version and settings? The replayed ledger is {Path(apart.data_dir) / 'forecasting.db'}."
        )
    first, last = nights[0]["as_of"], nights[-1]["as_of"]
    return f"{symbol}: {len(nights)} nights, {first} to {last}: all {len(wanted)} forecasts the same to the bit."


def _said(symbol: str, settings: Settings, run_ids: set[str]) -> dict[tuple[str, int, str], tuple[object, ...]]:
    with database.reading(settings.url) as connection:
        rows = reads.forecasts(connection, symbol, settings.target).to_dict("records")
    return {
        (f"{row['origin_session']:%Y-%m-%d}", int(row["horizon"]), str(row["model_id"])): tuple(
            row[name] for name in _COMPARED
        )
        for row in rows
        if row["run_id"] in run_ids
    }
