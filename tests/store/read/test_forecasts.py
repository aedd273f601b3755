"""Published forecasts, their nights and their parts, among those of others."""

from datetime import date
from functools import partial

import pytest

from forecasting.store import read, write
from tests.store.rows import (
    SERIES,
    SYMBOL,
    TARGET,
    at,
    forecast_row,
    part_rows,
    store_bars,
    store_forecasts,
    total_row,
)

FIRST = date(2024, 3, 5)
LAST = date(2024, 3, 6)


@pytest.fixture
def ledger(connection):
    """Two published nights among others' rows; a replay of the first is reissued in a second."""
    first = forecast_row("lstm", "2024-03-05", data_as_of=at("2024-03-05T20:00"))
    last = forecast_row("lstm", "2024-03-06", q50=101.0)
    replay = {"kind": "replay", "issued_at": at("2024-03-08")}
    others = [
        first | replay | {"q50": 91.0},
        last | {"model_id": "ridge", "role": "baseline", "issued_at": at("2024-03-06T23:00")},
        last | {"target": "range", "q50": 102.0},
        last | {"symbol": "KO", "q50": 103.0},
        forecast_row("lstm", "2024-03-07", role="network", calibration="bands"),
    ]
    further = [row | {"horizon": 2, "q50": 104.0} for row in (first, last)]
    store_forecasts(connection, first, last, *others, *further)
    parts = [part_rows(row, level=80.0, usual=1.2) for row in (first, last, *further, others[3])]
    write.add(connection, "forecast_parts", *(part for rows in parts for part in rows))
    return connection


def test_an_origin_is_published_with_a_row_a_horizon_the_best_of_each(ledger):
    asked = partial(read.published, ledger, SYMBOL, TARGET)
    for origin, medians in (
        (None, [101.0, 104.0]),
        (LAST, [101.0, 104.0]),
        (FIRST, [100.0, 104.0]),
    ):
        assert [row.q50 for row in asked(origin=origin)] == medians
    assert asked(origin=date(2024, 3, 4)) == read.published(ledger, "NONE", TARGET) == []


def test_parts_are_those_of_the_origins_and_horizons_in_their_order(ledger):
    asked = partial(read.parts, ledger, [SYMBOL], [TARGET], first=FIRST)
    assert [*asked(last=FIRST, horizons=[1]).values()] == [[("level", 80.0), ("usual", 1.2)]]
    assert len(asked(last=LAST)) == 4


def test_the_newest_night_before_a_session_has_its_bars_and_says_if_a_baseline_is_published(ledger):
    series = (ledger, SYMBOL, TARGET)
    assert read.issued_before(*series, session=FIRST) is None
    assert read.issued_before(*series, session=LAST) == (FIRST, at("2024-03-05T20:00"))
    in_fallback = partial(read.in_fallback, *series)
    assert [in_fallback(before=date(2024, 3, day)) for day in (5, 7, 8)] == [False, False, True]
    published = forecast_row("lstm", "2024-03-08", run_id="2024-03-05", calibration="bands")
    later = {"origin_session": date(2024, 3, 11), "target_session": date(2024, 3, 12)}
    ignored = later | {"role": "network"}
    write.add(ledger, "forecasts", published, published | ignored | {"calibration": ""})
    older = ignored | {"role": "challenger", "model_id": "ridge"}
    write.add(ledger, "forecasts", published | older)
    assert not in_fallback(before=date(2024, 3, 12))


def test_an_answer_has_the_rows_of_its_columns_values_and_no_more_than_its_limit(ledger):
    for question, equal, count in (
        ("latest", SERIES, 2),
        ("latest", SERIES | {"horizon": 1}, 1),
        ("why", {"symbol": SYMBOL}, 4),
        ("totals", SERIES, 0),
        ("history", SERIES, 0),
        ("skill", SERIES, 0),
    ):
        assert len(read.answer(ledger, question, equal, limit=9)) == count
    (row,) = read.answer(ledger, "latest", SERIES, limit=1)
    assert (row["horizon"], row["q50"]) == (1, 101.0)


def test_past_forecasts_reach_back_to_the_oldest_that_the_longest_horizon_needs(connection):
    days = ("2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08")
    near = [forecast_row("lstm", day) for day in days]
    far = [forecast_row("lstm", day, 5) for day in days[:3]]
    store_forecasts(connection, *near, *far)
    past = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 13), limit=2)
    found = zip(past["horizon"], past["origin_session"].dt.day, strict=True)
    assert sorted(found) == [(1, 7), (1, 8), (5, 5), (5, 6)]


def test_the_bars_of_nights_are_those_that_each_had(connection):
    """One of 5 March's bar, before it was restated; others in a replay of when it was."""
    stored = {"2024-03-05": 1.0, "2024-03-06": 2.0}
    store_bars(connection, stored, seen="2024-03-06T21:00", settled=("2024-03-05",))
    live = forecast_row("lstm", "2024-03-06", data_as_of=at("2024-03-06T21:00"))
    replay = live | {"kind": "replay", "data_as_of": at("2024-03-07T21:00")}
    store_forecasts(connection, live, replay)
    store_bars(connection, {"2024-03-05": 3.0}, seen="2024-03-07T21:00", version=2)
    found = read.bars_of_nights(connection, [SYMBOL], LAST, first=FIRST)
    volumes = {kind: rows["volume"].tolist() for kind, rows in found.groupby("kind")}
    assert volumes == {"live": [1.0, 2.0], "replay": [3.0, 2.0]}
    assert found[found["kind"] == "live"]["settled"].tolist() == [True, False]


def test_totals_of_an_origin_are_by_their_night_the_shortest_first(connection):
    two = [forecast_row("lstm", "2024-03-06", horizon=horizon) for horizon in (3, 2)]
    before = forecast_row("lstm", "2024-03-05", horizon=2)
    other = forecast_row("lstm", "2024-03-06", horizon=2, symbol="KO")
    store_forecasts(connection, *two, before, other)
    write.add(connection, "total_forecasts", *map(total_row, (*two, before, other)))
    (totals,) = read.totals_of(connection, [SYMBOL], LAST).values()
    assert [total.horizon for total in totals] == [2, 3]
