from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.evaluate.scores import RATIOS, cost, nearest_level, quantile_at
from forecasting.store import read, schema, write
from forecasting.store.connect import reading, transaction
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.store.mixed_nights import mixed_scores, naive_lines
from tests.store.rows import SYMBOL, forecast_row, score_row, start, view_rows

NIGHTS = ("2024-03-05", "2024-03-06", "2024-03-07")
NAMES = ("forecaster", "cost_ratio", "n", "cost", "median_cost", "saving", "published_cost", "published_saving")


def test_costs_of_quantiles_of_70_to_130_are_as_counted_by_hand(database_url):
    """Levels 5, 10, 25 and 50 % are 70, 80, 90 and 100; the actuals 90 and 120, the ridge has the first alone."""
    ours = [forecast_row("lstm", night) for night in NIGHTS[:2]]
    theirs = forecast_row("ridge", NIGHTS[0], role="baseline", q25=94.0, q50=110.0)
    with transaction(database_url) as connection:
        start(connection, origins=NIGHTS, models=("lstm", "ridge"))
        write.add_forecasts(connection, [*ours, theirs])
        write.add_scores(connection, [score_row(ours[0]), score_row(ours[1], actual=120.0), score_row(theirs)])
    found = [row for row in view_rows(database_url, "costs", *NAMES, "window_sessions") if row[-1] == 20]
    assert {row[:2]: row[2:-1] for row in found if row[0] != "lstm"} == {
        ("published", 1): (2, 15.0, 15.0, 0.0, 15.0, 0.0),
        ("published", 3): (2, 15.0, 25.0, 0.4, 15.0, 0.0),
        ("published", 9): (2, 25.0, 55.0, pytest.approx(1 - 25 / 55), 25.0, 0.0),
        ("published", 19): (2, 35.0, 105.0, pytest.approx(1 - 35 / 105), 35.0, 0.0),
        ("ridge", 1): (1, 20.0, 20.0, 0.0, 10.0, 0.5),
        ("ridge", 3): (1, 12.0, 60.0, 0.8, 0.0, 1.0),
        ("ridge", 9): (1, 10.0, 180.0, pytest.approx(17 / 18), 10.0, 0.0),
        ("ridge", 19): (1, 20.0, 380.0, pytest.approx(18 / 19), 20.0, 0.0),
    }


def test_a_forecast_without_a_cost_has_no_saving(database_url):
    exact = forecast_row("lstm", NIGHTS[0], q50=90.0)
    nearly = forecast_row("ridge", NIGHTS[0], q50=math.nextafter(90.0, 91.0), role="baseline")  # exact but for rounding
    with transaction(database_url) as connection:
        start(connection, origins=NIGHTS, models=("lstm", "ridge"))
        write.add_forecasts(connection, [exact, nearly])
        write.add_scores(connection, [score_row(exact), score_row(nearly)])
    found = view_rows(database_url, "costs", "forecaster", "cost_ratio", "cost", "saving", "published_saving")
    assert {row[2:] for row in found if row[:2] == ("lstm", 1)} == {(0.0, None, None)}
    assert {row[2:] for row in found if row[:2] == ("ridge", 9)} == {(10.0, None, 0.0)}


@pytest.mark.parametrize(("database_url", "seed"), [("sqlite", 1), ("postgres", 2)], indirect=["database_url"])
def test_the_view_equals_its_naive_twin_on_nights_of_every_sort(database_url, seed):
    rng = np.random.default_rng(seed)
    scores = mixed_scores(database_url, seed=seed, days=70)
    spots = {(row["origin_session"], row["horizon"]) for row in scores}
    actual = {spot: float(rng.normal(100.0, 20.0)) for spot in sorted(spots)}
    for row in scores:
        row["actual"] = actual[row["origin_session"], row["horizon"]] + float(row["bar_version"])
    with transaction(database_url) as connection:
        write.add_scores(connection, scores)
        spread = sa.update(schema.forecasts).values(q25=schema.forecasts.c.q25 + schema.forecasts.c.horizon)
        connection.execute(spread)
    with reading(database_url) as connection:
        found = read.view(connection, "costs", SYMBOL)
        expected = naive(connection)
    key = ["kind", "horizon", "window_sessions", "cost_ratio", "forecaster"]
    assert len(expected) > 100
    found = found.sort_values(key, ignore_index=True)[expected.columns]
    pd.testing.assert_frame_equal(found, expected.sort_values(key, ignore_index=True), check_dtype=False)


def naive(connection: sa.Connection) -> pd.DataFrame:
    """The rows of the view, by a loop over the lines that count."""
    issued = pd.DataFrame(connection.execute(sa.select(schema.forecasts)).mappings().all())
    slot = ["model_id", "origin_session", "horizon", "kind"]
    lines = naive_lines(connection).merge(issued[[*slot, *QUANTILE_COLUMNS]], on=slot)
    rows = []
    for (kind, horizon), of_line in lines.groupby(["kind", "horizon"]):
        published = of_line[of_line["line"] == ""].sort_values("origin_session")
        for window in (20, 60, 250):
            ours = published.tail(window).set_index("origin_session")
            for name, own in of_line.groupby("line"):
                theirs = own[own["origin_session"].isin(ours.index)].set_index("origin_session").sort_index()
                for ratio in RATIOS if len(theirs) else ():
                    row = {"kind": kind, "horizon": horizon, "window_sessions": window, "cost_ratio": ratio}
                    row |= {"forecaster": name or "published", "n": len(theirs), "cost": mean_cost(theirs, ratio)}
                    row |= {"median_cost": cost(theirs["actual"], theirs["q50"], ratio=ratio).mean()}
                    rows.append(row | {"published_cost": mean_cost(ours.loc[theirs.index], ratio)})
    return pd.DataFrame(rows)


def mean_cost(rows: pd.DataFrame, ratio: float) -> float:
    quantiles = quantile_at(rows[list(QUANTILE_COLUMNS)], nearest_level(ratio))
    return float(cost(rows["actual"], quantiles, ratio=ratio).mean())
