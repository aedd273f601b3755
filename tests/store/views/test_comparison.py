from __future__ import annotations

import pandas as pd
import pytest

from forecasting.store import write
from forecasting.store.connect import transaction
from tests.store.rows import forecast_row, score_row, start, view_rows

NAMES = ("forecaster", "rival", "n", "mae", "rival_mae", "skill", "pinball_skill", "better")
FIRST, SECOND, THIRD = "2024-03-05", "2024-03-06", "2024-03-07"


def add(url: str, forecasts: list[tuple[dict, dict]]) -> None:
    with transaction(url) as connection:
        start(connection, origins=(FIRST, SECOND, THIRD), models=("lstm", "lstm:2", "ridge", "har"))
        write.add_forecasts(connection, [row for row, _ in forecasts])
        write.add_scores(connection, [score_row(row, **score) for row, score in forecasts])


def scored(model: str, origin: str, role: str, error: float, **changed: object) -> tuple[dict, dict]:
    return forecast_row(model, origin, role=role, **changed), {"error": error, "pinball": abs(error) / 2}


def pairs(url: str) -> dict[tuple[str, str], tuple]:
    return {row[:2]: row[2:] for row in view_rows(url, "model_comparison", *NAMES)}


def test_a_pair_is_compared_on_the_origins_that_both_have_in_both_orders(database_url):
    add(
        database_url,
        [
            scored("lstm", FIRST, "champion", 100.0),  # the ridge has no forecast of this night
            scored("lstm", SECOND, "champion", -2.0),
            scored("lstm", THIRD, "champion", 4.0),
            scored("ridge", SECOND, "baseline", 6.0),
            scored("ridge", THIRD, "baseline", -2.0),
        ],
    )
    found = pairs(database_url)
    assert found["lstm", "ridge"] == (2, 3.0, 4.0, 0.25, 0.25, 1)
    assert found["ridge", "lstm"] == (2, 4.0, 3.0, pytest.approx(-1 / 3), pytest.approx(-1 / 3), 1)
    assert found["published", "lstm"] == (3, pytest.approx(106 / 3), pytest.approx(106 / 3), 0.0, 0.0, 0)
    assert set(found) == {(a, b) for a in ("published", "lstm", "ridge") for b in ("published", "lstm", "ridge")} - {
        (name, name) for name in ("published", "lstm", "ridge")
    }


def test_there_is_no_skill_against_a_rival_that_missed_by_rounding_alone(database_url):
    add(database_url, [scored("lstm", FIRST, "champion", 2.0), scored("har", FIRST, "baseline", 4e-16)])
    found = pairs(database_url)
    assert found["lstm", "har"] == (1, 2.0, 4e-16, None, None, 0)
    assert found["har", "lstm"][3:] == (pytest.approx(1.0), pytest.approx(1.0), 1)


def test_published_and_network_part_on_a_night_on_which_a_baseline_is_published(database_url):
    add(
        database_url,
        [
            scored("lstm", FIRST, "champion", 2.0),
            scored("ridge", FIRST, "baseline", 4.0),
            scored("lstm", SECOND, "silenced", 8.0),
            scored("ridge", SECOND, "champion", 4.0),
            scored("lstm:2", SECOND, "challenger", 0.0),  # of no forecaster yet
        ],
    )
    found = pairs(database_url)
    assert found["published", "lstm"] == (2, 3.0, 5.0, 0.4, 0.4, 1)
    assert found["lstm", "ridge"] == (2, 5.0, 4.0, -0.25, -0.25, 1)
    assert {name for pair in found for name in pair} == {"published", "lstm", "ridge"}


def test_kinds_and_horizons_are_compared_apart(database_url):
    add(
        database_url,
        [
            scored(model, origin, role, 1.0, horizon=horizon, kind=kind)
            for model, role in (("lstm", "champion"), ("har", "baseline"))
            for origin, horizon, kind in (
                (FIRST, 1, "live"),
                (SECOND, 1, "live"),
                (SECOND, 2, "live"),
                (FIRST, 1, "replay"),
            )
        ],
    )
    names = ("kind", "horizon", "n", "first_origin", "last_origin")
    found = view_rows(database_url, "model_comparison", *names, "forecaster", "rival")
    first, second = pd.Timestamp(FIRST), pd.Timestamp(SECOND)
    assert [row[:5] for row in found if row[5:] == ("har", "published")] == [
        ("live", 1, 2, first, second),
        ("live", 2, 1, second, second),
        ("replay", 1, 1, first, first),
    ]
