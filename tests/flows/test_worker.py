from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from flows import server
from forecasting.settings import read_settings
from forecasting.store import migrate


def test_a_script_that_starts_a_worker_in_the_background_can_end_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Prefect's worker, told to end by SIGTERM, interrupts itself; `worker &` of a script ignores interrupts."""
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path))
    migrate.upgrade(read_settings().url)
    became = []
    monkeypatch.setattr(server, "check_server", lambda: None)
    monkeypatch.setattr(os, "execv", lambda _, words: became.append((words[1:], signal.getsignal(signal.SIGINT))))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server.start_worker("nights")
    finally:
        signal.signal(signal.SIGINT, before)
    words = ["-m", "prefect", "worker", "start", "--pool", "nights"]
    assert became == [(words, signal.SIG_DFL)]
