"""Losses, scores and what is still to be scored, as of instants, across splits and histories."""

from datetime import date
from functools import partial

import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.sessions import next_sessions
from forecasting.store import read, schema, write
from forecasting.store.read.scores import LOSS_COLUMNS
from forecasting.vocabulary import KINDS
from tests.builders import EVE, LAST
from tests.store.mixed_nights import mixed_scores
from tests.store.rows import (
    SYMBOL,
    TARGET,
    add_scores,
    all_rows,
    at,
    forecast_row,
    gather_statistics,
    score_row,
    store_bars,
    store_forecasts,
    store_scored,
    total_row,
)

LINE = ["origin_session", "horizon", "forecaster"]
SETTLED = {"settled": ("2024-03-08",)}
SETTLED_EVE = {"settled": ("2024-03-07",)}


def issued(*days):
    return [forecast_row("lstm", f"2024-03-{day}") for day in days]


def naive_losses(scores, *, last, origins):
    """The scores that count of each line, from all of them."""
    closed = scores[scores["target_session"] <= last]
    newest = sorted(set(closed["origin_session"]))[-origins:]
    counted = closed[closed["origin_session"].isin(newest) & (closed["role"] != "challenger")]
    ranked = counted.assign(
        forecaster=counted["model"],
        rank=counted["kind"].map(KINDS[::-1].index),
    ).sort_values(["rank", "stage", "bar_version", "issued_at"])
    return ranked.drop_duplicates(LINE, keep="last").sort_values(LINE)


def naive_scores(scores):
    """The newest score of each line of live nights, those of a published forecast twice."""
    own = scores[(scores["kind"] == "live") & (scores["role"] != "challenger")]
    own = own.assign(forecaster=own["model"])
    published = own[own["role"] == "published"].assign(forecaster="published")
    ranked = pd.concat([own, published]).sort_values(["issued_at", "stage", "bar_version"])
    return ranked.drop_duplicates(LINE, keep="last").sort_values(LINE)


def published_scores(connection, target=TARGET, **asked):
    return read.scored(connection, SYMBOL, target, first=date.min, **asked)


def values(found, names):
    """The rows of a frame, its days as dates."""
    days = pd.to_datetime(found["origin_session"]).dt.date
    return found.assign(origin_session=days)[[*names, "pinball"]].to_numpy().tolist()


def test_losses_scores_and_past_forecasts_equal_naive_twins_of_all_rows(connection):
    add_scores(connection, mixed_scores(connection, seed=20, days=40))
    gather_statistics(connection)
    last = date(2024, 2, 20)
    stored = pd.DataFrame(all_rows(connection, schema.scores))
    for origins in (1, 20, 400):
        found = read.losses(connection, SYMBOL, TARGET, last=last, origins=origins)
        expected = naive_losses(stored, last=last, origins=origins)
        assert values(found, LINE) == values(expected, LINE)
        assert tuple(found) == LOSS_COLUMNS
    every = read.counted_scores(connection, SYMBOL, TARGET)
    assert values(every, LINE) == values(naive_scores(stored), LINE)
    assert every["name"].tolist() == [model.partition(":")[0] for model in every["model_id"]]
    first = sorted(every["origin_session"].unique())[-5]
    is_newest = (every["origin_session"] >= first) & (every["forecaster"] == "published")
    newest = every[is_newest].drop(columns=["data_as_of", "first_received"])
    asked = partial(read.scored, connection, SYMBOL, TARGET, last=None, known_at=at("2025-01-01"))
    assert asked(first=first.date()).equals(newest.reset_index(drop=True))
    asked = partial(read.past_forecasts, connection, SYMBOL, TARGET, origin=last)
    newest = asked(limit=1000).groupby("horizon").tail(7)
    assert asked(limit=7).equals(newest.reset_index(drop=True))
    assert len(newest) == 14


def store_split(connection, session, *, seen):
    split = {"symbol": SYMBOL, "session": session, "kind": "split", "value": 4.0}
    first_seen = {"first_seen_at": at(seen), "fetch_id": "2024-01-02T21:00"}
    write.add(connection, "corporate_actions", split | first_seen)


