from datetime import date
from functools import partial

import pandas as pd
import pytest
import sqlalchemy as sa

from forecasting.evaluate.decisions import LOSS_COLUMNS
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.store import read, schema, write
from tests.builders import EVE, LAST
from tests.store.mixed_nights import mixed_scores
from tests.store.rows import (
    SYMBOL,
    TARGET,
    at,
    forecast_row,
    gather_statistics,
    score_row,
    store_bars,
    store_scored,
    total_row,
)


def naive_losses(connection, *, last, origins):
    """Origin, horizon and forecaster -> pinball, by a loop over every score."""
    stored = connection.execute(sa.select(schema.scores)).mappings()
    scores = [row for row in stored if row["target_session"] <= last]
    newest = sorted({row["origin_session"] for row in scores})[-origins:]
    best = {}
    for row in scores:
        name = row["model_id"].partition(":")[0]
        line = (row["origin_session"], row["horizon"], "champion" if name == "lstm" else name)
        kind = ("replay", "late", "live").index(row["kind"])
        rank = (kind, row["stage"] == "settled", row["bar_version"], row["issued_at"])
        if row["role"] != "challenger" and row["origin_session"] in newest:
            best[line] = max(best.get(line, ()), (rank, row["pinball"]))
    return {line: loss for line, (_, loss) in best.items()}


def test_losses_scores_and_past_forecasts_equal_naive_loops_over_all_rows(connection):
    write.add_scores(connection, mixed_scores(connection, seed=20, days=40))
    gather_statistics(connection)
    last = date(2024, 2, 20)
    for origins in (1, 20, 400):
        found = read.losses(connection, SYMBOL, TARGET, last=last, origins=origins)
        expected = naive_losses(connection, last=last, origins=origins)
        losses = {
            (row.origin_session.date(), row.horizon, row.forecaster): row.pinball
            for row in found.itertuples()
        }
        assert (losses, len(found), tuple(found)) == (expected, len(expected), LOSS_COLUMNS)
        assert found.equals(
            found.sort_values(["origin_session", "horizon", "forecaster"], ignore_index=True)
        )
    asked = partial(read.scored, connection, SYMBOL, TARGET, last=None, known_at=None)
    every = asked(origins=1000)
    newest = asked(origins=5)
    stored = connection.execute(sa.select(schema.scores)).mappings().all()
    key = ("origin_session", "horizon", "model_id", "kind")
    in_order = sorted(stored, key=lambda row: (row["stage"] == "settled", row["bar_version"]))
    of_each = {tuple(row[name] for name in key): row["pinball"] for row in in_order}
    days = every.assign(origin_session=every["origin_session"].dt.date)
    assert {
        tuple(row[name] for name in key): row["pinball"] for row in days.to_dict("records")
    } == of_each
    assert len(every) == len(of_each) < len(stored)
    assert every["name"].tolist() == [model.partition(":")[0] for model in every["model_id"]]
    days = sorted(every["origin_session"].unique())[-5:]
    assert newest.equals(every[every["origin_session"].isin(days)].reset_index(drop=True))
    every, newest = (
        read.past_forecasts(connection, SYMBOL, TARGET, origin=last, limit=limit)
        for limit in (1000, 7)
    )
    assert newest.equals(every.groupby("horizon").tail(7).reset_index(drop=True))
    assert newest.groupby("horizon").size().to_dict() == {1: 7, 2: 7}


