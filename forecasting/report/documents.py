"""Nights and forecasts for programs: JSON, CSV, hubverse's model output, Nixtla's long frame.

The last two hold a line of forecasts for each forecaster, the network as `lstm` and the baselines
under their names, on every night, published or not; and line `published`, what was published each
night, whichever model made it. Challengers are left out. Of each origin one kind counts, live
before late before replay; replays are left out where the symbol and target have a scored live one,
as in view live_skill.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import pandas as pd

from forecasting.errors import UsageError
from forecasting.evaluate.scores import by_line, nearest_level, optimal_level
from forecasting.plain_text import ordinary_spaces
from forecasting.report.night_view import ReportData
from forecasting.report.record import cost_quantiles, realised_costs
from forecasting.report.wording import notices
from forecasting.vocabulary import (
    CHALLENGER,
    KINDS,
    LSTM,
    MEDIAN,
    PUBLISHED_LINE,
    QUANTILE_COLUMNS,
    QUANTILES,
)

# significant, of a number: a share in ten million, where a forecast is good for two or three
DIGITS = 7
PUBLISHED = "published"  # the published line in both forms
NIXTLA_LSTM = "LSTM"  # the network's column, as Nixtla's libraries name a model
TEAM = "forecasting"  # first part of a hubverse model id, which is TEAM-MODEL
# What is forecast, as a hub's tasks.json lists it.
TASK_IDS = ("origin_date", "target", "horizon", "location", "target_end_date")
HUBVERSE_COLUMNS = ("model_id", *TASK_IDS, "output_type", "output_type_id", "value")

_RESULT = ("target_session", "q10", "q50", "q90", "actual", "inside_80")
_NIGHT = ["symbol", "target", "origin_session"]
_NIXTLA = {"symbol": "unique_id", "target_session": "ds", "origin_session": "cutoff"}


def json_text(document: object) -> str:
    """The document as indented JSON: numbers `rounded`, days and instants as ISO text."""

    def text(value: object) -> str:
        # A datetime is a date too
        return value.isoformat() if isinstance(value, date) else str(value)

    return json.dumps(
        rounded(document),
        indent=2,
        default=text,
        allow_nan=False,
        ensure_ascii=False,
    )


def rounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """The value, numbers in it rounded to DIGITS, texts with ordinary spaces; None for NaN."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return ordinary_spaces(value)
    if isinstance(value, Mapping):
        return {str(name): rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def night_document(data: ReportData) -> dict[str, Any]:
    """The night for `json_text`, in the target's own unit.

    The meaning of each key is in docs/analyst.md.
    """
    record = data.record
    model = data.model
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "kind", "status", "reason"]
    columns += ["outside", "issued_at", "data_as_of"]
    forecasts = data.rows[columns].to_dict("records")
    for row, line in zip(forecasts, data.lines, strict=True):
        row["special_days"] = line.special_days
        row["parts"] = dict(line.why.parts)
    return {
        "symbol": data.symbol,
        "target": data.target,
        "series": data.fetch["title"],
        "origin_session": data.origin,
        "last_value": float(data.known.iloc[-1]),
        "usual": data.usual,
        "fetched_at": data.fetch["fetched_at"],
        "first_print": data.is_provisional,
        "model_id": model["id"],
        "model": model["name"],
        "method": model["method"],
        "trained_to": model["trained_to"],
        "run_id": data.run["id"],
        "mode": data.run["mode"],
        "notices": {notice.title: notice.text for notice in notices(data)},
        "forecasts": forecasts,
        "last_result": {name: data.result[name] for name in _RESULT} if data.result else None,
        "skill": None if data.skill is None else asdict(data.skill),
        "track_record": {
            "origins": record.origins,
            "kinds": record.kinds,
            "fallbacks": record.fallbacks,
            "skills": record.skills.to_dict("records"),
        },
        "cost": None if data.cost_ratio is None else _cost_document(data, data.cost_ratio),
    }


