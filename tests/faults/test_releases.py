"""Ledgers that earlier releases wrote: this code upgrades them, goes on with their nights, and can verify its own.

`ledgers/VERSION.tar.xz` is the data folder of `forecasting catch-up --from 2018-12-17 --to 2018-12-20` with that
release, source sample and the settings below. A release adds its own.
"""

from __future__ import annotations

import tarfile
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows import clock
from flows.terminal.start import start_catch_up
from forecasting.errors import ReplayError, StoreError
from forecasting.pipeline.code_version import code_version
from forecasting.pipeline.replay import replay
from forecasting.settings import read_settings
from forecasting.store import migrate
from forecasting.store.engine import engine
from tests.builders import set_small_night
from tests.plain_flows import without_prefect

LEDGERS = sorted((Path(__file__).parent / "ledgers").glob("*.tar.xz"))
NEXT = date(2018, 12, 21)
"""The night of this code, after those of the release."""

Rows = dict[str, list[dict[str, object]]]


def rows(url: str) -> Rows:
    """All rows of all tables, under the columns that this database has, as text."""
    with engine(url).connect() as connection:
        schema = sa.MetaData()
        schema.reflect(connection)
        return {
            table.name: [
                {name: str(value) for name, value in row.items()}
                for row in connection.execute(sa.select(table)).mappings()
            ]
            for table in schema.sorted_tables
        }


def copy_to(url: str, file: Path) -> None:
    """Copy the ledger of a release to another database, at the revision that it has."""
    with sa.create_engine(f"sqlite:///{file}").connect() as source:
        revision = source.scalar(sa.text("SELECT version_num FROM alembic_version"))
        migrate.upgrade(url, str(revision))
        schema = sa.MetaData()
        with engine(url).begin() as target:
            schema.reflect(target)
            for table in schema.sorted_tables:
                if table.name != "alembic_version":
                    stored = [dict(row) for row in source.execute(sa.select(table)).mappings()]
                    if stored:
                        target.execute(sa.insert(table), stored)


@pytest.fixture(params=LEDGERS, ids=lambda path: path.name.removesuffix(".tar.xz"))
def old_url(
    request: pytest.FixtureRequest, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The ledger of a release, in force with its weights, not upgraded."""
    with tarfile.open(request.param) as packed:
        packed.extractall(tmp_path / "data", filter="data")
    copy_to(empty_database_url, tmp_path / "data" / "forecasting.db")
    sample = {"SOURCE": "sample", "SYMBOLS": "^GSPC"}
    set_small_night(monkeypatch, tmp_path, empty_database_url, train_sessions=300, **sample)
    without_prefect(monkeypatch.setattr)
    return empty_database_url


@pytest.mark.slow
def test_a_ledger_of_an_earlier_release_goes_on_and_can_be_verified(old_url: str) -> None:
    before = rows(old_url)
    with pytest.raises(StoreError, match="Run `forecasting db upgrade`"):
        start_catch_up(first=NEXT, last=NEXT, refit_every=1)
    assert rows(old_url) == before
    migrate.upgrade(old_url)
    start_catch_up(first=NEXT, last=NEXT, refit_every=1)
    after = rows(old_url)
    for name in ("fetches", "runs", "models", "promotions", "forecasts", "scores"):
        assert before[name]
        columns = set(before[name][0])
        kept = [{column: row[column] for column in columns} for row in after[name]]
        assert [row for row in before[name] if row not in kept] == [], name
    (night,) = [row for row in after["runs"] if row not in before["runs"] and row["code_version"] == code_version()]
    assert (night["as_of"], night["status"]) == (str(NEXT), "done")
    champions = [row for row in after["forecasts"] if row["role"] == "champion"]
    published = [row for row in champions if str(row["origin_session"]) >= str(NEXT)]
    # The weights of these releases are of an older format: the night's fit from scratch takes over at once.
    assert {(row["origin_session"], row["status"]) for row in published} == {(str(NEXT), "ok")}
    fits = {str(row["id"]): row for row in after["models"]}
    assert all(fits[str(row["model_id"])]["code_version"] == code_version() for row in published)
    assert (night["mode"], "it was written by other code" in str(night["mode_reason"])) == ("scratch", True)
    # A replay runs on SQLite whatever the ledger is on: one of them with all nights of the release is enough.
    count, first = (4, None) if old_url.startswith("sqlite") else (1, date(2018, 12, 20))
    told = rf"{count} of the nights, up to 2018-12-20, were made by other code.*--from {NEXT} replays"
    with pytest.raises(ReplayError, match=told):
        replay(read_settings(), now=clock.now, first=first)
    assert f": 1 night, {NEXT} to {NEXT}: all " in replay(read_settings(), now=clock.now, first=NEXT)
