"""What the commands print: a night in full, a line a symbol, and the other commands' tables."""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from tabulate import SEPARATING_LINE, tabulate

from forecasting.plain_text import ordinary_spaces, plain_text, quantity
from forecasting.report import wording
from forecasting.report.documents import rounded
from forecasting.report.night_view import MADE, ReportData, hit_or_miss
from forecasting.report.record import cost_quantiles, coverages, realised_costs
from forecasting.report.units import (
    age,
    as_day,
    change,
    full_day,
    instant,
    near_day,
    p_value,
    percent,
    short_day,
)
from forecasting.settings import Settings
from forecasting.vocabulary import RANDOM

Listing = tuple[Sequence[str], Sequence[Sequence[object]]]
"""The names of the columns, and the rows with a cell for each."""

Parts = Sequence[str | Listing]
"""Paragraphs and tables, as they follow each other."""

GUTTER = "  "
NARROWEST = 8  # characters below which no column of text is made narrower

_NUMBER = re.compile(r"[-+$\N{MINUS SIGN}]?\d[\d.,\N{EN DASH}]*( ?[%a-zA-Z]{1,6})?|\N{EN DASH}|")


def plain(text: object) -> str:
    """The text in one line with ordinary spaces, cleaned and capped; empty for None."""
    return "" if text is None else ordinary_spaces(plain_text(text))


def paragraph(text: object, *, width: int | None, indent: str = "") -> str:
    """The text in lines of at most `width` characters, or in one without a width."""
    line = plain(text)
    if width is None or len(line) <= width:
        return line
    return textwrap.fill(
        line,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def text_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    width: int | None,
    in_lines: bool = False,
) -> str:
    """The rows below the names of the columns, no line longer than `width`; empty without rows.

    Where the table is too wide, names and texts are broken, the widest column first; without a
    width, as for a pipe, each row is one line. `in_lines` gives one line a row too: its last text
    is cut. `rich.table` would break numbers and drop whole columns in a narrow terminal.
    """
    if not rows:
        return ""
    cells = [[plain(value) for value in row] for row in rows]
    alignments = ["right" if _are_numbers(below) else "left" for below in zip(*cells, strict=True)]
    widths = None
    if width is not None:
        widths = _widths([columns, *cells], width=width, in_lines=in_lines)
        if in_lines:
            for row in cells:
                row[-1] = textwrap.shorten(row[-1], widths[-1], placeholder="…")
    table = tabulate(
        [columns, SEPARATING_LINE, *cells],  # as a header the names would be two characters wider
        disable_numparse=True,
        colalign=alignments,
        maxcolwidths=widths,
        break_on_hyphens=False,
    )
    _, *lines, _ = table.splitlines()  # without the rules above and below
    return "\n".join(lines)


def _are_numbers(texts: Sequence[str]) -> bool:
    return any(texts) and all(_NUMBER.fullmatch(text) for text in texts)


def _widths(rows: Sequence[Sequence[str]], *, width: int, in_lines: bool) -> list[int]:
    """The characters that each column of names and texts gets, together at most `width`."""
    columns = list(zip(*rows, strict=True))
    names = [_longest_word(name) for name, *_ in columns]
    words = [max(map(_longest_word, column)) for column in columns]
    whole = [max(name, *map(len, texts)) for name, (_, *texts) in zip(names, columns, strict=True)]
    parts = [words[0], *(min(word, NARROWEST) for word in words[1:])]
    # Names between words first; then the last text is cut, or all texts are broken, at last within
    # words, as of a path.
    floors = [whole, words, parts]
    if in_lines:
        floors.insert(1, [*whole[:-1], names[-1]])
    widths = [max(map(len, column)) for column in columns]
    room = width - len(GUTTER) * (len(columns) - 1)
    for least in floors:
        _narrow(widths, least, room=room)
    return widths


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _narrow(widths: list[int], floors: Sequence[int], *, room: int) -> None:
    """Reduce the largest of the widths until all fit into `room`, none below its floor."""
    while sum(widths) > room:
        reducible = [place for place, floor in enumerate(floors) if widths[place] > floor]
        if not reducible:
            return
        widest = max(reducible, key=widths.__getitem__)
        widths[widest] -= 1


def printed(parts: Parts, *, width: int | None) -> str:
    """The paragraphs and tables, an empty line between two."""
    texts = [
        paragraph(part, width=width) if isinstance(part, str) else text_table(*part, width=width)
        for part in parts
    ]
    return "\n\n".join(filter(None, texts))


