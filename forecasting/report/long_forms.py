"""Forecasts in the forms that other programs read: hubverse's model output, and the long frame of Nixtla's libraries.

Both hold a line of forecasts for each forecaster, the network as `lstm` and the baselines under their names, on every
night, published or not; and line `published`, what was published each night, whichever model made it. Challengers are
left out. Of each origin one kind counts, live before late before replay; replays are left out where the symbol and
target have a live forecast, as in view live_skill.
"""

from __future__ import annotations

import pandas as pd

from forecasting.evaluate.scores import by_line
from forecasting.vocabulary import CHALLENGER, KINDS, LSTM, MEDIAN, PUBLISHED_LINE, QUANTILE_COLUMNS, QUANTILES

PUBLISHED = "published"
"""Name of the published line in both forms."""

TEAM = "forecasting"
"""First part of a hubverse model id, which is TEAM-MODEL."""

TASK_IDS = ("origin_date", "target", "horizon", "location", "target_end_date")
"""Columns of `hubverse` that name what is forecast, as a hub's tasks.json lists them."""

HUBVERSE_COLUMNS = ("model_id", *TASK_IDS, "output_type", "output_type_id", "value")

NIXTLA_LSTM = "LSTM"
"""Column of the network in `nixtla`, as Nixtla's libraries name a model."""

_NIGHT = ["symbol", "target", "origin_session"]


def hubverse(history: pd.DataFrame) -> pd.DataFrame:
    """A row a quantile, in the columns that hubverse requires of model output: `HUBVERSE_COLUMNS`.

    Dates are naive midnights, horizon is int64 in sessions, output_type_id the level and value the quantile, both
    float64, all others text. A file for a hub is one model_id and one origin_date of it, without column model_id.

    Args:
        history: Rows as from `ledger_frames.history`.
    """
    names = {"origin_session": "origin_date", "symbol": "location", "target_session": "target_end_date"}
    wide = _lines(history).rename(columns=names)
    wide["model_id"] = TEAM + "-" + wide["line"]
    keys = ["model_id", *TASK_IDS]
    levels = dict(zip(QUANTILE_COLUMNS, QUANTILES, strict=True))
    long = wide.melt(keys, list(QUANTILE_COLUMNS), var_name="column", value_name="value")
    long["output_type"] = pd.Series("quantile", index=long.index, dtype="string")
    long["output_type_id"] = long["column"].map(levels).astype("float64")
    return long.sort_values([*keys, "output_type_id"], ignore_index=True)[list(HUBVERSE_COLUMNS)]


def nixtla(history: pd.DataFrame) -> pd.DataFrame:
    """A row a scored session and origin, in the columns that `utilsforecast.evaluation.evaluate` takes.

    unique_id (the symbol), ds (target session), cutoff (origin), y (the actual value), then of each forecaster its
    median under its name and its intervals as NAME-lo-LEVEL and NAME-hi-LEVEL, levels 50, 80 and 90; NaN where it has
    no forecast. The network is LSTM. Sessions without a score are left out, since an evaluation needs y.

    Args:
        history: Rows of one target, as from `ledger_frames.history`.
    """
    lines = _lines(history)
    lines = lines[lines["actual"].notna()].replace({"line": {LSTM: NIXTLA_LSTM}})
    keys = ["symbol", "target_session", "origin_session"]
    wide = lines.pivot(index=keys, columns="line", values=list(QUANTILE_COLUMNS))
    names = sorted(lines["line"].unique(), key=lambda name: (name != NIXTLA_LSTM, name != PUBLISHED, name))
    columns = {label: wide[column, name] for name in names for label, column in _labels(name).items()}
    y = lines.groupby(keys)["actual"].first()
    found = pd.DataFrame({"y": y, **columns}, index=wide.index).sort_index().reset_index()
    return found.rename(columns={"symbol": "unique_id", "target_session": "ds", "origin_session": "cutoff"})


def _labels(name: str) -> dict[str, str]:
    """The columns of one forecaster: their names in Nixtla's frame and in ours."""
    labels = {name: QUANTILE_COLUMNS[MEDIAN]}
    for place in range(MEDIAN - 1, -1, -1):
        level = round(100 * (1 - 2 * QUANTILES[place]))
        labels[f"{name}-lo-{level}"] = QUANTILE_COLUMNS[place]
        labels[f"{name}-hi-{level}"] = QUANTILE_COLUMNS[-1 - place]
    return labels


def _lines(history: pd.DataFrame) -> pd.DataFrame:
    """The rows that count, with column `line`: one a line, origin and horizon."""
    rows = by_line(_counted(history[history["role"] != CHALLENGER]), model="model")
    rows["line"] = rows["line"].replace({PUBLISHED_LINE: PUBLISHED}).astype("string")
    newest = rows.sort_values("issued_at", kind="stable")
    return newest.drop_duplicates([*_NIGHT, "horizon", "line"], keep="last", ignore_index=True)


def _counted(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the kind that counts on each night."""
    place = rows["kind"].map({kind: place for place, kind in enumerate(KINDS)}).astype("int64")
    best = place.groupby([rows[name] for name in _NIGHT]).transform("min")
    has_live = place.groupby([rows["symbol"], rows["target"]]).transform("min") == 0
    return rows[(place == best) & ~(has_live & (rows["kind"] == KINDS[-1]))]
