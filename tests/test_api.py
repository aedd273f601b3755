"""The ledger in Python: the code of docs/analyst.md as it stands, what is loaded when, and what is
refused."""

from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr

import forecasting as fc
from flows import clock
from forecasting.errors import StoreError, UsageError
from forecasting.publish.export import BARS_COLUMNS
from tests.builders import EVE, LAST, random_bars, set_small_fits, write_yahoo_csv
from tests.guides import blocks, section

BLOCKS = blocks(section("analyst.md", "## Python"), "python")


@pytest.fixture
def folder(tmp_path, sqlite_url, monkeypatch):
    """A working folder with bars of SBUX and an empty ledger where docs/analyst.md expects them."""
    (tmp_path / "forecasting-data").mkdir()
    Path(sqlite_url.removeprefix("sqlite:///")).rename(
        tmp_path / "forecasting-data" / "forecasting.db"
    )
    write_yahoo_csv(random_bars(days=650, seed=3, last=LAST), tmp_path / "SBUX.csv")
    set_small_fits(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:SBUX. :UserWarning")  # what the runs note
def test_the_code_of_the_python_guide_runs_and_gives_what_it_states(folder):
    fc.connect().run_night("SBUX", source="csv:SBUX.csv", as_of=EVE, mode="scratch", now=clock.now)
    fc.connect().run_night("SBUX", source="csv:SBUX.csv", as_of=LAST, now=clock.now)
    names = {}
    for block in BLOCKS:
        exec(block, names)
    frames = {name: value for name, value in names.items() if isinstance(value, pd.DataFrame)}
    days = {"latest": "origin_session", "published": "target_session"}
    for name, column in days.items():
        assert frames[name][column].unique().tolist() == [pd.Timestamp(LAST)]
    assert tuple(frames["known"]) == BARS_COLUMNS
    assert frames["known"]["session"].max() == pd.Timestamp(EVE)
    assert {"q05", "actual", "inside_80", "calendar"} <= set(frames["night"])
    assert set(frames["night"]["role"]) >= {"published", "baseline"}
    assert len(fc.connect().long("SBUX")) == 1
    result = names["result"]
    assert result.forecasts["origin_session"].between("2024-02-01", "2024-02-29").all()
    assert {"mae", "pinball"} <= set(result.figures["metric"])


def test_a_ledger_that_is_not_there_or_an_empty_name_is_refused(folder):
    for missing in (
        {"url": f"sqlite:///{folder / 'missing.db'}"},
        {"data_dir": folder / "elsewhere"},
    ):
        with pytest.raises(StoreError):
            fc.connect(**missing)
    # Of a variable that is not set: not the default ledger
    for empty in ({"url": ""}, {"data_dir": " "}):
        with pytest.raises(UsageError, match="found an empty one"):
            fc.connect(**empty)


def test_a_ledger_is_printed_without_its_password(folder):
    ledger = fc.connect(f"sqlite:///{folder / 'forecasting-data' / 'forecasting.db'}")
    assert repr(ledger) == f"<Ledger {folder / 'forecasting-data' / 'forecasting.db'}>"
    kept = "postgresql://me:hunter2@ledger.example.org:5433/nights"
    elsewhere = fc.Ledger(ledger.settings.model_copy(update={"database_url": SecretStr(kept)}))
    assert repr(elsewhere) == "<Ledger nights on ledger.example.org:5433>"
