"""Batches of symbols in this process, in a pool of processes and on Dask.

The same tables, and the same five tasks in Prefect.
"""

import os
import shutil
from collections import Counter

import pandas as pd
import psutil
import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

from forecasting.errors import SymbolsFailedError
from forecasting.store.schema import metadata
from tests.builders import EVE, LAST, random_bars
from tests.flows import processes
from tests.flows.processes import until
from tests.nights import counts, night, rows, timeless
from tests.plain_flows import without_prefect

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

# DDD has too few sessions to forecast from
SYMBOLS = {"AAA": 560, "BBB": 560, "CCC": 560, "DDD": 60}


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    path = tmp_path_factory.mktemp("panel") / "panel.parquet"
    parts = [
        random_bars(days=days, seed=seed).assign(symbol=name)
        for seed, (name, days) in enumerate(SYMBOLS.items())
    ]
    pd.concat(parts).rename_axis("date").reset_index().to_parquet(path)
    return path


@pytest.fixture(scope="module")
def evening(panel, migrated_sqlite_file, tmp_path_factory):
    """The data folder after the night of EVE, whose fits are from scratch; without Prefect."""
    folder = tmp_path_factory.mktemp("evening") / "data"
    folder.mkdir()
    shutil.copy(migrated_sqlite_file, folder / "forecasting.db")
    with pytest.MonkeyPatch.context() as patch:
        without_prefect(patch.setattr)
        run_night(EVE, folder, panel, patch)
    return folder


def run_night(session, folder, panel, patch, **settings):
    """A night that ends with the error of the symbol that is too short."""
    named = {"DATA_DIR": folder, "SOURCE": f"parquet:{panel}", "SYMBOLS": ",".join(SYMBOLS)}
    for name, value in (named | settings).items():
        patch.setenv(f"FORECASTING_{name}", str(value))
    with pytest.raises(SymbolsFailedError, match="DDD"):
        night(session)


def tables_after(evening, folder, panel, patch, **settings):
    """All tables after the night of LAST on a copy of the ledger, without times."""
    shutil.copytree(evening, folder)
    run_night(LAST, folder, panel, patch, **settings)
    return {name: timeless(name) for name in metadata.tables}


@pytest.fixture
def recorded():
    """Task runs are recorded, which other tests do without: their events reach the server."""
    EventsWorker.set_client_override(None)
    yield
    EventsWorker.drain_all(timeout=10)
    EventsWorker.set_client_override(NullEventsClient)


FIVE = {"ingest", "preprocess", "train", "predict", "evaluate"}


def tasks_of_newest_run():
    """The names of the tasks of the newest flow run, each with how often it was run."""
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        tasks = client.read_task_runs(flow_run_filter=of_run)
    return Counter(task.name.partition("-")[0] for task in tasks)


@pytest.fixture(scope="module")
def alone(evening, panel, tmp_path_factory):
    """All tables after the night of LAST in this process."""
    with pytest.MonkeyPatch.context() as patch:
        without_prefect(patch.setattr)
        folder = tmp_path_factory.mktemp("alone") / "data"
        tables = tables_after(evening, folder, panel, patch)
    done = [row for row in tables["runs"] if row["status"] == "done"]
    assert len([row for row in done if str(row["as_of"])[:10] == str(LAST)]) == 3
    return tables


@pytest.mark.parametrize(
    ("runner", "batches"),
    [({}, 1), ({"RUNNER": "dask", "WORKERS": 2}, 4)],
)
def test_each_runner_gives_the_same_tables_and_shows_the_five_tasks_of_each_batch(
    recorded, alone, evening, panel, tmp_path, monkeypatch, runner, batches
):
    assert tables_after(evening, tmp_path / "data", panel, monkeypatch, **runner) == alone
    check_tasks(batches)


def check_tasks(batches):
    """The newest run shows the five tasks; of DDD, with too few sessions, the first and the last."""
    shown = until(
        lambda: shown if (shown := tasks_of_newest_run())["evaluate"] == batches else None, "tasks"
    )
    assert shown.keys() == FIVE | {"batch"}
    assert shown["batch"] == shown["ingest"] == batches


def test_of_two_processes_one_is_killed_and_the_next_run_makes_their_nights(
    alone, evening, panel, tmp_path, monkeypatch
):
    """In a process of its own: events of a pool come by a thread, which reads the environment."""
    shutil.copytree(evening, tmp_path / "data")
    named = {"DATA_DIR": tmp_path / "data", "SOURCE": f"parquet:{panel}"}
    named |= {"SYMBOLS": ",".join(SYMBOLS), "RUNNER": "processes"}
    for name, value in (named | {"WORKERS": 2}).items():
        monkeypatch.setenv(f"FORECASTING_{name}", str(value))
    for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING):
        monkeypatch.setenv(setting.name, setting.value())
    fitted = counts()["models"]
    log = tmp_path / "run.log"
    command = ["flows.cli", "run", "--as-of", str(LAST)]
    with processes.running(command, log=log, environment=os.environ) as run:
        until(lambda: counts()["models"] > fitted, "a fit", log=log, pause_s=0.01)
        workers = psutil.Process(run.pid).children(recursive=True)
        next(one for one in workers if "spawn_main" in " ".join(one.cmdline())).kill()
        assert run.wait(timeout=processes.TIMEOUT_S) == 1
    errors = [str(row["error"]) for row in rows("runs", status="failed")]
    assert [error for error in errors if "ended early, killed for memory perhaps" in error]
    left = 4 - len(rows("runs", status="done", as_of=str(LAST)))
    with processes.running(command, log=log, environment=os.environ) as run:
        assert run.wait(timeout=processes.TIMEOUT_S) == 1  # of DDD
    check_tasks(left)
    assert timeless("forecasts") == alone["forecasts"]


def test_without_prefect_processes_give_the_same_tables(
    alone, evening, panel, tmp_path, monkeypatch
):
    without_prefect(monkeypatch.setattr)
    chosen = {"RUNNER": "processes", "WORKERS": 2}
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert tables_after(evening, tmp_path / "data", panel, monkeypatch, **chosen) == alone
