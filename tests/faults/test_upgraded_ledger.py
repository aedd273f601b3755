"""A ledger at revision 0009: this code upgrades it, goes on with its nights, and can verify its
own.

`ledgers/0009.tar.xz` is the ledger of `forecasting catch-up --from 2018-12-17 --to 2018-12-20` with
source sample and the settings below, and the weights of its newest network.
"""

import tarfile
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows import clock
from flows.start import start_catch_up
from forecasting.audit.verify import verify
from forecasting.errors import StoreError
from forecasting.settings import read_settings
from forecasting.store import migrate
from forecasting.store.connect import engine
from tests.builders import set_small_night
from tests.nights import rows

LEDGER = Path(__file__).parent / "ledgers" / "0009.tar.xz"
NEXT = date(2018, 12, 21)
"""The night of this code, after those of the ledger."""

KEPT = ("fetches", "runs", "models", "forecasts", "scores")


def stored(url):
    """All rows of all tables, but of Alembic's, under the columns that this database has."""
    return {
        name: rows(name)
        for name in sa.inspect(engine(url)).get_table_names()
        if name != "alembic_version"
    }


def lost(before, after):
    """The rows of a table before that it has no more after, under the columns that they had."""
    changed = ("role", "artifact_path")
    same = [name for name in before[0] if name not in changed] if before else []
    kept = [{name: row[name] for name in same} for row in after]
    return [row for row in before if {name: row[name] for name in same} not in kept]


@pytest.mark.slow
def test_a_ledger_at_0009_is_upgraded_goes_on_and_can_be_verified(
    tmp_path, plain_flows, monkeypatch
):
    with tarfile.open(LEDGER) as packed:
        packed.extractall(tmp_path / "data", filter="data")
    url = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    set_small_night(
        monkeypatch, tmp_path, url, train_sessions=300, SOURCE="sample", SYMBOLS="^GSPC"
    )
    before = stored(url)
    with pytest.raises(StoreError, match="Run `forecasting db upgrade`"):
        start_catch_up(first=NEXT, last=NEXT, refit_every=1)
    assert stored(url) == before
    migrate.upgrade(url)
    upgraded = stored(url)
    changed = ("standings", "promotions")  # columns renamed; gone, its models say what it said
    assert [
        name for name in before if name not in changed and lost(before[name], upgraded[name])
    ] == []
    start_catch_up(first=NEXT, last=NEXT, refit_every=1)
    after = stored(url)
    assert [name for name in KEPT if not before[name] or lost(before[name], after[name])] == []
    assert [row["status"] for row in rows("runs", as_of=str(NEXT))] == ["done"]
    published = rows("forecasts", origin_session=str(NEXT), role="published")
    assert {row["status"] for row in published} == {"ok"}
    found = verify(read_settings(), now=clock.now, first=NEXT).values["^GSPC"]
    assert f"1 night, {NEXT} to {NEXT}: all " in found
