"""Re-run every finished night from the stored bars, in a ledger of its own, and compare: an audit.

The source is not asked. The input tables are copied to an empty database, and each night runs there
through the same steps under its own settings, on the fetch that its forecasts name, in the order in
which the nights were made: a past session that was run later finds the models that it found. So
every forecast, score and model must be the same bit for bit: same machine, same code.
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

from forecasting.audit.backtest import Bar, no_bar
from forecasting.audit.evidence import KEYS, Comparison, compare
from forecasting.errors import ArtifactError, ForecastingError, UsageError
from forecasting.night.models import copy_weights, weights_folder, weights_state
from forecasting.night.night import make_night
from forecasting.night.run import work_off
from forecasting.night.run_log import code_version, notes_of
from forecasting.night.symbols import NAMED, Outcomes, each_symbol
from forecasting.plain_text import named, plain_text, quantity
from forecasting.sessions import between
from forecasting.settings import LATER_FIELDS, Settings
from forecasting.store import connect, lock, migrate, read, write
from forecasting.store.frames import Row
from forecasting.vocabulary import RULES, Clock, Mode


@dataclass(frozen=True)
class Omission:
    """Why nights are not run again, and whether something stored is thereby left out."""

    why: str
    is_stored: bool = True


OLDER = Omission("made by a version of other rules", is_stored=False)

Left = dict[Omission, list[date]]
"""The nights that are not run again."""


@dataclass(frozen=True)
class Span:
    """The nights of one symbol and target that are compared."""

    settings: Settings
    # Rows of table runs with `issued_at` and `fetch_id` of their forecasts, in the order made
    nights: list[Row]
    left: Left
    first: date | None  # what the nights before it left is copied; None: there are none

    @property
    def name(self) -> str:
        """Its symbol and target."""
        return self.settings.full_name

    @property
    def is_incomplete(self) -> bool:
        """Whether something stored is left out."""
        return any(omission.is_stored for omission in self.left)


def verify(
    settings: Settings,
    *,
    now: Clock,
    first: date | None = None,
    last: date | None = None,
    bar: Bar = no_bar,
) -> Outcomes[str]:
    """A sentence a series: how many nights and forecasts are the same bit for bit; else its error.

    The ledger of the re-run stays in the folder `verify` of the data folder. To leave out something
    that is stored of the span is an error.

    Args:
        settings: Its symbols and targets.
        now: The clock of the re-run.
        first: First session of the span; what the nights before it left is copied. None: all.
        last: Its last session; None for the newest.
        bar: Shows the progress.
    """
    migrate.check_ready(settings.url, writes=False)

    def compared(own: Settings) -> str:
        span = span_of(own, first, last)
        if not span.nights:
            return f"{span.name}: {_not_verified(span.left)}"
        if span.first is not None:
            copy_state(span, scratch, before=span.first)
        rerun(
            span,
            scratch,
            now=now,
            bar=bar,
        )
        return concluded(span, scratch)

    with lock.verify_lock(settings.data_dir):
        scratch = scratch_ledger(settings)
        return each_symbol(settings, compared)


def span_of(settings: Settings, first: date | None, last: date | None) -> Span:
    """The finished nights of a symbol and target from `first` to `last`, and the others."""
    with connect.reading(settings.url) as connection:
        made = _made(connection, settings)
        newest = read.newest(
            connection,
            "bar_versions",
            "session",
            {"symbol": settings.symbol},
        )
    name = settings.full_name
    none = f"There is no finished night of {name} in that span: nothing to verify."
    if not made:
        raise UsageError(f"{none} Check --symbol and --target.")

    days = [session for session, *_ in made]
    newest = max(days[-1], newest or days[-1])
    span = Span(
        settings,
        [],
        Left(),
        first,
    )
    _add_nights(
        span,
        made,
        first or days[0],
        min(last or newest, newest),
    )
    is_older = OLDER in span.left
    if is_older and span.nights and first is None:
        span = replace(span, first=min(row["as_of"] for row in span.nights))
    if span.nights or is_older:
        # A night by a clock that is behind is issued after all others of its symbol
        # (night/steps/predict.py).
        span.nights.sort(key=itemgetter("issued_at", "as_of", "started_at"))
        return span
    if span.is_incomplete:
        raise ForecastingError(f"{name}: {_not_verified(span.left)}")
    raise UsageError(f"{none} Choose --from and --to from {days[0]} to {days[-1]}.")


def _made(connection: connect.Connection, settings: Settings) -> list[tuple[date, Row, Row]]:
    """By session a run's row and its forecasts'; either may lack."""
    runs = read.table_rows(connection, "runs", settings.columns)
    forecasts = read.issued_by_run(connection, *settings.key)
    made = {(row["as_of"], row["id"]): row for row in runs}
    issued = {(row["origin_session"], row["run_id"]): row for row in forecasts}
    keys = sorted(made.keys() | issued.keys())
    return [(key[0], made.get(key, Row()), issued.get(key, Row())) for key in keys]


def _add_nights(span: Span, made: list[tuple[date, Row, Row]], first: date, last: date) -> None:
    """Add those of the nights that are of sessions from `first` to `last`."""
    days = {session for session, *_ in made}
    for day in between(first, last, span.settings.exchange):
        if day not in days:
            span.left.setdefault(Omission("none stored", is_stored=False), []).append(day)
    for session, run, issued in made:
        if not first <= session <= last:
            continue
        omission = why_not_verified(run, issued, span.settings)
        if omission is None:
            span.nights.append(run | issued)
        else:
            span.left.setdefault(omission, []).append(session)


def why_not_verified(run: Row, issued: Row, settings: Settings) -> Omission | None:
    """Why a run, with its forecasts if any, is not run again; None for a finished night."""
    if not run:
        return Omission("no such night in table runs")
    status = run["status"]
    if not issued:
        is_lost = status == "done" and "issued_before" not in notes_of(run)
        return Omission(f"status {status}, without forecasts", is_stored=is_lost)
    if status != "done":
        return Omission(f"status {status}, with forecasts")
    if json.loads(run["settings"]).get("rules") != RULES:
        return OLDER
    if settings_of(run, settings).hash != run["settings_hash"]:
        return Omission("settings unknown to this release, or changed since")
    return None


def _not_verified(left: Left) -> str:
    if not left:
        return ""
    nights = quantity(sum(map(len, left.values())), "night")
    reasons = [
        f"{named([str(day) for day in days], NAMED)}: {omission.why}"
        for omission, days in left.items()
    ]
    return f"Not verified: {nights} ({'; '.join(reasons)}). "


def settings_of(run: Row, settings: Settings) -> Settings:
    """The settings with those of a night in their place, as its row has them."""
    fields = json.loads(run["settings"])
    defaults = {name: Settings.model_fields[name].default for name in LATER_FIELDS}
    inputs = defaults | {
        "market": None,
        "source": run["source"],
        "exchanges": settings.exchanges | {run["symbol"]: fields["exchange"]},
        "targets": (run["target"],),
    }
    for name in ("events", "target", "rules"):
        fields.pop(name, None)
    return settings.model_copy(update=inputs | fields).for_symbol(run["symbol"])


def scratch_ledger(settings: Settings) -> Settings:
    """The same settings on an empty ledger of its own, with a copy of the input tables."""
    folder = settings.data_dir.absolute() / "verify"
    shutil.rmtree(folder, ignore_errors=True)
    scratch = settings.model_copy(update={"data_dir": folder, "database_url": None})
    migrate.upgrade(scratch.url)
    with connect.reading(settings.url) as source, connect.transaction(scratch.url) as target:
        write.copy_inputs(source, target)
    return scratch


def copy_state(span: Span, scratch: Settings, *, before: date) -> None:
    """Copy what nights before a session left for those of the span.

    Raises:
        ArtifactError: Weights that the first of them used are gone.
    """
    key = span.settings.key
    with connect.reading(span.settings.url) as stored, connect.transaction(scratch.url) as copied:
        write.copy_nights(
            stored,
            copied,
            *key,
            before=before,
        )
        before_span = read.newest_network(copied, *key, before=before)
        for row in read.table_rows(copied, "models", span.settings.columns):
            if row["artifact_path"] is not None:
                copy_weights(row, span.settings, data_dir=scratch.data_dir)
    # Weights that its first night could not read either are copied as they are
    if before_span is None or span.nights[0]["mode_kind"] == "unreadable":
        return
    state = weights_state(before_span, scratch)
    if state == "kept":
        return
    raise ArtifactError(
        f"A re-run of {span.name} from {before} on begins with model "
        f"{before_span['id']}, whose weights are {state}. Restore them, choose a later --from, "
        "or leave --from out."
    )


def rerun(span: Span, scratch: Settings, *, now: Clock, bar: Bar) -> None:
    """Run the nights again, in the order made."""
    with bar(span.name) as advance:
        for done, row in enumerate(span.nights):
            advance(done, len(span.nights))
            _withdraw(row, span, scratch)
            try:
                with weights_as_then(row, span, scratch):
                    rerun_night(row, settings_of(row, scratch), now=now)
            except ForecastingError as error:
                raise ForecastingError(
                    f"The night of {row['as_of']} of {span.name} cannot be run again; its rows or "
                    f"its fetch may have been changed: {error}"
                ) from None
            _follow(row, span, scratch)


def _withdraw(row: Row, span: Span, scratch: Settings) -> None:
    """Withdraw the models that were before a night was made."""
    with connect.reading(span.settings.url) as stored:
        models = read.table_rows(stored, "models", span.settings.columns)
    with connect.transaction(scratch.url) as copied:
        for model in models:
            at = model["withdrawn_at"]
            if at is not None and at <= row["issued_at"]:
                write.update(copied, "models", model["id"], {"withdrawn_at": at})


def rerun_night(row: Row, settings: Settings, *, now: Clock) -> None:
    """Run one night without asking its source."""
    asked: Mode = row["mode"] if row["mode_kind"] == "asked" else "auto"
    night = make_night(
        row["symbol"],
        row["as_of"],
        settings,
        now=now,
        mode=asked,
        trigger=row["trigger"],
    )
    (done,) = work_off([replace(night, stored_id=row["id"], stored_fetch=row["fetch_id"])])
    if done.error is not None:
        raise done.error


def _follow(row: Row, span: Span, scratch: Settings) -> None:
    """Take from the ledger of the re-run what a night's release lacked."""
    session = row["as_of"]
    with connect.reading(span.settings.url) as stored:
        total = read.row(
            stored, "total_forecasts", span.settings.columns | {"origin_session": session}
        )
    with connect.transaction(scratch.url) as copied:
        if total is None:
            write.remove_totals(
                copied,
                row["symbol"],
                row["target"],
                session,
            )


