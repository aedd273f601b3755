"""Features and windows of each night, as known at its session, written into the run's folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from forecasting.pipeline import shard
from forecasting.pipeline.companions import companion_snapshots, left_out_note, load_companions, save_companions
from forecasting.pipeline.market import MarketSnapshot, market_snapshot
from forecasting.pipeline.night_run import WINDOWS, NightInputs, NightRun
from forecasting.pipeline.run_row import note_bar, open_run
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.snapshot import Snapshot, snapshot_of, windows_of
from forecasting.preprocess.companions import with_companion_range
from forecasting.store import writes
from forecasting.store.database import Connection

logger = logging.getLogger("forecasting.preprocess")


@dataclass(frozen=True)
class _Stored:
    own: Snapshot
    companions: dict[str, Snapshot | None]
    market: MarketSnapshot


@dataclass(frozen=True)
class _Saved:
    inputs: NightInputs
    market_fetch: str
    note: str


def write_windows(runs: Sequence[NightRun]) -> list[Outcome[NightInputs]]:
    """The file of each night's windows and the fetch that they were made from.

    An outcome's error is a StoreError (no fetch has brought the session) or a HistoryError (no bar of the session, or
    too few sessions to train on).
    """
    began = [run.now() for run in runs]
    stored = shard.read_each(shard.given(runs, runs), lambda connection, run, _: _read(connection, run))
    saved = shard.compute_each(stored, _save)
    started = dict(zip([run.id for run in runs], began, strict=True))
    return shard.write_each(saved, lambda connection, run, one: _open(connection, run, one, started[run.id]))


def _read(connection: Connection, run: NightRun) -> _Stored:
    own = snapshot_of(connection, run)
    return _Stored(
        own,
        companion_snapshots(connection, run, data_as_of=own.data_as_of),
        market_snapshot(connection, run, data_as_of=own.data_as_of),
    )


def _save(run: NightRun, stored: _Stored) -> _Saved:
    market = stored.market
    windows = windows_of(run, stored.own, market.series)
    run.folder.mkdir(parents=True, exist_ok=True)
    used: dict[str, str] = {}
    if run.settings.companions:
        used = save_companions(run, stored.companions, market.series)
        windows = with_companion_range(windows, list(load_companions(run).values()))
    path = run.folder / WINDOWS
    windows.save(path)
    fetch_id = stored.own.fetch_id
    logger.info("windows of %s: %d rows up to %s, fetch %s", run.spec.symbol, len(windows), run.spec.session, fetch_id)
    left_out = [symbol for symbol in stored.companions if symbol not in used]
    inputs = NightInputs(str(path), fetch_id, stored.own.data_as_of, used)
    return _Saved(inputs, market.fetch_id, f"{left_out_note(run, left_out)} {market.note}".strip())


def _open(connection: Connection, run: NightRun, saved: _Saved, started_at: datetime) -> NightInputs:
    open_run(connection, run, started_at=started_at, note=saved.note)
    note_bar(connection, run)
    writes.update_run(connection, run.id, {"market_fetch": saved.market_fetch})
    return saved.inputs
