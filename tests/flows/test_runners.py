"""Shards in this process, in a pool of processes and on Dask.

The same tables, whatever is killed.
"""

import multiprocessing
import shutil
import sys
import threading
from pathlib import Path

import pandas as pd
import psutil
import pytest
from joblib.externals.loky import get_reusable_executor

from forecasting.errors import SymbolsFailedError
from forecasting.night.run import own_cluster
from forecasting.settings import read_settings
from forecasting.store.schema import metadata
from tests.builders import EVE, LAST, random_bars
from tests.faults.boundaries import forked
from tests.flows.processes import until
from tests.nights import copy_ledger, counts, night, rows, timeless
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
    for name, value in (named | {"MEMBERS": 1, "TRAIN_SESSIONS": 320} | settings).items():
        patch.setenv(f"FORECASTING_{name}", str(value))
    with pytest.raises(SymbolsFailedError, match="DDD"):
        night(session)


def tables_after(evening, folder, panel, patch, **settings):
    """All tables after the night of LAST on a copy of the ledger, without times."""
    shutil.copytree(evening, folder)
    run_night(LAST, folder, panel, patch, **settings)
    return {name: timeless(name) for name in metadata.tables}


@pytest.fixture(scope="module")
def apart(evening, panel, tmp_path_factory):
    """All tables after the night of LAST in this process, a symbol a shard."""
    with pytest.MonkeyPatch.context() as patch:
        tables = tables_after(
            evening, tmp_path_factory.mktemp("apart") / "data", panel, patch, SHARD_SIZE=1
        )
    assert [row["status"] for row in tables["runs"] if str(row["as_of"])[:10] == str(LAST)].count(
        "done"
    ) == 3
    return tables


@pytest.fixture
def forked_workers(monkeypatch):
    """Dask's worker processes are forked with everything imported, which spares 6 s of CPU each."""
    context = forked()
    monkeypatch.setattr(multiprocessing, "get_context", lambda method=None: context)


def test_processes_give_the_same_tables_and_again_where_one_is_killed(
    apart, evening, panel, tmp_path, monkeypatch
):
    killed = []

    def kill_a_worker():
        until(lambda: counts()["models"] > fitted, "a fit", pause_s=0.01)
        workers = psutil.Process().children(recursive=True)
        worker = next(one for one in workers if "popen_loky" in " ".join(one.cmdline()))
        killed.append(worker.pid)
        worker.kill()

    get_reusable_executor().shutdown()  # its processes have the variables of another test
    chosen = {"RUNNER": "processes", "WORKERS": 2, "SHARD_SIZE": 1}
    assert tables_after(evening, tmp_path / "data", panel, monkeypatch, **chosen) == apart
    done = rows("runs", status="done")
    # Of the two processes' steps
    assert all(row["seconds_ingest"] and row["seconds_evaluate"] for row in done)
    copy_ledger(evening / "forecasting.db", read_settings().url)  # for the same processes
    fitted = counts()["models"]
    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    run_night(LAST, tmp_path / "data", panel, monkeypatch, **chosen)
    killer.join()
    assert len(killed) == 1
    assert {name: timeless(name) for name in metadata.tables} == apart


@pytest.mark.usefixtures("forked_workers")
def test_dask_gives_the_same_tables(apart, evening, panel, tmp_path, monkeypatch):
    chosen = {"RUNNER": "dask", "WORKERS": 2, "SHARD_SIZE": 1}
    assert tables_after(evening, tmp_path / "data", panel, monkeypatch, **chosen) == apart


def test_the_cluster_of_a_run_is_of_no_use_to_other_users_of_the_machine(tmp_path):
    # Not at the top: it changes how exceptions are pickled
    from distributed import Client, LocalCluster

    with LocalCluster(**own_cluster(1, tmp_path) | {"processes": False}) as cluster:
        opened = [
            one.laddr.ip
            for one in psutil.Process().net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
        ]
        for scheme in ("tcp", "tls"):  # a stranger has no certificate
            with pytest.raises((OSError, TypeError)):
                Client(f"{scheme}:{cluster.scheduler_address.partition(':')[2]}", timeout=0.5)
        scratch = [Path(one) for one in sys.path if "dask-scratch-space" in one]
    assert set(opened) == {"127.0.0.1"}
    assert scratch
    assert all(one.is_relative_to(tmp_path) for one in scratch)  # modules are imported from there
