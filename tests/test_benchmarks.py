from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
