"""The tables that commands print: columns, and rows of cells that are written as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forecasting.article.experiment import ArticleResult
from forecasting.report.data import ReportData
from forecasting.report.track_record import TrackRecord, comparisons
from forecasting.report.units import percent, unit_of
from forecasting.report.wording import forecaster_label
from forecasting.settings import Settings

Listing = tuple[list[str], list[list[object]]]
"""The names of the columns, and the rows with a cell for each."""


def night_listing(data: ReportData) -> Listing:
    """A row a forecast: session, median and 80 % interval beside the last value, in the unit of `unit_of`."""
    unit = unit_of(data)
    rows: list[list[object]] = [
        [
            f"{row['target_session']:%a %Y-%m-%d}",
            unit.number(row["q50"]),
            unit.span(row["q10"], row["q90"]),
            unit.number(data.last_value),
            row["kind"],
            row["status"],
        ]
        for row in data.rows.to_dict("records")
    ]
    return ["session", "median", "80 % interval", "last", "kind", "status"], rows


def record_listing(data: ReportData, record: TrackRecord) -> Listing:
    """A row a forecaster that the published forecasts are compared with, over all horizons; none before a score."""
    unit, found = unit_of(data), comparisons(record)
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


def backtest_listing(document: Mapping[str, Any]) -> Listing:
    """A row a horizon of a backtest's document, and one over all: our error beside each baseline's, skill, coverage."""
    overall = document["overall"]
    names = list(overall["baselines"])
    rows: list[list[object]] = [
        [
            horizon,
            f"{figures['mae']:,.6g}",
            *(f"{figures['baselines'][name]:,.6g}" for name in names),
            f"{100 * figures['skill_vs_best']:+.1f} %",
            f"{figures['dm_p_value']:.3g}",
            f"{100 * figures['coverage_80']:.1f} %",
            f"{100 * figures['coverage_90']:.1f} %",
        ]
        for horizon, figures in [*document["horizons"].items(), ("all", overall)]
    ]
    return ["horizon", "mae", *names, f"against {overall['best_baseline']}", "p", "in 80 %", "in 90 %"], rows


def fetch_listing(fetches: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a fetch of table fetches."""
    columns = ["symbol", "source", "fetched at", "rows", "newest", "verdict", "found"]
    names = ["symbol", "source", "fetched_at", "row_count", "last_received", "verdict", "detail"]
    return columns, [[row[name] for name in names] for row in fetches]


def article_listing(result: ArticleResult) -> Listing:
    """A row a variant of the article's experiment, its mean absolute error in million shares."""
    rows: list[list[object]] = [
        [variant.name, variant.question, variant.change, f"{variant.mae / 1e6:.3f}"] for variant in result.variants
    ]
    return ["model", "question", "what changed", "MAE"], rows


def model_listing(models: Sequence[Mapping[str, Any]]) -> Listing:
    """A row a network, as the registry lists them, with what its fit started from."""
    rows: list[list[object]] = [
        [
            row["id"],
            "yes" if row["champion"] else "",
            row["method"],
            row["parent_id"] or row["base"],
            row["trained_to"],
            row["chain_epochs"],
            f"{row['seconds']:.1f}",
            row["weights"],
        ]
        for row in models
    ]
    return ["model", "champion", "method", "from", "trained to", "epochs", "seconds", "weights"], rows


def settings_document(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values, with the exchange of every symbol; secrets stay hidden."""
    values = settings.model_dump(mode="json")
    values["exchanges"] |= {symbol: settings.exchange_of(symbol) for symbol in settings.symbols}
    return values


def settings_listing(settings: Settings) -> Listing:
    """A row a setting: its variable, its value as that variable takes it, its meaning; secrets stay hidden."""
    values = settings_document(settings)
    for name in ("symbols", "companions"):
        values[name] = ",".join(values[name])
    values["exchanges"] = ",".join(f"{symbol}={exchange}" for symbol, exchange in values["exchanges"].items())
    rows: list[list[object]] = [
        [f"FORECASTING_{name.upper()}", values[name], field.description]
        for name, field in Settings.model_fields.items()
    ]
    return ["setting", "value", "meaning"], rows
