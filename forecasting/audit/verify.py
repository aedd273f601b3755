"""Re-run every finished night from the stored bars, in a ledger of its own, and compare: an audit.

The source is not asked. The input tables are copied to an empty database, and each night runs there
through the same steps under its own settings, on the fetch that its forecasts name, in the order in
which the nights were made: a past session that was run later finds the champions that it found. So
every forecast, score, decision and model must be the same bit for bit: same machine, same code.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from operator import itemgetter
from typing import Literal

import pandas as pd

from forecasting.audit.backtest import Bar, no_bar
from forecasting.errors import ArtifactError, ForecastingError, StoreError, UsageError
from forecasting.night.models import copy_weights, weights_folder, weights_state
from forecasting.night.night import make_night
from forecasting.night.run import run_shard
from forecasting.night.run_log import code_version, notes_of
from forecasting.night.symbols import NAMED, Outcomes, each_symbol
from forecasting.plain_text import named, plain_text, quantity
from forecasting.predict.combine import kind_of
from forecasting.sessions import between, last_completed
from forecasting.settings import Settings
from forecasting.store import connect, lock, migrate, read, write
from forecasting.store.frames import Row
from forecasting.store.schema import FORECAST_KEY, metadata
from forecasting.vocabulary import Clock, Mode

OmissionKind = Literal[
    "no_night", "no_forecasts", "no_run", "not_done", "other_hash", "other_settings"
]


@dataclass(frozen=True)
class Omission:
    """Why nights are not run again, and whether something stored is thereby left out."""

    kind: OmissionKind
    status: str = ""  # of the run, where that is why
    is_stored: bool = True


_OMISSIONS: dict[OmissionKind, str] = {
    "no_night": "none stored",
    "no_forecasts": "status {status}, without forecasts",
    "no_run": "no such night in table runs",
    "not_done": "status {status}, with forecasts",
    "other_hash": "settings and settings_hash in table runs disagree",
    "other_settings": "settings unknown to this release",
}

Left = dict[Omission, list[date]]
"""The nights that are not run again."""

_SLOT = ["origin_session", "horizon", "model_id"]  # what a forecast is of, issued once or more
_KEYS = ["session", "horizon", "id", "second_kind", "part", "stage", "bar_version"]  # of all tables
_VALUES = ["column", "stored", "rerun"]
_SHORT: dict[str | int, str] = {"origin_session": "session", "model_id": "id"}

NOUNS = {
    "forecasts": "forecast",
    "forecast_parts": "forecast part",
    "scores": "score",
    "total_forecasts": "total",
    "total_scores": "total score",
    "promotions": "decision",
    "models": "model",
}
"""The tables that are compared, and what one of their rows is."""

MAY_DIFFER = [
    *("issued_at", "scored_at", "decided_at", "created_at", "seconds", "kind"),  # of the run
    "reason",  # may name a folder
    "artifact_path",  # pruning empties it
    "code_version",  # another one may give the same bits
]
"""The columns that are not compared."""


def verify(
    settings: Settings,
    *,
    now: Clock,
    first: date | None = None,
    last: date | None = None,
    bar: Bar = no_bar,
) -> Outcomes[str]:
    """A sentence a symbol: how many nights and forecasts are the same bit for bit; else its error.

    The ledger of the re-run stays in the folder `verify` of the data folder. To leave out something
    that is stored of the span is an error.

    Args:
        settings: Its symbols and target.
        now: The clock of the re-run.
        first: First session of the span; what the nights before it left is copied. None: all.
        last: Its last session; None for the newest.
        bar: Shows the progress.
    """
    migrate.check_ready(settings.url, writes=False)

    def compared(of_symbol: Settings) -> str:
        newest = min(last, last_completed(now(), of_symbol.exchange)) if last else None
        nights, left = nights_of_span(of_symbol, first, newest)
        if first is not None:
            copy_state(
                nights[0],
                of_symbol,
                scratch,
                before=first,
            )
        rerun(
            nights,
            of_symbol,
            scratch,
            now=now,
            bar=bar,
        )
        return compare(
            of_symbol,
            scratch,
            nights,
            left,
            first,
        )

    with lock.verify_lock(settings.data_dir):
        scratch = scratch_ledger(settings)
        return each_symbol(settings, compared, now=now)


def rerun(
    nights: list[Row], settings: Settings, scratch: Settings, *, now: Clock, bar: Bar
) -> None:
    """Run a symbol's nights again, each followed by the promotions by hand of its session."""
    symbol = settings.symbols[0]
    of_hand = {"symbol": symbol, "target": settings.target, "trigger": ["promote", "rollback"]}
    in_order = ("session", "decided_at")
    with connect.reading(settings.url) as connection:
        by_hand = read.table_rows(
            connection,
            "promotions",
            of_hand,
            order=in_order,
        )
        series = {"symbol": symbol, "target": settings.target}
        with_totals = set(read.values(connection, "total_forecasts", "origin_session", series))
    with bar(f"{symbol} {settings.target}") as advance:
        for done, row in enumerate(nights):
            advance(done, len(nights))
            after = [hand for hand in by_hand if hand["session"] == row["as_of"]]
            try:
                with weights_as_then(row, settings, scratch):
                    rerun_night(
                        row,
                        settings_of(row, scratch),
                        after,
                        now=now,
                    )
                if row["as_of"] not in with_totals:  # of a release without them
                    with connect.transaction(scratch.url) as connection:
                        write.remove_totals(connection, symbol, settings.target, row["as_of"])
            except ForecastingError as error:
                raise ForecastingError(
                    f"The night of {row['as_of']} of {row['symbol']} {row['target']} cannot be run "
                    f"again; its rows or its fetch may have been changed: {error}"
                ) from None


