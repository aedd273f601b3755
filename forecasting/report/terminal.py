"""What the commands print: a night in full, a line for each of many symbols, and the tables of the other commands."""

import json
import math
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tabulate import SEPARATING_LINE, tabulate

from forecasting.evaluate.significance import PAIRS_A_SESSION
from forecasting.plain_text import named, ordinary_spaces, plain_text, quantity
from forecasting.report import wording
from forecasting.report.documents import rounded
from forecasting.report.night_view import ReportData
from forecasting.report.record import (
    best_ahead,
    cost_quantiles,
    newest_origins,
    newest_records,
    realised_costs,
)
from forecasting.report.units import age, change, instant, p_value, percent
from forecasting.sessions import closes_at, newest_up_to
from forecasting.settings import Settings
from forecasting.vocabulary import RANDOM

Listing = tuple[list[str], list[list[object]]]
"""The names of the columns, and the rows with a cell for each."""

GUTTER = "  "
NARROWEST = 8  # characters below which no column of text is made narrower

_NUMBER = re.compile(r"[-+$\N{MINUS SIGN}]?\d[\d.,\N{EN DASH}]*( ?[%a-zA-Z]{1,6})?|\N{EN DASH}|")


def plain(text: object) -> str:
    """The text in one line with ordinary spaces, cleaned and capped; empty for None."""
    return "" if text is None else ordinary_spaces(plain_text(text))


def paragraph(text: object, *, width: int | None, indent: str = "") -> str:
    """The text broken between words at `width` characters, later lines indented.

    In one line without a width.
    """
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
    """The rows below the names of the columns.

    Numbers right, all else left, no line longer than `width`.

    Where the table is too wide, names and texts are broken, the widest column first; without a
    width, as for a pipe, each row is one line. `in_lines` gives one line a row too: its last text
    is cut. `rich.table` would break numbers and drop whole columns in a narrow terminal.
    """
    cells = [[plain(value) for value in row] for row in rows]
    alignments = ["right" if _are_numbers(below) else "left" for below in zip(*cells, strict=True)]
    widths = None
    if width is not None:
        widths = _widths(
            columns,
            cells,
            width=width,
            in_lines=in_lines,
        )
        if in_lines:
            cells = [
                [*row[:-1], textwrap.shorten(row[-1], widths[-1], placeholder="…")] for row in cells
            ]
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


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, in_lines: bool
) -> list[int]:
    """The characters that each column gets, so that the table is no wider than `width`."""
    names = [_longest_word([name]) for name in columns]
    texts = [list(below) for below in zip(*rows, strict=True)]
    whole = [max(name, *map(len, below)) for name, below in zip(names, texts, strict=True)]
    words = [max(name, _longest_word(below)) for name, below in zip(names, texts, strict=True)]
    parts = [words[0], *(min(word, NARROWEST) for word in words[1:])]

    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    # Names between words first; then the last text is cut, or all texts are broken, at last within
    # words, as of a path.
    cut = [[*whole[:-1], names[-1]]] if in_lines else []
    for floors in [whole, *cut, words, parts]:
        widths = _narrowed(widths, floors, room=width - len(GUTTER) * (len(widths) - 1))
    return widths


def _longest_word(texts: Sequence[str]) -> int:
    words = " ".join(texts).split()
    return max(map(len, words), default=0)


def _narrowed(widths: Sequence[int], floors: Sequence[int], *, room: int) -> list[int]:
    """The widths, of which the largest are reduced until all fit into `room`, none below its floor."""
    narrowed = list(widths)
    while sum(narrowed) > room:
        reducible = [place for place, floor in enumerate(floors) if narrowed[place] > floor]
        if not reducible:
            break
        widest = max(reducible, key=narrowed.__getitem__)
        narrowed[widest] -= 1
    return narrowed


def printed(parts: Sequence[str | Listing], *, width: int | None) -> str:
    """The paragraphs and tables, an empty line between two."""
    texts = [
        paragraph(part, width=width) if isinstance(part, str) else text_table(*part, width=width)
        for part in parts
    ]
    return "\n\n".join(filter(None, texts))


