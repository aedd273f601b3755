import re
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial

import pytest
import sqlalchemy as sa

from forecasting.store import connect, read, write
from forecasting.store.rows import ModelRow
from tests.store.rows import SERIES, SYMBOL, TARGET, model_row, run_row, stored_model

DAY = date(2024, 3, 8)
OF_RUN = {"run_id": "r"}
MODEL = stored_model("m", fetch_id="f", run_id="r")
QUERIES: dict[str, Callable[[sa.Connection], object]] = {
    "forecasts_of_run": partial(
        read.row, table="forecasts", where=SERIES | OF_RUN | {"origin_session": DAY}
    ),
    "model_of_run": partial(read.stored, kind=ModelRow, where=SERIES | OF_RUN),
    "lineage": partial(read.lineage, model=MODEL),
    "newest_network": partial(read.newest_network, **SERIES),
    "newest_fetch": partial(read.newest_fetch, symbol=SYMBOL),
    "past_forecasts": partial(read.past_forecasts, **SERIES, origin=DAY, limit=500),
    "parts": partial(read.parts, symbols=[SYMBOL], targets=[TARGET], first=DAY, last=DAY),
    "unscored_forecasts": partial(read.unscored_forecasts, **SERIES, last=DAY),
    "losses": partial(read.losses, **SERIES, last=DAY, origins=120),
    "scored": partial(
        read.scored, **SERIES, first=DAY, last=None, known_at=datetime(2024, 3, 9, tzinfo=UTC)
    ),
    "newest_live_origin": partial(
        read.newest,
        table="forecasts",
        column="origin_session",
        where=SERIES | {"kind": "live", "role": "published"},
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
                connection, "before_cursor_execute", lambda *event: sent.append(event[2:4])
            )
            query(connection)
            plans = [
                connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
                for statement, values in list(sent)
            ]
        return [str(row[-1]) for rows in plans for row in rows]

    return plan


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_for_one_symbol_run_or_model_scans_a_whole_table(plan_of, name):
    steps = plan_of(QUERIES[name])
    tables = ("forecasts", "scores", "models", "runs", "fetches", "forecast_parts")
    whole = tuple(f"SCAN {table}" for table in tables)
    assert steps
    assert not [step for step in steps if step.startswith(whole) and "ix_runs_running" not in step]


OF_A_LINE = {
    "last_results": partial(read.last_results, symbols=[SYMBOL], first=DAY),
    "newest_runs": partial(read.newest_runs, symbols=[SYMBOL], first=DAY),
    "totals_of": partial(read.totals_of, symbols=[SYMBOL], origin=DAY),
    "totals_since_newest": partial(read.totals_since_newest, **SERIES, session=DAY),
    "past_forecasts": QUERIES["past_forecasts"],
}


@pytest.mark.parametrize("name", OF_A_LINE)
def test_what_a_night_and_its_line_of_the_index_read_does_not_grow_with_the_ledgers_age(
    plan_of, name
):
    """Every search in the order of sessions is bounded by one, or by the kind of scores."""
    of_series = r"SEARCH (?!corporate|findings|events).*\(symbol=\?( AND target=\?( AND target_session<\?)?)?\)"
    assert not [step for step in plan_of(OF_A_LINE[name]) if re.fullmatch(of_series, step)]


def test_a_past_record_reads_the_bar_of_a_score_by_its_key(plan_of):
    """Of a join SQLite read all bars of a symbol again for each score."""
    then = partial(
        read.scored, **SERIES, first=DAY, last=DAY, known_at=datetime(2024, 3, 9, tzinfo=UTC)
    )
    of_bars = [step for step in plan_of(then) if re.search("SEARCH b .*bar_versions", step)]
    assert of_bars
    assert {step.partition("(")[2] for step in of_bars} == {"symbol=? AND session=? AND version=?)"}
