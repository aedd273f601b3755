import itertools
import math
from collections import defaultdict
from dataclasses import replace
from datetime import date
from itertools import product

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.evaluate.scores import RATIOS, nearest_level, quantile_at
from forecasting.sessions import between
from forecasting.store import read, schema, write
from forecasting.vocabulary import KINDS, QUANTILE_COLUMNS
from tests.store.mixed_nights import mixed_scores, naive_lines
from tests.store.rows import (
    SYMBOL,
    TARGET,
    add_scores,
    all_rows,
    forecast_row,
    gather_statistics,
    score_row,
    store_forecasts,
    store_scored,
    total_row,
    view_rows,
)

SESSIONS = between(date(2024, 1, 3), date(2024, 2, 28))


def with_error(model, origin, role, error):
    """A forecast, and the values of its score."""
    values = {"error": error, "pinball": abs(error) / 2}
    return forecast_row(model, origin, role=role), [values]


@pytest.mark.parametrize(("error", "skill"), [(0.5, -1.0), (0.0, None)])
def test_in_live_skill_the_best_baseline_counts_also_before_the_network_or_without_an_error(
    connection, error, skill
):
    lines = []
    errors = {"lstm": 1.0, "ridge": error, "seasonal": 4.0}
    for model, session in product(errors, SESSIONS[:5]):
        role = "published" if model == "lstm" else "baseline"
        lines.append(with_error(model, str(session), role, errors[model]))
    store_scored(connection, *lines)
    found = view_rows(
        connection, "live_skill", "best_baseline", "baseline_mae", "skill", "pinball_skill"
    )
    assert found == [("ridge", error, skill, skill)] * 3


FIRST = "2024-03-05"
SECOND = "2024-03-06"
THIRD = "2024-03-07"


def test_forecasters_are_compared_in_both_orders_on_the_origins_that_both_have(connection):
    store_scored(
        connection,
        with_error("lstm", FIRST, "published", 100.0),  # the ridge has no forecast of this night
        with_error("lstm", SECOND, "published", -2.0),
        with_error("ridge", SECOND, "baseline", 6.0),
        with_error("lstm", THIRD, "network", 8.0),
        with_error("ridge", THIRD, "published", -4.0),
        with_error("lstm:2", THIRD, "challenger", 0.0),  # of no forecaster yet
    )
    names = ("forecaster", "rival", "n", "mae", "rival_mae", "skill", "pinball_skill", "better")
    found = {row[:2]: row[2:] for row in view_rows(connection, "model_comparison", *names)}
    assert found["lstm", "ridge"] == (2, 5.0, 5.0, 0.0, 0.0, 1)
    assert found["ridge", "published"] == (2, 5.0, 3.0, *[pytest.approx(-2 / 3)] * 2, 0)
    published = pytest.approx(1 - 106 / 110)
    assert found["published", "lstm"] == (3, pytest.approx(106 / 3), 110 / 3, *[published] * 2, 1)
    assert set(found) == set(itertools.permutations(("published", "lstm", "ridge"), 2))


def test_a_forecast_without_a_cost_has_no_saving(connection):
    exact = forecast_row("lstm", FIRST, q50=90.0)
    nearly = forecast_row("ridge", FIRST, q50=math.nextafter(90.0, 91.0), role="baseline")
    store_scored(connection, (exact, [{}]), (nearly, [{}]))
    found = view_rows(
        connection, "costs", "forecaster", "cost_ratio", "cost", "saving", "published_saving"
    )
    assert {row[2:] for row in found if row[:2] == ("lstm", 1)} == {(0.0, None, None)}
    assert {row[2:] for row in found if row[:2] == ("ridge", 9)} == {(10.0, None, 0.0)}


@pytest.mark.parametrize(
    ("connection", "seed"), [("sqlite", 1), ("postgres", 2)], indirect=["connection"]
)
def test_the_view_equals_its_naive_twin_on_nights_of_every_sort(connection, seed):
    rng = np.random.default_rng(seed)
    scores = mixed_scores(connection, seed=seed, days=70)
    actual = defaultdict(lambda: float(rng.normal(100.0, 20.0)))
    known = [
        replace(one, actual=actual[one.origin_session, one.horizon] + one.bar_version)
        for one in scores
    ]
    add_scores(connection, known)
    forecast = schema.forecasts.c
    connection.execute(sa.update(schema.forecasts).values(q25=forecast.q25 + forecast.horizon))
    expected = naive_costs(connection).sort_values(COSTS[:5], ignore_index=True)
    found = read.view(connection, "costs", {"symbol": SYMBOL})
    found = found.sort_values(COSTS[:5], ignore_index=True)[COSTS]
    assert len(expected) > 100
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


COSTS = ["kind", "horizon", "window_sessions", "cost_ratio", "forecaster", "n", "cost"]
COSTS += ["median_cost", "saving", "published_cost", "published_saving"]


