"""Nights and forecasts in the forms that programs read.

JSON, CSV, hubverse's model output, Nixtla's long frame.

The last two hold a line of forecasts for each forecaster, the network as `lstm` and the baselines
under their names, on every night, published or not; and line `published`, what was published each
night, whichever model made it. Challengers are left out. Of each origin one kind counts, live
before late before replay; replays are left out where the symbol and target have a scored live one,
as in view live_skill.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

from forecasting.errors import UsageError
from forecasting.evaluate.scores import by_line, nearest_level, optimal_level
from forecasting.plain_text import ordinary_spaces
from forecasting.report.night_view import ReportData, SymbolLine
from forecasting.report.record import cost_quantiles, newest_records, realised_costs
from forecasting.report.wording import factors, notices
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

_CSV = [
    "symbol",
    "target",
    "origin_session",
    "target_session",
    "horizon",
    *QUANTILE_COLUMNS,
    "last_value",
]
_CSV += ["kind", "status", "reason", "data_as_of", "usual", "vs_usual", "special_day", "why"]
_NIGHT = ["symbol", "target", "origin_session"]


def json_text(document: object) -> str:
    """The document as indented JSON: numbers rounded to DIGITS, days and instants as ISO text, null for NaN."""

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
    """The value, every number in it rounded to DIGITS, and every text with ordinary spaces.

    None for NaN.
    """
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

    Docs/terminal.md has the meaning of each key.
    """
    record = data.record
    model = data.model
    ahead = data.record.ahead(1)
    cost = None
    if (ratio := data.cost_ratio) is not None:
        rows = data.rows[["target_session", "horizon"]].assign(
            quantile=cost_quantiles(data.rows, ratio)
        )
        levels = {
            "ratio": ratio,
            "optimal_level": optimal_level(ratio),
            "level": nearest_level(ratio),
        }
        cost = levels | {
            "forecasts": rows.to_dict("records"),
            "realised": realised_costs(record, ratio),
        }
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "kind", "status", "reason"]
    columns += ["outside", "issued_at", "data_as_of"]
    result = ["target_session", "q10", "q50", "q90", "actual", "inside_80"]
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
        "trained_to": model.get("trained_to"),
        "run_id": data.run["id"],
        "mode": data.run["mode"],
        "notices": {notice.title: notice.text for notice in notices(data)},
        "forecasts": [
            {
                **row,
                "special_days": line.special_days,
                "parts": dict(data.parts.get(row["horizon"], ())),
            }
            for row, line in zip(data.rows[columns].to_dict("records"), data.lines, strict=True)
        ],
        "last_result": next(
            iter(ahead.iloc[-1:][result].astype({"inside_80": bool}).to_dict("records")), None
        ),
        "record": newest_records(record),
        "track_record": {
            "origins": record.origins,
            "kinds": record.kinds,
            "fallbacks": record.fallbacks,
            "skills": record.skills.to_dict("records"),
        },
        "cost": cost,
    }


def forecast_csv(nights: Sequence[ReportData]) -> str:
    """A row a symbol and session as CSV text.

    With a cost ratio, its quantile is in the last of two more columns.
    """
    frames = []
    for data in nights:
        rows = data.rows.assign(
            symbol=data.symbol,
            target=data.target,
            origin_session=data.origin,
            usual=data.usual,
        )
        rows = rows.assign(special_day=[", ".join(line.special_days) for line in data.lines])
        rows = rows.assign(
            vs_usual=rows["q50"] / data.usual - 1, why=[factors(line.why) for line in data.lines]
        )[_CSV]
        if (ratio := data.cost_ratio) is not None:
            rows = rows.assign(cost_ratio=ratio, cost_quantile=cost_quantiles(data.rows, ratio))
        frames.append(rows)
    return (
        (pd.concat(frames) if frames else pd.DataFrame(columns=_CSV))
        .map(rounded)
        .to_csv(index=False)
    )


def index_csv(lines: Sequence[SymbolLine]) -> list[str]:
    """CSV of the index: the header, then a row a line: the columns of `forecast_csv`, and skill."""
    rows = [
        {**line.forecast, "usual": line.usual, "vs_usual": line.vs_usual, "skill": line.skill}
        | {"special_day": ", ".join(line.special_days), "why": factors(line.why)}
        for line in lines
    ]
    whole = pd.DataFrame(rows, columns=[*_CSV, "skill"]).map(rounded)
    return whole.to_csv(index=False, lineterminator="\r\n").split("\r\n")


