"""Companions: other symbols whose bars a night fetches to learn from, and never at the night's expense.

They are asked for before the symbol itself, so that one instant, that of the symbol's own fetch, says what was known of
all of them, live and in replay. One that fails, is late or too short is left out of that night, and the run says so.
"""

import json
import logging
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from flows.night import Night, run_folder
from flows.steps.ingest import fetch_and_store, first_session
from flows.steps.known import KnownThen, cutoff_of, known_by, resting_fetch, windows_then
from forecasting.errors import ForecastingError, HistoryError, RateLimitedError, StoreError, UnavailableError
from forecasting.preprocess.companions import teaches
from forecasting.preprocess.windows import Windows, load_windows
from forecasting.settings import Settings
from forecasting.store import database, lineage, reads
from forecasting.store.database import Connection

logger = logging.getLogger("forecasting.companions")


def companion_nights(night: Night, settings: Settings) -> list[Night]:
    """The night as each companion would have it: those of the symbol's own exchange, the symbol itself left out.

    Another exchange has other sessions, and so other origins.
    """
    return [
        replace(night, symbol=symbol, events=None)
        for symbol in settings.companions
        if symbol != night.symbol and settings.exchange_of(symbol) == settings.exchange
    ]


def bring(night: Night, settings: Settings, *, switch_source: bool = False) -> None:
    """Bring every companion's bars up to the night's session, where that can be done; nothing of it fails the night."""
    for one in companion_nights(night, settings):
        if not switch_source and is_brought(one, settings):
            continue
        try:
            fetch_and_store(one, settings, switch_source=switch_source, purpose="companion")
        except (RateLimitedError, UnavailableError) as error:
            # Asked on, a source that refuses would make the symbol itself wait, or be refused.
            logger.warning("companion %s is left out, and those after it are not asked for: %s", one.symbol, error)
            return
        except ForecastingError as error:
            logger.warning("companion %s is left out: %s", one.symbol, error)


def is_brought(one: Night, settings: Settings) -> bool:
    """Whether the companion's newest fetch spans what a night at this session asks for: for another symbol, say."""
    with database.reading(settings.url) as connection:
        fetch = reads.newest_fetch(connection, one.symbol)
    if fetch is None or fetch["last_received"] is None:
        return False
    first: date = fetch["first_asked"]
    return first <= first_session(one.session, settings) and bool(fetch["last_received"] >= one.session)


def write_companions(night: Night, settings: Settings) -> str:
    """Write the windows of every companion known then beside the night's own; who was left out and why, in words."""
    folder = companions_folder(night, settings)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():  # of an attempt that was killed
        stale.unlink()
    left_out = []
    for one in companion_nights(night, settings):
        try:
            with database.reading(settings.url) as connection:
                known = known_by(connection, one, companion_fetch(connection, night, one, settings))
            teaching_windows(one, known, settings).save(folder / f"{one.symbol}.npz")
        except (HistoryError, StoreError) as error:
            logger.warning("companion %s is left out: %s", one.symbol, error)
            left_out.append(one.symbol)
    if not left_out:
        return ""
    return f"Companions left out, since too little was known of them at {night.session}: {', '.join(left_out)}."


def teaching_windows(one: Night, known: KnownThen, settings: Settings) -> Windows:
    """The companion's windows.

    Raises:
        HistoryError: No bar of the session, or too little to learn from.
    """
    windows = windows_then(one, known, settings)
    if not teaches(windows):
        raise HistoryError(f"{one.symbol} knows its {one.target} on too few sessions to learn from.")
    return windows


def companion_fetch(connection: Connection, night: Night, one: Night, settings: Settings) -> dict[str, Any]:
    """The row in `fetches` of a companion's bars as they were known when the night's own were fetched.

    Where those came too late for a live forecast, and so did the companion's, the first fetch that brought them counts,
    as it does for the symbol: a replay far in the past may rest on bars fetched today.

    Raises:
        StoreError: Nothing that reaches the session was known.
    """
    own = resting_fetch(connection, night, settings)["fetched_at"]
    fetch = lineage.knowing_fetch(connection, one.symbol, one.session, cutoff=own)
    if own <= cutoff_of(night, settings) and fetch["fetched_at"] > own:
        raise StoreError(f"{one.symbol}'s bars were first fetched {fetch['fetched_at']}; the night's own {own}.")
    return fetch


def read_companions(night: Night, settings: Settings) -> dict[str, Windows]:
    """The companions' windows beside the night's, by symbol in alphabetical order."""
    return {path.stem: load_windows(path) for path in sorted(companions_folder(night, settings).glob("*.npz"))}


def companions_folder(night: Night, settings: Settings) -> Path:
    """Where a run keeps its companions' windows, named by symbol."""
    return run_folder(settings, night.run_id(settings)) / "companions"


def companion_fetches(connection: Connection, night: Night, settings: Settings, symbols: list[str]) -> str:
    """The fetch of each of these companions that a night rests on, as a JSON object; empty without companions."""
    ids = {
        one.symbol: companion_fetch(connection, night, one, settings)["id"]
        for one in companion_nights(night, settings)
        if one.symbol in symbols
    }
    return json.dumps(ids, sort_keys=True) if ids else ""
