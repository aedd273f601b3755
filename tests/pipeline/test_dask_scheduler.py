from __future__ import annotations

import socket

import pytest

from forecasting.errors import ForecastingError, UsageError
from forecasting.pipeline import dask_scheduler
from forecasting.pipeline.dask_scheduler import check_dask, wait_for_shard


def test_dask_without_an_address_needs_its_packages_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    check_dask(None)
    monkeypatch.setattr(dask_scheduler, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"not installed here. Run: pip install 'forecasting\[dask\]'"):
        check_dask(None)


@pytest.mark.parametrize("scheme", ["tcp", "nothing"])
def test_an_address_without_a_scheduler_is_named_with_what_to_do(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_scheduler, "CONNECT_S", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{scheme}://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ForecastingError, match=f"worker at FORECASTING_DASK_ADDRESS {address}; found: .*Start both"):
        check_dask(address)


def test_a_scheduler_is_used_once_it_has_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(dask_scheduler, "WORKER_S", 0.5)
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        with pytest.raises(ForecastingError, match="Only 0/1 workers arrived"):
            check_dask(cluster.scheduler_address)
        cluster.scale(1)
        monkeypatch.setattr(dask_scheduler, "WORKER_S", 60.0)
        check_dask(cluster.scheduler_address)


def test_shards_whose_workers_are_all_lost_are_waited_for_until_one_should_have_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import Client, LocalCluster

    monkeypatch.setattr(dask_scheduler, "WORKER_S", 0.2)
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        futures = [client.submit(abs, number) for number in (-1, -2)]
        with pytest.raises(ForecastingError, match="Only 0/1 workers arrived"):
            wait_for_shard(futures[0])
        for future in futures:
            wait_for_shard(future)
            assert future.cancelled()
        cluster.scale(1)
        monkeypatch.setattr(dask_scheduler, "WORKER_S", 60.0)
        later = client.submit(abs, -3)
        wait_for_shard(later)
        assert later.result() == 3
