"""What the control charts say of the champion's scored forecasts."""

from datetime import date, datetime

import pandas as pd

from flows.night import Night
from forecasting.evaluate.drift import DriftVerdict, watch
from forecasting.evaluate.promotion import CHALLENGER, CHAMPION
from forecasting.store import record
from forecasting.store.database import Connection

ORIGINS = 400
"""Newest scored origins that the charts are given: their reference and what they watch."""


def drift_since_scratch(
    connection: Connection, night: Night, newest_scratch: date | None, *, known_at: datetime
) -> str:
    """The verdict in words when the champion is out of bounds and no fit from scratch has answered it, else empty."""
    verdict = drift(connection, night, known_at=known_at)
    answered = newest_scratch is not None and verdict.since is not None and newest_scratch > verdict.since
    return f"drift: {verdict.words}" if verdict.alarm and not answered else ""


def drift(connection: Connection, night: Night, *, known_at: datetime) -> DriftVerdict:
    """The verdict, by scores known at an instant, on the champion's line against the baseline best over all of it."""
    lines = record.scored_lines(
        connection, night.symbol, night.target, last=night.session, origins=ORIGINS, known_at=known_at
    )
    baselines = lines[~lines["line"].isin([CHAMPION, CHALLENGER])]
    losses = baselines.groupby("line")["pinball"].mean()
    best = str(losses.idxmin()) if len(losses) else ""
    champion = lines[lines["line"] == CHAMPION].groupby("target_session")[["pinball", "inside_80"]].mean()
    rival = baselines[baselines["line"] == best].groupby("target_session")["pinball"].mean()
    days = pd.concat([champion, rival.rename("baseline_pinball")], axis=1, join="inner").sort_index()
    return watch(days, baseline=best)