def test_losses_and_scores_known_at_an_instant_are_of_bars_stored_and_settled_by_then(connection):
    """A first print stored on the evening of the 8th, confirmed on the 9th, restated on the 12th.

    Split on the 13th.
    """
    stages = [("first_print", 1, 3.0), ("settled", 1, 2.0), ("settled", 2, 1.0)]
    rows = [{"stage": stage, "bar_version": bar, "pinball": loss} for stage, bar, loss in stages]
    store_scored(connection, (*issued("07"), rows))
    store_bars(connection, {"2024-03-08": 100.0}, seen="2024-03-08T22:00")
    store_bars(connection, {"2024-03-11": 100.0}, seen="2024-03-09T22:00", **SETTLED)
    store_bars(connection, {"2024-03-08": 110.0}, seen="2024-03-12T22:00", version=2, **SETTLED)
    store_split(connection, date(2024, 3, 13), seen="2024-03-13T22:00")
    instants = [at(f"2024-03-{day}") for day in ("08T21:59", "08T22:00", "09T22:00", "12T22:00")]
    for query in (partial(read.losses, symbol=SYMBOL, target=TARGET, origins=10), published_scores):
        asked = partial(query, connection, last=date(2024, 3, 8))
        found = [asked(known_at=instant)["pinball"].tolist() for instant in instants]
        assert found == [[], [3.0], [2.0], [1.0]]
        assert query(connection, last=date(2024, 3, 7), known_at=instants[3]).empty
    newest = published_scores(connection, last=None, known_at=instants[0])
    assert newest["pinball"].tolist() == [1.0]


@pytest.mark.parametrize(("target", "times"), [("volume", 4.0), ("range", 1.0)])
def test_losses_and_scores_of_forecasts_before_a_split_are_on_the_basis_after_it_once_it_is_known(
    connection, target, times
):
    rows = [row | {"target": target} for row in issued("06", "07")]
    store_scored(connection, *((row, [{"pinball": 3.0}]) for row in rows))
    # When the bars of the second were fetched, whose forecast is on the new basis
    store_split(connection, EVE, seen="2024-03-07T21:00")
    # A split of their first bar's session, which is on the new basis already
    store_split(connection, date(2024, 1, 2), seen="2024-03-07T21:00")
    losses = read.losses(connection, SYMBOL, target, last=date(2024, 3, 28), origins=10)
    asked = partial(published_scores, connection, target, last=None)
    before = asked(known_at=at("2024-03-07T20:59"))
    found = asked(known_at=at("2024-03-07T21:00"))
    assert losses["pinball"].tolist() == found["pinball"].tolist() == [3.0 * times, 3.0]
    assert before["pinball"].tolist() == [3.0, 3.0 / times]
    of_value = ["q05", "q50", "q95", "actual", "error", "pinball"]
    assert (found[of_value] == before[of_value] * times).all(axis=None)
    assert found["inside_80"].equals(before["inside_80"])
    assert not {"data_as_of", "first_received"} & set(found)


def unscored(connection, target=TARGET, last=LAST, **asked):
    found = read.unscored_forecasts(connection, SYMBOL, target, last=last, **asked)
    return [(row.stage, row.bar_version, row.volume) for row in found.itertuples()]


def test_a_forecast_is_unscored_against_first_print_then_settled_then_restated_bar(connection):
    (forecast,) = issued("07")
    store_forecasts(connection, forecast)
    assert unscored(connection) == []
    store_bars(connection, {"2024-03-08": 80.0}, seen="2024-03-08T21:00")
    assert unscored(connection) == [("first_print", 1, 80.0)]
    assert unscored(connection, last=EVE) == []
    add_scores(connection, [score_row(forecast)])
    assert unscored(connection) == []
    store_bars(connection, {"2024-03-11": 70.0}, seen="2024-03-09T20:00", **SETTLED)
    assert unscored(connection) == []  # settled as first stored
    store_bars(connection, {"2024-03-08": 90.0}, seen="2024-03-09T21:00", version=2, **SETTLED)
    assert unscored(connection) == [("settled", 2, 90.0)]
    add_scores(connection, [score_row(forecast, stage="settled", bar_version=2)])
    store_bars(connection, {"2024-03-08": 91.0}, seen="2024-05-01T21:00", version=3, **SETTLED)
    assert unscored(connection) == [("settled", 3, 91.0)]


def test_the_bars_to_score_against_are_those_of_the_instant(connection):
    """Of the second session; the first one is scored."""
    forecasts = issued("06", "07")
    store_forecasts(connection, *forecasts)
    store_bars(connection, {"2024-03-07": 80.0}, seen="2024-03-07T21:00")
    add_scores(connection, [score_row(forecasts[0])])
    bars = {"2024-03-08T21:00": {}, "2024-03-09T21:00": SETTLED, "2024-05-01T21:00": SETTLED}
    for version, (seen, settled) in enumerate(bars.items(), start=1):
        store_bars(connection, {"2024-03-08": 80.0}, seen=seen, version=version, **settled)
    for instant, versions in {
        "2024-03-08T20:59": [],
        "2024-03-08T21:00": [("first_print", 1)],
        "2024-03-09T21:00": [("first_print", 1), ("settled", 2)],
        "2024-05-01T21:00": [("first_print", 1), ("settled", 3)],
    }.items():
        assert [row[:2] for row in unscored(connection, known_at=at(instant))] == versions