def night_text(data: ReportData, *, now: datetime, width: int | None) -> str:
    """One night: tomorrow in a sentence, notices, the week, data, last result, skill."""
    why = wording.brief_why(data.lines[0].why, data.lines[0].why.notes)
    lines = [
        f"{data.symbol} {data.target}: {data.fetch['title']}",
        wording.sentence(data),
        f"Why: {why}." if why else "",
        *(f"{notice.title}: {notice.text}" for notice in wording.notices(data)),
    ]
    head = "\n".join(paragraph(line, width=width) for line in lines if line)
    facts = "\n".join(paragraph(fact, width=width, indent=" " * 13) for fact in _facts(data, now))
    week = printed(_week_parts(data, now), width=width)
    costs = printed(_cost_parts(data), width=width)
    return "\n\n".join(filter(None, [head, week, facts, costs]))


def why_text(data: ReportData, *, width: int | None) -> str:
    """Every factor of each median of a night."""
    rows = [
        [short_day(line.session), wording.why_sentence(line.why, data.unit)] for line in data.lines
    ]
    title = f"{data.symbol} {data.target}"
    return printed([title, (["session", "why"], rows), wording.PARTS], width=width)


def _week_parts(data: ReportData, now: datetime) -> Parts:
    days = [
        [
            near_day(line.session, now.year),
            line.median,
            line.span_80,
            line.change,
            wording.brief_why(line.why, line.why.notes),
        ]
        for line in data.lines
    ]
    about = f"In {data.unit.name}. {wording.usual_sentence(data)} {wording.ADDED} All: --why."
    columns = ["session", "median", "80% interval", "vs usual", "note, why"]
    return [(columns, days), wording.totals_sentence(data), about]


def _facts(data: ReportData, now: datetime) -> list[str]:
    model = data.model
    known = data.known.index[-1]
    trained = ""
    if model["trained_to"]:
        trained = f", trained up to {full_day(as_day(model['trained_to']))}"
    bars = f"bars up to {full_day(data.origin)}, {age(data.origin, now)} old"
    if known != data.origin:
        bars += f", newest known {data.target} of {full_day(known)}"
    facts = {
        "Model": f"{model['name']} {model['id']}{trained}",
        "Data": f"{bars}, fetched {instant(data.fetch['fetched_at'])}",
        "Findings": wording.without_bar(data.findings),
        "Last result": wording.last_result(data),
        "Hits": wording.calibration_sentence(coverages(data.record)),
        "Skill": "" if data.skill is None else wording.skill_sentence(data.skill),
    }
    return [f"{name + ':':<13}{text}" for name, text in facts.items() if text]


def _cost_parts(data: ReportData) -> Parts:
    """With a cost ratio, the quantile of each forecast, then the mean costs of each forecaster."""
    ratio = data.cost_ratio
    if ratio is None:
        return []
    number = data.unit.number
    quantiles = cost_quantiles(data.rows, ratio)
    coming = [
        [short_day(line.session), number(value), change(value, median)]
        for value, median, line in zip(
            quantiles,
            data.rows["q50"],
            data.lines,
            strict=True,
        )
    ]
    costs = [
        [
            wording.forecaster_label(row["forecaster"]),
            row["n"],
            number(row["cost"], finer=1),
            number(row["median_cost"], finer=1),
            percent(row["saving"], signed=True),
            number(row["published_cost"], finer=1),
            percent(row["published_saving"], signed=True),
        ]
        for row in realised_costs(data.record, ratio)
    ]
    columns = ["session", wording.level_name(ratio), "vs median"]
    names = ["forecaster", "n", "cost", "at its median", "saving", "our cost", "our saving"]
    about = (
        f"Mean costs one session ahead in {data.unit.name}, an underestimate of one unit costing "
        "1. saving: against its own median. our cost: of the published quantile on the same "
        "nights. our saving: against its cost; + is cheaper."
    )
    return [
        wording.cost_sentence(ratio),
        (columns, coming),
        (names, costs),
        about if costs else "",
    ]


LEGEND = (
    "vs usual: against the 20-session median . last: actual in the 80% "
    "interval. skill: pinball loss saved against the reference baseline. why: two largest "
    "factors; all: --why."
)
"""What the columns of `line_listing` mean."""


def line_listing(nights: Sequence[ReportData], *, now: datetime) -> Listing:
    """A row a symbol: its next session, against usual; how it did; what to know."""
    ratio = nights[0].cost_ratio
    has_several = len({data.target for data in nights}) > 1
    columns = ["symbol", "session", "median", "80% interval"]
    if ratio is not None:
        columns.append(wording.level_name(ratio))
    columns += ["vs usual", "last", "skill", "note, why"]
    rows = []
    for data in nights:
        line = data.lines[0]
        brief = data.unit.brief
        row: list[object] = [
            f"{data.symbol} {data.target}" if has_several else data.symbol,
            near_day(line.session, now.year),
            brief(data.rows["q50"].iloc[0]),
            line.span_80,
        ]
        if ratio is not None:
            row.append(brief(cost_quantiles(data.rows, ratio).iloc[0]))
        row += [
            line.change,
            hit_or_miss(data.result),
            wording.skill_brief(data.skill),
            wording.brief_why(line.why, [*_flags(data, now), *line.why.notes]),
        ]
        rows.append(row)
    return columns, rows


