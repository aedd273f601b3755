"""Verify: the nights since the newest fit from scratch, made again and compared row by row.

As in a backtest, nights run in a throw-away ledger: each through the same steps under its own
settings, on the fetch that its forecasts name, in the order in which the nights were made. The
inputs are copied, and what the nights before left. A night that cannot be made again is named, and
copied as it is. So every forecast, score and model must be the same bit for bit: same machine, same
code.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import attrgetter
from typing import cast

from forecasting.audit.backtest import Bar, make_past_night, no_bar, throw_away_ledger
from forecasting.audit.evidence import KEYS, Compared, compare
from forecasting.errors import ForecastingError, UsageError
from forecasting.night.night import Night
from forecasting.night.run_log import code_version, notes_of
from forecasting.plain_text import NAMED, named, plain_text, quantity
from forecasting.sessions import between
from forecasting.settings import Outcomes, Settings, each_symbol
from forecasting.store import connect, migrate, read, write
from forecasting.store.rows import ModelRow, RunRow
from forecasting.vocabulary import LSTM, RULES, Mode


@dataclass(frozen=True)
class Omission:
    """Why nights are not made again, and whether something stored is thereby left out."""

    why: str
    is_stored: bool = True


OLDER = Omission("made by a version of other rules", is_stored=False)
NONE_STORED = Omission("none stored", is_stored=False)
WITHOUT_WEIGHTS = Omission("of a fit whose weights are no longer kept", is_stored=False)

Left = dict[Omission, list[date]]
"""The nights that are not made again."""


@dataclass(frozen=True)
class StoredNight:
    """What a ledger holds of a night."""

    session: date
    run: RunRow
    made_at: datetime  # when its forecasts were issued, else when it began
    fit: ModelRow | None
    fetch_id: str = ""  # that its forecasts name; empty without any
    network_id: str | None = None  # of the fit that it published

    @property
    def starts_chain(self) -> bool:
        """Whether it has a fit from scratch that passed the gate."""
        return self.fit is not None and self.run.mode == "scratch" and not self.fit.refused

    @property
    def used(self) -> set[str | None]:
        """The ids of earlier fits that it went on from, or published."""
        if self.fit is None:
            return {self.network_id}
        return {self.fit.parent_id, self.network_id} - {self.fit.id}


Judged = Sequence[tuple[StoredNight, Omission | None]]
"""Nights in the order in which they were made, each with why it is not made again."""


@dataclass(frozen=True)
class Span:
    """The nights of one symbol and target, in the order in which they were made."""

    settings: Settings
    first: date  # what the nights of sessions before it left is copied
    nights: list[StoredNight]  # to copy or to make again, by `again`
    again: list[StoredNight]  # those that are made again
    left: Left

    @property
    def name(self) -> str:
        """Its symbol and target."""
        return self.settings.full_name

    @property
    def is_incomplete(self) -> bool:
        """Whether something stored is left out."""
        return any(omission.is_stored for omission in self.left)


def verify(
    settings: Settings, *, first: date | None = None, last: date | None = None, bar: Bar = no_bar
) -> Outcomes[str]:
    """A sentence a series: how many nights and forecasts are the same bit for bit; else its error.

    A span of which something stored is left out is an error.

    Args:
        settings: Its symbols and targets.
        first: A session; the newest fit from scratch up to it is the first night. None: the newest.
        last: Its last session; None for the newest.
        bar: Shows the progress.
    """
    migrate.check_ready(settings.url, writes=False)

    def compared(own: Settings) -> str:
        span = stored_span(own, first, last)
        if span.again:
            with throw_away_ledger(own) as scratch:
                make_again(span, scratch, bar=bar)
                return concluded(span, scratch)
        if span.is_incomplete:
            raise ForecastingError(f"{span.name}: {_not_verified(span.left)}")
        return f"{span.name}: {_not_verified(span.left)}"

    return each_symbol(settings, compared)


def stored_span(settings: Settings, first: date | None, last: date | None) -> Span:
    """The nights of a symbol and target up to `last`, and which of them are made again."""
    with connect.reading(settings.url) as connection:
        stored = stored_nights(connection, settings)
        newest = read.newest(connection, "bar_versions", "session", {"symbol": settings.symbol})
        kept = read.values(connection, "weights", "model_id", {})
    none = f"There is no finished night of {settings.full_name} in that span: nothing to verify."
    if not stored:
        raise UsageError(f"{none} Check --symbol and --target.")
    days = {night.session for night in stored}
    end = max(*days, newest or date.min)
    last = min(last or end, end)
    judged = _judged(stored, last, settings)
    begin = _beginning(judged, first or last, default=first or min(days))
    again, left = _divided(judged, begin, {*kept})
    if not (again or left):
        raise UsageError(f"{none} Choose --from and --to from {min(days)} to {max(days)}.")
    missing = _missing(days, between(begin, last, settings.exchange))
    nights = [night for night, _ in judged]
    return Span(settings, begin, nights, again, missing | left)


def _judged(stored: Sequence[StoredNight], last: date, settings: Settings) -> Judged:
    """The nights of sessions up to `last`, each with why it is not made again."""
    within = [night for night in stored if night.session <= last]
    return [(night, why_not_verified(night, settings)) for night in within]


def _beginning(judged: Judged, up_to: date, *, default: date) -> date:
    """The session of the newest fit from scratch up to a session, else of the oldest night."""
    usable = [night for night, omission in judged if omission is None]
    starts = [night.session for night in usable if night.starts_chain and night.session <= up_to]
    return max(starts, default=min((night.session for night in usable), default=default))


def _missing(days: set[date], sessions: Sequence[date]) -> Left:
    """The sessions of which no night is stored."""
    missing = [day for day in sessions if day not in days]
    return {NONE_STORED: missing} if missing else {}


def _divided(judged: Judged, begin: date, kept: set[str]) -> tuple[list[StoredNight], Left]:
    """The nights to make again, and those from `begin` on, or of other rules, to leave out.

    `kept` are the models whose weights are.
    """
    again = []
    left: Left = {}
    lost = {night.fit.id for night, _ in judged if night.fit} - kept
    for night, omission in judged:
        if night.session < begin and omission != OLDER:
            continue
        if omission is None and night.used & lost:
            omission = WITHOUT_WEIGHTS
        if omission is None:
            again.append(night)
            if night.fit is not None:
                lost.discard(night.fit.id)
        else:
            left.setdefault(omission, []).append(night.session)
    return again, left


def stored_nights(connection: connect.Connection, settings: Settings) -> list[StoredNight]:
    """The nights of a symbol and target, in the order in which they were made."""
    runs = {run.id: run for run in read.all_stored(connection, RunRow, settings.columns)}
    networks = read.all_stored(connection, ModelRow, settings.columns | {"name": LSTM})
    fits = {fit.run_id: fit for fit in networks}
    nights = []
    for issued in read.issued_by_run(connection, *settings.key):
        # A row that is lost has no session
        lost = RunRow(issued.run_id, date.min, *settings.key, "failed", issued.issued_at)
        night = StoredNight(
            session=issued.origin_session,
            run=runs.get(issued.run_id, lost),
            made_at=issued.issued_at,
            fit=fits.get(issued.run_id),
            fetch_id=issued.fetch_id,
            network_id=issued.network_id,
        )
        nights.append(night)
    for run_id in runs.keys() - {night.run.id for night in nights}:
        run = runs[run_id]
        nights.append(StoredNight(run.as_of, run, run.started_at, fits.get(run_id)))
    # One by a clock that is behind is issued after all others of its symbol: night/steps/issue.py
    return sorted(nights, key=attrgetter("made_at", "session"))


def why_not_verified(night: StoredNight, settings: Settings) -> Omission | None:
    """Why a night is not made again; None for a finished one of this version's rules."""
    run = night.run
    if run.as_of != night.session:
        return Omission("no such night in table runs")
    status = run.status
    if not night.fetch_id:
        is_lost = status == "done" and "issued_before" not in notes_of(run.notes)
        return Omission(f"status {status}, without forecasts", is_stored=is_lost)
    if status != "done":
        return Omission(f"status {status}, with forecasts")
    fields = json.loads(run.settings)
    if fields.pop("rules", None) != RULES:
        return OLDER
    if fields.keys() - {"exchange", "market", "events"}:
        return Omission("made under settings that this release does not have")
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


