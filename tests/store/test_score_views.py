import itertools
import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.evaluate.scores import RATIOS, cost, nearest_level, quantile_at
from forecasting.sessions import between
from forecasting.store import read, schema, write
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.store.mixed_nights import mixed_scores, naive_lines
from tests.store.rows import (
    SYMBOL,
    at,
    bar_rows,
    fetched,
    forecast_row,
    gather_statistics,
    model_row,
    rebuild_standings,
    revision,
    run_row,
    score_row,
    store_scored,
    total_row,
    view_rows,
)

SESSIONS = between(date(2024, 1, 3), date(2024, 2, 28))
ROLES = {"lstm": "champion", "lstm:2": "challenger"}


def with_error(model, origin, role, error, **changed):
    """A forecast, and the values of its score."""
    values = {
        "error": error,
        "pinball": abs(error) / 2,
        "inside_80": abs(error) < 3,
        "inside_90": abs(error) < 5,
    }
    return forecast_row(model, origin, role=role, **changed), [values]


def store_lines(connection, errors):
    """A line of scored forecasts for each model, one a session."""
    lines = []
    for model, line in errors.items():
        role = ROLES.get(model, "baseline")
        lines += [
            with_error(model, str(at), role, error)
            for at, error in zip(SESSIONS, line, strict=False)
        ]
    store_scored(connection, *lines)


@pytest.mark.parametrize(("error", "skill"), [(0.5, -1.0), (0.0, None)])
def test_in_live_skill_the_best_baseline_counts_also_before_the_champion_or_without_an_error(
    connection, error, skill
):
    store_lines(connection, {"lstm": [1.0] * 5, "ridge": [error] * 5, "seasonal": [4.0] * 5})
    found = view_rows(
        connection, "live_skill", "best_baseline", "baseline_mae", "skill", "pinball_skill"
    )
    assert found == [("ridge", error, skill, skill)] * 3


PAIR = ("forecaster", "rival", "n", "mae", "rival_mae", "skill", "pinball_skill", "better")
FIRST = "2024-03-05"
SECOND = "2024-03-06"
THIRD = "2024-03-07"


def pairs(connection):
    return {row[:2]: row[2:] for row in view_rows(connection, "model_comparison", *PAIR)}


def test_a_pair_is_compared_on_the_origins_that_both_have_in_both_orders(connection):
    store_scored(
        connection,
        with_error("lstm", FIRST, "champion", 100.0),  # the ridge has no forecast of this night
        with_error("lstm", SECOND, "champion", -2.0),
        with_error("lstm", THIRD, "champion", 4.0),
        with_error("ridge", SECOND, "baseline", 6.0),
        with_error("ridge", THIRD, "baseline", -2.0),
    )
    found = pairs(connection)
    assert found["lstm", "ridge"] == (2, 3.0, 4.0, 0.25, 0.25, 1)
    assert found["ridge", "lstm"] == (2, 4.0, 3.0, pytest.approx(-1 / 3), pytest.approx(-1 / 3), 1)
    assert found["published", "lstm"] == (
        3,
        pytest.approx(106 / 3),
        pytest.approx(106 / 3),
        0.0,
        0.0,
        0,
    )
    assert set(found) == set(itertools.permutations(("published", "lstm", "ridge"), 2))


def test_published_and_network_part_on_a_night_on_which_a_baseline_is_published(connection):
    store_scored(
        connection,
        with_error("lstm", FIRST, "champion", 2.0),
        with_error("ridge", FIRST, "baseline", 4.0),
        with_error("lstm", SECOND, "silenced", 8.0),
        with_error("ridge", SECOND, "champion", 4.0),
        with_error("lstm:2", SECOND, "challenger", 0.0),  # of no forecaster yet
    )
    found = pairs(connection)
    assert found["published", "lstm"] == (2, 3.0, 5.0, 0.4, 0.4, 1)
    assert found["lstm", "ridge"] == (2, 5.0, 4.0, -0.25, -0.25, 1)
    assert {name for pair in found for name in pair} == {"published", "lstm", "ridge"}


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
    spots = {(row["origin_session"], row["horizon"]) for row in scores}
    actual = {spot: float(rng.normal(100.0, 20.0)) for spot in sorted(spots)}
    for row in scores:
        row["actual"] = actual[row["origin_session"], row["horizon"]] + float(row["bar_version"])
    write.add_scores(connection, scores)
    connection.execute(
        sa.update(schema.forecasts).values(q25=schema.forecasts.c.q25 + schema.forecasts.c.horizon)
    )
    found = read.view(connection, "costs", {"symbol": SYMBOL})
    expected = naive_costs(connection)
    key = COSTS[:5]
    assert len(expected) > 100
    found = found.sort_values(key, ignore_index=True)[expected.columns]
    pd.testing.assert_frame_equal(
        found, expected.sort_values(key, ignore_index=True), check_dtype=False
    )


COSTS = [
    "kind",
    "horizon",
    "window_sessions",
    "cost_ratio",
    "forecaster",
    "n",
    "cost",
    "median_cost",
]
COSTS += ["saving", "published_cost", "published_saving"]


