"""Seeded scores of nights of every sort.

Published baselines, reissued forecasts, gaps, all kinds, stages and roles.
"""

from datetime import date
from itertools import product

import numpy as np
import pandas as pd
import sqlalchemy as sa

from forecasting.evaluate.scores import ScoreRow
from forecasting.sessions import between
from forecasting.store import schema
from tests.store.rows import all_rows, at, forecast_row, score_row, store_forecasts

Rows = list[dict[str, object]]

BASELINES = ("ridge", "har")
_RUNS = {"": 21, ":2": 22}
"""Ending of the model ids and hour of issue of a night's run, and of a second one under other
settings."""


def mixed_scores(connection: sa.Connection, *, seed: int, days: int = 290) -> list[ScoreRow]:
    """Scores of `days` nights whose forecasts are stored; the scores are not."""
    rng = np.random.default_rng(seed)
    nights = between(date(2024, 1, 3), date(2025, 12, 31))[:days]
    forecasts = [row for origin in nights for row in _forecasts_of(origin, rng)]
    store_forecasts(connection, *forecasts)
    return [row for forecast in forecasts for row in _scores_of(forecast, rng)]


def _forecasts_of(origin: date, rng: np.random.Generator) -> Rows:
    """The forecasts of one night, some of them missing.

    On one night in three a baseline is published.
    """
    rows = []
    for ending, hour in _RUNS.items():
        if ending and rng.random() > 0.15:
            continue
        published = str(rng.choice(["lstm", "lstm", "lstm", "lstm", *BASELINES]))
        roles = {"lstm": "network", **dict.fromkeys(BASELINES, "baseline"), published: "published"}
        models = {f"{name}{ending}": role for name, role in roles.items()}
        if not ending:
            models["lstm:3"] = "challenger"
        usual = str(rng.choice(["live", "live", "live", "late", "replay"]))
        for (model, role), horizon in product(models.items(), (1, 2)):
            kind = usual if rng.random() < 0.98 else str(rng.choice(["live", "late", "replay"]))
            row = forecast_row(model, origin.isoformat(), horizon, role=role, kind=kind)
            if rng.random() < 0.97:
                rows.append(row | {"issued_at": at(f"{origin}T{hour}:00")})
    return rows


def _scores_of(forecast: dict[str, object], rng: np.random.Generator) -> list[ScoreRow]:
    """A first-print score, usually a settled one, sometimes one of a restated bar."""
    stages = [("first_print", 1), ("settled", 1), ("settled", 2)]
    rows = []
    for stage, version in stages[: int(rng.choice([1, 2, 2, 2, 3]))]:
        error = float(rng.normal(0, 2e6))
        values = {
            "error": error,
            "pinball": abs(error) * float(rng.uniform(0.2, 0.4)),
            "inside_80": abs(error) < 2e6,
            "inside_90": abs(error) < 3e6,
        }
        rows.append(score_row(forecast, stage=stage, bar_version=version, **values))
    return rows


def naive_lines(connection: sa.Connection) -> pd.DataFrame:
    """The score that counts of each line, kind, horizon and origin, from all rows of table scores.

    Columns of the table and `line`: empty for the published forecasts, else a baseline's name or
    `lstm`.
    """
    scores = pd.DataFrame(all_rows(connection, schema.scores))
    scores = scores.sort_values("model_id", ascending=False).sort_values(
        ["issued_at", "stage", "bar_version"], kind="stable"
    )
    own = scores[scores["role"] != "challenger"]
    published = scores[scores["role"] == "published"]
    lines = pd.concat([own.assign(line=own["model"]), published.assign(line="")])
    key = ["line", "kind", "horizon", "origin_session"]
    return lines.groupby(key, as_index=False).tail(1)
