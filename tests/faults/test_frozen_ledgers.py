"""Ledgers of two older releases: this code upgrades them, and makes their nights again to the bit.

`make_ledger.py` makes each; nights may not move while the code around them does.
"""

import json
import re
import tarfile
from pathlib import Path

import pytest

from forecasting.audit.verify import verify
from forecasting.settings import read_settings
from forecasting.store import migrate
from tests.builders import LAST, set_small_night
from tests.nights import after

LEDGERS = Path(__file__).parent / "ledgers"
VERIFIED = json.loads((LEDGERS / "verified.json").read_text())
"""What is the same to the bit, by the commit that made the ledger and by series."""


@pytest.mark.slow
@pytest.mark.parametrize("commit", VERIFIED)
def test_nights_of_an_older_release_come_out_again_to_the_bit(commit, tmp_path, monkeypatch):
    with tarfile.open(LEDGERS / f"{commit}.tar.xz") as packed:
        packed.extractall(tmp_path / "data", filter="data")
    url = f"sqlite:///{tmp_path / 'data' / 'forecasting.db'}"
    migrate.upgrade(url)
    named = {"SOURCE": "yahoo", "SYMBOLS": "MSFT,KO", "TARGETS": "volume,range"}
    set_small_night(monkeypatch, tmp_path, url, train_sessions=300, **named)
    found = verify(read_settings(), now=after(LAST, 24 * 30))
    found.raise_failed()
    same = {name: counts(text) for name, text in found.values.items()}
    assert same == VERIFIED[commit]


def counts(text: str) -> dict[str, int]:
    """How many nights and rows of each kind are the same, of a sentence of `verify`."""
    told = re.findall(r"([\d,]+) (nights|forecasts|scores|totals|total scores)\b", text)
    return {kind: int(number.replace(",", "")) for number, kind in told}
