"""The flow `backtest` through Prefect's engine; tests/flows/test_serving.py has one from the form, by a worker."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from flows.backtest import backtest

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_a_refused_backtest_is_a_failed_run_with_its_error(night_folder: Path) -> None:
    state = backtest(date(2018, 11, 30), date(2018, 11, 1), return_state=True)
    assert state.name == "Failed"
    assert "2018-11-30" in str(state.message)
