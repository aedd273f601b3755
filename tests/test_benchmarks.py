from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import two_sources

from tests.builders import LAST, random_bars, write_yahoo_csv

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_the_ledger_benchmark_loads_reads_and_writes(empty_database_url):
    options = ["--symbols", "2", "--years", "0.1", "--database-url", empty_database_url, "--plans"]
    ran = subprocess.run(
        [sys.executable, BENCHMARKS / "ledger.py", *options], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    for figure in ("| view live_skill |", "| a night's writes, 2 symbols |", "| on disk, whole database |"):
        assert figure in ran.stdout


def test_two_sources_are_compared_night_by_night(tmp_path, monkeypatch, capsys):
    bars = random_bars(30, seed=1, last=LAST)
    write_yahoo_csv(bars, tmp_path / "a.csv")
    bars.iloc[4, bars.columns.get_loc("volume")] *= 4  # out of reach of the newest night, not of its own
    write_yahoo_csv(bars, tmp_path / "b.csv")
    named = ["--source", f"csv:{tmp_path / 'a.csv'}", "--witness", f"csv:{tmp_path / 'b.csv'}", "--symbol", "SBUX"]
    monkeypatch.setattr(sys, "argv", ["two_sources.py", *named, "--from", "2024-01-02", "--to", "2024-03-08"])
    two_sources.main()
    printed = capsys.readouterr().out
    assert "SBUX: 30 sessions that both have" in printed
    assert "volume: ratio 1 to 4, median 1" in printed
    assert f"{bars.index[4].date()} witness_volume: 4. " in printed
    assert printed.endswith("1 findings\n")