def table_csv(rows: pd.DataFrame, data: ReportData) -> str:
    """A table of the page of `data` as CSV text.

    What it is of, then the rows, values in the target's own unit.
    """
    night = pd.DataFrame(
        {"symbol": data.symbol, "target": data.target, "as_of": data.origin}, index=rows.index
    )
    return pd.concat([night, rows], axis=1).map(rounded).to_csv(index=False)


def hubverse(history: pd.DataFrame) -> pd.DataFrame:
    """A row a quantile of the history, in the columns that hubverse requires of model output: `HUBVERSE_COLUMNS`.

    Dates are naive midnights, horizon is int64 in sessions, output_type_id the level and value the
    quantile, both float64, all others text. A file for a hub is one model_id and one origin_date of
    it, without column model_id.
    """
    names = {
        "origin_session": "origin_date",
        "symbol": "location",
        "target_session": "target_end_date",
    }
    wide = _lines(history).rename(columns=names)
    wide["model_id"] = TEAM + "-" + wide["line"]
    keys = ["model_id", *TASK_IDS]
    levels = dict(zip(QUANTILE_COLUMNS, QUANTILES, strict=True))
    long = wide.melt(
        keys,
        list(QUANTILE_COLUMNS),
        var_name="column",
        value_name="value",
    )
    long["output_type"] = pd.Series("quantile", index=long.index, dtype="string")
    long["output_type_id"] = long["column"].map(levels).astype("float64")
    return long.sort_values([*keys, "output_type_id"], ignore_index=True)[list(HUBVERSE_COLUMNS)]


def nixtla(history: pd.DataFrame) -> pd.DataFrame:
    """A row a scored session and origin of one target, in the columns that `utilsforecast.evaluation.evaluate` takes.

    unique_id (the symbol), ds (target session), cutoff (origin), y (the actual value), then of each
    forecaster its median under its name and its intervals as NAME-lo-LEVEL and NAME-hi-LEVEL,
    levels 50, 80 and 90; NaN where it has no forecast. The network is LSTM. Sessions without a
    score are left out, since an evaluation needs y.
    """
    lines = _lines(history).replace({"line": {LSTM: NIXTLA_LSTM}})
    if len(targets := lines["target"].unique()) > 1:
        raise UsageError(
            f"Expected a history of one target, found {', '.join(sorted(targets))}. Select rows of "
            "one."
        )
    keys = ["symbol", "target_session", "origin_session"]
    wide = lines.pivot(index=keys, columns="line", values=list(QUANTILE_COLUMNS))
    names = sorted(
        lines["line"].unique(), key=lambda name: (name != NIXTLA_LSTM, name != PUBLISHED, name)
    )
    columns = {
        label: wide[column, name] for name in names for label, column in _labels(name).items()
    }
    y = lines.groupby(keys)["actual"].first()
    found = (
        pd.DataFrame({"y": y, **columns}, index=wide.index)
        .dropna(subset="y")
        .sort_index()
        .reset_index()
    )
    return found.rename(
        columns={"symbol": "unique_id", "target_session": "ds", "origin_session": "cutoff"}
    )


def nixtla_forecast(quantiles: pd.DataFrame) -> pd.DataFrame:
    """Published forecasts in the columns of `nixtla` but y.

    Unique_id, ds, cutoff, the median and its intervals.
    """
    columns = {label: quantiles[column] for label, column in _labels(PUBLISHED).items()}
    keys = {"unique_id": "symbol", "ds": "target_session", "cutoff": "origin_session"}
    return pd.DataFrame({label: quantiles[column] for label, column in keys.items()} | columns)


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
    place = rows["kind"].map({kind: place for place, kind in enumerate(KINDS)}).astype("int64")
    best = place.groupby([rows[name] for name in _NIGHT]).transform("min")
    is_live = (rows["kind"] == KINDS[0]) & rows["actual"].notna()
    has_live = is_live.groupby([rows["symbol"], rows["target"]]).transform("any")
    rows = by_line(rows[(place == best) & ~(has_live & (rows["kind"] == KINDS[-1]))], model="model")
    rows["line"] = rows["line"].replace({PUBLISHED_LINE: PUBLISHED}).astype("string")
    newest = rows.sort_values("issued_at", kind="stable")
    return newest.drop_duplicates([*_NIGHT, "horizon", "line"], keep="last", ignore_index=True)