def nights_of_span(
    settings: Settings, first: date | None, last: date | None
) -> tuple[list[Row], Left]:
    """The finished nights of a symbol in a span, in the order made, and the others."""
    symbol = settings.symbols[0]
    target = settings.target
    with connect.reading(settings.url) as connection:
        made = _made(connection, symbol, target)
        newest = read.newest(
            connection,
            "bar_versions",
            "session",
            {"symbol": symbol},
        )
    none = f"{symbol} has no finished {target} night in that span; there is nothing to verify."
    if not made:
        raise UsageError(f"{none} Check --symbol and --target.")

    days = sorted(session for _, session in made)
    last = last or max(days[-1], newest or days[-1])
    nights, left = _divided(
        made,
        first or days[0],
        last,
        settings,
    )
    if nights:
        # A night by a clock that is behind is issued after all others of its symbol
        # (night/steps/predict.py).
        return sorted(nights, key=itemgetter("issued_at", "as_of", "started_at")), left
    if any(omission.is_stored for omission in left):
        raise ForecastingError(f"{symbol} {target}: {_named(left)}")
    raise UsageError(f"{none} Choose --from and --to from {days[0]} to {days[-1]}.")


def _made(connection: connect.Connection, symbol: str, target: str) -> dict[tuple[str, date], Row]:
    """By run and session a run's row together with its forecasts'; either may lack."""
    runs = read.table_rows(connection, "runs", {"symbol": symbol, "target": target})
    by_id = {row["id"]: row for row in runs}
    made = {(row["id"], row["as_of"]): row for row in runs}
    for row in read.issued_by_run(connection, symbol, target):
        made[row["run_id"], row["origin_session"]] = by_id.get(row["run_id"], {}) | row
    return made


def _divided(
    made: dict[tuple[str, date], Row], first: date, last: date, settings: Settings
) -> tuple[list[Row], Left]:
    """The nights of a span that can be run again, and the others."""
    nights = []
    left = Left()
    days = {session for _, session in made}
    without = [day for day in between(first, last, settings.exchange) if day not in days]
    if without:
        left[Omission("no_night", is_stored=False)] = without
    for (_, session), row in sorted(made.items(), key=lambda item: item[0][1]):
        if not first <= session <= last:
            continue
        why = why_not_verified(row, settings)
        if why is None:
            nights.append(row)
        else:
            left.setdefault(why, []).append(session)
    return nights, left


