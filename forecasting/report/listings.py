"""The tables that commands print: columns, and rows of cells that are written as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from forecasting.article import ArticleResult
from forecasting.report.data import ReportData
from forecasting.report.json_text import rounded
from forecasting.report.track_record import TrackRecord, newest_records
from forecasting.report.units import Unit, instant, p_value, percent, quantity, unit_for, unit_of
from forecasting.report.wording import day_notes, forecaster_label
from forecasting.settings import Settings
from forecasting.vocabulary import RANDOM, Target

Listing = tuple[list[str], list[list[object]]]
"""The names of the columns, and the rows with a cell for each."""


def night_listing(data: ReportData) -> Listing:
    """A row a forecast, in the unit of `unit_of`: median, its change against the usual value, 80 % interval, the day.

    The usual value of a close is the last one.
    """
    unit, (against, usual) = unit_of(data), usual_value(data)
    rows: list[list[object]] = [
        [
            f"{row['target_session']:%a %Y-%m-%d}",
            unit.number(row["q50"]),
            unit.span(row["q10"], row["q90"]),
            change(row["q50"], usual, target=data.target),
            row["status"],
            ", ".join(day_notes(data, row["target_session"])),
        ]
        for row in data.rows.to_dict("records")
    ]
    return ["session", "median", "80 % interval", f"vs {against}", "status", "special day"], rows


def usual_value(data: ReportData) -> tuple[str, float]:
    """The usual value, its name before it: of a close it is the last one."""
    return "last" if data.target == "close" else "usual", data.usual


def change(value: float, other: float, *, target: Target) -> str:
    """The relative change from `other`, signed; a dash where that is 0 or unknown.

    Of a close with a digit after the point: a session moves it by a percent or so.
    """
    share = value / other - 1.0 if other else float("nan")
    return percent(share, signed=True, decimals=1 if target == "close" else 0)


def window_listing(data: ReportData, record: TrackRecord) -> Listing:
    """A row for the newest 20 and 60 origins: the published forecasts one session ahead against the best baseline."""
    unit = unit_of(data)
    rows: list[list[object]] = [
        [
            quantity(row["n"], "session"),
            row["n"],
            unit.number(row["mae"]),
            *([None] * 4 if row["best_baseline"] is None else _against_best(row, unit)),
            percent(row["coverage_80"]),
        ]
        for row in newest_records(record)
    ]
    return ["record", "n", "error", "best baseline", "its error", "skill", "pinball skill", "in 80 %"], rows


def record_listing(data: ReportData, record: TrackRecord) -> Listing:
    """A row a forecaster that the published forecasts are compared with, over all horizons; none before a score."""
    unit, found = unit_of(data), record.comparisons
    rows: list[list[object]] = [
        [
            forecaster_label(row["forecaster"]),
            row["n"],
            unit.number(row["mae"]),
            unit.number(row["their_mae"]),
            percent(row["skill_mae"], signed=True, decimals=1),
            percent(row["skill_pinball"], signed=True, decimals=1),
        ]
        for row in found[found["horizon"] == 0].to_dict("records")
    ]
    return ["against", "n", "our error", "its error", "skill", "pinball skill"], rows


def _against_best(best: Mapping[Any, Any], unit: Unit) -> list[object]:
    skill = [percent(best[name], signed=True) for name in ("skill_mae", "skill_pinball")]
    return [forecaster_label(best["best_baseline"]), unit.number(best["their_mae"]), *skill]


def backtest_title(document: Mapping[str, Any]) -> str:
    """What was replayed, above the figures."""
    return (
        f"{document['symbol']} {document['target']}, origins {document['from']} to {document['to']}: "
        f"{quantity(document['origins'], 'origin')}, {quantity(document['refits'], 'refit')}, "
        f"{document['seconds']:.0f} s"
    )


def backtest_listing(document: Mapping[str, Any]) -> Listing:
    """A row a horizon of a backtest's document, and one over all: our error beside each baseline's, skill, coverage.

    Errors have the unit named over ours, the one in which our error over all has about three digits.
    """
    overall = document["overall"]
    unit = unit_for(document["target"], usual=overall["mae"], symbol=document["symbol"], currency="")
    names = list(overall["baselines"])
    rows: list[list[object]] = [
        [
            horizon,
            unit.number(figures["mae"]),
            *(unit.number(figures["baselines"][name]) for name in names),
            f"{100 * figures['skill_vs_best']:+.1f} %",
            p_value(figures["dm_p_value"]),
            f"{100 * figures['coverage_80']:.1f} %",
            f"{100 * figures['coverage_90']:.1f} %",
        ]
        for horizon, figures in [*document["horizons"].items(), ("all", overall)]
    ]
    best = f"against {forecaster_label(overall['best_baseline'])}"
    labels = [forecaster_label(name) for name in names]
    return ["horizon", f"mean error, {unit.name}", *labels, best, "p", "in 80 %", "in 90 %"], rows


def fetch_listing(fetches: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a fetch of table fetches."""
    columns = ["symbol", "source", "fetched at", "rows", "newest", "verdict", "found"]
    before, after = ["symbol", "source"], ["row_count", "last_received", "verdict", "detail"]
    return columns, [
        [*(row[name] for name in before), instant(row["fetched_at"]), *(row[name] for name in after)] for row in fetches
    ]


def check_listing(checks: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a check of `doctor`."""
    return ["check", "state", "found"], [[row["check"], row["state"], row["found"]] for row in checks]


def article_listing(result: ArticleResult) -> Listing:
    """A row a variant of the article's experiment, its mean absolute error in million shares."""
    rows: list[list[object]] = [
        [variant.name, variant.question, variant.change, f"{variant.mae / 1e6:.3f}"] for variant in result.variants
    ]
    return ["model", "question", "what changed", "MAE"], rows


def model_listing(models: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a network, as the registry lists them, with what its fit started from; of several symbols, named.

    Pretrained weights, which are of no single symbol, have their own name there.
    """
    several = len({row["symbol"] for row in models if row["symbol"]}) > 1
    rows: list[list[object]] = [
        [
            *([row["symbol"]] if several else []),
            row["id"],
            "yes" if row["champion"] else "",
            row["method"],
            row["parent_id"] or ("random weights" if row["base"] == RANDOM else row["base"]),
            row["trained_to"],
            row["chain_epochs"],
            row["weights"],
            row["refused"],
        ]
        for row in models
    ]
    return [
        *(["symbol"] if several else []),
        "model",
        "champion",
        "method",
        "from",
        "trained to",
        "epochs",
        "weights",
        "refused by the gate",
    ], rows


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
        return ", ".join(f"{name} {one}" for name, one in rounded(value).items())
    return value


def settings_document(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values, with the exchange of every symbol; secrets stay hidden."""
    values = settings.model_dump(mode="json")
    values["exchanges"] |= {symbol: settings.exchange_of(symbol) for symbol in settings.symbols}
    return values


def settings_listing(settings: Settings) -> Listing:
    """A row a setting: its variable, its value as that variable takes it, its meaning; secrets stay hidden."""
    values = settings_document(settings)
    for name in ("symbols", "files"):
        values[name] = ",".join(values[name])
    values["exchanges"] = ",".join(f"{symbol}={exchange}" for symbol, exchange in values["exchanges"].items())
    rows: list[list[object]] = [
        [f"FORECASTING_{name.upper()}", values[name], field.description]
        for name, field in Settings.model_fields.items()
    ]
    return ["setting", "value", "meaning"], rows
