"""Shards in this process, in a pool of processes and on Dask: the same tables, whatever is killed."""

from __future__ import annotations

import multiprocessing
import shutil
import threading
from datetime import date
from pathlib import Path
from uuid import UUID

import pandas as pd
import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from forecasting.errors import SymbolsFailedError
from forecasting.store.tables import metadata
from tests.builders import LAST, random_bars
from tests.flows.processes import until
from tests.nights import counts, night, rows, timeless

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

EVE = date(2024, 3, 7)
STEPS = ("preprocess", "train", "predict", "evaluate")
SYMBOLS = {"AAA": 560, "BBB": 560, "CCC": 560, "DDD": 200}  # DDD has too few sessions to forecast from


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("panel") / "panel.parquet"
    parts = [random_bars(days=days, seed=seed).assign(symbol=name) for seed, (name, days) in enumerate(SYMBOLS.items())]
    pd.concat(parts).rename_axis("date").reset_index().to_parquet(path)
    return path


@pytest.fixture(scope="module")
def evening(panel: Path, migrated_sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder after the night of EVE, whose fits are from scratch."""
    folder = tmp_path_factory.mktemp("evening") / "data"
    folder.mkdir()
    shutil.copy(migrated_sqlite_file, folder / "forecasting.db")
    with pytest.MonkeyPatch.context() as patch:
        run_night(EVE, folder, panel, patch)
    return folder


def run_night(session: date, folder: Path, panel: Path, patch: pytest.MonkeyPatch, **settings: object) -> None:
    """A night that ends with the error of the symbol that is too short."""
    named = {"DATA_DIR": folder, "SOURCE": f"parquet:{panel}", "SYMBOLS": ",".join(SYMBOLS)}
    for name, value in (named | {"MEMBERS": 1, "TRAIN_SESSIONS": 320} | settings).items():
        patch.setenv(f"FORECASTING_{name}", str(value))
    with pytest.raises(SymbolsFailedError, match="DDD"):
        night(session)


def tables_after(
    evening: Path, folder: Path, panel: Path, patch: pytest.MonkeyPatch, **settings: object
) -> dict[str, list[dict[str, object]]]:
    """All tables after the night of LAST on a copy of the ledger, without times."""
    shutil.copytree(evening, folder)
    run_night(LAST, folder, panel, patch, **settings)
    return {name: timeless(name) for name in metadata.tables}


def test_every_runner_and_shard_size_gives_the_same_tables(
    evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = {"processes": 1, "dask": 1, "local": 3}
    apart = tables_after(evening, tmp_path / "one", panel, monkeypatch, SHARD_SIZE=1)
    assert [row["status"] for row in apart["runs"] if str(row["as_of"])[:10] == str(LAST)].count("done") == 3
    for runner, size in variants.items():
        chosen = {"RUNNER": runner, "WORKERS": 2, "SHARD_SIZE": size}
        tables = tables_after(evening, tmp_path / runner, panel, monkeypatch, **chosen)
        assert tables == apart, runner


def test_a_killed_worker_leaves_the_tables_of_a_clean_run(
    evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = tables_after(evening, tmp_path / "clean", panel, monkeypatch)
    before, killed = len(rows("models")), list[int | None]()

    def kill_a_worker() -> None:
        until(lambda: len(multiprocessing.active_children()) >= 2, "workers")
        until(lambda: counts()["models"] > fitted, "a fit")
        worker = multiprocessing.active_children()[0]
        killed.append(worker.pid)
        worker.kill()

    shutil.copytree(evening, tmp_path / "killed")
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "killed"))
    fitted = counts()["models"]
    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    run_night(LAST, tmp_path / "killed", panel, monkeypatch, RUNNER="processes", WORKERS=2, SHARD_SIZE=1)
    killer.join()
    assert (len(killed), len(rows("models"))) == (1, before)
    assert {name: timeless(name) for name in metadata.tables} == clean


def test_a_run_shows_a_task_a_shard_and_step(
    evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables_after(evening, tmp_path / "data", panel, monkeypatch, SHARD_SIZE=2)
    (flow_run_id,) = {row["flow_run_id"] for row in rows("runs") if str(row["as_of"])[:10] == str(LAST)}
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(str(flow_run_id))]))

    def names() -> list[str]:
        with get_client(sync_client=True) as client:
            return sorted(run.name for run in client.read_task_runs(flow_run_filter=of_run))

    expected = [f"{step}-{shard}-{LAST}" for step in STEPS for shard in ("2-symbols-from-AAA", "CCC")]
    expected.append(f"ingest-4-symbols-from-AAA-{LAST}")
    assert until(lambda: len(names()) >= len(expected) and names(), "the tasks of the run") == sorted(expected)