def why_not_verified(row: Row, settings: Settings) -> Omission | None:
    """Why a run with its forecasts, as one row, cannot be run again; None for a finished night."""
    if "fetch_id" not in row:
        is_lost = row["status"] == "done" and "issued_before" not in notes_of(row)
        return Omission("no_forecasts", row["status"], is_stored=is_lost)
    if row.get("as_of") != row["origin_session"]:
        return Omission("no_run")
    if row["status"] != "done":
        return Omission("not_done", row["status"])
    then = settings_of(row, settings)
    if then.hash == row["settings_hash"]:
        return None
    stored = json.loads(row["settings"])
    if then.forecast_fields() | {"events": stored.get("events")} == stored:
        return Omission("other_hash")
    return Omission("other_settings")


def _named(left: Left) -> str:
    if not left:
        return ""
    nights = quantity(sum(map(len, left.values())), "night")
    reasons = []
    for omission, days in left.items():
        why = _OMISSIONS[omission.kind].format(status=omission.status)
        reasons.append(f"{named([str(day) for day in days], NAMED)}: {why}")
    return f"Not verified: {nights} ({'; '.join(reasons)}). "


def settings_of(row: Row, settings: Settings) -> Settings:
    """The settings with those of a night in their place, as its row has them."""
    try:
        fields = json.loads(row["settings"])
        exchanges = settings.exchanges | {row["symbol"]: fields["exchange"]}
    except (ValueError, TypeError, KeyError):
        raise StoreError(
            "Expected a JSON object with `exchange` in column settings of table runs for the night "
            f"of {row['as_of']} of {row['symbol']} {row['target']}; found "
            f"{row['settings'][:60]!r}. Restore the row {row['id']}."
        ) from None
    for name in ("events", "target"):
        fields.pop(name, None)
    inputs = {"market": None, "source": row["source"], "exchanges": exchanges}
    inputs["targets"] = (row["target"],)
    return settings.model_copy(update=inputs | fields).for_symbol(row["symbol"])


def scratch_ledger(settings: Settings) -> Settings:
    """The same settings on an empty ledger of its own, with a copy of the input tables."""
    folder = settings.data_dir.absolute() / "verify"
    shutil.rmtree(folder, ignore_errors=True)
    scratch = settings.model_copy(update={"data_dir": folder, "database_url": None})
    migrate.upgrade(scratch.url)
    with connect.reading(settings.url) as source, connect.transaction(scratch.url) as target:
        write.copy_inputs(source, target)
    return scratch


def copy_state(night: Row, settings: Settings, scratch: Settings, *, before: date) -> None:
    """Copy what nights before a session left for a later one.

    Raises:
        ArtifactError: Weights that it used are gone.
    """
    symbol = night["symbol"]
    target = settings.target
    series = {"symbol": symbol, "target": target}
    with connect.reading(settings.url) as stored, connect.transaction(scratch.url) as copied:
        write.copy_nights(
            stored,
            copied,
            symbol,
            target,
            before=before,
        )
        champion = read.champion(copied, symbol, target)
        for row in read.table_rows(copied, "models", series):
            if row["artifact_path"] is not None:
                copy_weights(row, settings, data_dir=scratch.data_dir)
        if champion is None:
            return
        forecast = series | {"run_id": night["id"], "model_id": champion["id"]}
        was_used = read.row(stored, "forecasts", forecast) is not None
    state = weights_state(champion, scratch)
    # Damaged or of an older format they were as unusable to the night
    if state == "kept" or (state == "damaged" and not was_used):
        return
    raise ArtifactError(
        f"A re-run of {symbol} {target} from {before} on begins with the champion of that day, "
        f"model {champion['id']}, whose weights are {state}. Restore them, choose a later --from, "
        "or leave --from out."
    )