def _cost_document(data: ReportData, ratio: float) -> dict[str, Any]:
    rows = data.rows[["target_session", "horizon"]]
    return {
        "ratio": ratio,
        "optimal_level": optimal_level(ratio),
        "level": nearest_level(ratio),
        "forecasts": rows.assign(quantile=cost_quantiles(data.rows, ratio)).to_dict("records"),
        "realised": realised_costs(data.record, ratio),
    }


def hubverse(history: pd.DataFrame) -> pd.DataFrame:
    """A row a quantile of the history, in HUBVERSE_COLUMNS, as hubverse requires of model output.

    Dates are naive midnights, horizon is int64 in sessions, output_type_id the level and value the
    quantile, both float64, all others text. A file for a hub is one model_id and one origin_date of
    it, without column model_id.
    """
    names = {
        "origin_session": "origin_date",
        "symbol": "location",
        "target_session": "target_end_date",
    }
    levels = dict(zip(QUANTILE_COLUMNS, QUANTILES, strict=True))
    wide = _lines(history).rename(columns={**names, **levels})
    wide["model_id"] = TEAM + "-" + wide["line"]
    keys = ["model_id", *TASK_IDS]
    long = wide.melt(keys, list(QUANTILES), var_name="output_type_id")
    long["output_type"] = pd.Series("quantile", index=long.index, dtype="string")
    long["output_type_id"] = long["output_type_id"].astype("float64")
    return long.sort_values([*keys, "output_type_id"], ignore_index=True)[list(HUBVERSE_COLUMNS)]


def nixtla(history: pd.DataFrame) -> pd.DataFrame:
    """A row a scored session and origin of one target, as utilsforecast's `evaluate` takes them.

    unique_id (the symbol), ds (target session), cutoff (origin), y (the actual value), then of each
    forecaster its median under its name and its intervals as NAME-lo-LEVEL and NAME-hi-LEVEL,
    levels 50, 80 and 90; NaN where it has no forecast. The network is LSTM. Sessions without a
    score are left out, since an evaluation needs y.
    """
    lines = _lines(history).replace({"line": {LSTM: NIXTLA_LSTM}})
    targets = lines["target"].unique()
    if len(targets) > 1:
        raise UsageError(
            f"Expected a history of one target, found {', '.join(sorted(targets))}. Select rows of "
            "one."
        )
    keys = list(_NIXTLA)
    wide = lines.pivot(index=keys, columns="line", values=list(QUANTILE_COLUMNS))
    names = sorted(
        lines["line"].unique(), key=lambda name: (name != NIXTLA_LSTM, name != PUBLISHED, name)
    )
    columns = {
        label: wide[column, name] for name in names for label, column in _labels(name).items()
    }
    y = lines.groupby(keys)["actual"].first()
    scored = pd.DataFrame({"y": y, **columns}, index=wide.index).dropna(subset="y")
    return scored.sort_index().reset_index().rename(columns=_NIXTLA)


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


def _lines(history: pd.DataFrame) -> pd.DataFrame:
    if "role" not in history:
        raise UsageError(
            "Expected a history with every role, as `ledger.history()` returns; found no column "
            "role."
        )
    rows = history[history["role"] != CHALLENGER]
    place = rows["kind"].map(KINDS.index)
    best = place.groupby([rows[name] for name in _NIGHT]).transform("min")
    is_live = (rows["kind"] == "live") & rows["actual"].notna()
    has_live = is_live.groupby([rows["symbol"], rows["target"]]).transform("any")
    counted = rows[(place == best) & ~(has_live & (rows["kind"] == "replay"))]
    lines = by_line(counted, model="model").sort_values("issued_at", kind="stable")
    lines["line"] = lines["line"].replace({PUBLISHED_LINE: PUBLISHED}).astype("string")
    return lines.drop_duplicates([*_NIGHT, "horizon", "line"], keep="last", ignore_index=True)