@contextmanager
def weights_as_then(row: Row, span: Span, scratch: Settings) -> Iterator[None]:
    """Within the block the newest fit has no weights where the night could not read them."""
    of_night = span.settings.columns | {"origin_session": row["as_of"]}
    with connect.reading(scratch.url) as connection:
        newest = read.newest_network(connection, *span.settings.key, before=row["as_of"])
    with connect.reading(span.settings.url) as connection:
        used = read.values(
            connection,
            "forecasts",
            "model_id",
            of_night,
        )
    is_lost = row["mode"] == "skip" or row["mode_kind"] == "unreadable"
    if newest is None or not is_lost or newest["id"] in used:
        yield
        return
    kept = weights_folder(newest, scratch)
    away = kept.with_name(f"{kept.name}.away")
    if kept.exists():
        kept.rename(away)
    logging.disable(logging.WARNING)  # that they are missing is meant
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        if away.exists():
            away.rename(kept)


def concluded(span: Span, scratch: Settings) -> str:
    """How much of the nights is the same, and what is not compared.

    Raises:
        ForecastingError: Something differs, or something stored is left out.
    """
    found = compare(
        span.nights, span.settings.exchange, stored=span.settings.url, rerun=scratch.url
    )
    if len(found.differences):
        file = "-".join(["differences", *span.settings.key])
        path = span.settings.data_dir.absolute() / f"{file}.csv"
        found.differences.to_csv(path, index=False)
        raise ForecastingError(
            f"{_differing(span, found)} {_about_code(span, found)} All differences are in {path}, "
            f"the ledger of the re-run in {scratch.data_dir}."
        )
    sentence = _same(span, found)
    if span.is_incomplete:
        raise ForecastingError(sentence)
    return sentence


