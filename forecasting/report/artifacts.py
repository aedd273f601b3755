"""A night in Prefect's UI: the artifacts of a symbol and target, tables and Markdown.

A card in the list of a run's artifacts shows thirty characters of a description, an artifact's page sixty of a table's
row on a desk and thirty-five on a phone: what matters most comes first, and long texts are Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecasting.plain_text import markdown_text, plain_text
from forecasting.report import wording
from forecasting.report.data import ReportData
from forecasting.report.facts import finding_rows
from forecasting.report.fan_svg import SHOWN_SESSIONS, fan_markdown
from forecasting.report.listings import Listing, change, usual_value
from forecasting.report.night_text import last_result
from forecasting.report.tables import (
    backtest_table,
    backtest_unit,
    day_note,
)
from forecasting.report.units import instant, short_day, unit_of


@dataclass(frozen=True)
class Artifact:
    """One artifact.

    Attributes:
        key: Lower case, digits and dashes; the artifacts of one key are its history.
        description: What it shows, in Markdown.
        body: Markdown, or the rows of a table, every text in them cleaned and capped.
    """

    key: str
    description: str
    body: str | list[dict[str, object]]


def night_artifact(data: ReportData, page: Path) -> Artifact:
    """The night in one page; `page` is where its report page is."""
    return Artifact(
        artifact_key("night", data.symbol, data.target), markdown_text(_tomorrow(data)), night_markdown(data, page)
    )


def backtest_artifact(document: Mapping[str, Any]) -> Artifact:
    """The figures of a backtest, in the unit that its description names."""
    symbol, target = str(document["symbol"]), str(document["target"])
    about = f"{symbol} {target}, in {backtest_unit(document).name}: origins {document['from']} to {document['to']}"
    return Artifact(artifact_key("backtest", symbol, target), markdown_text(about), cleaned(backtest_table(document)))


def night_markdown(data: ReportData, page: Path) -> str:
    """The night on one page: tomorrow, notices, chart, the week, the last result, bars, model."""
    ahead, bars = _week(data), f"Bars up to {data.known.index[-1]}{', first print' if data.is_provisional else ''}"
    record = data.record
    results = [text for text in (last_result(data, record), wording.record_sentence(data, record)) if text]
    return "\n\n".join(
        [
            f"**{markdown_text(wording.sentence(data))}**",
            *(f"**{notice.title}.** {markdown_text(notice.text)}" for notice in wording.notices(data)),
            fan_markdown(data),
            f"The last {SHOWN_SESSIONS} sessions; the fan is the 80 % interval, its pale edge the 90 % one.",
            table_markdown(ahead),
            "### How it did",
            *([markdown_text(f"{text.rstrip('.')}.") for text in results] or ["Nothing is scored yet."]),
            "### Bars and model",
            markdown_text(f"{bars}, fetched {instant(data.fetch['fetched_at'])}. {_new_findings(data)}"),
            markdown_text(f"Published: {data.model['name']} {data.model['id']}, {data.model['method']}. {_why(data)}"),
            f"Report page: `{plain_text(page)}`",
        ]
    )


def table_markdown(listing: Listing) -> str:
    """A table in Markdown, its first and last column to the left and the numbers between them to the right."""
    columns, rows = listing
    lines: list[Sequence[object]] = [columns, ["---", *["---:"] * (len(columns) - 2), "---"], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def artifact_key(what: str, *subject: str) -> str:
    """The key of an artifact, `forecasts-sbux-volume`: Prefect allows lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join([what, *subject]).lower()).strip("-")


def artifact_link(text: str, key: str) -> str:
    """A link to the history of a key, from the page of another artifact: in either UI, below any path."""
    return f"[{markdown_text(text)}](../key/{key})"


def cleaned(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """The rows with every text cleaned and capped, for a table that a browser shows."""
    return [
        {name: plain_text(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows
    ]


def _tomorrow(data: ReportData) -> str:
    row, unit = data.rows.iloc[0], unit_of(data)
    interval = unit.span(float(row["q10"]), float(row["q90"]))
    return f"{data.symbol} {short_day(row['target_session'])}: {unit.text(float(row['q50']))}, 80 % {interval}"


def _week(data: ReportData) -> Listing:
    unit, (against, usual) = unit_of(data), usual_value(data)
    rows: list[list[object]] = [
        [
            short_day(row["target_session"]).replace(" ", "\N{NO-BREAK SPACE}"),
            unit.number(row["q50"]),
            unit.span(row["q10"], row["q90"]),
            change(row["q50"], usual, target=data.target),
            day_note(data, row),
        ]
        for row in data.rows.to_dict("records")
    ]
    names = ["session", f"median, {unit.name}", "80 % interval", f"vs {against}", "note"]
    cells: list[list[object]] = [[markdown_text(cell) for cell in row] for row in rows]
    return [markdown_text(name) for name in names], cells


def _open_findings(data: ReportData) -> str:
    count = len(data.findings)
    return f"{count or 'no'} open finding{'' if count == 1 else 's'} about its bars"


def _new_findings(data: ReportData) -> str:
    found = finding_rows(data)
    new = ", ".join(f"{row['rule']} {row['session']}" for row in found if row["since"] == "tonight")
    if not found:
        return "Every bar passed every check."
    return f"{_open_findings(data)}, {f'new tonight: {new}' if new else 'none new tonight'}."


def _why(data: ReportData) -> str:
    if data.decision is None:
        return "No promotion was decided on this night."
    return str(data.decision["reason"])
