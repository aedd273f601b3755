from dataclasses import replace
from datetime import date
from functools import partial

import numpy as np
import pytest

from forecasting.store import read, write
from forecasting.store.rows import ModelRow, RunRow
from tests.builders import EVE
from tests.builders import LAST as LAST_DAY
from tests.store.rows import (
    SYMBOL,
    TARGET,
    at,
    forecast_row,
    model_row,
    run_row,
    store_bars,
    store_forecasts,
    store_scored,
)

FIRST = str(EVE)
LAST = str(LAST_DAY)


def test_parents_are_named_from_the_nearest_to_the_oldest_and_once_in_a_circle(
    connection,
):
    links = ("cb", "ba", "a?", "xy", "yx")
    write.add(
        connection, "models", *(model_row(child, parent_id=parent) for child, parent in links)
    )
    for child, parents in {"c": ["b", "a", "?"], "x": ["y", "x"]}.items():
        model = read.stored(connection, ModelRow, {"id": child})
        assert model
        assert read.lineage(connection, model).parents == parents


def test_past_forecasts_are_one_row_per_origin_and_horizon_of_the_network(connection):
    def network_row(model, origin, horizon=1, label="", **changed):
        return forecast_row(model, origin, horizon, calibration=label or origin, **changed)

    replay = {"kind": "replay", "issued_at": at("2024-03-09")}
    store_forecasts(
        connection,
        network_row("lstm", "2024-03-04"),
        network_row("lstm", "2024-03-04", 2),
        network_row("lstm", "2024-03-04", label="not first", **replay),
        network_row("ridge", "2024-03-05", status="fallback"),
        network_row("lstm:2", "2024-03-05", role="challenger"),
        network_row("lstm", "2024-03-06", kind="replay", label="issued first"),
        network_row("lstm:2", "2024-03-06", label="issued last", **replay),
        network_row("lstm", "2024-03-06", 2, label="target too late"),
    )
    asked = partial(read.past_forecasts, connection, SYMBOL, TARGET, origin=date(2024, 3, 7))
    found = asked(limit=10)
    days = found["origin_session"].dt.day
    assert [*zip(days, found["horizon"], found["calibration"], strict=True)] == [
        (4, 1, "2024-03-04"),
        (4, 2, "2024-03-04"),
        (6, 1, "issued last"),
    ]
    assert found["split_factor"].tolist() == [1.0] * 3
    assert asked(limit=1)["horizon"].tolist() == [2, 1]


def test_a_column_of_a_view_has_the_type_of_its_values(connection):
    """`error` is a number in scores; seconds that add up to 0 are no whole number."""
    for id, error in (("r1", None), ("r2", "No bar yet.")):
        write.add(connection, "runs", run_row(id, "2024-03-08", error=error))
    nights = read.view(connection, "night_log", {"symbol": SYMBOL}).sort_values("run_id")
    assert nights["error"].tolist() == [None, "No bar yet."]
    durations = read.view(connection, "night_durations", {"symbol": SYMBOL, "step": "total"})
    for seconds in (nights["seconds_total"], durations["max_seconds"]):
        assert seconds.dtype == np.float64
        assert set(seconds) == {0.0}


FAILED = {"status": "failed", "started_at": at("2024-03-08T22:00")}
AFTERWARDS = "2024-03-08T22:30"


@pytest.mark.parametrize(
    ("failed", "later", "fetched_at", "newest"),
    [
        (FAILED, {}, AFTERWARDS, "later"),
        (FAILED, {"status": "running"}, AFTERWARDS, "later"),
        (FAILED, {}, "2024-03-08T22:00", "failed"),  # of stored bars, maybe of the same run
        (FAILED, {"status": "failed"}, AFTERWARDS, "failed"),
        (FAILED, {"target": "range"}, AFTERWARDS, "failed"),
        (FAILED | {"status": "late"}, {}, AFTERWARDS, "failed"),  # its bar is still missing
    ],
)
@pytest.mark.parametrize("requested", ["later", "other"])  # of the first of its targets
def test_a_failed_night_is_history_once_later_bars_led_to_another_night(
    connection, failed, later, fetched_at, newest, requested
):
    store_bars(connection, {FIRST: 1.0}, seen=fetched_at)
    write.update(connection, "fetches", fetched_at, {"run_id": requested})
    write.add(connection, "runs", run_row("later", FIRST, **later))
    write.add(connection, "runs", run_row("other", FIRST, target="close"))
    write.add(connection, "runs", run_row("failed", LAST, **failed))
    found = read.newest_run(connection, SYMBOL, TARGET)
    assert found
    assert found.id == newest
    assert read.newest_runs(connection, [SYMBOL], first=date.min)[SYMBOL, TARGET] == found
    write.update(connection, "fetches", fetched_at, {"run_id": "failed"})
    assert read.newest_run(connection, SYMBOL, TARGET, last=LAST_DAY).id == "failed"


def test_a_run_has_its_market_series_and_the_done_night_before_it_of_its_target(connection):
    at_ten, at_eleven = at("2024-03-08T22:00"), at("2024-03-08T23:00")
    night = {"market_fetch": f"{LAST}T21:00"}
    nights = [
        run_row("eve", FIRST, market_fetch=f"{FIRST}T21:00"),
        run_row("first", LAST, started_at=at_ten),
        run_row("failed", LAST, started_at=at("2024-03-08T22:30"), status="failed"),
        run_row("second", LAST, started_at=at_eleven, **night),
        run_row("range", LAST, started_at=at_ten, target="range"),
    ]
    write.add(connection, "runs", *nights)
    store_bars(connection, {FIRST: 1.0}, seen=f"{FIRST}T21:00")
    store_bars(connection, {FIRST: 1.0}, seen=f"{LAST}T21:00", version=2)
    write.update(connection, "fetches", f"{LAST}T21:00", {"symbol": "SPY"})
    markets = {run: read.market_of_run(connection, run) for run in ("eve", "second", "first")}
    assert markets == {"eve": SYMBOL, "second": "SPY", "first": ""}
    stored = (read.stored(connection, RunRow, {"id": night["id"]}) for night in nights)
    of_each = [read.done_before(connection, night) for night in stored]
    assert [before and before.id for before in of_each] == [None, "eve", "first", "first", None]


