from __future__ import annotations

import json
from datetime import date

import pandas as pd

from forecasting.store import read, write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, TARGET, at, forecast_row, part_rows, start


def test_forecasts_carry_the_name_of_their_model(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-06", "2024-03-07"), models=("lstm", "ridge"))
        rows = [forecast_row("lstm", "2024-03-06"), forecast_row("lstm", "2024-03-07")]
        write.add_forecasts(connection, [*rows, forecast_row("ridge", "2024-03-07", role="baseline")])
        found = read.forecasts(connection, SYMBOL, TARGET)
    assert found["model"].tolist() == ["lstm", "ridge", "lstm"]
    assert found["target_session"].tolist() == [pd.Timestamp(f"2024-03-0{day}") for day in (7, 8, 8)]
    assert found["issued_at"].tolist() == [pd.Timestamp(f"2024-03-0{day}T22:00Z") for day in (6, 7, 7)]


def test_the_parts_of_a_median_are_read_in_their_order(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-06", "2024-03-07"))
        rows = [forecast_row("lstm", origin) for origin in ("2024-03-06", "2024-03-07")]
        write.add_forecasts(connection, rows)
        for row in rows:
            write.add(connection, "forecast_parts", *part_rows(row, usual=50.0, report=2.5, calendar=0.8))
        found = read.parts(connection, SYMBOL, TARGET, first=date(2024, 3, 7), last=date(2024, 3, 7))
        assert len(read.parts(connection, SYMBOL, TARGET, first=date(2024, 3, 6), last=date(2024, 3, 7))) == 6
    assert list(zip(found["part"], found["factor"], strict=True)) == [("usual", 50), ("report", 2.5), ("calendar", 0.8)]
    assert found["factor"].prod() == 100.0


def test_past_forecasts_are_one_row_per_origin_and_horizon_of_the_network(database_url):
    def network_row(model: str, origin: str, horizon: int = 1, **changed: object) -> dict[str, object]:
        label = json.dumps(changed.pop("label", origin))
        return forecast_row(model, origin, horizon, calibration=label, **changed)

    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-04", "2024-03-05", "2024-03-06"), models=("lstm", "lstm:2", "ridge"))
        write.add_forecasts(
            connection,
            [
                network_row("lstm", "2024-03-04"),
                network_row("lstm", "2024-03-04", 2),
                network_row("lstm", "2024-03-04", kind="replay", label="not first", issued_at=at("2024-03-09")),
                network_row("ridge", "2024-03-05", status="fallback"),
                network_row("lstm:2", "2024-03-05", role="challenger"),
                network_row("lstm", "2024-03-06", kind="replay", label="issued first"),
                network_row("lstm:2", "2024-03-06", kind="replay", label="issued last", issued_at=at("2024-03-09")),
                network_row("lstm", "2024-03-06", 2, label="target too late"),
            ],
        )
        found = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7), limit=10)
        newest = read.past_forecasts(connection, SYMBOL, TARGET, origin=date(2024, 3, 7), limit=1)
    rows = [(str(row.origin_session.date()), row.horizon, json.loads(row.calibration)) for row in found.itertuples()]
    assert rows == [("2024-03-04", 1, "2024-03-04"), ("2024-03-04", 2, "2024-03-04"), ("2024-03-06", 1, "issued last")]
    assert newest["horizon"].tolist() == [2, 1]
    assert found["split_factor"].tolist() == [1.0] * 3


def test_issued_forecasts_are_of_the_newest_origins_without_challengers_and_live_ones_count_first(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-06", "2024-03-07", "2024-03-08"), models=("lstm", "lstm:2", "ridge"))
        newest = forecast_row("lstm", "2024-03-08")
        rows = [forecast_row("lstm", "2024-03-06"), forecast_row("lstm", "2024-03-07"), newest]
        rows += [newest | {"kind": "replay", "issued_at": at("2025-01-01T00:00"), "q50": 101.0}]
        rows += [forecast_row("lstm:2", "2024-03-08", role="challenger")]
        rows += [forecast_row("ridge", "2024-03-08", role="baseline")]
        write.add_forecasts(connection, rows)
        found = read.issued(connection, SYMBOL, TARGET, origins=2)
        until = read.issued(connection, SYMBOL, TARGET, origins=2, last=date(2024, 3, 7))
    assert sorted(zip(found["origin_session"].dt.day, found["name"], found["kind"], strict=True)) == [
        (7, "lstm", "live"),
        (8, "lstm", "live"),
        (8, "ridge", "live"),
    ]
    assert set(found["q50"]) == {100.0}
    assert found["split_factor"].tolist() == [1.0, 1.0, 1.0]
    assert until["origin_session"].dt.day.tolist() == [6, 7]
