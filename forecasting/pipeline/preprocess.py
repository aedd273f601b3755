"""Features and windows of each night, as known at its session, written into the night's folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from forecasting.pipeline.night import WINDOWS, Night
from forecasting.pipeline.run_log import open_run
from forecasting.pipeline.snapshot import input_fetch, market_snapshot, windows_of
from forecasting.store import connect, read, write

logger = logging.getLogger("forecasting.preprocess")


def preprocess(nights: Sequence[Night]) -> list[Night]:
    """Each night with the file of its windows, and the fetch that they were made from."""
    return [night.then("preprocess", write_windows) for night in nights]


def write_windows(night: Night) -> Night:
    """The night with the file of its windows."""
    started_at = night.now()
    with connect.reading(night.settings.url) as connection:
        fetch = input_fetch(connection, night)
        at = fetch["fetched_at"]  # no later version of a bar is used
        bars = read.bars(connection, night.symbol, last=night.session, known_at=at)
        events = read.events(connection, night.symbol, known_at=at)
        market = market_snapshot(connection, night, data_as_of=at)
    windows = windows_of(night, bars, events, market.series)
    path = night.folder / WINDOWS
    path.parent.mkdir(parents=True, exist_ok=True)
    windows.save(path)
    logger.info("windows of %s: %d rows up to %s, fetch %s", night.symbol, len(windows), night.session, fetch["id"])
    with connect.transaction(night.settings.url) as connection:
        open_run(connection, night, started_at=started_at, notes={"market": market.note} if market.note else {})
        write.update_run(connection, night.id, {"market_fetch": market.fetch_id})
    return replace(night, windows=path, fetch_id=fetch["id"], data_as_of=at)