def test_the_newest_run_is_of_a_session_up_to_the_last_one_done_before_late_and_not_closed(
    connection,
):
    statuses = {FIRST: "done", LAST: "late", "2024-03-11": "closed"}
    runs = (run_row(day, day, status=status) for day, status in statuses.items())
    again = run_row("again", FIRST, status="late", started_at=at("2024-03-07T23:00"))
    write.add(connection, "runs", *runs, again)
    for last, day in ((EVE, FIRST), (LAST_DAY, LAST), (date.max, LAST)):
        found = read.newest_run(connection, SYMBOL, TARGET, last=last)
        assert found
        assert found.id == day
    newest = partial(read.newest_runs, connection, [SYMBOL, "KO"])
    assert [*newest(first=LAST_DAY, last=date.max)] == [(SYMBOL, TARGET)]
    assert newest(first=date(2024, 3, 11), last=date.max) == {}


def test_the_newest_scratch_fit_is_one_that_passed_up_to_a_session(connection):
    def fit(id, trained_to, **changed):
        return model_row(id, trained_to=trained_to, **changed)

    refused = fit("refused", LAST_DAY, refused="Worse.")
    warm = fit("warm", LAST_DAY, method="warm")
    write.add(connection, "models", fit("eve", EVE), refused, warm)
    newest = partial(read.newest_scratch, connection, SYMBOL, TARGET)
    assert newest(session=LAST_DAY) == newest(session=EVE) == EVE
    assert newest(session=date(2024, 3, 6)) is None


def test_the_newest_network_has_passed_and_is_not_withdrawn(connection):
    write.add(connection, "runs", *(run_row(day, day) for day in (FIRST, LAST)))
    write.add(
        connection,
        "models",
        model_row("a", run_id=FIRST),
        model_row("b", run_id=LAST),
        model_row("c", run_id=LAST, refused="Worse.", created_at=at("2024-03-20")),
        model_row("d", run_id=LAST, withdrawn_at=at("2024-03-21"), created_at=at("2024-03-20")),
        model_row("ridge", name="ridge"),
    )
    newest = partial(read.newest_network, connection, SYMBOL, TARGET)
    for before, expected in ((date.max, "b"), (LAST_DAY, "a")):
        found = newest(before=before)
        assert found
        assert found.id == expected
    assert newest(before=date.fromisoformat(FIRST)) is None


@pytest.fixture
def scored(connection):
    """Two nights with a replay of the second and others' rows, each median its own, all scored."""
    eve = forecast_row("lstm", FIRST, q50=91.0)
    last = forecast_row("lstm", LAST, q50=92.0)
    later = {"issued_at": at("2024-03-12")}
    others = [
        last | later | {"kind": "replay", "q50": 93.0},
        last | later | {"model_id": "ridge", "role": "baseline", "q50": 94.0},
        forecast_row("lstm", LAST, 2, q50=95.0),
        last | {"symbol": "KO", "q50": 96.0, "kind": "replay"},
        last | {"target": "range", "q50": 97.0},
    ]
    stages = [{"stage": "first_print", "actual": 1.0}, {"stage": "settled", "actual": 2.0}]
    store_scored(connection, *((row, stages) for row in (eve, last, *others)))
    series = ({"symbol": "KO"}, {"target": "range"})
    write.add(connection, "runs", *(run_row(*one.values(), LAST, **one) for one in series))
    return connection


def test_the_night_and_the_result_of_a_series_are_published_live_and_one_session_ahead(scored):
    newest = partial(read.published, scored, SYMBOL, TARGET)
    for day, median in ((EVE, 91.0), (LAST_DAY, 92.0)):
        found, *_ = newest(last=day)
        assert (found.q50, found.title) == (median, "Starbucks")
    assert newest(last=date(2024, 3, 6)) == []
    every = [(row.symbol, row.q50) for row in read.newest_published(scored)]
    assert every == [("KO", 96.0), (SYMBOL, 97.0), (SYMBOL, 92.0)]

    def results(symbols, **asked):
        found = read.last_results(scored, symbols, **asked)
        assert {row.actual for row in found.values()} <= {2.0}
        return {key: row.q50 for key, row in found.items()}

    of_last = {(SYMBOL, "volume"): 92.0, (SYMBOL, "range"): 97.0, ("KO", "volume"): 96.0}
    assert results([SYMBOL, "KO"], first=LAST_DAY) == of_last
    assert results([SYMBOL], first=EVE, last=LAST_DAY) == {(SYMBOL, "volume"): 91.0}
    assert results([SYMBOL], first=EVE, last=EVE) == {}


def test_a_model_has_its_forecasts_and_what_it_was_fitted_on(scored):
    (stored,) = read.models_beginning(scored, "lstm", limit=2)
    model = replace(stored, fetch_id="2024-01-02T21:00", run_id=FIRST)
    found = read.lineage(scored, model)
    assert (found.forecasts, found.first_origin, found.last_origin) == (4, EVE, LAST_DAY)
    assert (found.fitted_by.as_of, found.trained_on.source) == (EVE, "csv:SBUX.csv")
