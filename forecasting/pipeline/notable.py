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
from forecasting.pipeline.night import Night
from forecasting.pipeline.symbols import NAMED, joined
from forecasting.settings import Settings
from forecasting.store import database, read
from forecasting.store.database import Connection
from forecasting.store.frames import Row

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


def alert(event: Literal["night.late", Notable], night: Night, words: str) -> Alert:
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


def notable_outcomes(settings: Settings, run_ids: Sequence[str]) -> list[Alert]:
    """What happened in completed nights, by the ids of their rows in `runs`; empty where all were ordinary."""
    if not run_ids:
        return []
    with database.reading(settings.url) as connection:
        rows = [row for run_id in run_ids if (row := read.run(connection, run_id)) is not None]
        return [
            Alert(event, row["symbol"], row["target"], row["as_of"], words)
            for row in rows
            for event, words in _outcomes(connection, row)
        ]


def _outcomes(connection: Connection, run: Row) -> Iterator[tuple[Notable, str]]:
    fetch = read.fetch_of_run(connection, run["symbol"], run["id"])
    decision = read.decision_of_run(connection, run["id"])
    fit = read.model_of_run(connection, run["id"])
    if fetch is not None and fetch["verdict"] in ALERT_VERDICTS:
        yield "data.revised", f"{fetch['verdict']}: {fetch['detail']}"
    if run["mode_reason"].startswith("drift: "):
        yield "drift", run["mode_reason"]
    if fallback := fallback_reason(connection, run):
        yield "forecast.fallback", fallback
    if fit is not None and fit["refused"]:
        yield "fit.refused", f"{fit['id']} is not published: {fit['refused']}"
    new = decision is not None and decision["champion"] and decision["winner"] != decision["champion"]
    if decision is not None and new and fit is not None and fit["method"] == "scratch":
        place = f"in place of {decision['champion']}"
        yield "promotion", f"{fit['id']}, a fit from scratch ({run['mode_reason']}), is published {place} from now on"


def fallback_reason(connection: Connection, run: Row) -> str:
    """Why a baseline was published on the night of a row of `runs`, or an empty text when the champion was."""
    try:
        published = read.published(connection, run["symbol"], run["target"], origin=run["as_of"])
    except StoreError:
        return ""  # the night failed before it had a forecast; night.failed reports it
    fallback = published[(published["status"] == "fallback") & (published["run_id"] == run["id"])]
    return str(fallback["reason"].iloc[0]) if len(fallback) else ""