def night_text(data: ReportData, *, now: datetime, width: int | None) -> str:
    """One night: tomorrow in a sentence, notices, the week, champion, data, last result, record."""
    notices = (f"{notice.title}: {notice.text}" for notice in wording.notices(data))
    title = f"{data.symbol} {data.target}: {data.fetch['title']}"
    sentences = (
        wording.sentence(data),
        wording.why_sentence(data.lines[0].why, data.unit),
        wording.alike(data),
    )
    lines = filter(None, [title, *sentences, *notices])
    days: Listing = (
        ["session", "median", "80% interval", "vs usual", "note, why"],
        [
            [
                f"{row.session:%a %Y-%m-%d}",
                row.median,
                row.span_80,
                row.change,
                wording.brief_why(row.why, row.notes),
            ]
            for row in data.lines
        ],
    )
    week: list[str | Listing] = [
        days,
        f"In {data.unit.name}. {wording.usual_sentence(data)} {wording.ADDED}",
    ]
    head = "\n".join(paragraph(line, width=width) for line in lines)
    facts = "\n".join(paragraph(fact, width=width, indent=" " * 13) for fact in _facts(data, now))
    tables = printed([*_record_parts(data), *_cost_parts(data)], width=width)
    return "\n\n".join(filter(None, [head, printed(week, width=width), facts, tables]))


def _facts(data: ReportData, now: datetime) -> list[str]:
    model = data.model
    known = data.known.index[-1]
    trained = f", trained up to {model['trained_to']}" if model.get("trained_to") else ""
    first_print = " (first print)" if data.is_provisional else ""
    behind = "" if known == data.origin else f", newest known {data.target} of {known}{first_print}"
    bars = (
        f"bars up to {data.origin}{'' if behind else first_print}, {_bar_age(data, now)} "
        f"old{behind}"
    )
    facts = {
        "Published": f"{model['name']} {model['id']}, {model['method']}{trained}",
        "Data": f"{bars}, fetched {instant(data.fetch['fetched_at'])}",
        "Findings": wording.without_bar(data.findings),
        "Last result": wording.last_result(data),
    }
    return [f"{name + ':':<13}{text}" for name, text in facts.items() if text]


def _bar_age(data: ReportData, now: datetime) -> str:
    # A calendar that was corrected since, or another one that was set, may not have the origin
    # among its sessions.
    return age(closes_at(newest_up_to(data.origin, data.exchange), data.exchange), now)


def _record_parts(data: ReportData) -> list[str | Listing]:
    """A row for the newest 20 and 60 origins, one session ahead.

    Then one a forecaster over all horizons.
    """
    if data.record.published.empty:
        return []
    windows: list[list[object]] = []
    for row in newest_records(data.record):
        best: list[object] = [None] * 4
        if row["best_baseline"] is not None:
            skills = (percent(row[name], signed=True) for name in ("skill_mae", "skill_pinball"))
            best = [
                wording.forecaster_label(row["best_baseline"]),
                data.unit.number(row["their_mae"]),
                *skills,
            ]
        error = data.unit.number(row["mae"])
        inside = percent(row["coverage_80"])
        windows.append([quantity(row["n"], "session"), row["n"], error, *best, inside])
    heads = [
        "record",
        "n",
        "error",
        "best baseline",
        "its error",
        "skill",
        "pinball skill",
        "in 80%",
    ]
    parts: list[str | Listing] = [
        wording.record_sentence(data),
        *([(heads, windows)] if windows else []),
    ]
    losses = data.record.comparisons(data.record.losses)
    rows = list[list[object]]()
    for pooled in losses[losses["horizon"] == 0].to_dict("records"):
        errors = (data.unit.number(pooled[name]) for name in ("mae", "their_mae"))
        skills = (
            percent(pooled[name], signed=True, decimals=1)
            for name in ("skill_mae", "skill_pinball")
        )
        rows.append([wording.forecaster_label(pooled["forecaster"]), pooled["n"], *errors, *skills])
    if rows:
        parts.append((["against", "n", "our error", "its error", "skill", "pinball skill"], rows))
    against = (
        " against: one to five sessions ahead, on the forecasts that both have." if rows else ""
    )
    parts.append(
        f"record: one session ahead.{against} error: mean absolute error of the median in "
        f"{data.unit.name}. skill: "
        "1 - error / its error, + is better; pinball skill: the same of the loss over all seven "
        "quantiles."
    )
    return parts


