"""The rows of a night's forecasts, their parts and totals."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from functools import partial

import numpy as np

from forecasting.night.steps.issue import IssuedColumns, factor_rows, forecast_rows, total_rows
from forecasting.predict.candidates import assign_roles
from forecasting.store import schema
from forecasting.store.rows import PartRow
from forecasting.vocabulary import HORIZONS
from tests.builders import LAST, no_events, random_bars
from tests.predict.test_candidates import HAR, NETWORK, RIDGE, RIDGE_IS_PUBLISHED, H
from tests.train.windows import newest_windows

KEY = {"symbol": "SBUX", "target": "volume", "origin_session": date(2024, 3, 8), "kind": "live"}
ISSUED = datetime(2024, 3, 9, 10, tzinfo=UTC)
ABOUT = IssuedColumns(
    **KEY, last_value=50.0, issued_at=ISSUED, data_as_of=ISSUED, fetch_id="f1", run_id="r1"
)
SESSIONS = [date(2024, 3, day) for day in (11, 12, 13, 14, 15)]


def test_the_parts_of_the_published_are_rows_by_horizon_in_their_order_but_for_those_without_effect():
    by_horizon = 1.0 + np.arange(H)
    factors = {"usual": by_horizon, "recent": 1.0 / by_horizon, "report": np.ones(H)}
    made = [RIDGE, replace(NETWORK, factors=factors, role="published")]
    expected = []
    for h in HORIZONS:
        of_horizon = partial(PartRow, **KEY, horizon=h, model_id="m1")
        expected.append(of_horizon(part="usual", place=1, factor=float(h)))
        if h > 1:
            expected.append(of_horizon(part="recent", place=2, factor=1.0 / h))
    assert factor_rows(made, ABOUT) == expected


def test_a_row_has_its_horizons_columns_and_only_the_published_ones_the_status_and_reason_of_the_fallback():
    made = assign_roles([RIDGE, HAR, NETWORK], RIDGE_IS_PUBLISHED)
    special = ["", "", "", "", "triple witching"]
    rows = forecast_rows(made, RIDGE_IS_PUBLISHED, about=ABOUT, sessions=SESSIONS, calendar=special)
    assert len(rows) == 3 * H
    assert {(row.model_id, row.role, row.status, row.reason) for row in rows} == {
        (
            "b1",
            "published",
            "fallback",
            "there is no fitted network yet; ridge is published instead",
        ),
        ("b2", "baseline", "ok", ""),
        ("m1", "network", "ok", ""),
    }
    last = {
        "horizon": 5,
        "target_session": SESSIONS[4],
        "calendar": "triple witching",
        "q05": 50.0,
        "q95": 56.0,
    }
    found = asdict(rows[4])
    assert (
        found.items() >= (asdict(ABOUT) | last | {"past_forecasts": 0, "calibration": ""}).items()
    )
    assert set(found) | {"outside"} == set(schema.forecasts.columns.keys())


def test_totals_are_of_the_published_with_its_factor_and_of_the_reference_without():
    made = [replace(NETWORK, role="published"), RIDGE, HAR]
    factors = {5: 1.5, 10: 0.8}
    sessions = [date(2024, 4, day) for day in range(1, 21)]
    bars = random_bars(days=800, seed=4, last=LAST)
    windows = newest_windows(bars, no_events(), target="volume", rows=600)
    rows = total_rows(made, ABOUT, windows=windows, sessions=sessions, factors=factors)
    found = [(row.model_id, row.role, row.horizon, row.factor) for row in rows]
    of_published = dict.fromkeys((2, 3, 4, 5), 1.5) | {10: 0.8, 20: 1.0}
    assert found == [
        *(("m1", "published", *one) for one in of_published.items()),
        *(("b1", "baseline", length, 1.0) for length in of_published),
    ]
    assert [row.target_session.day for row in rows[:6]] == [2, 3, 4, 5, 10, 20]
    assert rows[4].q50 > rows[3].q50
