"""The quantile of least expected cost of a night, and what such quantiles would have cost so far."""

from __future__ import annotations

from typing import Any

import pandas as pd

from forecasting.evaluate.costs import cost, nearest_level, optimal_level, quantile_at
from forecasting.evaluate.scores import skill
from forecasting.report.data import ReportData
from forecasting.report.listings import Listing, change
from forecasting.report.track_record import TrackRecord
from forecasting.report.units import percent, unit_of
from forecasting.report.wording import forecaster_label
from forecasting.vocabulary import QUANTILE_COLUMNS

_COLUMNS = ["forecaster", "n", "cost", "median_cost", "saving", "published_cost", "published_saving"]
_KEYS = ["origin_session", "horizon", "kind"]


def level_name(ratio: float) -> str:
    """The quantile that is used, like `25 % quantile`."""
    return f"{100 * nearest_level(ratio):.3g} % quantile"


def cost_sentence(ratio: float) -> str:
    """What the ratio means, and which quantile it asks for."""
    times = "as much" if ratio == 1.0 else f"{ratio:.4g} times as much"
    level, found = optimal_level(ratio), nearest_level(ratio)
    sentence = (
        f"Where an overestimate costs {times} per unit as an underestimate, the {100 * level:.3g} % quantile has the "
        "least expected cost"
    )
    return (
        f"{sentence}." if level == found else f"{sentence}; the outermost that is issued is shown: {100 * found:g} %."
    )


def cost_quantiles(rows: pd.DataFrame, ratio: float) -> pd.Series[float]:
    """The quantile of least expected cost of each forecast, in the target's unit.

    Args:
        rows: Forecasts with QUANTILE_COLUMNS.
        ratio: Cost of an overestimate per unit over that of an underestimate; above 0.
    """
    return pd.Series(quantile_at(rows[list(QUANTILE_COLUMNS)], nearest_level(ratio)), index=rows.index, dtype=float)


def realised_costs(record: TrackRecord, ratio: float, *, horizon: int = 1) -> pd.DataFrame:
    """Mean costs of past forecasts of one horizon: of the published ones, then of each baseline, the cheapest first.

    Returns:
        Columns as in view costs: forecaster, n, cost (of the quantile of `ratio`), median_cost, saving, and
        published_cost and published_saving on the same nights; no rows before the first score.
    """
    published = _costs(record.ahead(horizon), ratio)
    others = _costs(record.baselines[record.baselines["horizon"] == horizon], ratio)
    pairs = others.merge(published[[*_KEYS, "cost"]].rename(columns={"cost": "published_cost"}), on=_KEYS)
    rows = [_means("published", published.assign(published_cost=published["cost"]))] if len(published) else []
    theirs = [_means(str(name), group) for name, group in pairs.groupby("name")]
    return pd.DataFrame([*rows, *sorted(theirs, key=lambda row: float(row["cost"]))], columns=_COLUMNS)


def cost_document(data: ReportData, record: TrackRecord) -> dict[str, Any] | None:
    """The night's quantiles of least expected cost and their record, NaN for unknown; None without a cost ratio."""
    if (ratio := data.cost_ratio) is None:
        return None
    rows = data.rows[["target_session", "horizon"]].assign(quantile=cost_quantiles(data.rows, ratio))
    return {
        "ratio": ratio,
        "optimal_level": optimal_level(ratio),
        "level": nearest_level(ratio),
        "forecasts": rows.to_dict("records"),
        "realised": realised_costs(record, ratio).to_dict("records"),
    }


def quantile_listing(data: ReportData, ratio: float) -> Listing:
    """A row a forecast: its quantile of least expected cost, beside the median."""
    unit, found = unit_of(data), cost_quantiles(data.rows, ratio)
    rows: list[list[object]] = [
        [f"{row['target_session']:%a %Y-%m-%d}", unit.number(value), change(value, row["q50"])]
        for value, row in zip(found, data.rows.to_dict("records"), strict=True)
    ]
    return ["session", level_name(ratio), "vs median"], rows


def cost_listing(data: ReportData, record: TrackRecord, ratio: float) -> Listing:
    """A row a forecaster: mean cost one session ahead of its quantile and its median, and of ours on its nights."""
    unit = unit_of(data)
    rows: list[list[object]] = [
        [
            forecaster_label(row["forecaster"]),
            row["n"],
            unit.number(row["cost"], finer=1),
            unit.number(row["median_cost"], finer=1),
            percent(row["saving"], signed=True),
            unit.number(row["published_cost"], finer=1),
            percent(row["published_saving"], signed=True),
        ]
        for row in realised_costs(record, ratio).to_dict("records")
    ]
    return ["forecaster", "n", "cost", "at its median", "saving", "our cost", "our saving"], rows


def cost_note(data: ReportData) -> str:
    """How the columns of `cost_listing` are read."""
    return (
        f"Mean costs one session ahead in {unit_of(data).name}, an underestimate of one unit costing 1. saving: "
        "against its own median. our cost: of the published quantile on the same nights. our saving: against its cost; "
        "+ is cheaper."
    )


def _costs(rows: pd.DataFrame, ratio: float) -> pd.DataFrame:
    actual = rows["actual"].astype(float)
    return rows[[*_KEYS, "name"]].assign(
        cost=cost(actual, cost_quantiles(rows, ratio), ratio=ratio),
        median_cost=cost(actual, rows["q50"].astype(float), ratio=ratio),
    )


def _means(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    means = {column: float(rows[column].mean()) for column in ("cost", "median_cost", "published_cost")}
    return {
        "forecaster": name,
        "n": len(rows),
        **means,
        "saving": skill(means["cost"], means["median_cost"]),
        "published_saving": skill(means["published_cost"], means["cost"]),
    }
