"""Nights and forecasts for programs: JSON, and Nixtla's long frame."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date
from typing import Any

import pandas as pd
from pydantic import BaseModel

from forecasting.evaluate.figures import BacktestSummary
from forecasting.evaluate.scores import nearest_level, optimal_level
from forecasting.plain_text import ordinary_spaces
from forecasting.report.night_view import NightView
from forecasting.report.record import cost_quantiles
from forecasting.report.words import notices
from forecasting.store.rows import ResultRow
from forecasting.vocabulary import LSTM, MEDIAN, PUBLISHED, QUANTILE_COLUMNS, QUANTILES

# significant, of a number: a share in ten million, where a forecast is good for two or three
DIGITS = 7
NIXTLA_LSTM = "LSTM"  # the network's column, as Nixtla's libraries name a model

_RESULT = ("target_session", "q10", "q50", "q90", "actual", "inside_80")
_NIXTLA = {"symbol": "unique_id", "target_session": "ds", "origin_session": "cutoff"}


def json_text(document: object) -> str:
    """The document as indented JSON: numbers `rounded`, days and instants as ISO text."""

    def text(value: object) -> str:
        # A datetime is a date too
        return value.isoformat() if isinstance(value, date) else str(value)

    if isinstance(document, BaseModel):
        document = document.model_dump(mode="json")
    return json.dumps(
        rounded(document), indent=2, default=text, allow_nan=False, ensure_ascii=False
    )


def rounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """The value, numbers in it rounded to DIGITS, texts with ordinary spaces; None for NaN."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return ordinary_spaces(value)
    if is_dataclass(value) and not isinstance(value, type):
        return rounded(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def night_document(data: NightView) -> dict[str, object]:
    """The night for `json_text`, in the target's own unit.

    The meaning of each key is in docs/analyst.md.
    """
    details = data.full
    record = details.record
    model = details.model
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "kind", "status", "reason"]
    columns += ["issued_at", "data_as_of"]
    forecasts = data.rows[columns].to_dict("records")
    for row, line in zip(forecasts, data.week, strict=True):
        row["special_days"] = line.special_days
        row["parts"] = dict(line.parts)
    return {
        "symbol": data.symbol,
        "target": data.target,
        "series": data.forecasts[0].title,
        "origin_session": data.origin,
        "last_value": data.forecasts[0].last_value,
        "usual": data.usual,
        "fetched_at": details.fetch.fetched_at,
        "first_print": data.is_provisional,
        "model_id": model.id,
        "model": model.name,
        "method": model.method,
        "trained_to": model.trained_to,
        "run_id": details.run.id,
        "mode": details.run.mode,
        "notices": notices(data.conditions),
        "forecasts": forecasts,
        "last_result": _result(data.result) if data.result else None,
        "skill": None if data.skill is None else asdict(data.skill),
        "track_record": {
            "origins": record.origins,
            "kinds": record.kinds,
            "fallbacks": record.fallbacks,
        },
        "cost": None if details.cost_ratio is None else _cost_document(data, details.cost_ratio),
    }


def backtest_document(backtest: BacktestSummary) -> dict[str, object]:
    """Return the JSON document of a backtest, whose keys are the fields, days as from and to."""
    days = {"first": "from", "last": "to"}
    return {days.get(name, name): value for name, value in asdict(backtest).items()}


def _result(result: ResultRow) -> dict[str, object]:
    return {name: value for name, value in asdict(result).items() if name in _RESULT}


def _cost_document(data: NightView, ratio: float) -> dict[str, object]:
    rows = data.rows[["target_session", "horizon"]]
    return {
        "ratio": ratio,
        "optimal_level": optimal_level(ratio),
        "level": nearest_level(ratio),
        "forecasts": rows.assign(quantile=cost_quantiles(data.rows, ratio)).to_dict("records"),
    }


def nixtla(scored: pd.DataFrame) -> pd.DataFrame:
    """A row a scored session and origin of one target, as utilsforecast's `evaluate` takes them.

    Args:
        scored: Forecasts with their `actual` and `forecaster`, as `read.counted_scores`.

    Returns:
        unique_id (the symbol), ds (target session), cutoff (origin), y (the actual value), then of
        each forecaster its median under its name and its intervals as NAME-lo-LEVEL and
        NAME-hi-LEVEL, levels 50, 80 and 90; NaN where it has no forecast. The network is LSTM.
    """
    lines = scored.replace({"forecaster": {LSTM: NIXTLA_LSTM}})
    keys = list(_NIXTLA)
    wide = lines.pivot(index=keys, columns="forecaster", values=list(QUANTILE_COLUMNS))
    names = sorted(
        lines["forecaster"].unique(),
        key=lambda name: (name != NIXTLA_LSTM, name != PUBLISHED, name),
    )
    columns = {
        label: wide[column, name] for name in names for label, column in _labels(name).items()
    }
    y = lines.groupby(keys)["actual"].first()
    rows = pd.DataFrame({"y": y, **columns}, index=wide.index)
    return rows.sort_index().reset_index().rename(columns=_NIXTLA)


def nixtla_forecast(quantiles: pd.DataFrame) -> pd.DataFrame:
    """Published forecasts in the columns of `nixtla` but y."""
    labels = {label: column for column, label in _NIXTLA.items()} | _labels(PUBLISHED)
    return pd.DataFrame({label: quantiles[column] for label, column in labels.items()})


def _labels(name: str) -> dict[str, str]:
    labels = {name: QUANTILE_COLUMNS[MEDIAN]}
    for place in range(MEDIAN - 1, -1, -1):
        level = round(100 * (1 - 2 * QUANTILES[place]))
        labels[f"{name}-lo-{level}"] = QUANTILE_COLUMNS[place]
        labels[f"{name}-hi-{level}"] = QUANTILE_COLUMNS[-1 - place]
    return labels
