"""Features and windows of each night, as known at its session, written into the night's folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from forecasting.pipeline.market import market_snapshot
from forecasting.pipeline.night import WINDOWS, Night
from forecasting.pipeline.run_log import note_bar, open_run
from forecasting.pipeline.snapshot import snapshot_of, windows_of
from forecasting.store import connect, write

logger = logging.getLogger("forecasting.preprocess")


def preprocess(nights: Sequence[Night]) -> list[Night]:
    """Each night with the file of its windows, and the fetch that they were made from.

    A night whose bar has not come, which only scores, has none. An error is a StoreError (no fetch has brought the
    session) or a HistoryError (no bar of the session, or too few sessions to train on).
    """
    return [night if night.newest else night.then("preprocess", write_windows) for night in nights]


def write_windows(night: Night) -> Night:
    """The night with the file of its windows."""
    started_at = night.now()
    with connect.reading(night.settings.url) as connection:
        snapshot = snapshot_of(connection, night)
        market = market_snapshot(connection, night, data_as_of=snapshot.data_as_of)
    windows = windows_of(night, snapshot, market.series)
    path = night.folder / WINDOWS
    path.parent.mkdir(parents=True, exist_ok=True)
    windows.save(path)
    logger.info(
        "windows of %s: %d rows up to %s, fetch %s", night.symbol, len(windows), night.session, snapshot.fetch_id
    )
    with connect.transaction(night.settings.url) as connection:
        open_run(connection, night, started_at=started_at, notes={"market": market.note} if market.note else {})
        note_bar(connection, night)
        write.update_run(connection, night.id, {"market_fetch": market.fetch_id})
    return replace(night, windows=path, fetch_id=snapshot.fetch_id, data_as_of=snapshot.data_as_of)
