"""Write everything that may be known at the night's session into the run's folder."""

import logging

from flows.night import Night, run_folder
from flows.steps.companions import read_companions, write_companions
from flows.steps.known import known_then, windows_then
from flows.steps.run_row import open_run
from forecasting.preprocess.companions import with_market
from forecasting.settings import Settings
from forecasting.store import database, reads, writes

logger = logging.getLogger("forecasting.preprocess")


def write_windows(night: Night, settings: Settings, *, flow_run_id: str | None = None) -> str:
    """The path of the night's windows, made from the bars and events as known then."""
    with database.transaction(settings.url) as connection:
        open_run(connection, night, settings, flow_run_id=flow_run_id)
        known = known_then(connection, night, settings)
    windows = windows_then(night, known, settings)
    folder = run_folder(settings, night.run_id(settings))
    folder.mkdir(parents=True, exist_ok=True)
    if settings.companions:
        note_left_out(night, settings, write_companions(night, settings))
        windows = with_market(windows, list(read_companions(night, settings).values()))
    windows.save(folder / "windows.npz")
    logger.info("windows of %s: %d rows up to %s, fetch %s", night.symbol, len(windows), night.session, known.fetch_id)
    return str(folder / "windows.npz")


def note_left_out(night: Night, settings: Settings, words: str) -> None:
    """Put `words` into the run's note, once, beside what stands there."""
    run_id = night.run_id(settings)
    with database.transaction(settings.url) as connection:
        noted = str((reads.run(connection, run_id) or {}).get("note") or "")
        if words not in noted:
            writes.update_run(connection, run_id, {"note": f"{noted} {words}".strip()})