def _cost_parts(data: ReportData) -> list[str | Listing]:
    """With a cost ratio a row a forecast: its quantile; then one a forecaster.

    Mean costs, and ours on its nights.
    """
    if (ratio := data.cost_ratio) is None:
        return []
    rows: list[list[object]] = [
        [
            f"{line.session:%a %Y-%m-%d}",
            data.unit.number(value),
            change(value, median, target=data.target),
        ]
        for value, median, line in zip(
            cost_quantiles(data.rows, ratio),
            data.rows["q50"],
            data.lines,
            strict=True,
        )
    ]
    quantiles: Listing = (["session", wording.level_name(ratio), "vs median"], rows)
    costs: list[list[object]] = []
    for row in realised_costs(data.record, ratio):
        cost, median, ours = (
            data.unit.number(row[f"{of}cost"], finer=1) for of in ("", "median_", "published_")
        )
        saving, our_saving = (percent(row[f"{of}saving"], signed=True) for of in ("", "published_"))
        costs.append(
            [
                wording.forecaster_label(row["forecaster"]),
                row["n"],
                cost,
                median,
                saving,
                ours,
                our_saving,
            ]
        )
    heads = ["forecaster", "n", "cost", "at its median", "saving", "our cost", "our saving"]
    about = (
        f"Mean costs one session ahead in {data.unit.name}, an underestimate of one unit costing "
        "1. saving: against "
        "its own median. our cost: of the published quantile on the same nights. our saving: "
        "against its cost; + is "
        "cheaper."
    )
    realised: list[str | Listing] = [(heads, costs), about]
    return [wording.cost_sentence(ratio), quantiles, *(realised if costs else [])]


LEGEND = (
    "vs usual: change against the median of the last 20 sessions; for close, of the interval's "
    "width. last: whether "
    "the newest scored forecast one session ahead (once there are 20 live ones, the newest of "
    "these) came inside its "
    "80% interval. skill: error against the best baseline's, last 20 sessions, + is better; a dash "
    "below ten. data: "
    "age of the newest bar. why: the two largest factors of the median; for close, of the width of "
    "its interval."
)
"""What the columns of `line_listing` mean."""


def line_listing(nights: Sequence[ReportData], *, now: datetime) -> Listing:
    """A row a symbol: the median and 80% interval of its next session, against usual; how it did.

    What to know.
    """
    ratio = nights[0].cost_ratio if nights else None
    cost = [] if ratio is None else [wording.level_name(ratio)]
    columns = [
        "symbol",
        "session",
        "median",
        "80% interval",
        *cost,
        "vs usual",
        "last",
        "skill",
        "data",
        "note, why",
    ]
    rows: list[list[object]] = []
    for data in nights:
        line = data.lines[0]
        hits = data.record.ahead(1)["inside_80"]
        best = (
            best_ahead(newest_origins(data.record, 20), "mae")
            if len(hits) >= PAIRS_A_SESSION
            else None
        )
        quantiles = (
            [] if ratio is None else [data.unit.brief(cost_quantiles(data.rows, ratio).iloc[0])]
        )
        median = data.unit.brief(data.rows["q50"].iloc[0])
        last = "hit" if hits.iloc[-1:].any() else "miss"
        row: list[object] = [
            data.symbol,
            f"{line.session:%a %m-%d}",
            median,
            line.span_80,
            *quantiles,
            line.change,
        ]
        row += [
            last if len(hits) else None,
            percent(best["skill_mae"] if best else math.nan, signed=True),
        ]
        rows.append(
            [
                *row,
                _bar_age(data, now),
                wording.brief_why(line.why, [*_flags(data), *line.special_days]),
            ]
        )
    return columns, rows


def _flags(data: ReportData) -> list[str]:
    row = data.rows.iloc[0]
    unfinished = (
        []
        if data.unfinished is None
        else [f"night {data.unfinished['status']} {data.unfinished['as_of']}"]
    )
    return [
        *unfinished,
        *([str(row["kind"])] if row["kind"] != "live" else []),
        *(
            [str(row["status"])]
            if row["status"] != "ok"
            else ["break in the bars"]
            if row["reason"]
            else []
        ),
        *(["other inputs"] if data.changed else []),
        *(["rows rejected"] if (data.new_findings["severity"] == "reject").any() else []),
    ]


def backtest_parts(document: Mapping[str, Any], *, with_dates: bool = False) -> list[str | Listing]:
    """What is shown of a backtest.

    The span, maybe which earnings dates, the figures, what the nights did.
    """
    title = (
        f"{document['symbol']} {document['target']}, origins {document['from']} to "
        f"{document['to']}: "
        f"{quantity(document['origins'], 'origin')}, {quantity(document['refits'], 'fit')}, "
        f"{document['seconds']:.0f} s"
    )
    lists = {"sec-8k": "SEC filings (form 8-K, item 2.02)", "bundled": "the package's own list"}
    counts: Mapping[str, int] = document.get("earnings_dates", {})
    dates = [
        f"{quantity(count, 'earnings date')} from {lists.get(name, name)}"
        for name, count in counts.items()
    ]
    parts: list[str | Listing] = [
        title,
        *([", ".join(dates) or "No earnings dates"] if with_dates else []),
    ]
    parts.append(backtest_listing(document))
    return [*parts, wording.published_sentence(document)]


