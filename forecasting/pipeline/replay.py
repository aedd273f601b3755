"""Re-run every finished night from the stored bars, in a ledger of its own, and compare: an audit.

The source is not asked. The input tables are copied to an empty database, and each night runs there through the same
steps under its own settings, on the fetch that its forecasts name, in the order in which the nights were made: a past
session that was run later finds the champions that it found. So every forecast must be the same bit for bit: same
machine, same code.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

from forecasting.errors import ForecastingError, UsageError
from forecasting.evaluate.decisions import NO_WARM_FIT
from forecasting.pipeline.backtest import Bar, no_bar
from forecasting.pipeline.evaluate import score_and_decide
from forecasting.pipeline.models import copy_weights, weights_folder, weights_state
from forecasting.pipeline.night import make_night
from forecasting.pipeline.predict import write_forecasts
from forecasting.pipeline.preprocess import write_windows
from forecasting.pipeline.run_log import close, code_version, delete_files_of
from forecasting.pipeline.symbols import Outcomes, each_symbol
from forecasting.pipeline.train import fit_challenger
from forecasting.predict.fallback import UNUSABLE
from forecasting.report.units import quantity
from forecasting.settings import Settings
from forecasting.store import connect, migrate, read, write
from forecasting.store.frames import Row
from forecasting.vocabulary import QUANTILE_COLUMNS, Clock, Mode

_COMPARED = ["role", "status", *QUANTILE_COLUMNS]
"""What must be equal; kind and times cannot be, for all of it is made afterwards."""


def replay(
    settings: Settings, *, now: Clock, first: date | None = None, last: date | None = None, bar: Bar = no_bar
) -> Outcomes[str]:
    """A sentence a symbol: how many finished nights and forecasts of a span are the same bit for bit; else its error.

    Its ledger stays in the folder `replay` of the data folder. What the nights before `first` left is copied.
    """
    migrate.check_ready(settings.url, writes=False)
    scratch = scratch_ledger(settings)

    def compared(own: Settings) -> str:
        nights, by_hand = finished_nights(own, first=first, last=last)
        if first is not None:
            copy_state(nights[0], own, scratch, before=first)
        with bar(f"{own.symbols[0]} {own.target}") as advance:
            for done, row in enumerate(nights):
                advance(done, len(nights))
                after = [hand for hand in by_hand if hand["session"] == row["as_of"]]
                with weights_as_then(row, own, scratch):
                    rerun_night(row, settings_of(row, scratch), after, now=now)
        return compare(own.symbols[0], own, scratch, nights)

    return each_symbol(settings, compared, now=now)


def finished_nights(settings: Settings, *, first: date | None, last: date | None) -> tuple[list[Row], list[Row]]:
    """The finished nights of a symbol in a span, in the order made, and the promotions by hand."""
    symbol = settings.symbols[0]
    with connect.reading(settings.url) as connection:
        runs = read.finished_runs(connection, symbol, settings.target)
        of_hand = {"symbol": symbol, "target": settings.target, "trigger": ["promote", "rollback"]}
        by_hand = read.table_rows(connection, "promotions", of_hand, order=("session", "decided_at"))
    span = [row for row in runs if (first or date.min) <= row["as_of"] <= (last or date.max)]
    nights = [row for row in span if settings_of(row, settings).hash == row["settings_hash"]]
    if not nights:
        reached = f"{f' from {first}' if first else ''}{f' up to {last}' if last else ''}"
        days, do = [row["as_of"] for row in runs], "Check --symbol, --target and the database."
        if days:
            do = f"Its nights are from {min(days)} to {max(days)}: choose --from and --to among them."
        if span:
            do = f"This release does not have the settings of {quantity(len(span), 'night')}: replay with theirs."
        raise UsageError(f"{symbol} has no finished {settings.target} night{reached}; there is nothing to replay. {do}")
    return nights, by_hand


def settings_of(row: Row, settings: Settings) -> Settings:
    """The settings with those of a night in their place, as its row has them."""
    fields = {name: value for name, value in json.loads(row["settings"]).items() if name != "events"}
    exchanges = settings.exchanges | {row["symbol"]: fields["exchange"]}
    own = settings.model_copy(update={"market": None, "source": row["source"], "exchanges": exchanges} | fields)
    return own.for_symbol(row["symbol"])


def scratch_ledger(settings: Settings) -> Settings:
    """The same settings on an empty ledger of its own, with a copy of the input tables and own pretrained weights."""
    folder = settings.data_dir.absolute() / "replay"
    shutil.rmtree(folder, ignore_errors=True)
    scratch = settings.model_copy(update={"data_dir": folder, "database_url": None})
    migrate.upgrade(scratch.url)
    with connect.reading(settings.url) as source, connect.transaction(scratch.url) as target:
        write.copy_inputs(source, target)
        for row in read.pretrained(source, settings.target):
            write.add(target, "models", row)
            copy_weights(row, settings, data_dir=folder)
    return scratch


def copy_state(night: Row, settings: Settings, scratch: Settings, *, before: date) -> None:
    """Copy what nights before a session left for a later one; a UsageError where weights that it used are gone."""
    symbol = night["symbol"]
    with connect.reading(settings.url) as source, connect.transaction(scratch.url) as target:
        write.copy_nights(source, target, symbol, settings.target, before=before)
        champion = read.champion(target, symbol, settings.target)
        for row in read.table_rows(target, "models", {"symbol": symbol, "target": settings.target}):
            if row["artifact_path"] is not None:
                copy_weights(row, settings, data_dir=scratch.data_dir)
    if champion is None or (state := weights_state(champion, scratch)) == "kept":
        return
    with connect.reading(settings.url) as connection:
        forecast = {"symbol": symbol, "target": settings.target, "run_id": night["id"], "model_id": champion["id"]}
        was_used = read.row(connection, "forecasts", forecast) is not None
    if was_used or state != "damaged":  # of an older format they were as unusable to the night
        raise UsageError(
            f"A replay of {symbol} {settings.target} from {before} on begins with the champion of that day, model "
            f"{champion['id']}, whose weights are {state}. Restore them, choose a later --from, or leave --from out."
        )


@contextmanager
def weights_as_then(row: Row, settings: Settings, scratch: Settings) -> Iterator[None]:
    """Within the block the champion of a night has no weights where the night could not read them."""
    series = {"symbol": row["symbol"], "target": row["target"]}
    with connect.reading(scratch.url) as connection:
        champion = read.champion(connection, *series.values(), session=row["as_of"])
    with connect.reading(settings.url) as connection:
        reasons = [row["mode_reason"], *read.values(connection, "forecasts", "reason", series | {"run_id": row["id"]})]
        used = read.values(connection, "forecasts", "model_id", series | {"origin_session": row["as_of"]})
    is_lost = any(NO_WARM_FIT in reason or UNUSABLE in reason for reason in reasons)
    kept = weights_folder(champion, scratch) if champion and is_lost and champion["id"] not in used else None
    if champion is None or kept is None or not kept.exists():
        yield
        return
    away = kept.rename(scratch.data_dir / champion["id"])
    logging.disable(logging.WARNING)  # that they are missing is meant
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        away.rename(kept)


def rerun_night(row: Row, settings: Settings, by_hand: list[Row], *, now: Clock) -> None:
    """Work one night off without asking its source, then the promotions that were made by hand after it."""
    asked: Mode = row["mode"] if row["mode_reason"].startswith("asked for") else "auto"
    night = make_night(row["symbol"], row["as_of"], settings, now=now, mode=asked, trigger=row["trigger"])
    night = replace(night, source=row["source"], stored_id=row["id"], stored_fetch=row["fetch_id"])
    for step in (write_windows, fit_challenger, write_forecasts, score_and_decide, close):
        night = step(night)
    delete_files_of([night])
    with connect.transaction(settings.url) as connection:
        for hand in by_hand:
            write.add(connection, "promotions", hand | {"decided_at": now()})


def compare(symbol: str, settings: Settings, scratch: Settings, nights: list[Row]) -> str:
    """How many forecasts of how many nights are the same; a ForecastingError that names the first that differs."""
    nights = sorted(nights, key=lambda row: row["as_of"])
    stored, replayed = (_issued(symbol, one, {row["id"] for row in nights}) for one in (settings, scratch))
    wrong = sorted(key for key in stored | replayed if stored.get(key) != replayed.get(key))
    count, first, last = quantity(len(nights), "night"), nights[0]["as_of"], nights[-1]["as_of"]
    if not wrong:
        return f"{symbol}: {count}, {first} to {last}: all {len(stored)} forecasts the same to the bit."
    origin, horizon, model = wrong[0]
    code = f"The code is the same, {code_version()}: look for another machine, other packages, or rows changed since."
    if others := [row for row in nights if row["code_version"] != code_version()]:
        newest = others[-1]
        later = next((row["as_of"] for row in nights if row["as_of"] > newest["as_of"]), None)
        code = (
            f"{len(others)} of the nights, up to {newest['as_of']}, were made by other code, the newest by "
            f"{newest['code_version']}; this is {code_version()}, whose forecasts may differ."
            + (f" --from {later} replays the nights of this code, on what the others left." if later else "")
        )
    issued, again = (one.get(wrong[0]) for one in (stored, replayed))
    found = "issued, but the replay made no such forecast" if issued else "not issued, but made by the replay"
    if issued and again:
        column, was, came = next(one for one in zip(_COMPARED, issued, again, strict=True) if one[1] != one[2])
        found = f"{column} was issued as {was} and replayed as {came}"
    raise ForecastingError(
        f"{symbol} {settings.target}: {len(wrong)} of {len(stored | replayed)} forecasts of {count} differ in the "
        f"replay, the first at the origin {origin}, horizon {horizon}, model {model}: {found}. {code} "
        f"The replayed ledger is {scratch.data_dir / 'forecasting.db'}."
    )


def _issued(symbol: str, settings: Settings, run_ids: set[str]) -> dict[tuple[str, int, str], tuple[object, ...]]:
    with connect.reading(settings.url) as connection:
        rows = read.forecasts(connection, symbol, settings.target)
    rows = rows[rows["run_id"].isin(run_ids)]
    keys = zip(rows["origin_session"].dt.strftime("%Y-%m-%d"), rows["horizon"], rows["model_id"], strict=True)
    return dict(zip(keys, rows[_COMPARED].itertuples(index=False, name=None), strict=True))
