"""Re-run every finished night from the stored bars, in a ledger of its own, and compare: an audit.

The source is not asked. The input tables are copied to an empty database, and each night runs there through the same
steps under its own settings, on the fetch that its forecasts name, in the order in which the nights were made: a past
session that was run later finds the champions that it found. So every forecast, score, decision and model must be the
same bit for bit: same machine, same code.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from forecasting.errors import ArtifactError, ForecastingError, StoreError, UsageError
from forecasting.pipeline.backtest import Bar, no_bar
from forecasting.pipeline.models import copy_weights, weights_folder, weights_state
from forecasting.pipeline.night import make_night
from forecasting.pipeline.run import run_shard
from forecasting.pipeline.run_log import code_version, notes_of
from forecasting.pipeline.symbols import NAMED, Outcomes, each_symbol
from forecasting.plain_text import named, plain_text
from forecasting.predict.combine import kind_of
from forecasting.report.units import quantity
from forecasting.sessions import between, last_completed
from forecasting.settings import Settings
from forecasting.store import connect, lock, migrate, read, write
from forecasting.store.frames import Row
from forecasting.store.schema import FORECAST_KEY
from forecasting.vocabulary import Clock, Mode

Left = dict[tuple[bool, str], list[date]]
"""Nights that are not replayed, by whether something stored is thereby left out, and why."""

Evidence = dict[tuple[Any, ...], Row]  # By what a row is, its session, horizon and id, and the bar of a score


def replay(
    settings: Settings, *, now: Clock, first: date | None = None, last: date | None = None, bar: Bar = no_bar
) -> Outcomes[str]:
    """A sentence a symbol: how many finished nights and forecasts of a span are the same bit for bit; else its error.

    Its ledger stays in the folder `replay` of the data folder. What the nights before `first` left is copied. To leave
    out something that is stored of the span is an error.
    """
    migrate.check_ready(settings.url, writes=False)

    def compared(own: Settings) -> str:
        newest = min(last, last_completed(now(), own.exchange)) if last else None
        nights, left, by_hand = nights_of_span(own, first, newest)
        if first is not None:
            copy_state(nights[0], own, scratch, before=first)
        with bar(f"{own.symbols[0]} {own.target}") as advance:
            for done, row in enumerate(nights):
                advance(done, len(nights))
                after = [hand for hand in by_hand if hand["session"] == row["as_of"]]
                try:
                    with weights_as_then(row, own, scratch):
                        rerun_night(row, settings_of(row, scratch), after, now=now)
                except ForecastingError as error:
                    night = f"The night of {row['as_of']} of {row['symbol']} {row['target']} cannot be run again"
                    raise ForecastingError(f"{night}; its rows or its fetch may have been changed: {error}") from None
        return compare(own, scratch, nights, left, first)

    with lock.replay_lock(settings.data_dir):
        scratch = scratch_ledger(settings)
        return each_symbol(settings, compared, now=now)


def nights_of_span(settings: Settings, first: date | None, last: date | None) -> tuple[list[Row], Left, list[Row]]:
    """The finished nights of a symbol in a span, in the order made, the others, and the promotions by hand."""
    symbol, target = settings.symbols[0], settings.target
    with connect.reading(settings.url) as connection:
        runs = {row["id"]: row for row in read.table_rows(connection, "runs", {"symbol": symbol, "target": target})}
        issued = {(row["run_id"], row["origin_session"]): row for row in read.issued_by_run(connection, symbol, target)}
        of_hand = {"symbol": symbol, "target": target, "trigger": ["promote", "rollback"]}
        by_hand = read.table_rows(connection, "promotions", of_hand, order=("session", "decided_at"))
        newest = read.newest(connection, "bar_versions", "session", {"symbol": symbol})
    nights, left = [], Left()
    made = {(row["id"], row["as_of"]) for row in runs.values()} | issued.keys()
    if days := sorted(session for _, session in made):
        first, last = first or days[0], last or max(days[-1], newest or days[-1])
        if none := sorted({*between(first, last, settings.exchange)} - {*days}):
            left[False, "none stored"] = none
    for run_id, session in sorted((key for key in made if first <= key[1] <= last), key=itemgetter(1)):
        row = runs.get(run_id, {}) | issued.get((run_id, session), {})
        if why := why_not_replayed(row, settings):
            left.setdefault(why, []).append(session)
        else:
            nights.append(row)
    if nights:
        # A night by a clock that is behind is issued after all others of its symbol (pipeline/predict.py).
        return sorted(nights, key=itemgetter("issued_at", "as_of", "started_at")), left, by_hand
    if any(is_stored for is_stored, _ in left):
        raise ForecastingError(f"{symbol} {target}: {_named(left)}")
    do = f"Choose --from and --to from {days[0]} to {days[-1]}." if days else "Check --symbol and --target."
    raise UsageError(f"{symbol} has no finished {target} night in that span; there is nothing to replay. {do}")


def why_not_replayed(row: Row, settings: Settings) -> tuple[bool, str] | None:
    """Whether something stored is left out with a run and its forecasts, as one row, and why; None for a night."""
    if "fetch_id" not in row:
        is_lost = row["status"] == "done" and "issued_before" not in notes_of(row)
        return is_lost, f"status {row['status']}, without forecasts"
    if row.get("as_of") != row["origin_session"]:
        return True, "no such night in table runs"
    if row["status"] != "done":
        return True, f"status {row['status']}, with forecasts"
    if (own := settings_of(row, settings)).hash == row["settings_hash"]:
        return None
    stored = json.loads(row["settings"])
    is_known = own.forecast_fields() | {"events": stored.get("events")} == stored
    return True, "settings and settings_hash in table runs disagree" if is_known else "settings unknown to this release"


def _named(left: Left) -> str:
    nights = quantity(sum(map(len, left.values())), "night")
    why = "; ".join(f"{named([*map(str, days)], NAMED)}: {reason}" for (_, reason), days in left.items())
    return f"Not replayed: {nights} ({why}). " if left else ""


def settings_of(row: Row, settings: Settings) -> Settings:
    """The settings with those of a night in their place, as its row has them."""
    try:
        fields = {name: value for name, value in json.loads(row["settings"]).items() if name != "events"}
        exchanges = settings.exchanges | {row["symbol"]: fields["exchange"]}
    except (ValueError, AttributeError, KeyError):
        raise StoreError(
            f"Expected a JSON object with `exchange` in column settings of table runs for the night of {row['as_of']} "
            f"of {row['symbol']} {row['target']}; found {row['settings'][:60]!r}. Restore the row {row['id']}."
        ) from None
    own = settings.model_copy(update={"market": None, "source": row["source"], "exchanges": exchanges} | fields)
    return own.for_symbol(row["symbol"])


def scratch_ledger(settings: Settings) -> Settings:
    """The same settings on an empty ledger of its own, with a copy of the input tables."""
    folder = settings.data_dir.absolute() / "replay"
    shutil.rmtree(folder, ignore_errors=True)
    scratch = settings.model_copy(update={"data_dir": folder, "database_url": None})
    migrate.upgrade(scratch.url)
    with connect.reading(settings.url) as source, connect.transaction(scratch.url) as target:
        write.copy_inputs(source, target)
    return scratch


def copy_state(night: Row, settings: Settings, scratch: Settings, *, before: date) -> None:
    """Copy what nights before a session left for a later one; an ArtifactError where weights that it used are gone."""
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
        raise ArtifactError(
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
        used = read.values(connection, "forecasts", "model_id", series | {"origin_session": row["as_of"]})
    # A readable champion has forecasts; but one that is too old, where tonight's fit took its place, has none.
    is_lost = row["mode"] == "skip" or row["mode_kind"] == "unreadable"
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
    asked: Mode = row["mode"] if row["mode_kind"] == "asked" else "auto"
    night = make_night(row["symbol"], row["as_of"], settings, now=now, mode=asked, trigger=row["trigger"])
    stored = {"stored_id": row["id"], "stored_fetch": row["fetch_id"]}
    (done,) = run_shard([replace(night, source=row["source"], has_page=False, **stored)])
    if done.error is not None:
        raise done.error
    with connect.transaction(settings.url) as connection:
        write.add(connection, "promotions", *(hand | {"decided_at": now()} for hand in by_hand))


def compare(settings: Settings, scratch: Settings, nights: list[Row], left: Left, first: date | None) -> str:
    """How much of the nights is the same, and what is left; a ForecastingError names what is not."""
    nights = sorted(nights, key=itemgetter("as_of"))
    (stored, newer), (replayed, _) = (_evidence(one.url, nights, settings) for one in (settings, scratch))
    rows = stored | {key: row for key, row in replayed.items() if key in stored or row.get("is due", True)}
    wrong = sorted(key for key in rows if stored.get(key) != replayed.get(key))
    total, differ = (Counter(key[0] for key in keys) for keys in (rows, wrong))
    symbol, count = settings.symbols[0], quantity(len(nights), "night")
    if wrong:
        path = settings.data_dir.absolute() / f"differences-{symbol}-{settings.target}.csv"
        what = _write_differences(path, wrong, stored, replayed)
        counts = ", ".join(f"{number} of {quantity(total[what], what)}" for what, number in differ.items())
        raise ForecastingError(
            f"{symbol} {settings.target}: {_named(left)}{counts} of {count} differ in the replay, the first a {what}. "
            f"{_about_code(nights, left, wrong)} All differences are in {path}, "
            f"the replayed ledger in {scratch.data_dir}."
        )
    same = ", ".join(quantity(number, what) for what, number in total.items())
    more = f", {quantity(newer, 'forecast')} of a later run" if newer else ""
    more += f", nights before {first}, which were copied" if first else ""
    sentence = f"{symbol}: {_named(left)}{count}, {nights[0]['as_of']} to {nights[-1]['as_of']}: all {same} the same "
    sentence += f"to the bit, by {code_version()}. "
    sentence += f"Not compared: kinds, instants, reasons, weight files, standings{more}."
    if any(is_stored for is_stored, _ in left):
        raise ForecastingError(sentence)
    return sentence


def _write_differences(path: Path, wrong: list[tuple[Any, ...]], stored: Evidence, replayed: Evidence) -> str:
    """The first difference in words; all are written to a CSV file."""
    columns = ["what", "session", "horizon", "id", "bar", "column", "stored", "replayed"]
    differences = list[tuple[Any, ...]]()
    for key in wrong:
        was, came = (one.get(key, {}) for one in (stored, replayed))
        names = (name for name in was | came if was.get(name) != came.get(name))
        differences += [(*key, name, was.get(name), came.get(name)) for name in names]
    pd.DataFrame(differences, columns=columns).to_csv(path, index=False)
    (what, *place), (column, was, came) = wrong[0], differences[0][-3:]
    where = ", ".join(f"{name} {value}" for name, value in zip(columns[1:5], place, strict=True) if value is not None)
    found = "stored, but not made by the replay" if wrong[0] in stored else "not stored, but made by the replay"
    if wrong[0] in stored and wrong[0] in replayed:
        found = f"{column} was stored as {plain_text(was, limit=80)} and replayed as {plain_text(came, limit=80)}"
    return f"{what} ({where}): {found}"


def _about_code(nights: list[Row], left: Left, wrong: list[tuple[Any, ...]]) -> str:
    """Where to look for the cause of a difference: other code, or the same on other packages or changed rows."""
    code = f"The code is the same, {code_version()}: look for another machine, other packages, or rows changed since."
    if others := [row for row in nights if row["code_version"] != code_version()]:
        code = f"{len(others)} of the nights, up to {others[-1]['as_of']}, were made by other code, the newest by "
        code += f"{others[-1]['code_version']}; this is {code_version()}, whose forecasts may differ."
        if later := [row["as_of"] for row in nights if row["as_of"] > others[-1]["as_of"]]:
            code += f" --from {later[0]} replays the nights of this code, on what the others left."
    first = min((key[1] for key in wrong if key[1]), default=nights[-1]["as_of"])
    may_follow = any(day < first for days in left.values() for day in days)
    return f"They may follow from the nights that were not replayed. {code}" if may_follow else code


def _evidence(url: str, nights: list[Row], settings: Settings) -> tuple[Evidence, int]:
    """The rows of nights to compare, by what and where they are, of forecasts the first issued; how many came later."""
    series, exchange = {"symbol": settings.symbols[0], "target": settings.target}, settings.exchange
    ids, days = [row["id"] for row in nights], [row["as_of"] for row in nights]
    with connect.reading(url) as connection:
        forecasts = read.table_rows(connection, "forecasts", series | {"run_id": ids}, order=("issued_at DESC",))
        parts = read.parts(connection, settings.symbols, [settings.target], first=days[0], last=days[-1])
        scores = read.table_rows(connection, "scores", series | {"origin_session": days})
        of_bars = {"symbol": settings.symbols[0], "session": list({row["target_session"] for row in scores})}
        bars = {(row["session"], row["version"]): row for row in read.table_rows(connection, "bar_versions", of_bars)}
        newest = max(read.values(connection, "fetches", "fetched_at", {"id": [row["fetch_id"] for row in nights]}))
        decisions = read.table_rows(connection, "promotions", series | {"session": days})
        models = read.table_rows(connection, "models", series)
    key_of, at = itemgetter(*FORECAST_KEY), itemgetter("origin_session", "horizon", "model_id")
    found, at_once = Evidence(), Counter((*at(row), row["issued_at"]) for row in forecasts)
    issued = {(row["issued_at"], row["origin_session"]) for row in forecasts if row["kind"] == "live"}
    too_late = {pair for pair in issued if kind_of(*pair, exchange) != "live"}  # the calendar is slow: once a night
    for row in forecasts:
        row |= {f"part {name}": factor for name, factor in parts.get(key_of(row), ())}
        row["is live in time"] = row["kind"] != "live" or (row["issued_at"], row["origin_session"]) not in too_late
        row["rows of one instant"] = at_once[*at(row), row["issued_at"]]  # a second, as of another kind, is not ours
        found["forecast", *at(row), None] = row
    for row in scores:  # no night has seen what came after the last fetch of all
        bar = bars.get((row["target_session"], row["bar_version"]), {})
        known_at = bar.get("settled_at" if row["stage"] == "settled" else "first_seen_at")
        row["is due"] = known_at is not None and known_at <= newest
    own, ours = {key_of(row) for row in found.values()}, {*ids, *(row["model_id"] for row in forecasts)}
    found |= {("score", *at(row), f"{row['stage']} {row['bar_version']}"): row for row in scores if key_of(row) in own}
    found |= {("decision", row["session"], None, row["id"], None): row for row in decisions}
    found |= {("model", None, None, row["id"], None): row for row in models if ours & {row["id"], row["run_id"]}}
    # Left out: instants, durations and kind, which are of the run; reasons, which may name a folder; the path, which
    # pruning empties; the version of the code, since another one may give the same bits.
    of_run = ("issued_at", "scored_at", "decided_at", "created_at", "seconds", "kind", "reason")
    not_compared = dict.fromkeys((*of_run, "artifact_path", "code_version"))
    return {key: row | not_compared for key, row in found.items()}, len(forecasts) - len(own)
