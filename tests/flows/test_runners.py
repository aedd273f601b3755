"""Shards in this process, in a pool of processes and on Dask: the same tables, whatever is killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pandas as pd
import psutil
import pytest
import yaml
from prefect import get_client, tags
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.context import TagsContext, serialize_context
from pydantic import BaseModel, model_serializer

from flows import runners, tasks
from flows.runners import task_runner
from forecasting.errors import ForecastingError, StoreError, SymbolsFailedError
from forecasting.pipeline import requests
from forecasting.pipeline.night_run import NightRun
from forecasting.pipeline.night_shard import Shard
from forecasting.pipeline.shard import Outcome
from forecasting.settings import Settings
from forecasting.store.tables import metadata
from tests.builders import LAST, random_bars
from tests.faults.forks import forked
from tests.flows.processes import ROOT, free_port, until
from tests.nights import counts, night, rows, timeless
from tests.plain_flows import without_prefect

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

EVE = date(2024, 3, 7)
STEPS = ("preprocess", "train", "predict", "evaluate")
Tables = dict[str, list[dict[str, object]]]
SYMBOLS = {"AAA": 560, "BBB": 560, "CCC": 560, "DDD": 200}  # DDD has too few sessions to forecast from


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("panel") / "panel.parquet"
    parts = [random_bars(days=days, seed=seed).assign(symbol=name) for seed, (name, days) in enumerate(SYMBOLS.items())]
    pd.concat(parts).rename_axis("date").reset_index().to_parquet(path)
    return path


@pytest.fixture(scope="module")
def evening(panel: Path, migrated_sqlite_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder after the night of EVE, whose fits are from scratch; without Prefect."""
    folder = tmp_path_factory.mktemp("evening") / "data"
    folder.mkdir()
    shutil.copy(migrated_sqlite_file, folder / "forecasting.db")
    with pytest.MonkeyPatch.context() as patch:
        without_prefect(patch.setattr)
        run_night(EVE, folder, panel, patch)
    return folder


def run_night(session: date, folder: Path, panel: Path, patch: pytest.MonkeyPatch, **settings: object) -> None:
    """A night that ends with the error of the symbol that is too short."""
    named = {"DATA_DIR": folder, "SOURCE": f"parquet:{panel}", "SYMBOLS": ",".join(SYMBOLS)}
    for name, value in (named | {"MEMBERS": 1, "TRAIN_SESSIONS": 320} | settings).items():
        patch.setenv(f"FORECASTING_{name}", str(value))
    with pytest.raises(SymbolsFailedError, match="DDD"):
        night(session)


def tables_after(evening: Path, folder: Path, panel: Path, patch: pytest.MonkeyPatch, **settings: object) -> Tables:
    """All tables after the night of LAST on a copy of the ledger, without times."""
    shutil.copytree(evening, folder)
    run_night(LAST, folder, panel, patch, **settings)
    return {name: timeless(name) for name in metadata.tables}