def settings_of(run: RunRow, settings: Settings) -> Settings:
    """The settings with those of a night in their place, as its row has them."""
    fields = json.loads(run.settings)
    inputs = {
        "market": fields.get("market"),
        "source": run.source,
        "exchanges": settings.exchanges | {run.symbol: fields["exchange"]},
        "targets": (run.target,),
        "rivals": {},
    }
    return settings.model_copy(update=inputs).for_symbol(run.symbol)


def make_again(span: Span, scratch: Settings, *, bar: Bar) -> None:
    """Make the nights again in the order in which they were made; copy the others there."""
    own = span.settings
    with connect.reading(own.url) as stored, connect.transaction(scratch.url) as copied:
        write.copy_inputs(stored, copied, *own.key)
        networks = read.all_stored(stored, ModelRow, own.columns | {"name": LSTM})
    withdrawn = {row.id: row.withdrawn_at for row in networks if row.withdrawn_at is not None}
    with bar(f"nights of {span.name}", len(span.again)) as advance:
        for is_again, nights in groupby(span.nights, lambda night: night in span.again):
            if not is_again:
                ids = [night.run.id for night in nights]
                with connect.reading(own.url) as stored, connect.transaction(scratch.url) as copied:
                    write.copy_nights(stored, copied, *own.key, ids)
                continue
            for night in nights:
                _withdraw(withdrawn, scratch, before=night.made_at)
                _make_again(night, span, scratch)
                advance(str(night.session), 1)