@contextmanager
def weights_as_then(row: Row, settings: Settings, scratch: Settings) -> Iterator[None]:
    """Within the block the champion has no weights where the night could not read them."""
    series = {"symbol": row["symbol"], "target": row["target"]}
    of_night = series | {"origin_session": row["as_of"]}
    with connect.reading(scratch.url) as connection:
        champion = read.champion(connection, *series.values(), session=row["as_of"])
    with connect.reading(settings.url) as connection:
        used = read.values(
            connection,
            "forecasts",
            "model_id",
            of_night,
        )
    # A readable champion has forecasts; but one that is too old, where tonight's fit took its
    # place, has none.
    is_lost = row["mode"] == "skip" or row["mode_kind"] == "unreadable"
    if champion is None or not is_lost or champion["id"] in used:
        yield
        return
    kept = weights_folder(champion, scratch)
    if kept is None or not kept.exists():
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
    """Run one night without asking its source, then add the promotions by hand after it."""
    asked: Mode = row["mode"] if row["mode_kind"] == "asked" else "auto"
    night = make_night(
        row["symbol"],
        row["as_of"],
        settings,
        now=now,
        mode=asked,
        trigger=row["trigger"],
    )
    as_stored = replace(
        night,
        source=row["source"],
        stored_id=row["id"],
        stored_fetch=row["fetch_id"],
    )
    (done,) = run_shard([as_stored])
    if done.error is not None:
        raise done.error
    with connect.transaction(settings.url) as connection:
        write.add(connection, "promotions", *(hand | {"decided_at": now()} for hand in by_hand))


@dataclass(frozen=True)
class Evidence:
    """What a ledger has of some nights."""

    tables: dict[str, pd.DataFrame]  # by NOUNS, each indexed by what identifies a row
    later: int  # forecasts that a later run issued again, which are left out


def compare(
    settings: Settings, scratch: Settings, nights: list[Row], left: Left, first: date | None
) -> str:
    """How much of the nights is the same, and what is not compared.

    Raises:
        ForecastingError: Something differs, or something stored is left out.
    """
    nights = sorted(nights, key=itemgetter("as_of"))
    stored = _evidence(settings.url, nights, settings)
    rerun = _evidence(scratch.url, nights, settings).tables
    rerun["scores"] = _expected(
        rerun["scores"],
        stored.tables["scores"],
        nights,
        scratch,
    )

    # Of more than one bar: those of the re-run by later bars are not told from the others
    is_stored = rerun["total_scores"].index.isin(stored.tables["total_scores"].index)
    rerun["total_scores"] = rerun["total_scores"][is_stored]

    frames = [_differences(name, stored.tables[name], rerun[name]) for name in NOUNS]
    frames.append(_not_live(stored.tables["forecasts"], settings.exchange))
    differences = pd.concat([frame.astype(object) for frame in frames])
    totals = {
        noun: len(stored.tables[name].index.union(rerun[name].index))
        for name, noun in NOUNS.items()
    }
    if len(differences):
        differences = differences.reindex(columns=["what", *_KEYS, *_VALUES])
        symbol = settings.symbols[0]
        path = settings.data_dir.absolute() / f"differences-{symbol}-{settings.target}.csv"
        differences.to_csv(path, index=False)
        raise ForecastingError(
            f"{symbol} {settings.target}: {_named(left)}{_counts(differences, totals)} of "
            f"{quantity(len(nights), 'night')} differ when run again, the first a "
            f"{_in_words(differences.iloc[0])}. {_about_code(nights, left, differences)} All "
            f"differences are in {path}, the ledger of the re-run in {scratch.data_dir}."
        )
    more = f", {quantity(stored.later, 'forecast')} of a later run" if stored.later else ""
    more += f", nights before {first}, which were copied" if first else ""
    sentence = f"{_same(nights, left, totals)} standings{more}."
    if any(omission.is_stored for omission in left):
        raise ForecastingError(sentence)
    return sentence


