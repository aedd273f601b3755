"""What Prefect's UI shows: the page of a night, of a run and of a backtest, a run's message and tags, and its guides.

A card in the list of a run's artifacts shows thirty characters of a description, an artifact's page
sixty of a table's row on a desk and thirty-five on a phone: what matters most comes first, and long
texts are Markdown.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from forecasting.plain_text import markdown_text, named, ordinary_spaces, quantity
from forecasting.report import terminal, wording
from forecasting.report.night_view import ReportData, SymbolLine
from forecasting.report.page import environment
from forecasting.report.units import GAP, instant, seconds, short_day

SHOWN = 3  # symbols that a sentence names
TAGGED = 5  # most symbols of a run that become tags of it
SLOW_NIGHTS = 20  # nights from which on a step beyond their 95th percentile is called slow

_SEVERITY = {"failed": 0, "late": 1, "running": 2, "no night yet": 3}


class Artifact(NamedTuple):
    """One artifact: its key (those of one key are its history), and description and body in Markdown."""

    key: str
    description: str
    body: str


def guide(flow: str) -> str:
    """The description of a flow, which the UI shows beside its form."""
    return environment().get_template(f"{flow}_guide.md").render()


def night_artifact(data: ReportData, page: Path | str) -> Artifact:
    """The night on one page, tomorrow first.

    `page` is the path or the web address of its report page.
    """
    line = data.lines[0]
    about = (
        f"{data.symbol} {short_day(line.session)}: {wording.headline(data)['median']}, 80% "
        f"{line.span_80}"
    )
    body = environment().get_template("night.md").render(data=data, page=page).rstrip()
    return Artifact(artifact_key("night", data.symbol, data.target), markdown_text(about), body)


def table_markdown(columns: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown, its first and last column to the left and the numbers between them to the right."""
    heads = list(columns)
    lines: list[Iterable[object]] = [heads, ["---", *["---:"] * (len(heads) - 2), "---"], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def artifact_key(what: str, *subject: str) -> str:
    """The key of an artifact, `forecasts-sbux-volume`: Prefect allows lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join([what, *subject]).lower()).strip("-")


def backtest_artifact(document: Mapping[str, Any]) -> Artifact:
    """The figures of a backtest, as `backtest` prints them; its description names their unit."""
    symbol = str(document["symbol"])
    target = str(document["target"])
    unit = wording.backtest_unit(document)
    about = f"{symbol} {target}, in {unit.name}: origins {document['from']} to {document['to']}"
    parts = terminal.backtest_parts(document)
    body = [
        markdown_text(part) if isinstance(part, str) else table_markdown(*part) for part in parts
    ]
    return Artifact(
        artifact_key("backtest", symbol, target), markdown_text(about), "\n\n".join(body)
    )


class RunTimes(NamedTuple):
    """When a run was due, when it started (the last time, where it was retried) and when its page was made."""

    due: datetime
    started: datetime
    ended: datetime


def outcome_sentence(nights: Sequence[SymbolLine]) -> str:
    """What the run brought, for its state and its log: the first forecasts of each symbol."""
    shown = [
        f"{night.symbol} {short_day(night.session)} {night.unit.text(night.forecast['q50'])}, "
        f"80% {night.unit.span(night.forecast['q10'], night.forecast['q90'])}"
        for night in nights
        if night.forecast
    ]
    return ordinary_spaces(f"{counts_of(nights)}. {named(shown, SHOWN, separator='; ')}".strip())


def subject_tags(symbols: Sequence[str], target: str) -> list[str]:
    """The tags by which a run can be found: its target, and its symbols where they are few."""
    return [target, *(symbols if len(symbols) <= TAGGED else [])]


def outcome_tags(nights: Sequence[SymbolLine]) -> list[str]:
    """What is unusual about the nights: failed, late, fallback, replay; sorted."""
    statuses = {night.status for night in nights if night.status in ("failed", "late")}
    return sorted(statuses.union(*(night.unusual for night in nights)))


def counts_of(nights: Sequence[SymbolLine]) -> str:
    """How many symbols ended how, the worst first; of one symbol its name and status."""
    statuses = [night.status for night in nights]
    if len(nights) == 1:
        return f"{nights[0].symbol} {statuses[0]}"
    worst_first = sorted(set(statuses), key=lambda status: _SEVERITY.get(status, len(_SEVERITY)))
    return (
        f"{len(nights)} symbols: "
        f"{', '.join(f'{statuses.count(status)} {status}' for status in worst_first)}"
    )


def outcome_artifact(
    nights: Sequence[SymbolLine], durations: pd.DataFrame, times: RunTimes
) -> Artifact:
    """The page of a run, which a person on call opens first.

    What to do, the forecasts, how late and how long.
    """
    ordered = sorted(
        nights, key=lambda night: -night.unusualness if night.status == "done" else -math.inf
    )
    shown = {
        "nights": ordered,
        "counts": counts_of(nights),
        "actions": _actions(ordered),
        "key_of": artifact_key,
    }
    shown |= {"lateness": _lateness(nights, times), "durations": _durations(nights, durations)}
    about = f"{counts_of(nights)}, {nights[0].target}"
    body = environment().get_template("outcomes.md").render(shown).rstrip()
    return Artifact(artifact_key("outcomes", nights[0].target), markdown_text(about), body)


def _actions(nights: Sequence[SymbolLine]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for night in nights:
        if night.status != "done":
            reasons.setdefault(night.problem or (night.status, ""), []).append(night.symbol)
            continue
        if "fallback" in night.unusual:
            reasons.setdefault(("fallback", str(night.forecast["reason"])), []).append(night.symbol)
        if night.reason:
            reasons.setdefault(("note", night.reason), []).append(night.symbol)
    lines = [
        f"**{markdown_text(named(symbols, SHOWN))}: {status}.** {markdown_text(reason)}"
        for (status, reason), symbols in reasons.items()
    ]
    if any(status in ("failed", "late") for status, _ in reasons):
        lines.append(
            "The next night makes up for what failed or is late. At once: `prefect deployment run "
            "nightly/nightly`"
        )
    if any(status == "fallback" for status, _ in reasons):
        lines.append(
            "After a fallback nothing: the best baseline is published until the network passes "
            "again."
        )
    return lines or ["Nothing."]


def _lateness(nights: Sequence[SymbolLine], times: RunTimes) -> list[str]:
    wait = times.started - times.due
    took = times.ended - times.started
    lines = [
        f"Due {instant(times.due)}, started {_span(wait)} later, took {_span(took)} up to this "
        "page."
    ]
    # A night that failed or is late leaves what an earlier one published.
    issued = [night for night in nights if night.status == "done" and night.forecast]
    in_time = [night for night in issued if night.forecast["kind"] == "live"]
    live = [(night.opens - night.forecast["issued_at"], night) for night in in_time if night.opens]
    if live:
        margin, closest = min(live, key=lambda pair: pair[0])
        lines.append(
            f"{len(live)} of {len(nights)} symbols forecast in time, the last of them, "
            f"{closest.symbol}, "
            f"{_span(margin)} before {short_day(closest.session)} opened."
        )
    for kind, meaning in (
        ("late", "Issued after its session had opened"),
        ("replay", "Made for a past session"),
    ):
        if symbols := [night.symbol for night in issued if night.forecast["kind"] == kind]:
            lines.append(f"{meaning} ({kind}): {named(symbols, SHOWN)}.")
    return lines


def _span(gap: timedelta) -> str:
    """12 s or 3 min 5 s; from two hours on 7 h."""
    whole = max(0.0, gap.total_seconds())
    return seconds(whole) if whole < 7200 else f"{whole / 3600:.0f}{GAP}h"


def _durations(nights: Sequence[SymbolLine], durations: pd.DataFrame) -> str:
    runs = [night.run for night in nights if night.run is not None and night.status == "done"]
    if not runs or durations.empty:
        return ""
    symbols = [run["symbol"] for run in runs]
    of_step = durations[durations["symbol"].isin(symbols)].groupby("step")
    usual = of_step[["median_seconds", "p95_seconds"]].sum()
    known = of_step["n"].min()
    spent_on = {
        step: sum(float(run[f"seconds_{step}"] or 0.0) for run in runs) for step in wording.STAGES
    }
    rows: list[list[str]] = []
    for step, spent in (spent_on | {"total": sum(spent_on.values())}).items():
        median, high = (
            float(usual[column].get(step, 0.0)) for column in ("median_seconds", "p95_seconds")
        )
        slow = "slow" if known.get(step, 0) >= SLOW_NIGHTS and spent > high else ""
        rows.append([step, seconds(spent), seconds(median), seconds(high), slow])
    which = f"{len(runs)} symbols together" if len(runs) > 1 else str(symbols[0])
    # One request brings the bars of several missed nights: the others have no duration of it.
    least = int(known.min())
    most = int(known.max())
    count = quantity(most, "night") if least == most else f"{least} to {most} nights"
    table = table_markdown(["step", "this night", "median", "95th", "note"], rows)
    about = (
        f"The newest night of {markdown_text(which)}, beside the median and the 95th "
        f"percentile of {count}."
    )
    return f"{about}\n\n{table}"