def backtest_listing(document: Mapping[str, Any]) -> Listing:
    """A row a horizon of a backtest's document, and one over all.

    Our error beside each baseline's, skill, coverage.
    """
    overall = document["overall"]
    unit = wording.backtest_unit(document)
    names = list(overall["baselines"])
    rows: list[list[object]] = [
        [
            horizon,
            unit.number(figures["mae"]),
            *(unit.number(figures["baselines"][name]) for name in names),
            percent(figures["skill_vs_best"], signed=True, decimals=1),
            p_value(figures["dm_p_value"]),
            percent(figures["pinball_vs_best"], signed=True, decimals=1),
            percent(figures["coverage_80"], decimals=1),
            percent(figures["coverage_90"], decimals=1),
        ]
        for horizon, figures in [*document["horizons"].items(), ("all", overall)]
    ]
    best = f"against {wording.forecaster_label(overall['best_baseline'])}"
    labels = [wording.forecaster_label(name) for name in names]
    return [
        "horizon",
        f"mean error, {unit.name}",
        *labels,
        best,
        "p",
        "pinball skill",
        "in 80%",
        "in 90%",
    ], rows


def fetch_listing(fetches: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a fetch of table fetches."""
    names = ["symbol", "source", "fetched_at", "row_count", "last_received", "verdict", "detail"]
    rows: list[list[object]] = [[_fact(row[name]) for name in names] for row in fetches]
    return ["symbol", "source", "fetched at", "rows", "newest", "verdict", "found"], rows


def check_listing(checks: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a check of `doctor`."""
    return ["check", "state", "found"], [
        [row["check"], row["state"], row["found"]] for row in checks
    ]


def alert_listing(counts: Sequence[Mapping[str, Any]]) -> Listing:
    """A row an alert and symbol: on how many of the newest nights it held, and its values.

    Of many without one, one.
    """
    rows: list[list[object]] = []
    never = Counter(row["alert"] for row in counts if not row["held"])
    for row in counts:
        if row["held"] or never[row["alert"]] <= 3:
            of = f"{row['symbol']} {row['target']}"
            share = row["held"] / row["nights"] if row["nights"] else math.nan
            newest = "holds" if row["newest"] else ""
            held_on = named(list(map(str, row["held_on"])), 3)
            values = [wording.alert_value(row, name) for name in ("extreme", "value")]
            rows.append(
                [
                    row["alert"],
                    of,
                    row["held"],
                    row["nights"],
                    percent(share),
                    *values,
                    newest,
                    held_on,
                ]
            )
    for alert in (alert for alert, count in never.items() if count > 3):
        some = (row for row in counts if row["alert"] == alert and not row["held"])
        best = min(some, key=lambda row: (not row["nights"], abs(row["extreme"] - row["number"])))
        rows.append(
            [
                alert,
                f"{never[alert]} not listed",
                0,
                "",
                "",
                wording.alert_value(best, "extreme"),
                "",
                "",
                "",
            ]
        )
    return [
        "alert",
        "of",
        "held",
        "nights",
        "share",
        "extreme",
        "newest value",
        "newest night",
        "held of",
    ], rows


def model_listing(models: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a network, as the registry lists them, with what its fit started from.

    Of several symbols, named.
    """
    several = ["symbol"] if len({row["symbol"] for row in models if row["symbol"]}) > 1 else []
    heads = [
        *several,
        "model",
        "champion",
        "method",
        "from",
        "trained to",
        "epochs",
        "weights",
        "refused by the gate",
    ]
    rows: list[list[object]] = []
    for row in models:
        start = row["parent_id"] or ("random weights" if row["base"] == RANDOM else row["base"])
        cells = [row["id"], "yes" if row["champion"] else "", row["method"], start]
        rest = (row[name] for name in ("trained_to", "chain_epochs", "weights", "refused"))
        rows.append([*(row[name] for name in several), *cells, *rest])
    return heads, rows


def lineage_listing(model: Mapping[str, Any]) -> Listing:
    """A row a fact of a model: instants to the minute, lists with commas, numbers within a fact as in JSON output."""
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
    return settings.model_copy(update={"exchanges": settings.exchanges | exchanges}).model_dump(
        mode="json"
    )


def settings_listing(values: Mapping[str, Any], places: Mapping[str, str]) -> Listing:
    """A row a setting of the document.

    Variable, value as that variable takes it, where it is from, meaning.
    """
    exchanges = ",".join(f"{symbol}={exchange}" for symbol, exchange in values["exchanges"].items())
    shown = {
        **values,
        **{name: ",".join(values[name]) for name in ("symbols", "files")},
        "exchanges": exchanges,
    }
    return ["setting", "value", "from", "meaning"], [
        [f"FORECASTING_{name.upper()}", shown[name], places.get(name, ""), field.description]
        for name, field in Settings.model_fields.items()
    ]
