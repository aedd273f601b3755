"""The quantile of least expected cost of a night, and what such quantiles would have cost so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from forecasting.evaluate.scores import cost, nearest_level, optimal_level, quantile_at, skill
from forecasting.losses import Floats
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


def realised_costs(record: TrackRecord, ratio: float) -> pd.DataFrame:
    """Mean costs of past forecasts one session ahead: of the published ones, then of each baseline, the cheapest first.

    Returns:
        Columns as in view costs: forecaster, n, cost (of the quantile of `ratio`), median_cost, saving, and
        published_cost and published_saving on the same nights; no rows before the first score.
    """
    return realised_costs_of(record, [ratio])[0]


def realised_costs_of(record: TrackRecord, ratios: Sequence[float]) -> list[pd.DataFrame]:
    """The same for several cost ratios: the forecasts of the same nights are found once."""
    published = record.ahead(1)
    others = record.baselines.loc[record.baselines["horizon"] == 1, [*_KEYS, "name", "actual", *QUANTILE_COLUMNS]]
    if published.empty:
        return [pd.DataFrame(columns=_COLUMNS) for _ in ratios]
    pairs = others.merge(published[_KEYS].assign(ours=np.arange(len(published))), on=_KEYS)
    places = {str(name): np.array(found) for name, found in pairs.groupby("name").indices.items()}
    ours = pairs["ours"].to_numpy()
    found = []
    for ratio in ratios:
        own, own_median = _costs(published, ratio)
        cost, median = _costs(pairs, ratio)
        theirs = [_means(name, cost[at], median[at], own[ours[at]]) for name, at in places.items()]
        rows = [_means("published", own, own_median, own), *sorted(theirs, key=lambda row: float(row["cost"]))]
        found.append(pd.DataFrame(rows, columns=_COLUMNS))
    return found


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
        [f"{row['target_session']:%a %Y-%m-%d}", unit.number(value), change(value, row["q50"], target=data.target)]
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


def _costs(rows: pd.DataFrame, ratio: float) -> tuple[Floats, Floats]:
    """The cost of each row's quantile of least expected cost, and the cost of its median."""
    return (
        cost(rows["actual"], cost_quantiles(rows, ratio), ratio=ratio),
        cost(rows["actual"], rows["q50"], ratio=ratio),
    )


def _means(name: str, costs: Floats, median_costs: Floats, published_costs: Floats) -> dict[str, Any]:
    means = {
        "cost": float(np.nanmean(costs)),
        "median_cost": float(np.nanmean(median_costs)),
        "published_cost": float(np.nanmean(published_costs)),
    }
    return {
        "forecaster": name,
        "n": len(costs),
        **means,
        "saving": skill(means["cost"], means["median_cost"]),
        "published_saving": skill(means["published_cost"], means["cost"]),
    }
