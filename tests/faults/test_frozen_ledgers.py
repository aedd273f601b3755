"""A ledger of an older commit: this code upgrades it, names its nights, and goes on.

The code of commit e2d6f360 made it: 20 nights of two symbols, volume and range, with a late bar, a
split and a report. Its nights were published by other rules. The night that this code makes after
them comes out again to the bit.
"""

import re
import tarfile
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from flows import clock, nightly
from forecasting.audit.verify import OLDER, verify
from forecasting.errors import StoreError
from forecasting.ingest.actions import make_actions
from forecasting.settings import read_settings
from forecasting.store import migrate
from forecasting.store.connect import engine
from tests.builders import LAST, random_bars, set_small_night
from tests.nights import after, rows
from tests.yahoo_stand_in import StandIn, asked_here

LEDGER = Path(__file__).parent / "ledgers" / "e2d6f360.tar.xz"
NEXT = date(2024, 3, 11)
"""The night of this code, after the last one of the ledger."""

SPLIT = (date(2024, 2, 27), "split", 2.0)
"""The split of MSFT that the ledger has."""

CHANGED = {"standings", "promotions"}
"""Tables whose columns were renamed, or whose rows the models have."""

KEPT = ("fetches", "runs", "models", "forecasts", "scores")
"""Tables whose rows no later night changes."""


@pytest.mark.slow
@pytest.mark.usefixtures("plain_flows")
def test_an_older_ledger_goes_on_and_its_new_night_comes_out_again(tmp_path, monkeypatch):
    with tarfile.open(LEDGER) as packed:
        packed.extractall(tmp_path / "data", filter="data")
    url = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    named = {"SOURCE": "yahoo", "SYMBOLS": "MSFT,KO", "TARGETS": "volume,range"}
    set_small_night(monkeypatch, tmp_path, url, train_sessions=300, **named)
    before = stored(url)
    with pytest.raises(StoreError, match="Run `forecasting db upgrade`"):
        nightly.nightly()
    assert stored(url) == before
    migrate.upgrade(url)
    assert_kept(before, stored(url))
    assert_verified(0)

    before = stored(url)
    served = StandIn(longer_bars(seed=4), make_actions([SPLIT]), symbol="MSFT")
    served.add("KO", longer_bars(seed=5))
    with asked_here(served, monkeypatch.setattr):
        served.today = NEXT
        monkeypatch.setattr(clock, "now", after(NEXT, 13.5))
        nightly.nightly()
    assert_kept({name: before[name] for name in KEPT}, stored(url))
    published = rows("forecasts", role="published", origin_session=str(NEXT))
    assert {row["status"] for row in published} == {"ok"}
    assert_verified(1)


def stored(url):
    """Return all rows of all tables but Alembic's, under the columns that this database has."""
    names = set(sa.inspect(engine(url)).get_table_names()) - CHANGED - {"alembic_version"}
    return {name: rows(name) for name in names}


def assert_kept(before, now):
    """Assert that every row is there, under the columns that both have."""
    for table, old in before.items():
        if old:
            same = [name for name in old[0] if name in now[table][0] and name != "role"]
            kept = {tuple(row[name] for name in same) for row in now[table]}
            assert {tuple(row[name] for name in same) for row in old} <= kept, table


def longer_bars(seed: int) -> pd.DataFrame:
    """Return the bars of the ledger. Its newest one is also that of NEXT."""
    bars = random_bars(days=520, seed=seed, last=LAST)
    return pd.concat([bars, bars.iloc[-1:].set_axis(pd.DatetimeIndex([NEXT]))])


def assert_verified(count: int):
    """Assert that `count` nights of each series are the same, and the older ones are named."""
    found = verify(read_settings())
    found.raise_failed()
    for text in found.values.values():
        assert OLDER.why in text
        assert re.findall(r"(\d+) nights?, ", text) == [str(count)][: count > 0]