def test_a_bar_without_the_targets_value_leaves_nothing_to_score(connection):
    (forecast,) = issued("07")
    store_forecasts(connection, forecast, forecast | {"target": "range"})
    store_bars(connection, {"2024-03-08": float("nan")}, seen="2024-03-08T21:00")
    assert unscored(connection) == []
    assert [row[:2] for row in unscored(connection, "range")] == [("first_print", 1)]
    store_bars(connection, {"2024-03-08": 70.0}, seen="2024-03-09T21:00", version=2)
    assert unscored(connection) == [("first_print", 2, 70.0)]


def test_a_forecast_made_before_a_split_is_scored_on_its_own_share_basis(connection):
    """Also beside a split of years before its bars."""
    # The bars of the last one are on the new basis already
    store_forecasts(connection, *issued("06", "07", "08"))
    old = make_actions([("2001-04-30", "split", 2.0)])
    split = make_actions([("2024-03-08", "split", 2.0)])
    store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:00", actions=old)
    restated = {"version": 2, "actions": split, **SETTLED_EVE}
    store_bars(connection, {"2024-03-07": 200.0}, seen="2024-03-08T21:00", **restated)
    store_bars(connection, {"2024-03-08": 210.0, "2024-03-11": 220.0}, seen="2024-03-11T21:00")
    found = read.unscored_forecasts(connection, SYMBOL, TARGET, last=date(2024, 3, 11))
    days = found["target_session"].dt.day
    assert [*zip(days, found["stage"], found["volume"], found["close"], strict=True)] == [
        (7, "first_print", 100.0, 11.0),
        (7, "settled", 100.0, 22.0),
        (8, "first_print", 105.0, 22.0),
        (11, "first_print", 220.0, 11.0),
    ]
    asked = partial(read.past_forecasts, connection, SYMBOL, TARGET, limit=9)
    past = asked(origin=date(2024, 3, 11))
    before = asked(origin=LAST, known_at=at("2024-03-07T21:00"))
    assert past["split_factor"].tolist() == [2.0, 2.0, 1.0]
    assert before["split_factor"].tolist() == [1.0, 1.0]


def test_a_forecast_is_not_compared_with_bars_of_a_history_that_the_user_accepted_after_it(
    connection,
):
    accepted = Finding(EVE, "history_accepted", "flag", 25.0, "Accepted.")
    rows = issued("06", "07", "08")  # the last one made of the other history
    store_forecasts(connection, *rows)
    store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:00", **SETTLED_EVE)
    restated = {"version": 2, "findings": (accepted,), **SETTLED_EVE}
    store_bars(connection, {"2024-03-07": 7.0}, seen="2024-03-08T21:00", **restated)
    store_bars(connection, {"2024-03-08": 8.0}, seen="2024-03-08T22:00")
    newest = "2024-03-11T21:00"
    store_bars(connection, {"2024-03-11": 9.0}, seen=newest)
    assert unscored(connection, last=date(2024, 3, 11)) == [
        ("first_print", 1, 100.0),
        ("first_print", 1, 9.0),
    ]
    of_series = (connection, SYMBOL, TARGET)
    past = read.past_forecasts(*of_series, origin=date(2024, 3, 11), limit=9, known_at=at(newest))
    before = pd.Timestamp("2024-03-08T20:59:59.999999Z")
    assert past["bars_at"].tolist() == [before, before, pd.Timestamp(at(newest))]
    add_scores(connection, [score_row(row) for row in rows])
    for instant, days in (("2024-03-08T20:00", [6, 7, 8]), (newest, [8])):
        scored = published_scores(connection, last=None, known_at=at(instant))
        assert scored["origin_session"].dt.day.tolist() == days
    losses = read.losses(*of_series, last=date(2024, 3, 11), origins=9)
    assert losses["origin_session"].dt.day.tolist() == [8]


