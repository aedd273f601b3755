import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from forecasting.store import connect, read, write
from forecasting.store.read import unscored_forecasts
from tests.store.rows import SYMBOL, TARGET, model_row, run_row

DAY = date(2024, 3, 8)
LIVE = {"symbol": SYMBOL, "target": TARGET, "kind": "live", "role": "champion"}
OF_RUN = {"symbol": SYMBOL, "target": TARGET, "run_id": "r"}
QUERIES: dict[str, Callable[[sa.Connection], object]] = {
    "forecasts_of_run": lambda connection: read.row(
        connection, "forecasts", OF_RUN | {"origin_session": DAY}
    ),
    "model_of_run": lambda connection: read.row(connection, "models", OF_RUN),
    "decision_of_run": lambda connection: read.row(connection, "promotions", {"run_id": "r"}),
    "cut_off": lambda connection: read.cut_off(connection, datetime(2024, 3, 9, tzinfo=UTC)),
    "lineage": lambda connection: read.lineage(
        connection, model_row("m") | {"fetch_id": "f", "run_id": "r", "parent_id": None}
    ),
    "champion": lambda connection: read.champion(connection, SYMBOL, TARGET),
    "newest_fetch": lambda connection: read.newest_fetch(connection, SYMBOL),
    "models_of_newest": lambda connection: read.models_of_newest(
        connection, SYMBOL, TARGET, origins=5
    ),
    "past_forecasts": lambda connection: read.past_forecasts(
        connection, SYMBOL, TARGET, origin=DAY, limit=500
    ),
    "parts": lambda connection: read.parts(connection, [SYMBOL], [TARGET], first=DAY, last=DAY),
    "unscored_forecasts": lambda connection: unscored_forecasts(
        connection, SYMBOL, TARGET, last=DAY
    ),
    "losses": lambda connection: read.losses(connection, SYMBOL, TARGET, last=DAY, origins=120),
    "scored": lambda connection: read.scored(
        connection, SYMBOL, TARGET, origins=120, last=None, known_at=None
    ),
    "newest_live_origin": lambda connection: read.newest(
        connection, "forecasts", "origin_session", LIVE
    ),
}


@pytest.fixture(scope="module")
def plan_of(tmp_path_factory, migrated_sqlite_file):
    """The steps of SQLite's plans for the statements of a query, on one ledger, which no query
    changes."""
    url = f"sqlite:///{shutil.copy(migrated_sqlite_file, tmp_path_factory.mktemp('plans') / 'forecasting.db')}"
    with connect.transaction(url) as connection:
        write.add(connection, "runs", run_row("r", str(DAY)))
        write.add(connection, "models", model_row("m", run_id="r"))

    def plan(query):
        sent = []
        with connect.transaction(url) as connection:
            sa.event.listen(
                connection,
                "before_cursor_execute",
                lambda *event: sent.append((event[2], event[3])),
            )
            query(connection)
            return [
                str(row[-1])
                for statement, values in list(sent)
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            ]

    return plan


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_for_one_symbol_run_or_model_scans_a_whole_table(plan_of, name):
    steps = plan_of(QUERIES[name])
    tables = ("forecasts", "scores", "models", "runs", "promotions", "fetches", "forecast_parts")
    whole = tuple(f"SCAN {table}" for table in tables)
    assert steps
    assert not [step for step in steps if step.startswith(whole) and "ix_runs_running" not in step]


@pytest.mark.parametrize(
    ("view", "search"),
    [
        (
            "champions",
            "SEARCH p USING INDEX ix_promotions_symbol_target_decided_at (symbol=? AND target=?)",
        ),
        ("model_comparison", "SEARCH s USING PRIMARY KEY (symbol=? AND target=?)"),
        ("costs", "SEARCH s USING PRIMARY KEY (symbol=? AND target=?)"),
        (
            "night_durations",
            "SEARCH r USING INDEX ix_runs_symbol_target_as_of (symbol=? AND target=?)",
        ),
    ],
)
def test_a_view_of_one_symbol_and_target_reads_their_rows_alone(plan_of, view, search):
    steps = plan_of(
        lambda connection: read.view(connection, view, {"symbol": SYMBOL, "target": TARGET})
    )
    alias = search.split()[1]
    assert {step for step in steps if step.startswith((f"SCAN {alias} ", f"SEARCH {alias} "))} == {
        search
    }


def test_special_days_of_one_symbol_scan_no_whole_table(plan_of):
    steps = plan_of(lambda connection: read.view(connection, "special_days", {"symbol": SYMBOL}))
    assert [step.split(" (")[0] for step in steps if step.startswith(("SEARCH f", "SEARCH e"))] == [
        "SEARCH f USING PRIMARY KEY",
        "SEARCH e USING INDEX sqlite_autoindex_events_1",
    ]


def test_standings_read_the_scores_of_their_horizons_and_nights_alone(plan_of):
    steps = plan_of(lambda connection: write.write_standings(connection, SYMBOL, TARGET, "live"))
    read_scores = [
        step for step in steps if step.startswith(("SCAN s ", "SEARCH s ", "SCAN b ", "SEARCH b "))
    ]
    assert sorted(read_scores) == [
        "SEARCH b USING PRIMARY KEY (symbol=? AND target=? AND kind=? AND horizon=?)",
        "SEARCH s USING PRIMARY KEY (symbol=? AND target=? AND kind=? AND horizon=? AND "
        "origin_session>?)",
    ]