def test_losses_and_scores_known_at_an_instant_are_of_bars_stored_and_settled_by_then(connection):
    """A first print stored on the evening of the 8th, confirmed on the 9th, restated on the 12th.

    Split on the 13th.
    """
    split = {"symbol": SYMBOL, "session": date(2024, 3, 13), "kind": "split", "value": 4.0}
    instants = [at(f"2024-03-{day}") for day in ("08T21:59", "08T22:00", "09T22:00", "12T22:00")]
    stages = [("first_print", 1, 3.0), ("settled", 1, 2.0), ("settled", 2, 1.0)]
    rows = [{"stage": stage, "bar_version": bar, "pinball": loss} for stage, bar, loss in stages]
    store_scored(connection, (forecast_row("lstm", "2024-03-07"), rows))
    store_bars(connection, {"2024-03-08": 100.0}, seen="2024-03-08T22:00")
    store_bars(connection, {"2024-03-11": 100.0}, seen="2024-03-09T22:00", settled=("2024-03-08",))
    store_bars(
        connection,
        {"2024-03-08": 110.0},
        seen="2024-03-12T22:00",
        version=2,
        settled=("2024-03-08",),
    )
    seen = {"first_seen_at": at("2024-03-13T22:00"), "fetch_id": "2024-01-02T21:00"}
    write.add(connection, "corporate_actions", split | seen)
    asked = {"last": date(2024, 3, 28), "origins": 10}
    losses = [
        read.losses(connection, SYMBOL, TARGET, known_at=instant, **asked) for instant in instants
    ]
    scored = [
        read.scored(connection, SYMBOL, TARGET, known_at=instant, **asked) for instant in instants
    ]
    newest = read.scored(connection, SYMBOL, TARGET, last=None, origins=10, known_at=instants[0])
    assert [frame["pinball"].tolist() for frame in losses] == [[], [3.0], [2.0], [1.0]]
    assert [frame["pinball"].tolist() for frame in scored] == [[], [3.0], [2.0], [1.0]]
    assert newest["pinball"].tolist() == [1.0]


@pytest.mark.parametrize(("target", "times"), [("volume", 4.0), ("close", 0.25), ("range", 1.0)])
def test_losses_and_scores_of_forecasts_before_a_split_are_on_the_basis_after_it_once_it_is_known(
    connection, target, times
):
    rows = [forecast_row("lstm", origin, target=target) for origin in ("2024-03-06", "2024-03-07")]
    split = {"symbol": SYMBOL, "session": EVE, "kind": "split", "value": 4.0}
    store_scored(connection, *((row, [{"pinball": 3.0}]) for row in rows))
    # When the bars of the second were fetched, whose forecast is on the new basis
    seen = at("2024-03-07T21:00")
    write.add(
        connection,
        "corporate_actions",
        split | {"first_seen_at": seen, "fetch_id": "2024-01-02T21:00"},
    )
    losses = read.losses(connection, SYMBOL, target, last=date(2024, 3, 28), origins=10)
    asked = partial(read.scored, connection, SYMBOL, target, last=None, origins=10)
    before = asked(known_at=at("2024-03-07T20:59"))
    found = asked(known_at=None)
    assert losses["pinball"].tolist() == [3.0 * times, 3.0]
    assert (before["pinball"].tolist(), found["pinball"].tolist()) == (
        [3.0, 3.0 / times],
        [3.0 * times, 3.0],
    )
    for name in ("q05", "q50", "q95", "actual", "error", "pinball"):
        assert found[name].tolist() == [value * times for value in before[name]]
    assert found["inside_80"].equals(before["inside_80"])
    assert not {"data_as_of", "first_received"} & set(found)


def unscored(connection, target=TARGET, last="2024-03-08"):
    found = read.unscored_forecasts(connection, SYMBOL, target, last=date.fromisoformat(last))
    return [(row.stage, row.bar_version, row.volume) for row in found.itertuples()]


def test_a_forecast_is_unscored_against_first_print_then_settled_then_restated_bar(connection):
    forecast = forecast_row("lstm", "2024-03-07")
    store_scored(connection, (forecast, []))
    assert unscored(connection) == []
    store_bars(connection, {"2024-03-08": 80.0}, seen="2024-03-08T21:00")
    assert unscored(connection) == [("first_print", 1, 80.0)]
    assert unscored(connection, last="2024-03-07") == []
    write.add_scores(connection, [score_row(forecast)])
    assert unscored(connection) == []
    store_bars(
        connection,
        {"2024-03-08": 90.0},
        seen="2024-03-09T21:00",
        version=2,
        settled=("2024-03-08",),
    )
    assert unscored(connection) == [("settled", 2, 90.0)]
    write.add_scores(connection, [score_row(forecast, stage="settled", bar_version=2)])
    store_bars(
        connection,
        {"2024-03-08": 91.0},
        seen="2024-05-01T21:00",
        version=3,
        settled=("2024-03-08",),
    )
    assert unscored(connection) == [("settled", 3, 91.0)]