def naive_costs(connection):
    """The rows of the view, by a loop over the lines that count."""
    issued = pd.DataFrame(all_rows(connection, schema.forecasts))
    slot = ["model_id", "origin_session", "horizon", "kind"]
    lines = naive_lines(connection).merge(issued[[*slot, *QUANTILE_COLUMNS]], on=slot)
    rows = []
    for key, of_line in lines.groupby(["kind", "horizon"]):
        every = of_line[of_line["line"] == ""].set_index("origin_session").sort_index()
        for window, (name, own) in product((20, 60, 250), of_line.groupby("line")):
            published = every.tail(window)
            theirs = own[own["origin_session"].isin(published.index)]
            ours = published.loc[theirs["origin_session"]]
            for ratio in RATIOS if len(theirs) else ():
                of_median = cost(theirs["actual"], theirs["q50"], ratio).mean()
                of_own = mean_cost(theirs, ratio)
                of_ours = mean_cost(ours, ratio)
                costs = (of_own, of_median, 1 - of_own / of_median, of_ours, 1 - of_ours / of_own)
                rows.append((*key, window, ratio, name or "published", len(theirs), *costs))
    return pd.DataFrame(rows, columns=COSTS)


def cost(actual, forecast, ratio):
    """An overestimate costs `ratio` per unit, an underestimate 1."""
    over = forecast - actual
    return np.maximum(ratio * over, -over)


def mean_cost(rows, ratio):
    quantiles = quantile_at(rows[list(QUANTILE_COLUMNS)], nearest_level(ratio))
    return float(cost(rows["actual"], quantiles, ratio).mean())


@pytest.mark.parametrize("kinds", [("replay",), ("replay", "late"), ("replay", "late", "live")])
def test_replays_count_until_one_is_issued_late_and_these_until_one_is_live(connection, kinds):
    nights = zip(SESSIONS, kinds, strict=False)
    issued = [forecast_row("lstm", str(origin), kind=kind) for origin, kind in nights]
    store_scored(connection, *((row, [{}]) for row in issued))
    counting = {
        row["kind"] for row in read.counted_scores(connection, SYMBOL, TARGET).to_dict("records")
    }
    assert counting == {kinds[-1]}
    skill = read.view(connection, "live_skill", {"symbol": SYMBOL, "counts": True})
    assert set(skill["kind"]) == {kinds[-1]}


@pytest.mark.parametrize(
    ("connection", "seed"), [("sqlite", 0), ("postgres", 2)], indirect=["connection"]
)
def test_standings_updated_in_any_order_equal_those_rebuilt_from_all_scores(connection, seed):
    scores = mixed_scores(connection, seed=seed, days=260)
    order = np.random.default_rng(seed)
    if seed:  # seed 0 keeps the order of the nights
        order.shuffle(scores)
    cuts = np.sort(order.choice(len(scores), 5, replace=False))
    *earlier, last = np.split(np.array(scores, dtype=object), cuts)
    for some in earlier:
        add = write.add_scores if seed else add_scores  # as in one run, or in one each
        add(connection, some.tolist())
        gather_statistics(connection)
    assert any(row["n"] for row in all_rows(connection, schema.standings)) == (not seed)
    add_scores(connection, last.tolist())
    updated = [row for row in all_rows(connection, schema.standings) if row["n"] > 0]
    connection.execute(sa.delete(schema.standings))
    for kind in KINDS:
        write.write_standings(connection, SYMBOL, TARGET, kind)
    assert all_rows(connection, schema.standings) == updated


def naive_total_skill(scores, window):
    """Horizon and kind -> n, losses and coverage, by a loop over the newest scores."""
    newest = pd.DataFrame(scores).sort_values(["stage", "bar_version"])
    key = ["horizon", "kind", "origin_session"]
    newest = newest.drop_duplicates([*key, "model_id"], keep="last").sort_values(key)
    expected = {}
    for line, rows in newest.groupby(key[:2]):
        published = rows[rows["role"] == "published"].tail(window)
        ridge = rows[rows["model"] == "ridge"]
        both = published.merge(ridge, on="origin_session")
        skill = 1.0 - both["pinball_x"].sum() / both["pinball_y"].sum()
        means = published[["pinball", "inside_80"]].mean()
        expected[line] = (len(published), means["pinball"], skill, means["inside_80"])
    return expected


def test_total_skill_equals_a_naive_loop(connection):
    rng = np.random.default_rng(4)
    totals = []
    for place, origin in enumerate(map(str, SESSIONS[:30])):
        roles = {"ridge": "baseline"} if place % 5 else {}
        roles["lstm" if place % 7 else "ridge"] = "published"
        for (model, role), horizon in product(roles.items(), (2, 3)):
            kind = "live" if place % 3 else "replay"
            totals.append(forecast_row(model, origin, horizon, role=role, kind=kind))
    stages = [("first_print", 2), ("settled", 2), ("settled", 3)]
    scores = [
        score_row(
            row,
            stage=stage,
            bar_version=version,
            pinball=rng.random() + 0.1,
            inside_80=bool(rng.random() < 0.8),
        )
        for row, (stage, version) in product(totals, stages)
        if rng.random() < 0.8
    ]
    store_forecasts(connection, *totals)
    write.add(connection, "total_forecasts", *map(total_row, totals))
    write.add(connection, "total_scores", *scores)
    names = ("horizon", "kind", "n", "pinball", "reference_skill", "coverage_80")
    for window in (20, 250):
        every = view_rows(connection, "total_skill", "window_sessions", *names)
        found = {row[1:3]: row[3:] for row in every if row[0] == window}
        expected = naive_total_skill(scores, window)
        assert found == {line: pytest.approx(expected[line], rel=1e-12) for line in expected}
