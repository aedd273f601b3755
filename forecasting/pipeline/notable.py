"""What a person should be alerted to about the nights of a run, as the ledger has them.

forecast.fallback   a baseline was published in the champion's place
data.revised        bars that were stored have been restated, rebased by a split, or held back
drift               the champion is outside its control chart
promotion           a fit from scratch is published from now on; the refresh of every night is none
fit.refused         the gate refused tonight's fit
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from forecasting.errors import StoreError
from forecasting.pipeline.night_run import NightRun, NightSpec
from forecasting.pipeline.symbol_list import NAMED, joined
from forecasting.store import database, read
from forecasting.store.database import Connection

Notable = Literal["forecast.fallback", "data.revised", "drift", "promotion", "fit.refused"]

ALERT_VERDICTS = ("split", "revised", "held")
"""Verdicts about stored bars that a person should see; dividends and new bars are routine."""


@dataclass(frozen=True)
class Alert:
    """One message to a person.

    Attributes:
        event: Its name.
        symbol: Whose night it is about, or the name of several symbols together.
        target: What was forecast.
        session: Of the night, the newest of several.
        words: What happened, in a sentence.
    """

    event: Literal["night.late", Notable]
    symbol: str
    target: str
    session: date
    words: str


def alert(event: Literal["night.late", Notable], night: NightSpec, words: str) -> Alert:
    """An alert about one night."""
    return Alert(event, night.symbol, night.target, night.session, words)


def together(alerts: Sequence[Alert]) -> list[Alert]:
    """One alert for an event of more than three symbols, which quotes the first three: nobody reads 500 e-mails."""
    found: dict[tuple[str, str], list[Alert]] = {}
    for one in alerts:
        found.setdefault((one.event, one.target), []).append(one)
    return [shown for same in found.values() for shown in _together(same)]


def _together(same: list[Alert]) -> list[Alert]:
    symbols = list(dict.fromkeys(one.symbol for one in same))
    if len(symbols) <= NAMED:
        return same
    quoted = " ".join(f"{one.symbol}: {one.words.rstrip('.')}." for one in same[:NAMED])
    words = f"{len(symbols)} symbols, among them {quoted}"
    return [Alert(same[0].event, joined(symbols), same[0].target, max(one.session for one in same), words)]


def notable_outcomes(runs: Sequence[NightRun]) -> list[Alert]:
    """What happened in evaluated nights of one ledger; empty where all were ordinary."""
    if not runs:
        return []
    with database.reading(runs[0].settings.url) as connection:
        return [alert(event, run.spec, words) for run in runs for event, words in _outcomes(connection, run)]


def _outcomes(connection: Connection, run: NightRun) -> Iterator[tuple[Notable, str]]:
    fetch = read.newest_fetch(connection, run.spec.symbol)
    decision = read.decision_of_run(connection, run.id)
    row = read.run(connection, run.id)
    fit = read.model_of_run(connection, run.id)
    if fetch is not None and fetch["run_id"] == run.id and fetch["verdict"] in ALERT_VERDICTS:
        yield "data.revised", f"{fetch['verdict']}: {fetch['detail']}"
    if row is not None and row["mode_reason"].startswith("drift: "):
        yield "drift", row["mode_reason"]
    if fallback := fallback_reason(connection, run):
        yield "forecast.fallback", fallback
    if fit is not None and fit["refused"]:
        yield "fit.refused", f"{fit['id']} is not published: {fit['refused']}"
    new = decision is not None and decision["champion"] and decision["winner"] != decision["champion"]
    if decision is not None and new and fit is not None and fit["method"] == "scratch":
        why = f" ({row['mode_reason']})" if row is not None else ""
        place = f"in place of {decision['champion']}"
        yield "promotion", f"{fit['id']}, a fit from scratch{why}, is published {place} from now on"


def fallback_reason(connection: Connection, run: NightRun) -> str:
    """Why a baseline was published on this night, or an empty text when the champion was."""
    try:
        published = read.published(connection, run.spec.symbol, run.spec.target, origin=run.spec.session)
    except StoreError:
        return ""  # the night failed before it had a forecast; night.failed reports it
    fallback = published[(published["status"] == "fallback") & (published["run_id"] == run.id)]
    return str(fallback["reason"].iloc[0]) if len(fallback) else ""