def test_a_bar_without_the_targets_value_leaves_nothing_to_score(connection):
    store_scored(
        connection,
        *((forecast_row("lstm", "2024-03-07", target=name), []) for name in (TARGET, "close")),
    )
    store_bars(connection, {"2024-03-08": float("nan")}, seen="2024-03-08T21:00")
    assert unscored(connection) == []
    assert [row[:2] for row in unscored(connection, "close")] == [("first_print", 1)]
    store_bars(connection, {"2024-03-08": 70.0}, seen="2024-03-09T21:00", version=2)
    assert unscored(connection) == [("first_print", 2, 70.0)]


def test_a_forecast_made_before_a_split_is_scored_on_its_own_share_basis(connection):
    rows = [forecast_row("lstm", origin) for origin in ("2024-03-06", "2024-03-07", "2024-03-08")]
    split = make_actions([("2024-03-08", "split", 2.0)])
    # The bars of the last one are on the new basis already
    store_scored(connection, *((row, []) for row in rows))
    store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:00")
    restated = {"version": 2, "settled": ("2024-03-07",), "actions": split}
    store_bars(connection, {"2024-03-07": 200.0}, seen="2024-03-08T21:00", **restated)
    store_bars(connection, {"2024-03-08": 210.0, "2024-03-11": 220.0}, seen="2024-03-11T21:00")
    found = read.unscored_forecasts(connection, SYMBOL, TARGET, last=date(2024, 3, 11))
    asked = partial(read.past_forecasts, connection, SYMBOL, TARGET, limit=9)
    past = asked(origin=date(2024, 3, 11))
    before = asked(origin=LAST, known_at=at("2024-03-07T21:00"))
    actuals = [
        (str(row.target_session.date()), row.stage, row.volume, row.close)
        for row in found.itertuples()
    ]
    assert actuals == [
        ("2024-03-07", "first_print", 100.0, 11.0),
        ("2024-03-07", "settled", 100.0, 22.0),
        ("2024-03-08", "first_print", 105.0, 22.0),
        ("2024-03-11", "first_print", 220.0, 11.0),
    ]
    assert past["split_factor"].tolist() == [2.0, 2.0, 1.0]
    assert before["split_factor"].tolist() == [1.0, 1.0]


def test_a_split_of_years_before_the_bars_changes_no_basis(connection):
    old = make_actions([("2001-04-30", "split", 2.0)])
    store_scored(connection, (forecast_row("lstm", "2024-03-07"), []))
    store_bars(connection, {"2024-03-08": 100.0}, seen="2024-03-08T21:00", actions=old)
    assert unscored(connection) == [("first_print", 1, 100.0)]


def test_a_forecast_is_not_compared_with_bars_of_a_history_that_the_user_accepted_after_it(
    connection,
):
    accepted = Finding(EVE, "history_accepted", "flag", 25.0, "Accepted.")
    rows = [forecast_row("lstm", origin) for origin in ("2024-03-06", "2024-03-07", "2024-03-08")]
    store_scored(connection, *((row, []) for row in rows))  # the last one made of the other history
    store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:00", settled=("2024-03-07",))
    restated = {"version": 2, "settled": ("2024-03-07",), "findings": (accepted,)}
    store_bars(connection, {"2024-03-07": 7.0}, seen="2024-03-08T21:00", **restated)
    store_bars(connection, {"2024-03-08": 8.0}, seen="2024-03-08T22:00")
    store_bars(connection, {"2024-03-11": 9.0}, seen="2024-03-11T21:00")
    found = read.unscored_forecasts(connection, SYMBOL, TARGET, last=date(2024, 3, 11))
    asked = partial(read.past_forecasts, connection, SYMBOL, TARGET, limit=9)
    past = asked(origin=date(2024, 3, 11), known_at=at("2024-03-11T21:00"))
    write.add_scores(connection, [score_row(row) for row in rows])
    scored = partial(read.scored, connection, SYMBOL, TARGET, last=None, origins=9)
    averaged = [
        scored(known_at=instant)["origin_session"].dt.day.tolist()
        for instant in (at("2024-03-08T20:00"), at("2024-03-11T21:00"))
    ]
    losses = read.losses(connection, SYMBOL, TARGET, last=date(2024, 3, 11), origins=9)
    assert averaged == [[6, 7, 8], [8]]
    assert losses["origin_session"].dt.day.tolist() == [8]
    scores = [(row.stage, row.bar_version, row.volume) for row in found.itertuples()]
    assert scores == [("first_print", 1, 100.0), ("first_print", 1, 9.0)]
    before = pd.Timestamp("2024-03-08T20:59:59.999999Z")
    newest = pd.Timestamp("2024-03-11T21:00Z")
    assert past["bars_at"].tolist() == [before, before, newest]