def naive_costs(connection):
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
                theirs = (
                    own[own["origin_session"].isin(ours.index)]
                    .set_index("origin_session")
                    .sort_index()
                )
                for ratio in RATIOS if len(theirs) else ():
                    of_median = cost(theirs["actual"], theirs["q50"], ratio=ratio).mean()
                    own_cost = mean_cost(theirs, ratio)
                    published_cost = mean_cost(ours.loc[theirs.index], ratio)
                    saved = (
                        1 - own_cost / of_median,
                        published_cost,
                        1 - published_cost / own_cost,
                    )
                    key = (kind, horizon, window, ratio, name or "published")
                    rows.append((*key, len(theirs), own_cost, of_median, *saved))
    return pd.DataFrame(rows, columns=COSTS)


def mean_cost(rows, ratio):
    quantiles = quantile_at(rows[list(QUANTILE_COLUMNS)], nearest_level(ratio))
    return float(cost(rows["actual"], quantiles, ratio=ratio).mean())


RESTATED = 20
SPLIT = 30
"""Sessions, counted from the first, after which one earlier bar is restated, and all are on another
share basis."""


def ledger(connection, seed):
    """Bars of every session, one restated after it was used, a split.

    Forecasts of all nights from the ninth on.
    """
    rng = np.random.default_rng(seed)
    versions = {}
    for model in ("lstm", "lstm:2", "ridge"):
        write.add(connection, "models", model_row(model, model.partition(":")[0]))
    for place, session in enumerate(SESSIONS):
        basis = 2.0 if place >= SPLIT else 1.0
        changed = {place: (rng.lognormal(4.6, 0.4) * basis, rng.lognormal(2.3, 0.1) / basis)}
        if place == RESTATED:
            changed[place - 3] = (versions[place - 3][-1][0] * 1.7, versions[place - 3][-1][1])
        if place == SPLIT:
            changed |= {known: (one[-1][0] * 2, one[-1][1] / 2) for known, one in versions.items()}
        store(connection, versions, changed, seen=f"{session}T21:00")
        write.add(connection, "runs", run_row(str(session), str(session)))
        if place >= 8:
            write.add(connection, "forecasts", *night(place, basis, rng))
    stored = pd.DataFrame(connection.execute(sa.select(schema.forecasts)).mappings().all())
    write.add_scores(
        connection, [row for one in stored.to_dict("records") for row in scores_of(one, versions)]
    )


def store(
    connection,
    versions,
    changed,
    *,
    seen,
):
    bars = []
    for place, (volume, close) in sorted(changed.items()):
        versions.setdefault(place, []).append((float(round(volume)), close))
        bars.append(
            bar_rows(
                {str(SESSIONS[place]): float(round(volume))}, version=len(versions[place])
            ).assign(close=close)
        )
    added = pd.concat(bars, ignore_index=True)
    about = {"fetch_id": seen, "fetched_at": at(seen), "run_id": None}
    assert write.add_fetch(connection, fetched(added), revision(added), **about)


def night(place, basis, rng):
    """Two horizons of the published forecast, a baseline's own and, one night in five, a later one
    in its place."""
    origin = str(SESSIONS[place])
    roles = {
        "lstm": ("champion", "22:00"),
        "ridge": ("baseline", "22:00"),
        "lstm:2": ("champion", "23:00"),
    }
    rows = []
    for model, (role, hour) in roles.items():
        for horizon in (1, 2) if model != "lstm:2" or place % 5 == 0 else ():
            median = basis * rng.lognormal(4.6, 0.3)
            quantiles = {
                name: median * (0.7 + 0.1 * level) for level, name in enumerate(QUANTILE_COLUMNS)
            }
            row = forecast_row(
                model, origin, horizon, role=role, issued_at=at(f"{origin}T{hour}"), **quantiles
            )
            rows.append(row | {"fetch_id": f"{origin}T21:00"})
    return rows


def scores_of(forecast, versions):
    """A score against every version of the bar; against the first also as the first print."""
    if forecast["target_session"] not in SESSIONS:
        return []
    count = len(versions[SESSIONS.index(forecast["target_session"])])
    return [
        score_row(forecast),
        *(score_row(forecast, stage="settled", bar_version=k + 1) for k in range(count)),
    ]


def naive_errors(connection, horizon):
    """Squared errors of forecast and mean by a loop over nights.

    The newest forecast of each, the newest bar.
    """
    squares = {}
    newest = read.bars(connection, SYMBOL)
    table = schema.forecasts
    published = sa.select(table).where(table.c.horizon == horizon, table.c.role == "champion")
    forecasts = pd.DataFrame(
        connection.execute(published.order_by(table.c.issued_at)).mappings().all()
    )
    for origin in SESSIONS[8:-horizon]:
        forecast = forecasts[forecasts["origin_session"] == origin].iloc[-1]
        known = read.bars(connection, SYMBOL, last=origin, known_at=forecast["data_as_of"])
        bar = newest.loc[pd.Timestamp(forecast["target_session"])]
        actual = np.log(bar["volume"] * bar["close"])
        error = actual - np.log(forecast["q50"] * known["close"].iloc[-1])
        squares[origin] = (
            error**2,
            (actual - np.log(known["volume"] * known["close"]).tail(5).mean()) ** 2,
        )
    return squares


