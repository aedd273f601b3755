"""Companion series: other symbols fetched each night as training data; their failure never fails the night.

They are fetched before the symbol itself, so that one instant, that of the symbol's own fetch, fixes what was stored of
all of them, live and in replay. One that fails, is late or too short is left out of that night, which its run notes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from forecasting.errors import HistoryError, RateLimitedError, StoreError, UnavailableError
from forecasting.pipeline import shard
from forecasting.pipeline.ingest import fetch_and_store
from forecasting.pipeline.night_run import COMPANIONS, NightRun
from forecasting.pipeline.snapshot import Snapshot, first_session, live_deadline, snapshot_at_fetch, windows_of
from forecasting.preprocess.companions import has_enough_targets
from forecasting.preprocess.market import MarketSeries
from forecasting.preprocess.windows import Windows, load_windows
from forecasting.store import read
from forecasting.store.database import Connection

logger = logging.getLogger("forecasting.companions")


def companion_runs(run: NightRun) -> list[NightRun]:
    """The night of each companion on the symbol's own exchange, the symbol itself left out.

    Another exchange has other sessions, and so other origins.
    """
    settings = run.settings
    return [
        run.companion(symbol)
        for symbol in settings.companions
        if symbol != run.spec.symbol and settings.exchange_of(symbol) == settings.exchange
    ]


def fetch_companions(runs: Sequence[NightRun], *, oldest: date | None = None, switch_source: bool = False) -> None:
    """Fetch every companion's bars up to the nights' session, once each; nothing of it fails a night.

    Args:
        runs: The nights, one a symbol.
        oldest: As for `fetch_and_store`.
        switch_source: Allow bars of another source for a companion that has some.
    """
    wanted = {one.id: one for run in runs for one in companion_runs(run)}
    if not wanted:
        return
    asked = list(wanted.values())
    checked = shard.read_each(
        shard.given(asked, asked), lambda connection, run, _: is_up_to_date(connection, run, oldest=oldest)
    )
    needed = [one.run for one in checked if switch_source or not one.get()]
    # Asked on, a source that refuses would make the symbol itself wait, or be refused.
    refusals = (RateLimitedError, UnavailableError)
    for outcome in fetch_and_store(
        needed, oldest=oldest, switch_source=switch_source, purpose="companion", stop_on=refusals
    ):
        if outcome.error is not None:
            logger.warning("companion %s is left out: %s", outcome.run.spec.symbol, outcome.error)


def is_up_to_date(connection: Connection, run: NightRun, *, oldest: date | None = None) -> bool:
    """Whether the companion's newest fetch, made for another night, spans what this one and the `oldest` ask for."""
    fetch = read.newest_fetch(connection, run.spec.symbol)
    if fetch is None or fetch["last_received"] is None:
        return False
    first: date = fetch["first_asked"]
    spans = first <= first_session(min(oldest or run.spec.session, run.spec.session), run.settings)
    return spans and bool(fetch["last_received"] >= run.spec.session)


def companion_snapshots(connection: Connection, run: NightRun, *, data_as_of: datetime) -> dict[str, Snapshot | None]:
    """The snapshot of every companion at the night's own fetch, made at `data_as_of`; None where nothing was stored."""
    return {one.spec.symbol: _snapshot(connection, run, one, data_as_of) for one in companion_runs(run)}


def save_companions(
    run: NightRun, snapshots: dict[str, Snapshot | None], market: MarketSeries | None
) -> dict[str, str]:
    """Write the companions' windows into the run's folder; the fetch of each one that is used, by symbol."""
    folder = companions_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.npz"):  # of an attempt that was killed
        stale.unlink()
    used = {}
    for symbol, snapshot in snapshots.items():
        try:
            if snapshot is None:
                raise StoreError(f"its bar of {run.spec.session} was not stored when the night's own was fetched.")
            companion_windows(run.companion(symbol), snapshot, market).save(folder / companion_file(symbol))
        except (HistoryError, StoreError) as error:
            logger.warning("companion %s is left out: %s", symbol, error)
        else:
            used[symbol] = snapshot.fetch_id
    return used


def left_out_note(run: NightRun, left_out: Sequence[str]) -> str:
    """The part of the run's note about companions left out; empty for none."""
    if not left_out:
        return ""
    names = ", ".join(left_out)
    return f"Companions left out, without a bar of {run.spec.session} or enough sessions before it: {names}."


def companion_windows(run: NightRun, snapshot: Snapshot, market: MarketSeries | None) -> Windows:
    """The companion's windows.

    Raises:
        HistoryError: No bar of the session, or too few sessions to train on.
    """
    windows = windows_of(run, snapshot, market)
    if not has_enough_targets(windows):
        raise HistoryError(f"{run.spec.symbol} has a known {run.spec.target} on too few sessions to train on.")
    return windows


def load_companions(run: NightRun) -> dict[str, Windows]:
    """The companions' windows in the run's folder, by symbol in the order of their file names."""
    return {path.stem: load_windows(path) for path in sorted(companions_folder(run).glob("*.npz"))}


def companion_file(symbol: str) -> str:
    """The name of a companion's file of windows; a night's companions are in the order of these names."""
    return f"{symbol}.npz"


def companions_folder(run: NightRun) -> Path:
    """Where a run keeps its companions' windows, named by symbol."""
    return run.folder / COMPANIONS


def _snapshot(connection: Connection, run: NightRun, one: NightRun, data_as_of: datetime) -> Snapshot | None:
    """The companion's snapshot at its newest fetch up to the night's own.

    Where those bars came too late for a live forecast, and so did the companion's, the first fetch that brought them
    counts, as it does for the symbol: a replay far in the past may use bars fetched today.
    """
    symbol, session = one.spec.symbol, one.spec.session
    first = first_session(session, one.settings)
    try:
        fetch: dict[str, Any] = read.fetch_as_of(connection, symbol, session, first=first, cutoff=data_as_of)
    except StoreError:
        return None
    if data_as_of <= live_deadline(run) and fetch["fetched_at"] > data_as_of:
        return None
    return snapshot_at_fetch(connection, one, fetch)
