"""A ledger at revision 0009: this code upgrades it, goes on with its nights, and can verify its own.

`ledgers/0009.tar.xz` is the ledger of `forecasting catch-up --from 2018-12-17 --to 2018-12-20` with source sample and
the settings below, and the weights of its champion.
"""

from __future__ import annotations

import tarfile
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows import clock
from flows.start import start_catch_up
from forecasting.errors import StoreError
from forecasting.pipeline.replay import replay
from forecasting.settings import read_settings
from forecasting.store import migrate
from forecasting.store.connect import engine
from tests.builders import set_small_night

LEDGER = Path(__file__).parent / "ledgers" / "0009.tar.xz"
NEXT = date(2018, 12, 21)
"""The night of this code, after those of the ledger."""

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


KEPT = ("fetches", "runs", "models", "promotions", "forecasts", "scores")


def lost(before: Rows, after: Rows) -> Rows:
    """The rows of `before` that are not in `after`, under the columns that they had; of Alembic's table none."""
    found = {}
    for name, stored in before.items():
        kept = [{column: row[column] for column in stored[0]} for row in after[name]] if stored else []
        found[name] = [row for row in stored if row not in kept]
    return {name: missing for name, missing in found.items() if missing and name != "alembic_version"}


@pytest.mark.slow
def test_a_ledger_at_0009_is_upgraded_goes_on_and_can_be_verified(tmp_path, plain_flows, monkeypatch):
    with tarfile.open(LEDGER) as packed:
        packed.extractall(tmp_path / "data", filter="data")
    url = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    set_small_night(monkeypatch, tmp_path, url, train_sessions=300, SOURCE="sample", SYMBOLS="^GSPC")
    before = rows(url)
    with pytest.raises(StoreError, match="Run `forecasting db upgrade`"):
        start_catch_up(first=NEXT, last=NEXT, refit_every=1)
    assert rows(url) == before
    migrate.upgrade(url)
    assert lost(before, rows(url)) == {}
    start_catch_up(first=NEXT, last=NEXT, refit_every=1)
    after = rows(url)
    assert all(before[name] for name in KEPT)
    assert lost({name: before[name] for name in KEPT}, after) == {}
    (night,) = [row for row in after["runs"] if row["as_of"] == str(NEXT)]
    assert (night["as_of"], night["status"]) == (str(NEXT), "done")
    published = [row for row in after["forecasts"] if row["run_id"] == night["id"] and row["role"] == "champion"]
    assert {row["status"] for row in published} == {"ok"}
    assert f": 1 night, {NEXT} to {NEXT}: all " in replay(read_settings(), now=clock.now, first=NEXT)
