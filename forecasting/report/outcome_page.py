"""The page of a run in Prefect's UI, which a person on call opens first: what to do, forecasts, how late, how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from forecasting.plain_text import markdown_text
from forecasting.report.artifacts import Artifact, artifact_key, artifact_link, table_markdown
from forecasting.report.facts import STAGES
from forecasting.report.listings import change
from forecasting.report.run_outcome import SymbolNight, counts_of, names_of
from forecasting.report.tables import unusual
from forecasting.report.units import GAP, instant, quantity, seconds

SLOW_NIGHTS = 20
"""Nights from which on a step beyond their 95th percentile is called slow."""


@dataclass(frozen=True)
class RunTimes:
    """When a run was due, when it started (the last time, where it was retried) and when its page was made."""

    due: datetime
    started: datetime
    ended: datetime


def outcome_artifact(nights: Sequence[SymbolNight], durations: pd.DataFrame, times: RunTimes) -> Artifact:
    """The page of a run: what to do, the forecasts, how late and how long.

    Args:
        nights: One a symbol, at least one.
        durations: Rows of view `night_durations` of these symbols and the target.
        times: Of the run.
    """
    ordered = sorted(nights, key=lambda night: night.status == "done")
    body = [
        f"**{markdown_text(counts_of(nights))}.**",
        "### What to do",
        "\n".join(f"- {line}" for line in _actions(ordered)),
        *_forecasts(ordered),
        "### How late",
        "\n".join(f"- {markdown_text(line)}" for line in _lateness(nights, times)),
        *_durations(nights, durations),
    ]
    about = f"{counts_of(nights)}, {nights[0].target}"
    return Artifact(artifact_key("outcomes", nights[0].target), markdown_text(about), "\n\n".join(body))


def _actions(nights: Sequence[SymbolNight]) -> list[str]:
    """A line for each reason why a person may have to act; `Nothing.` without one."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for night in nights:
        if night.status != "done":
            reasons.setdefault((night.status, night.reason or "It left no message."), []).append(night.symbol)
        elif night.tomorrow is not None and night.tomorrow["status"] == "fallback":
            reasons.setdefault(("fallback", str(night.tomorrow["reason"])), []).append(night.symbol)
        if night.status == "done" and night.reason:
            reasons.setdefault(("note", night.reason), []).append(night.symbol)
    lines = [
        f"**{markdown_text(names_of(symbols))}: {status}.** {markdown_text(reason)}"
        for (status, reason), symbols in reasons.items()
    ]
    if any(status in ("failed", "late") for status, _ in reasons):
        lines.append(
            "The next night makes up for what failed or is late. At once: `prefect deployment run nightly/nightly`"
        )
    if any(status == "fallback" for status, _ in reasons):
        lines.append("After a fallback nothing: the best baseline is published until the network passes again.")
    return lines or ["Nothing."]


def _forecasts(nights: Sequence[SymbolNight]) -> list[str]:
    """A row a symbol, each linked to its page; medians carry their unit, since symbols differ in it.

    The session is in the heading where all have the same: a phone has no room for its column.
    """
    sessions = {night.session for night in nights if night.session}
    several = len(sessions) > 1
    rows: list[list[object]] = []
    for night in nights:
        row, unit, link = night.tomorrow, night.unit, artifact_key("night", night.symbol, night.target)
        day = [night.session.replace(" ", "\N{NO-BREAK SPACE}")] if several else []
        if row is None:
            rows.append([markdown_text(night.symbol), *day, *[""] * 3, night.status])
            continue
        behind = [f"{night.status} {night.run['as_of']}"] if night.run and night.status != "done" else []
        rows.append(
            [
                artifact_link(night.symbol, link),
                *day,
                unit.brief(float(row["q50"])),
                unit.span(float(row["q10"]), float(row["q90"])),
                change(float(row["q50"]), float(row["last_value"]), target=night.target),
                markdown_text(", ".join([*behind, *unusual(row)])),
            ]
        )
    heading = "### Forecasts" if len(sessions) != 1 else f"### Forecasts of {sessions.pop()}"
    columns = ["symbol", *(["session"] if several else []), "median", "80 % interval", "vs last", "note"]
    return [heading, table_markdown((columns, rows))]


def _lateness(nights: Sequence[SymbolNight], times: RunTimes) -> list[str]:
    wait, took = times.started - times.due, times.ended - times.started
    lines = [f"Due {instant(times.due)}, started {_span(wait)} later, took {_span(took)} up to this page."]
    # A night that failed or is late leaves what an earlier one published.
    done = [night for night in nights if night.status == "done"]
    issued = [(night, night.tomorrow) for night in done if night.tomorrow is not None and night.opens is not None]
    live = [(night.opens - row["issued_at"], night) for night, row in issued if row["kind"] == "live" and night.opens]
    if live:
        margin, closest = min(live, key=lambda pair: pair[0])
        lines.append(
            f"{len(live)} of {len(nights)} symbols forecast in time, the last of them, {closest.symbol}, "
            f"{_span(margin)} before {closest.session} opened."
        )
    for kind, meaning in (("late", "Issued after its session had opened"), ("replay", "Made for a past session")):
        if symbols := [night.symbol for night, row in issued if row["kind"] == kind]:
            lines.append(f"{meaning} ({kind}): {names_of(symbols)}.")
    return lines


def _span(gap: timedelta) -> str:
    """12 s or 3 min 5 s; from two hours on 7 h."""
    whole = max(0.0, gap.total_seconds())
    return seconds(whole) if whole < 7200 else f"{whole / 3600:.0f}{GAP}h"


def _durations(nights: Sequence[SymbolNight], durations: pd.DataFrame) -> list[str]:
    """How long the steps of the newest night took, all symbols together, against their usual time."""
    runs = [night.run for night in nights if night.run is not None and night.status == "done"]
    if not runs or durations.empty:
        return []
    symbols = [run["symbol"] for run in runs]
    of_step = durations[durations["symbol"].isin(symbols)].groupby("step")
    usual, known = of_step[["median_seconds", "p95_seconds"]].sum(), of_step["n"].min()
    rows: list[list[object]] = []
    for step in (*STAGES, "total"):
        names = [f"seconds_{name}" for name in (STAGES if step == "total" else (step,))]
        spent = sum(float(run[name] or 0.0) for run in runs for name in names)
        median, high = (float(usual[column].get(step, 0.0)) for column in ("median_seconds", "p95_seconds"))
        slow = "slow" if known.get(step, 0) >= SLOW_NIGHTS and spent > high else ""
        rows.append([step, seconds(spent), seconds(median), seconds(high), slow])
    which = f"{len(runs)} symbols together" if len(runs) > 1 else str(symbols[0])
    # One request brings the bars of several missed nights: the others have no duration of it.
    least, most = int(known.min()), int(known.max())
    nights_known = quantity(most, "night") if least == most else f"{least} to {most} nights"
    return [
        "### How long",
        f"The newest night of {markdown_text(which)}, beside the median and the 95th percentile of {nights_known}.",
        table_markdown((["step", "this night", "median", "95th", "note"], rows)),
    ]
