"""Ledgers of two older releases: this code upgrades them, names their nights, and goes on.

`make_ledger.py` made each. Their nights were published by other rules; those of this code, made
after them, come out again to the bit.
"""

import tarfile
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from flows import clock, nightly
from forecasting.audit.verify import OLDER, verify
from forecasting.ingest.actions import make_actions
from forecasting.settings import read_settings
from forecasting.store import migrate
from tests.builders import LAST, random_bars, set_small_night
from tests.nights import after, rows
from tests.yahoo_stand_in import StandIn, asked_here

LEDGERS = Path(__file__).parent / "ledgers"
NEXT = [date(2024, 3, 11), date(2024, 3, 12)]
"""The nights of this code, after the last one of each ledger."""


@pytest.mark.slow
@pytest.mark.usefixtures("plain_flows")
@pytest.mark.parametrize("commit", ["e2d6f360", "978c0017"])
def test_an_older_ledger_goes_on_and_its_new_nights_come_out_again(commit, tmp_path, monkeypatch):
    with tarfile.open(LEDGERS / f"{commit}.tar.xz") as packed:
        packed.extractall(tmp_path / "data", filter="data")
    url = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    migrate.upgrade(url)
    named = {"SOURCE": "yahoo", "SYMBOLS": "MSFT,KO", "TARGETS": "volume,range"}
    set_small_night(monkeypatch, tmp_path, url, train_sessions=300, **named)
    assert_verified(0)
    before = rows("forecasts")

    served = StandIn(longer_bars(seed=4), make_actions([(SPLIT, "split", 2.0)]), symbol="MSFT")
    served.add("KO", longer_bars(seed=5))
    with asked_here(served, monkeypatch.setattr):
        for session in NEXT:
            served.today = session
            monkeypatch.setattr(clock, "now", after(session, 13.5))
            nightly.nightly()
    issued = [row for row in rows("forecasts") if row not in before]
    assert len(rows("forecasts")) == len(before) + len(issued)
    published = [row for row in issued if row["role"] == "published"]
    assert {str(row["origin_session"]) for row in published} == {str(day) for day in NEXT}
    assert {row["status"] for row in published} == {"ok"}
    assert_verified(len(NEXT))


SPLIT = date(2024, 2, 27)
"""The day of the split that the ledgers have, as of `make_ledger.py`."""


def longer_bars(seed: int) -> pd.DataFrame:
    """The bars of a ledger and those of NEXT, as the ledger's two newest."""
    bars = random_bars(days=520, seed=seed, last=LAST)
    return pd.concat([bars, bars.iloc[-2:].set_axis(pd.DatetimeIndex(NEXT))])


def assert_verified(count: int):
    """Assert that so many nights of each series are the same, and the older ones are named."""
    found = verify(read_settings(), now=after(NEXT[-1], 24 * 30))
    found.raise_failed()
    for text in found.values.values():
        assert OLDER.why in text
        assert (f"{count} nights, " in text) == bool(count)