def _same(span: Span, found: Comparison) -> str:
    """That all is the same, and what is not compared."""
    nights = sorted(row["as_of"] for row in span.nights)
    same = ", ".join(quantity(total, noun) for noun, total in found.totals.items() if total)
    more = f", {quantity(found.later, 'forecast')} of a later run" if found.later else ""
    before = f", nights before {span.first}, which were copied" if span.first else ""
    return (
        f"{span.name}: {_not_verified(span.left)}{quantity(len(nights), 'night')}, {nights[0]} to "
        f"{nights[-1]}: all {same} the same to the bit, by {code_version()}. Not compared: kinds, "
        f"instants, reasons, weight files, standings{more}{before}."
    )


def _differing(span: Span, found: Comparison) -> str:
    """How many rows differ, and which is the first."""
    counts = found.differences.drop_duplicates(["what", *KEYS])["what"].value_counts()
    counted = [
        f"{counts[noun]} of {quantity(total, noun)}"
        for noun, total in found.totals.items()
        if noun in counts
    ]
    first = found.differences.iloc[0]
    where = ", ".join(f"{name} {value}" for name, value in first[KEYS].dropna().items())
    if first["column"]:
        was = plain_text(first["stored"], limit=80)
        came = plain_text(first["rerun"], limit=80)
        what = f"{first['column']} was stored as {was} and comes out as {came}"
    elif first["stored"]:
        what = "stored, but not made again"
    else:
        what = "not stored, but made again"
    return (
        f"{span.name}: {_not_verified(span.left)}{', '.join(counted)} of "
        f"{quantity(len(span.nights), 'night')} differ when run again, the first a "
        f"{first['what']} ({where}): {what}."
    )


def _about_code(span: Span, found: Comparison) -> str:
    """Where to look for the cause of a difference."""
    nights = sorted(span.nights, key=itemgetter("as_of"))
    first = min(found.differences["session"].dropna(), default=nights[-1]["as_of"])
    may_follow = any(min(days) < first for days in span.left.values())
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