def _make_again(night: StoredNight, span: Span, scratch: Settings) -> None:
    try:
        rerun_night(night, settings_of(night.run, scratch))
    except ForecastingError as error:
        raise ForecastingError(
            f"The night of {night.session} of {span.name} cannot be made again; its rows or its "
            f"fetch may have been changed: {error}"
        ) from None


def _withdraw(withdrawn: dict[str, datetime], scratch: Settings, *, before: datetime) -> None:
    """Of the withdrawn models, by id, withdraw those that had been before an instant alone."""
    with connect.transaction(scratch.url) as copied:
        for model_id, at in withdrawn.items():
            then = {"withdrawn_at": at if at <= before else None}
            write.update(copied, "models", model_id, then)


def rerun_night(stored: StoredNight, settings: Settings) -> None:
    """Make one night again at the instant when it was issued, without asking its source."""
    run = stored.run
    # Unreadable weights are a fault of then, and do not come again
    is_told = run.mode_kind in ("asked", "unreadable")
    night = Night(
        run.as_of,
        settings,
        now=lambda: stored.made_at,
        mode=cast(Mode, run.mode) if is_told else "auto",
        trigger=run.trigger,
        stored_id=run.id,
        stored_fetch=stored.fetch_id,
    )
    make_past_night(night)


def concluded(span: Span, scratch: Settings) -> str:
    """How much of the nights is the same, and what is not compared.

    Raises:
        ForecastingError: Something differs, or something stored is left out.
    """
    found = compare(
        span.settings.key,
        [night.run.id for night in span.again],
        [night.fetch_id for night in span.again],
        stored=span.settings.url,
        rerun=scratch.url,
    )
    if len(found.differences):
        file = "-".join(["differences", *span.settings.key])
        path = span.settings.data_dir.absolute() / f"{file}.csv"
        found.differences.to_csv(path, index=False)
        raise ForecastingError(
            f"{_differing(span, found)} {_about_code(span)} All differences are in {path}."
        )
    sentence = _same(span, found)
    if span.is_incomplete:
        raise ForecastingError(sentence)
    return sentence


def _same(span: Span, found: Compared) -> str:
    """That all is the same, and what is not compared."""
    nights = sorted(night.session for night in span.again)
    same = ", ".join(quantity(total, noun) for noun, total in found.totals.items() if total)
    before = ""
    if any(night.session < span.first for night in span.nights):
        before = f", nights before {span.first}, which were copied"
    return (
        f"{span.name}: {_not_verified(span.left)}{quantity(len(nights), 'night')}, {nights[0]} to "
        f"{nights[-1]}: all {same} the same to the bit, by {code_version()}. Not compared: "
        f"instants of fits and scores, reasons, standings{before}."
    )


def _differing(span: Span, found: Compared) -> str:
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
        f"{quantity(len(span.again), 'night')} differ when run again, the first a "
        f"{first['what']} ({where}): {what}."
    )


def _about_code(span: Span) -> str:
    """Where to look for the cause of a difference."""
    nights = sorted(span.again, key=attrgetter("session"))
    others = [night.run for night in nights if night.run.code_version != code_version()]
    if not others:
        return (
            f"The code is the same, {code_version()}: look for another machine, other packages, or "
            "rows changed since."
        )
    newest = others[-1]
    code = (
        f"{len(others)} of the nights, up to {newest.as_of}, were made by other code, "
        f"the newest by {newest.code_version}; this is {code_version()}, whose forecasts may "
        "differ."
    )
    later = [night.session for night in nights if night.session > newest.as_of]
    if later:
        code += f" --from {later[0]} verifies the nights of this code, on what the others left."
    return code