@pytest.fixture(scope="module")
def apart(evening: Path, panel: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """All tables after the night of LAST in this process, a symbol a shard."""
    with pytest.MonkeyPatch.context() as patch:
        tables = tables_after(evening, tmp_path_factory.mktemp("apart") / "data", panel, patch, SHARD_SIZE=1)
    assert [row["status"] for row in tables["runs"] if str(row["as_of"])[:10] == str(LAST)].count("done") == 3
    return tables


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask's worker processes are forked with everything imported, which spares 6 s of CPU each."""
    context = forked()
    monkeypatch.setattr(multiprocessing, "get_context", lambda method=None: context)


def test_processes_give_the_same_tables(
    apart: Tables, evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them: the test of a killed one has two."""
    chosen = {"RUNNER": "processes", "WORKERS": 1, "SHARD_SIZE": 1}
    assert tables_after(evening, tmp_path / "data", panel, monkeypatch, **chosen) == apart


@pytest.mark.usefixtures("forked_workers")
def test_dask_gives_the_same_tables(
    apart: Tables, evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"RUNNER": "dask", "WORKERS": 2, "SHARD_SIZE": 1}
    assert tables_after(evening, tmp_path / "data", panel, monkeypatch, **chosen) == apart


def test_the_cluster_of_a_run_is_of_no_use_to_other_users_of_the_machine(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster  # not at the top: it changes how exceptions are pickled
    from prefect_dask.task_runners import DaskTaskRunner

    runner = task_runner(Settings(runner="dask", workers=1, data_dir=tmp_path), 1)
    assert isinstance(runner, DaskTaskRunner)
    with LocalCluster(**runner.cluster_kwargs | {"processes": False}) as cluster:
        opened = [one.laddr.ip for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        for scheme in ("tcp", "tls"):  # a stranger has no certificate
            with pytest.raises((OSError, TypeError)):
                Client(f"{scheme}:{cluster.scheduler_address.partition(':')[2]}", timeout=0.5)
        scratch = [Path(one) for one in sys.path if "dask-scratch-space" in one]
    assert set(opened) == {"127.0.0.1"}
    assert scratch
    assert all(one.is_relative_to(tmp_path) for one in scratch)  # modules are imported from there


def test_a_worker_killed_while_bars_still_come_leaves_the_tables_of_a_clean_run(
    apart: Tables, evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = list[bool]()
    bring = requests.bring_up_to_date

    def bring_the_third_after_the_kill(runs: Sequence[NightRun], **options: Any) -> list[Outcome[str]]:
        if runs[0].spec.symbol == "CCC":
            killer.join()  # which waits for a fit of the others
        return bring(runs, **options)

    def kill_a_worker() -> None:
        until(lambda: len(multiprocessing.active_children()) >= 2, "workers")
        until(lambda: counts()["models"] > fitted, "a fit")
        worker = psutil.Process(multiprocessing.active_children()[0].pid)
        killed.append(worker.ppid() == os.getpid())
        worker.kill()

    shutil.copytree(evening, tmp_path / "killed")
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "killed"))
    monkeypatch.setattr(requests, "INGEST_SIZE", 1)
    monkeypatch.setattr(requests, "bring_up_to_date", bring_the_third_after_the_kill)
    fitted = counts()["models"]
    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    run_night(LAST, tmp_path / "killed", panel, monkeypatch, RUNNER="processes", WORKERS=2, SHARD_SIZE=1)
    assert killed == [sys.platform != "linux"]  # one, there a fork of another process
    assert {name: timeless(name) for name in metadata.tables} == apart


@pytest.mark.campaign
def test_the_cluster_of_compose_gives_the_same_tables_and_survives_a_killed_worker(
    apart: Tables, evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scheduler and two workers, by the commands of compose.yaml, on one machine."""
    for killing in (False, True):
        folder = tmp_path / f"killing-{killing}"
        shutil.copytree(evening, folder)
        for name, value in {"DATA_DIR": folder, "MEMBERS": 1, "TRAIN_SESSIONS": 320}.items():
            monkeypatch.setenv(f"FORECASTING_{name}", str(value))
        fitted = counts()["models"]
        with compose_cluster(tmp_path) as (address, workers):
            chosen = {"RUNNER": "dask", "DASK_ADDRESS": address, "SHARD_SIZE": 1, "WORKERS": 2}
            killer = threading.Thread(target=kill_after_a_fit, args=(workers[0], fitted))
            if killing:
                killer.start()
            run_night(LAST, folder, panel, monkeypatch, **chosen)
            if killing:
                killer.join()
        assert {name: timeless(name) for name in metadata.tables} == apart, killing


def kill_after_a_fit(worker: subprocess.Popen[bytes], fitted: int) -> None:
    until(lambda: counts()["models"] > fitted, "a fit")
    kill_tree(worker)


@contextmanager
def compose_cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of its scheduler, and its two workers, in this test's environment."""
    from distributed import Client  # not at the top: it changes how exceptions are pickled

    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    scheduler, worker = (services[name]["command"] for name in ("dask-scheduler", "dask-worker"))
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    commands = [[*scheduler[:2], "--host", "127.0.0.1", *scheduler[2:]], *[[*worker, "--host", "127.0.0.1"]] * 2]
    replaced = {"8786": str(port), "tcp://dask-scheduler:8786": address}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"dask-{number}.log").open("ab") as log:
                program = [
                    str(Path(sys.executable).with_name("dask")),
                    *(replaced.get(part, part) for part in command[1:]),
                ]
                started.append(subprocess.Popen(program, stdout=log, stderr=log, cwd=folder))
        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, started[1:]
    finally:
        for process in reversed(started):
            kill_tree(process)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it has started, as the kernel does for memory or a machine that goes off."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.wait()


def of_workers(submit: Callable[[Any], list[str]], patch: pytest.MonkeyPatch) -> Callable[[Iterator[Any]], list[Any]]:
    """`run_shards` with a runner that submits so."""

    def submitted(_: object, parameters: dict[str, Any]) -> SimpleNamespace:
        result = submit(parameters["shard"])
        return SimpleNamespace(result=lambda: result)

    patch.setattr(runners, "task_runner", lambda *_: nullcontext(SimpleNamespace(submit=submitted)))
    settings: Any = SimpleNamespace(runner="processes")
    return lambda shards: list(runners.run_shards(shards, settings, 2))


def test_a_worker_asks_no_server_for_its_version_before_its_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def submit(shard: str) -> list[str]:
        sent = serialize_context()["settings_context"]["settings"]  # what a worker's process begins with
        asked.append(sent["client"]["server_version_check_enabled"])
        return [shard]

    assert of_workers(submit, monkeypatch)(iter("ab")) == ["a", "b"]
    assert asked == [False, False]


def test_steps_of_a_shard_wait_for_no_slot_that_its_own_task_has(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list[set[str]]()
    monkeypatch.setattr(tasks, "run_shard", lambda _: found.append(TagsContext.get().current_tags))
    with tags("limited"):
        tasks.shard_of_nights.fn(Shard((), (), 0, ""))
    assert found == [set()]


def test_a_shard_is_submitted_before_the_bars_of_the_next_come(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def come() -> Iterator[str]:
        for shard in "ab":
            done.append(f"{shard} comes")
            yield shard

    def submit(shard: str) -> list[str]:
        done.append(f"{shard} runs")
        return [shard]

    assert of_workers(submit, monkeypatch)(come()) == ["a", "b"]
    assert done == ["a comes", "a runs", "b comes", "b runs"]


def test_a_shard_that_a_broken_pool_refuses_is_submitted_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ["b"]

    def submit(shard: SimpleNamespace) -> list[str]:
        if shard.name in refused:
            refused.remove(shard.name)
            raise BrokenProcessPool
        return [shard.name]

    assert of_workers(submit, monkeypatch)(SimpleNamespace(name=name) for name in "abc") == ["a", "c", "b"]
    assert refused == []


def test_lost_shards_fail_together_once_there_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    def scheduler_goes(_: Settings, shards: int) -> AbstractContextManager[SimpleNamespace]:
        asked.append(shards)
        if len(asked) == 3:
            raise ForecastingError("no scheduler")  # after minutes
        return nullcontext(SimpleNamespace(submit=lambda *_: SimpleNamespace(result=lambda: 1 / 0)))

    monkeypatch.setattr(runners, "task_runner", scheduler_goes)
    monkeypatch.setattr(runners, "every_night_failed", lambda shard, error: [(shard.name, str(error)[:12])])
    monkeypatch.setattr(runners, "lost_twice", lambda shard: "lost twice")
    settings: Any = SimpleNamespace(runner="processes")
    shards: Any = (SimpleNamespace(name=name) for name in "abcd")
    failed = list[Any](runners.run_shards(shards, settings, 4))
    assert failed == [("a", "lost twice"), *((name, "no scheduler") for name in "bcd")]
    assert asked == [4, 1, 1]


def test_ctrl_c_while_a_shard_is_submitted_ends_the_run_rather_than_counts_as_a_lost_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted(BaseModel):
        @model_serializer
        def fields(self) -> dict[str, int]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        of_workers(lambda _: Interrupted().model_dump(), monkeypatch)(SimpleNamespace(name=name) for name in "ab")


def test_where_no_bar_comes_no_runner_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Any = SimpleNamespace(runner="dask")
    monkeypatch.setattr(runners, "task_runner", lambda *_: pytest.fail("a cluster was started"))
    assert list(runners.run_shards(iter(()), settings, 2)) == []


def test_an_error_between_two_shards_is_not_taken_for_one_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def come() -> Iterator[str]:
        yield "a"
        raise StoreError("seeded")

    with pytest.raises(StoreError, match="seeded"):
        of_workers(lambda shard: [shard], monkeypatch)(come())


def test_a_shard_whose_workers_are_all_killed_is_failed_in_every_row(
    evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()

    def kill_every_worker() -> None:
        while not done.wait(0.05):
            for worker in multiprocessing.active_children():
                worker.kill()

    killer = threading.Thread(target=kill_every_worker)
    killer.start()
    try:
        tables = tables_after(evening, tmp_path / "data", panel, monkeypatch, RUNNER="processes", SHARD_SIZE=2)
    finally:
        done.set()
        killer.join()
    runs = {row["symbol"]: row for row in tables["runs"] if str(row["as_of"])[:10] == str(LAST)}
    assert {symbol: row["status"] for symbol, row in runs.items()} == dict.fromkeys(SYMBOLS, "failed")
    lost = [symbol for symbol, row in runs.items() if "two were lost" in str(row["error"])]
    assert sorted(lost) == ["AAA", "BBB", "CCC"]


def test_shards_of_two_symbols_give_the_same_tables_and_a_task_a_shard_and_step(
    apart: Tables, evening: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tables_after(evening, tmp_path / "data", panel, monkeypatch, SHARD_SIZE=2) == apart
    (flow_run_id,) = {row["flow_run_id"] for row in rows("runs") if str(row["as_of"])[:10] == str(LAST)}
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(str(flow_run_id))]))

    def names() -> list[str]:
        with get_client(sync_client=True) as client:
            return sorted(run.name for run in client.read_task_runs(flow_run_filter=of_run))

    expected = [f"{step}-{shard}-{LAST}" for step in STEPS for shard in ("AAA+BBB", "CCC")]
    expected.append(f"ingest-AAA+3-others-{LAST}")
    assert until(lambda: len(names()) >= len(expected) and names(), "the tasks of the run") == sorted(expected)
