"""What a person should be alerted to about a night that was evaluated, as the ledger has it.

forecast.fallback   a baseline was published in the champion's place
data.revised        bars that were stored have been restated, rebased by a split, or held back
drift               the champion is outside its control chart
promotion           a fit from scratch is published from now on; the refresh of every night is none
fit.refused         the gate refused tonight's fit
"""

from __future__ import annotations

from typing import Literal

from forecasting.errors import StoreError
from forecasting.pipeline.night_run import NightRun
from forecasting.store import database, read
from forecasting.store.database import Connection

Notable = Literal["forecast.fallback", "data.revised", "drift", "promotion", "fit.refused"]

ALERT_VERDICTS = ("split", "revised", "held")
"""Verdicts about stored bars that a person should see; dividends and new bars are routine."""


def notable_outcomes(run: NightRun) -> list[tuple[Notable, str]]:
    """What happened in an evaluated night, each with a sentence for the person who is alerted; empty when ordinary."""
    night, found = run.spec, list[tuple[Notable, str]]()
    with database.reading(run.settings.url) as connection:
        fetch = read.newest_fetch(connection, night.symbol)
        decision = read.decision_of_run(connection, run.id)
        fallback = fallback_reason(connection, run)
        row = read.run(connection, run.id)
        fit = read.model_of_run(connection, run.id)
    if fetch is not None and fetch["run_id"] == run.id and fetch["verdict"] in ALERT_VERDICTS:
        found.append(("data.revised", f"{fetch['verdict']}: {fetch['detail']}"))
    if row is not None and row["mode_reason"].startswith("drift: "):
        found.append(("drift", row["mode_reason"]))
    if fallback:
        found.append(("forecast.fallback", fallback))
    if fit is not None and fit["refused"]:
        found.append(("fit.refused", f"{fit['id']} is not published: {fit['refused']}"))
    new = decision is not None and decision["champion"] and decision["winner"] != decision["champion"]
    if decision is not None and new and fit is not None and fit["method"] == "scratch":
        why = f" ({row['mode_reason']})" if row is not None else ""
        place = f"in place of {decision['champion']}"
        found.append(("promotion", f"{fit['id']}, a fit from scratch{why}, is published {place} from now on"))
    return found


def fallback_reason(connection: Connection, run: NightRun) -> str:
    """Why a baseline was published on this night, or an empty text when the champion was."""
    try:
        published = read.published(connection, run.spec.symbol, run.spec.target, origin=run.spec.session)
    except StoreError:
        return ""  # the night failed before it had a forecast; night.failed reports it
    fallback = published[(published["status"] == "fallback") & (published["run_id"] == run.id)]
    return str(fallback["reason"].iloc[0]) if len(fallback) else ""