def test_a_total_is_scored_once_its_sessions_are_by_the_bars_of_the_instant(connection):
    """Two and three sessions, the second after a split 2:1; the first is restated on the 12th, as 90
    shares of before.
    """
    forecasts = [forecast_row("lstm", "2024-03-06", horizon) for horizon in (1, 2, 3)]
    store_forecasts(connection, *forecasts)
    write.add(connection, "total_forecasts", *map(total_row, forecasts[1:]))
    store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:00")
    split = {"actions": make_actions([("2024-03-08", "split", 2.0)])}
    store_bars(connection, {"2024-03-08": 120.0}, seen="2024-03-08T21:00", **SETTLED_EVE, **split)
    store_bars(connection, {"2024-03-11": 10.0}, seen="2024-03-11T21:00", **SETTLED)
    store_bars(connection, {"2024-03-07": 180.0}, seen="2024-03-12T21:00", version=3, **SETTLED_EVE)
    first_print = [2, "first_print", 2, 160.0]
    three = [3, "first_print", 3, 165.0]
    steps = {
        "2024-03-07T22:00": [],
        "2024-03-08T22:00": [first_print],
        "2024-03-11T22:00": [first_print, three],
        "2024-03-12T22:00": [first_print, three, [2, "settled", 4, 150.0]],
    }
    for instant, expected in steps.items():
        found = read.unscored_totals(connection, SYMBOL, TARGET, first=LAST, known_at=at(instant))
        totals = found[["horizon", "stage", "bar_version", "actual"]].sort_values(
            ["stage", "horizon"]
        )
        assert totals.to_numpy().tolist() == expected


def test_a_total_of_more_sessions_than_are_forecast_is_of_their_bars_once_none_is_missing(
    connection,
):
    """Twenty sessions: volumes 1 to 20; that of the 12th comes late, 1 is restated to 4.

    Split 2:1 from the 16th on, so that 16 to 20 are of twice as many shares.
    """
    (forecast,) = issued("06")
    store_forecasts(connection, forecast)
    sessions = next_sessions(date(2024, 3, 6), 20)
    total = total_row(forecast, horizon=20, target_session=sessions[-1])
    write.add(connection, "total_forecasts", total)
    days = [*map(str, sessions)]
    volumes = dict(zip(days, range(1, 21), strict=True))
    before = {day: volumes[day] for day in days[:15]} | {days[11]: float("nan")}
    after = {day: 2 * volumes[day] for day in days[15:]}
    split = {"actions": make_actions([(days[15], "split", 2.0)])}
    store_bars(connection, before, seen="2024-03-27T21:00")
    store_bars(connection, after, seen="2024-04-04T21:00", **split)
    late = {"version": 2, "settled": tuple(days)}
    store_bars(connection, {days[0]: 8.0, days[11]: 24.0}, seen="2024-04-05T21:00", **late)
    asked = partial(read.unscored_totals, connection, SYMBOL, TARGET, first=LAST)
    assert asked(known_at=at("2024-04-04T22:00")).empty
    assert asked(last=date(2024, 4, 3)).empty
    assert asked()[["stage", "bar_version", "actual"]].to_numpy().tolist() == [
        ["first_print", 21, 210.0],
        ["settled", 22, 213.0],
    ]
    write.add(connection, "total_scores", score_row(total, bar_version=21))
    assert asked()["stage"].tolist() == ["settled"]
    write.add(connection, "total_scores", score_row(total, stage="settled", bar_version=22))
    assert asked().empty


def test_the_totals_not_closed_at_the_newest_origin_are_the_best_of_each_origin_and_length(
    connection,
):
    origins = ("2024-03-05", "2024-03-06", "2024-03-07")
    forecasts = [forecast_row("lstm", day, horizon) for day in origins for horizon in (2, 3)]
    replay = forecasts[0] | {"kind": "replay"}
    store_forecasts(connection, *forecasts, replay)
    rows = [total_row(row, factor=1.0 + row["origin_session"].day / 10.0) for row in forecasts]
    write.add(connection, "total_forecasts", *rows, total_row(replay, q50=1.0))
    asked = partial(read.totals_since_newest, connection, SYMBOL, TARGET)
    names = ["horizon", "factor", "q50"]
    assert asked(session=LAST)[names].to_numpy().tolist() == [
        [3, 1.5, 100.0],
        [2, 1.6, 100.0],
        [3, 1.6, 100.0],
        [2, 1.7, 100.0],
        [3, 1.7, 100.0],
    ]
    older = asked(session=date(2024, 3, 6))
    assert older[names].to_numpy().tolist() == [[2, 1.5, 100.0], [3, 1.5, 100.0]]
    assert asked(session=date(2024, 3, 5)).empty


def test_a_total_of_twenty_sessions_has_not_closed_for_as_many_origins(connection):
    origins = next_sessions(date(2024, 2, 1), 24, "XNYS")
    forecasts = [forecast_row("lstm", day.isoformat(), 20) for day in origins]
    write.add(connection, "total_forecasts", *map(total_row, forecasts))
    since = read.totals_since_newest(connection, SYMBOL, TARGET, session=origins[-1])
    assert since["origin_session"].astype(str).tolist() == [*map(str, origins[3:-1])]