def test_a_total_is_scored_once_its_sessions_are_by_the_bars_of_the_instant(connection):
    """Two sessions, the second after a split 2:1; the first is restated on the 12th."""
    forecasts = [forecast_row("lstm", "2024-03-06", horizon) for horizon in (1, 2)]
    first = [("first_print", 1, 100.0), ("settled", 1, 100.0), ("settled", 3, 90.0)]
    second = [("first_print", 1, 60.0), ("settled", 1, 60.0)]
    each = [
        [{"stage": stage, "bar_version": bar, "actual": actual} for stage, bar, actual in rows]
        for rows in (first, second)
    ]
    store_scored(connection, *zip(forecasts, each, strict=True))
    write.add(connection, "total_forecasts", total_row(forecasts[1]))
    store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:00")
    again = {"settled": ("2024-03-07",)}
    store_bars(connection, {"2024-03-08": 120.0}, seen="2024-03-08T21:00", **again)
    store_bars(connection, {"2024-03-11": 1.0}, seen="2024-03-11T21:00", settled=("2024-03-08",))
    restated = {"version": 3, "settled": ("2024-03-07",)}
    store_bars(connection, {"2024-03-07": 90.0}, seen="2024-03-12T21:00", **restated)

    def closed(known_at):
        first = date(2024, 3, 8)
        found = read.closed_totals(connection, SYMBOL, TARGET, first=first, known_at=known_at)
        names = ["horizon", "stage", "bar_version", "actual"]
        return sorted(found[names].itertuples(index=False, name=None))

    print_only = [(2, "first_print", 2, 160.0)]
    assert closed(at("2024-03-07T22:00")) == []
    assert closed(at("2024-03-08T22:00")) == print_only
    assert closed(at("2024-03-11T22:00")) == [*print_only, (2, "settled", 2, 160.0)]
    assert closed(None) == [*print_only, (2, "settled", 4, 150.0)]


def test_the_totals_not_closed_at_the_newest_origin_are_the_best_of_each_origin_and_length(
    connection,
):
    origins = ("2024-03-05", "2024-03-06", "2024-03-07")
    forecasts = [forecast_row("lstm", day, horizon) for day in origins for horizon in (2, 3)]
    replay = forecasts[0] | {"kind": "replay"}
    store_scored(connection, *((row, []) for row in [*forecasts, replay]))
    rows = [total_row(row, factor=1.0 + row["origin_session"].day / 10.0) for row in forecasts]
    write.add(connection, "total_forecasts", *rows, total_row(replay, q50=1.0))
    asked = partial(read.totals_since_newest, connection, SYMBOL, TARGET)
    found = asked(session=date(2024, 3, 8))
    each = [(row.origin_session.day, row.horizon, row.factor) for row in found.itertuples()]
    assert each == [(5, 3, 1.5), (6, 2, 1.6), (6, 3, 1.6), (7, 2, 1.7), (7, 3, 1.7)]
    assert found["q50"].tolist() == [100.0] * 5
    found = asked(session=date(2024, 3, 6))
    assert found[["horizon", "q50"]].to_numpy().tolist() == [[2, 100.0], [3, 100.0]]
    assert asked(session=date(2024, 3, 5)).empty