@pytest.mark.parametrize(
    ("connection", "seed"), [("sqlite", 0), ("postgres", 1)], indirect=["connection"]
)
def test_live_r2_equals_a_loop_over_nights_also_across_a_restatement_and_a_split(connection, seed):
    ledger(connection, seed)
    found = read.view(connection, "live_r2", {"symbol": SYMBOL})
    squares = {horizon: naive_errors(connection, horizon) for horizon in (1, 2)}
    assert len(found) == 6
    for row in found.to_dict("records"):
        scored = SESSIONS[8 : -row["horizon"]][-row["window_sessions"] :]
        ends = (row["first_origin"].date(), row["last_origin"].date())
        assert (row["kind"], row["n"], *ends) == ("live", len(scored), scored[0], scored[-1])
        ours, means = np.sum([squares[row["horizon"]][origin] for origin in scored], axis=0)
        assert row["r2"] == pytest.approx(1 - ours / means, rel=1e-9)


def written(connection):
    """Rows of table standings with n > 0, by primary key."""
    table = schema.standings
    found = connection.execute(
        sa.select(table).where(table.c.n > 0).order_by(*table.primary_key.columns)
    )
    return [tuple(row) for row in found]


@pytest.mark.parametrize(
    ("connection", "seed"), [("sqlite", 0), ("postgres", 2)], indirect=["connection"]
)
def test_standings_updated_in_any_order_equal_those_rebuilt_from_all_scores(connection, seed):
    scores = mixed_scores(connection, seed=seed, days=260)
    order = np.random.default_rng(seed)
    if seed:  # seed 0 keeps the order of the nights
        order.shuffle(scores)
    cuts = np.sort(order.choice(len(scores), 5, replace=False))
    for some in np.split(np.array(scores, dtype=object), cuts):
        write.add_scores(connection, some.tolist())
        gather_statistics(connection)
    updated = written(connection)
    rebuild_standings(connection)
    assert written(connection) == updated


def naive_total_skill(rows, window):
    """Horizon and kind -> n, losses and coverage, by loops over all scores."""
    best = {}
    for row in rows:
        key = (row["horizon"], row["kind"], row["origin_session"], row["model_id"])
        rank = (row["stage"] == "settled", row["bar_version"])
        if key not in best or rank > best[key][0]:
            best[key] = (rank, row)
    newest = [row for _, row in best.values()]
    expected = {}
    for line in sorted({(row["horizon"], row["kind"]) for row in newest}):
        of_line = [row for row in newest if (row["horizon"], row["kind"]) == line]
        published = {row["origin_session"]: row for row in of_line if row["role"] == "champion"}
        ridge = {row["origin_session"]: row for row in of_line if row["model"] == "ridge"}
        nights = sorted(published)[-window:]
        both = [night for night in nights if night in ridge]
        own = sum(published[night]["pinball"] for night in both)
        theirs = sum(ridge[night]["pinball"] for night in both)
        expected[line] = (
            len(nights),
            np.mean([published[night]["pinball"] for night in nights]),
            1.0 - own / theirs if both else None,
            np.mean([published[night]["inside_80"] for night in nights]),
        )
    return expected


def test_total_skill_equals_a_naive_loop(connection):
    rng = np.random.default_rng(4)
    rows = []
    totals = []
    for at_night, origin in enumerate(map(str, SESSIONS[:30])):
        published = "ridge" if at_night % 7 == 0 else "lstm"
        for model in {published, "ridge"} if at_night % 5 else {published}:
            role = "champion" if model == published else "baseline"
            kind = "live" if at_night % 3 else "replay"
            for horizon in (2, 3):
                row = forecast_row(model, origin, horizon, role=role, kind=kind)
                rows.append(row)
                for stage, version in (("first_print", 2), ("settled", 2), ("settled", 3)):
                    if rng.random() < 0.8:
                        values = {"pinball": rng.random() + 0.1, "inside_80": rng.random() < 0.8}
                        changed = values | {"stage": stage, "bar_version": version}
                        totals.append(score_row(row, **changed))
    store_scored(connection, *((row, []) for row in rows))
    write.add(connection, "total_forecasts", *map(total_row, rows))
    write.add(connection, "total_scores", *totals)
    names = ("horizon", "kind", "n", "pinball", "reference_skill", "coverage_80")
    for window in (20, 250):
        found = [
            row[1:]
            for row in view_rows(connection, "total_skill", "window_sessions", *names)
            if row[0] == window
        ]
        expected = naive_total_skill(totals, window)
        assert [row[:2] for row in found] == list(expected)
        for row, values in zip(found, expected.values(), strict=True):
            assert row[2:] == pytest.approx(values, rel=1e-12)
