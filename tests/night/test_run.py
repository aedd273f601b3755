"""A night without a scheduler leaves the rows that the flow leaves."""

from datetime import date

import pytest
import sqlalchemy as sa

from flows import clock
from flows.start import start_catch_up
from forecasting.errors import SymbolsFailedError
from forecasting.night import plan, run
from forecasting.night.night import Night, RunOptions, in_turn
from forecasting.night.steps.preprocess import make_features
from forecasting.publish import runs
from forecasting.settings import read_settings
from forecasting.store import connect
from tests.builders import EVE, LAST
from tests.nights import counts, ingest_only, ledger_in, rows, timeless

pytestmark = pytest.mark.usefixtures("plain_flows", "night_folder")


def run_until(as_of):
    return runs.run_missed(read_settings(), as_of=as_of, mode="auto", now=clock.now)


@pytest.mark.usefixtures("done_on_the_seventh")
def test_standings_are_summed_where_the_newest_night_of_a_span_was_done_before():
    start_catch_up(first=date(2024, 3, 5), last=EVE, refit_every=1)
    summed = {row["kind"] for row in rows("standings") if row["n"]}
    assert summed == {row["kind"] for row in rows("scores")} == {"replay"}


@pytest.mark.parametrize("night_url", ["postgres"], indirect=True)
def test_a_worker_writes_nothing_where_its_run_has_lost_the_lock(night_folder, night_url):
    ingest_only(read_settings(), EVE, now=clock.now)
    with connect.reading(night_url) as connection:
        other = connection.scalar(sa.text("SELECT pg_backend_pid()"))  # a session without the lock
        batch = [Night(EVE, read_settings().for_symbol("TEST"), clock.now)]
        (ended,) = run.run_batch(batch, session=other)
    assert f"process {other} of the database" in str(ended.error)
    assert counts()["runs"] == 0


def test_a_task_is_of_one_session_by_which_prefect_lists_the_versions_of_its_artifacts():
    missed = [("A", EVE), ("A", LAST), ("B", LAST)]
    nights = [Night(day, read_settings().for_symbol(symbol), clock.now) for symbol, day in missed]
    turns = [[(night.symbol, night.session) for night in turn] for turn in in_turn(nights)]
    assert turns == [[("A", EVE)], [("A", LAST), ("B", LAST)]]


EACH = "volume,range"


def left():
    """What nights have left, without which fetch it is of."""
    tables = ("forecasts", "forecast_parts", "models", "scores", "standings")
    return {name: [row | {"fetch_id": ""} for row in timeless(name)] for name in tables}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, migrated_sqlite_file):
    """What two nights of both targets leave, and their fetches and bars."""
    folder = tmp_path_factory.mktemp("whole")
    with ledger_in(folder, migrated_sqlite_file, TARGETS=EACH):
        for session in (EVE, LAST):
            run_until(session)
        assert len([*(folder / "data" / "reports").glob("TEST-*.html")]) == 2
        return left(), timeless("fetches"), timeless("bar_versions")


def test_one_run_of_two_targets_has_the_forecasts_of_two_runs_and_one_fetch(whole, monkeypatch):
    for session in (EVE, LAST):
        for target in EACH.split(","):
            monkeypatch.setenv("FORECASTING_TARGETS", target)
            run_until(session)
    assert left() == whole[0]
    assert (len(rows("fetches")), len(whole[1])) == (4, 2)


def test_a_run_that_was_killed_after_its_first_target_is_completed_to_the_same_tables(
    whole, monkeypatch
):
    monkeypatch.setenv("FORECASTING_TARGETS", EACH)
    run_until(EVE)

    def killed(step, nights):
        if step == "evaluate":
            run.call_step(step, nights[:1])
            raise KeyboardInterrupt
        return run.call_step(step, nights)

    settings = read_settings()
    planned = plan.planned_nights(settings, RunOptions(LAST, LAST), now=clock.now)
    with pytest.raises(KeyboardInterrupt), run.ledger(settings):
        run.run_nights(planned, settings, killed)
    run_until(None)
    assert (left(), timeless("fetches"), timeless("bar_versions")) == whole


@pytest.mark.parametrize(
    ("runner", "nights", "symbols", "workers"),
    [
        (None, 49, 2, 1),
        (None, 50, 2, 2),
        (None, 50, 9, 4),
        ("local", 50, 9, 1),
        ("processes", 2, 2, 2),
        ("dask", 0, 0, 1),
    ],
)
def test_several_symbols_take_the_workers_of_the_settings_where_there_are_many_nights(
    runner, nights, symbols, workers
):
    settings = read_settings().model_copy(update={"runner": runner, "workers": 4})
    made = [
        Night(LAST, settings.for_symbol(f"S{place % symbols}"), clock.now)
        for place in range(nights)
    ]
    assert run.workers_of(settings, made) == workers
    assert sum(map(len, run.batches(made, workers))) == nights


def test_a_target_that_fails_is_named_and_stops_no_other(monkeypatch):
    monkeypatch.setenv("FORECASTING_TARGETS", EACH)

    def failing(night):
        if night.target == "range":
            raise OSError("disk full")
        return make_features(night)

    monkeypatch.setattr(run, "make_features", failing)
    with pytest.raises(SymbolsFailedError, match=r"^1 of 2 failed\. TEST range: ") as failed:
        run_until(LAST)
    assert failed.value.exit_code == 1
    statuses = {row["target"]: row["status"] for row in rows("runs")}
    assert statuses == {"volume": "done", "range": "failed"}
