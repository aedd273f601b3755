"""Ledgers of older releases: this code upgrades them, names their nights, and goes on.

`make_ledger.py` made two of them; `0009` is that of `forecasting catch-up --from 2018-12-17 --to
2018-12-20` with source sample. Their nights were published by other rules; those of this code, made
after them, come out again to the bit.
"""

import re
import tarfile
from contextlib import nullcontext
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

LEDGERS = Path(__file__).parent / "ledgers"
SAMPLE = {"SOURCE": "sample", "SYMBOLS": "^GSPC"}
YAHOO = {"SOURCE": "yahoo", "SYMBOLS": "MSFT,KO", "TARGETS": "volume,range"}
NEXT = [date(2024, 3, 11), date(2024, 3, 12)]
"""The nights of this code, after the last one of each ledger that `make_ledger.py` made."""

CHANGED = {"standings", "promotions"}
"""Tables whose columns were renamed, or whose rows the models have."""

KEPT = ("fetches", "runs", "models", "forecasts", "scores")
"""Tables whose rows no later night changes."""


@pytest.mark.slow
@pytest.mark.usefixtures("plain_flows")
@pytest.mark.parametrize(
    ("name", "nights", "named"),
    [
        ("0009", [date(2018, 12, 21)], SAMPLE),
        ("e2d6f360", NEXT, YAHOO),
        ("978c0017", NEXT, YAHOO),
    ],
)
def test_an_older_ledger_goes_on_and_its_new_nights_come_out_again(
    name, nights, named, tmp_path, monkeypatch
):
    with tarfile.open(LEDGERS / f"{name}.tar.xz") as packed:
        packed.extractall(tmp_path / "data", filter="data")
    url = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    set_small_night(monkeypatch, tmp_path, url, train_sessions=300, **named)
    monkeypatch.setattr(clock, "now", after(nights[0], 13.5))
    before = stored(url)
    with pytest.raises(StoreError, match="Run `forecasting db upgrade`"):
        nightly.nightly()
    assert stored(url) == before
    migrate.upgrade(url)
    assert_kept(before, stored(url))
    assert_verified(0)

    before = stored(url)
    with served_here(monkeypatch) if named is YAHOO else nullcontext() as served:
        for session in nights:
            if served:
                served.today = session
            # That of the sample was made in 2026, of sessions long past
            made = after(date(2026, 11, 30)) if named is SAMPLE else after(session, 13.5)
            monkeypatch.setattr(clock, "now", made)
            nightly.nightly(last=session if named is SAMPLE else None)
    assert_kept({name: before[name] for name in KEPT}, stored(url))
    issued = [row for row in rows("forecasts") if row not in before["forecasts"]]
    published = [row for row in issued if row["role"] == "published"]
    assert {str(row["origin_session"]) for row in published} == {str(day) for day in nights}
    assert {row["status"] for row in published} == {"ok"}
    assert_verified(len(nights))


def stored(url):
    """All rows of all tables, but of Alembic's, under the columns that this database has."""
    names = set(sa.inspect(engine(url)).get_table_names()) - CHANGED - {"alembic_version"}
    return {name: rows(name) for name in names}


def assert_kept(before, now):
    """Assert that every row is there, under the columns that both have."""
    for table, old in before.items():
        if old:
            same = old[0].keys() & now[table][0].keys() - {"role"}
            kept = [{name: row[name] for name in same} for row in now[table]]
            lost = [row for row in old if {name: row[name] for name in same} not in kept]
            assert lost == [], table


SPLIT = date(2024, 2, 27)
"""The day of the split that the ledgers have, as of `make_ledger.py`."""


def served_here(monkeypatch):
    """The vendor of the ledgers, with the bars of NEXT."""
    served = StandIn(longer_bars(seed=4), make_actions([(SPLIT, "split", 2.0)]), symbol="MSFT")
    served.add("KO", longer_bars(seed=5))
    return asked_here(served, monkeypatch.setattr)


def longer_bars(seed: int) -> pd.DataFrame:
    """The bars of a ledger and those of NEXT, as the ledger's two newest."""
    bars = random_bars(days=520, seed=seed, last=LAST)
    return pd.concat([bars, bars.iloc[-2:].set_axis(pd.DatetimeIndex(NEXT))])


def assert_verified(count: int):
    """Assert that so many nights of each series are the same, and the older ones are named."""
    found = verify(read_settings())
    found.raise_failed()
    for text in found.values.values():
        assert OLDER.why in text
        assert re.findall(r"(\d+) nights?, ", text) == [str(count)][: count > 0]
