from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from flows import IMPORTED
from forecasting.errors import DataLateError, ForecastingError, UsageError
from forecasting.pipeline import night_shard
from forecasting.pipeline.night_run import NightRun, NightSpec, night_run
from forecasting.pipeline.night_shard import (
    LARGEST,
    Finished,
    automatic_size,
    every_night_failed,
    finished,
    import_for_workers,
    in_batches,
    in_turn,
    lost_twice,
    runs_of,
    shards_of,
    size_of,
)
from forecasting.pipeline.shard import Outcome
from forecasting.settings import Settings
from tests.builders import LAST

NOW = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
PASSWORD = "not-to-travel"


def now() -> datetime:
    return NOW


def settings(**given: object) -> Settings:
    url = SecretStr(f"postgresql://user:{PASSWORD}@host/ledger")
    return Settings(_env_file=None, database_url=url, **given)  # type: ignore[arg-type]


def nights(*symbols: str) -> list[list[NightRun]]:
    return [[night_run(NightSpec(one, LAST, "volume", "sample"), settings(), now=lambda: NOW)] for one in symbols]


def test_shards_keep_the_order_of_the_symbols_and_their_size() -> None:
    given = settings(shard_size=2, symbols=("A", "B", "C"))
    shards = list(shards_of(nights("A", "B", "C"), given, size=size_of(3, given)))
    assert [[night.symbol for (night,) in shard.nights] for shard in shards] == [["A", "B"], ["C"]]
    assert [shard.name for shard in shards] == ["A+B-2024-03-08", "C-2024-03-08"]
    assert [shard.symbols for shard in shards] == [3, 3]


def test_a_shard_is_made_of_no_more_symbols_than_have_come() -> None:
    taken: list[str] = []

    def come() -> Iterator[list[NightRun]]:
        for symbol in ("A", "B", "C", "D"):
            taken.append(symbol)
            yield nights(symbol)[0]

    shards = shards_of(come(), settings(), size=2)
    assert next(shards).name == "A+B-2024-03-08"
    assert taken == ["A", "B"]


@pytest.mark.parametrize(
    ("symbols", "workers", "size"), [(1, 8, 1), (20, 1, 20), (500, 1, LARGEST), (90, 2, 15), (500, 4, 42), (7, 8, 1)]
)
def test_an_automatic_shard_is_one_of_several_a_worker(symbols: int, workers: int, size: int) -> None:
    assert automatic_size(symbols, workers) == size


def test_a_worker_under_other_settings_refuses_its_shard() -> None:
    (shard,) = shards_of(nights("A"), settings(), size=1)
    assert runs_of(shard, settings(), now=lambda: NOW, flow_run_id=None)[0][0].id == shard.ids[0][0]
    with pytest.raises(UsageError, match="the same FORECASTING_ variables"):
        runs_of(shard, settings(members=5), now=lambda: NOW, flow_run_id=None)


def test_a_worker_of_another_release_refuses_its_shard() -> None:
    (shard,) = shards_of(nights("A"), settings(), size=1)
    with pytest.raises(UsageError, match=r"forecasting 0\.1\.0, .*; found .* one release on all machines"):
        runs_of(replace(shard, release="0.1.0"), settings(), now=lambda: NOW, flow_run_id=None)


def test_what_travels_has_no_password_and_arrives_whole() -> None:
    ((run,), (other,)) = nights("A", "B")
    late = DataLateError("no bar", LAST)
    sent = [
        *shards_of([[run]], run.settings, size=1),
        *finished([Outcome(run, run.id), Outcome(other, error=late)], now=now),
    ]
    assert PASSWORD.encode() not in pickle.dumps(sent)
    shard, done, failed = pickle.loads(pickle.dumps(sent))
    assert (shard, done) == (sent[0], Finished(run.spec, run.id, None))
    assert (failed.night, str(failed.error), failed.error.newest) == (other.spec, "no bar", LAST)


def test_an_error_of_others_that_cannot_be_pickled_travels_as_one_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    ((run,),) = nights("A")
    response = httpx.Response(500, request=httpx.Request("GET", "http://prefect"))
    theirs = httpx.HTTPStatusError("seeded", request=response.request, response=response)
    (failed,) = pickle.loads(pickle.dumps(finished([Outcome(run, error=theirs)], now=now)))
    assert isinstance(failed.error, ForecastingError)
    assert "(HTTPStatusError: seeded)" in str(failed.error)


def test_a_lost_shard_is_the_failure_of_each_of_its_nights() -> None:
    (shard,) = shards_of(nights("A", "B"), settings(), size=5)
    lost = lost_twice(shard)
    assert shard.name in str(lost)
    assert [(one.night.symbol, one.error) for one in every_night_failed(shard, lost)] == [("A", lost), ("B", lost)]


def test_a_batch_has_one_key_and_at_most_its_size() -> None:
    assert list(in_batches([1, 2, 3, 5, 7, 4], lambda item: item % 2, 3)) == [[1, 3, 5], [7], [2, 4]]


def test_nights_are_in_the_order_in_which_they_run() -> None:
    assert in_turn([["A1", "A2", "A3"], ["B1"], [], ["C1", "C2"]]) == [["A1", "B1", "C1"], ["A2", "C2"], ["A3"]]
    assert in_turn([]) == []


@pytest.mark.parametrize(
    ("given", "begins"),
    [
        ({"runner": "processes", "workers": 2, "symbols": ["AAA", "BBB"]}, True),
        ({"runner": "processes", "workers": 1, "symbols": ["AAA", "BBB"]}, False),
        ({"runner": "processes", "workers": 2, "symbols": ["AAA"]}, False),
        ({"runner": "local", "workers": 2, "symbols": ["AAA", "BBB"]}, False),
        ({"runner": "dask", "workers": 2, "symbols": ["AAA", "BBB"]}, False),
    ],
)
def test_imports_begin_early_only_where_nights_will_have_processes(
    given: dict[str, object], begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = list[object]()
    monkeypatch.setattr(night_shard, "worker_context", imported.append)
    import_for_workers(settings(**given), IMPORTED)
    assert imported == [IMPORTED] * begins


@pytest.mark.parametrize("name", IMPORTED)
def test_what_workers_import_is_there(name: str) -> None:
    assert importlib.util.find_spec(name) is not None  # a name that is not would be left out without a word
