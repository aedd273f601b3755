"""Nights that a process left unfinished when it ended."""

from __future__ import annotations

import logging

from forecasting.settings import Settings
from forecasting.store import database, read, writes

logger = logging.getLogger("forecasting.night")

NEWEST = 10
"""Nights of each symbol that are looked through: one that was cut off is among the newest when the next begins."""

CUT_OFF = (
    "The night was cut off before its end: its process was killed, or the machine stopped. What it had written is "
    "complete; `forecasting run --as-of SESSION` completes the night."
)


def mark_cut_off(settings: Settings) -> int:
    """The number of nights that were cut off and are marked as failed; a night that is then run again is not failed.

    The caller holds the lock of the nights: a row whose status is still running is of a process that has ended.

    Args:
        settings: The settings in force, of all symbols.
    """
    with database.reading(settings.url) as connection:
        found = [
            run_id
            for symbol in settings.symbols
            for run_id in read.newest_running(connection, symbol, settings.target, nights=NEWEST)
        ]
    if found:
        logger.warning("%d nights were cut off before their end", len(found))
        with database.transaction(settings.url) as connection:
            for run_id in found:
                writes.update_run(connection, run_id, {"status": "failed", "error": CUT_OFF})
    return len(found)