def _same(nights: list[Row], left: Left, totals: dict[str, int]) -> str:
    """That all is the same, and the beginning of what is not compared."""
    span = f"{nights[0]['as_of']} to {nights[-1]['as_of']}"
    same = ", ".join(quantity(total, noun) for noun, total in totals.items() if total)
    return (
        f"{nights[0]['symbol']}: {_named(left)}{quantity(len(nights), 'night')}, {span}: all "
        f"{same} the same to the bit, by {code_version()}. Not compared: kinds, instants, reasons, "
        "weight files,"
    )


def _evidence(url: str, nights: list[Row], settings: Settings) -> Evidence:
    series = {"symbol": settings.symbols[0], "target": settings.target}
    ids = [row["id"] for row in nights]
    days = [row["as_of"] for row in nights]
    with connect.reading(url) as connection:
        issued = _rows(connection, "forecasts", series | {"run_id": ids})
        parts = _rows(connection, "forecast_parts", series | {"origin_session": days})
        scores = _rows(connection, "scores", series | {"origin_session": days})
        totals = _rows(connection, "total_forecasts", series | {"origin_session": days})
        total_scores = _rows(connection, "total_scores", series | {"origin_session": days})
        decisions = _rows(connection, "promotions", series | {"session": days})
        models = _rows(connection, "models", series)

    is_first = issued["issued_at"] == issued.groupby(_SLOT)["issued_at"].transform("min")
    forecasts = issued[is_first]
    # Two of one instant differ in kind: the second is none that a night has made.
    is_second = forecasts.duplicated(_SLOT)
    forecasts = forecasts.assign(second_kind=forecasts["kind"].where(is_second, ""))
    compared = forecasts.loc[~is_second, list(FORECAST_KEY)]
    is_used = models["id"].isin(forecasts["model_id"]) | models["run_id"].isin(ids)
    tables = {
        "forecasts": forecasts.set_index([*_SLOT, "second_kind"]),
        "forecast_parts": parts.merge(compared).set_index([*_SLOT, "part"]),
        "scores": scores.merge(compared).set_index([*_SLOT, "stage", "bar_version"]),
        "total_forecasts": totals.merge(compared).set_index(_SLOT),
        "total_scores": total_scores.merge(compared).set_index([*_SLOT, "stage", "bar_version"]),
        "promotions": decisions.set_index(["session", "id"]),
        "models": models[is_used].set_index("id"),
    }
    named_short = {name: table.rename_axis(index=_SHORT) for name, table in tables.items()}
    return Evidence(named_short, later=int((~is_first).sum()))


def _rows(connection: connect.Connection, table: str, where: Row) -> pd.DataFrame:
    """The rows of a table as Python's values, so that none is rounded on its way."""
    columns = metadata.tables[table].columns.keys()
    return pd.DataFrame(read.table_rows(connection, table, where), columns=columns, dtype=object)


def _expected(
    rerun: pd.DataFrame, stored: pd.DataFrame, nights: list[Row], scratch: Settings
) -> pd.DataFrame:
    """The scores of the re-run, but of a bar that came after the last fetch only stored ones."""
    fetches = {"id": [row["fetch_id"] for row in nights]}
    of_targets = {"symbol": scratch.symbols[0], "session": list(rerun["target_session"].unique())}
    with connect.reading(scratch.url) as connection:
        newest = read.newest(
            connection,
            "fetches",
            "fetched_at",
            fetches,
        )
        bars = _rows(connection, "bar_versions", of_targets)

    bars = bars.rename(columns={"session": "target_session", "version": "bar_version"})
    seen = rerun.reset_index().merge(bars, how="left", on=["target_session", "bar_version"])
    known_at = seen["settled_at"].where(seen["stage"] == "settled", seen["first_seen_at"])
    is_due = pd.to_datetime(known_at, utc=True) <= newest
    return rerun[is_due.to_numpy() | rerun.index.isin(stored.index)]