def _flags(data: ReportData, now: datetime) -> list[str]:
    """What is unusual about a night, in a word or two each."""
    first = data.rows.iloc[0]
    flags = []
    if data.newest is not None:
        flags.append(f"stale, {age(data.origin, now)} old")
    if data.unfinished is not None and data.unfinished["status"] == "failed":
        flags.append("failed")
    if first["kind"] != "live":
        flags.append(MADE[first["kind"]])
    if first["status"] == "ok" and first["reason"]:
        flags.append("break in the bars")
    if data.changed:
        flags.append("other inputs")
    is_new = data.findings["since"] >= pd.Timestamp(data.fetch["fetched_at"])
    if (data.findings["severity"][is_new] == "reject").any():
        flags.append("rows rejected")
    return flags


def backtest_parts(document: Mapping[str, Any]) -> Parts:
    """What is shown of a backtest: span, earnings dates, figures, what the nights did."""
    title = (
        f"{document['symbol']} {document['target']}, origins {document['from']} to "
        f"{document['to']}: {quantity(document['origins'], 'origin')}, "
        f"{quantity(document['refits'], 'fit')}, {document['seconds']:.0f} s"
    )
    lists = {"shipped": "the package's list"}
    dates = [
        f"{quantity(count, 'earnings date')} from {lists.get(name, name)}"
        for name, count in document["earnings_dates"].items()
    ]
    earnings = ", ".join(dates) or "No earnings dates"
    return [title, earnings, backtest_listing(document), wording.published_sentence(document)]


def backtest_listing(document: Mapping[str, Any]) -> Listing:
    """A row a horizon of a backtest's document, and one over all."""
    overall = document["overall"]
    unit = wording.backtest_unit(document)
    names = list(overall["baselines"])
    columns = [
        "horizon",
        f"mean error, {unit.name}",
        *map(wording.forecaster_label, names),
        f"skill against {wording.forecaster_label(overall['reference'])}",
        "p",
        "in 80%",
        "in 90%",
    ]
    rows = [
        [
            horizon,
            unit.number(figures["mae"]),
            *(unit.number(figures["baselines"][name]) for name in names),
            percent(figures["reference_skill"], signed=True, decimals=1),
            p_value(figures["reference_p_value"]),
            percent(figures["coverage_80"], decimals=1),
            percent(figures["coverage_90"], decimals=1),
        ]
        for horizon, figures in [*document["horizons"].items(), ("all", overall)]
    ]
    return columns, rows


def check_listing(checks: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a check of `doctor`."""
    columns = ["check", "state", "found"]
    return columns, [[row[name] for name in columns] for row in checks]


def model_listing(models: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a network, with what its fit started from; of several symbols, with their names."""
    columns = {
        "id": "model",
        "champion": "champion",
        "method": "method",
        "start": "from",
        "trained_to": "trained to",
        "chain_epochs": "epochs",
        "weights": "weights",
        "refused": "refused by the gate",
    }
    if len({row["symbol"] for row in models if row["symbol"]}) > 1:
        columns = {"symbol": "symbol", **columns}
    rows = []
    for row in models:
        base = "random weights" if row["base"] == RANDOM else row["base"]
        champion = "yes" if row["champion"] else ""
        shown = {**row, "start": row["parent_id"] or base, "champion": champion}
        rows.append([shown[name] for name in columns])
    return list(columns.values()), rows


def lineage_listing(model: Mapping[str, Any]) -> Listing:
    """A row a fact of a model."""
    return ["about", "value"], [[name, _fact(value)] for name, value in model.items()]


def _fact(value: object) -> object:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, str) and value.startswith("{"):  # a column that holds JSON, as `gate`
        return _fact(json.loads(value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in rounded(value).items())
    return value


def settings_document(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values, with the exchange of every symbol; secrets stay hidden."""
    exchanges = {symbol: settings.exchange_of(symbol) for symbol in settings.symbols}
    values = settings.model_dump(mode="json")
    return values | {"exchanges": values["exchanges"] | exchanges}


def settings_listing(values: Mapping[str, Any], places: Mapping[str, str]) -> Listing:
    """A row a setting: variable, value as that variable takes it, where it is from, meaning."""
    exchanges = [f"{symbol}={exchange}" for symbol, exchange in values["exchanges"].items()]
    lists = {"symbols": values["symbols"], "files": values["files"], "exchanges": exchanges}
    shown = {**values, **{name: ",".join(texts) for name, texts in lists.items()}}
    return ["setting", "value", "from", "meaning"], [
        [f"FORECASTING_{name.upper()}", shown[name], places.get(name, ""), field.description]
        for name, field in Settings.model_fields.items()
    ]