def _differences(name: str, stored: pd.DataFrame, rerun: pd.DataFrame) -> pd.DataFrame:
    """A row a value that differs: `what`, the row's key, `column`, `stored`, `rerun`.

    Of a row that one ledger lacks the column is empty, and the two are whether it is there.
    """
    both = stored.index.intersection(rerun.index, sort=False)
    dropped = stored.columns.intersection(MAY_DIFFER)
    ours = stored.drop(columns=dropped).loc[both]
    theirs = rerun.drop(columns=dropped).loc[both]
    changed = ours.compare(theirs, result_names=("stored", "rerun"))
    only_stored = stored.index.difference(rerun.index, sort=False).to_frame(index=False)
    only_rerun = rerun.index.difference(stored.index, sort=False).to_frame(index=False)
    frames = [
        only_stored.assign(column="", stored=True, rerun=False),
        only_rerun.assign(column="", stored=False, rerun=True),
    ]
    keys = [str(key) for key in stored.index.names]
    if len(changed):
        values = changed.stack(level=0, future_stack=True).dropna(how="all")
        frames.append(values.rename_axis([*keys, "column"]).reset_index())
    each = pd.concat([frame.astype(object) for frame in frames]).assign(what=NOUNS[name])
    return each.sort_values(keys, kind="stable")


def _not_live(forecasts: pd.DataFrame, exchange: str) -> pd.DataFrame:
    """Rows as of `_differences` for forecasts stored as `live` whose instant is too late."""
    live = forecasts[forecasts["kind"] == "live"].reset_index()
    # A night has one, and the calendar is slow
    instants = live[["issued_at", "session"]].drop_duplicates()
    kinds = [
        kind_of(issued_at, session, exchange)
        for issued_at, session in instants.itertuples(index=False)
    ]
    other = instants.assign(rerun=kinds).query("rerun != 'live'")
    differing = live.merge(other).assign(what=NOUNS["forecasts"], column="kind", stored="live")
    return differing[["what", "session", "horizon", "id", "second_kind", *_VALUES]]


def _counts(differences: pd.DataFrame, totals: dict[str, int]) -> str:
    counts = differences.drop(columns=_VALUES).drop_duplicates()["what"].value_counts()
    return ", ".join(
        f"{counts[noun]} of {quantity(totals[noun], noun)}"
        for noun in NOUNS.values()
        if noun in counts
    )


def _in_words(difference: pd.Series) -> str:
    key = difference[_KEYS].dropna()
    where = ", ".join(f"{name} {value}" for name, value in key.items() if value != "")
    if difference["column"]:
        was = plain_text(difference["stored"], limit=80)
        came = plain_text(difference["rerun"], limit=80)
        what = f"{difference['column']} was stored as {was} and comes out as {came}"
    elif difference["stored"]:
        what = "stored, but not made again"
    else:
        what = "not stored, but made again"
    return f"{difference['what']} ({where}): {what}"


def _about_code(nights: list[Row], left: Left, differences: pd.DataFrame) -> str:
    """Where to look for the cause of a difference."""
    first = min(differences["session"].dropna(), default=nights[-1]["as_of"])
    may_follow = any(min(days) < first for days in left.values())
    follow = "They may follow from the nights that were not verified. " if may_follow else ""
    others = [row for row in nights if row["code_version"] != code_version()]
    if not others:
        return (
            f"{follow}The code is the same, {code_version()}: look for another machine, other "
            "packages, or rows changed since."
        )
    newest = others[-1]
    code = (
        f"{follow}{len(others)} of the nights, up to {newest['as_of']}, were made by other code, "
        f"the newest by {newest['code_version']}; this is {code_version()}, whose forecasts may "
        "differ."
    )
    later = [row["as_of"] for row in nights if row["as_of"] > newest["as_of"]]
    if later:
        code += f" --from {later[0]} verifies the nights of this code, on what the others left."
    return code
