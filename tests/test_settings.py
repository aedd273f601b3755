from __future__ import annotations

import pytest

from forecasting.errors import UsageError
from forecasting.settings import Settings, read_settings


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch):
    unset = Settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"FORECASTING_{name.upper()}", "")
    assert read_settings() == unset


def test_every_wrong_variable_is_named_at_once_and_no_secret_shown(monkeypatch):
    monkeypatch.setenv("FORECASTING_MEMBERS", "none")
    monkeypatch.setenv("FORECASTING_TARGET", "price")
    monkeypatch.setenv("FORECASTING_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1/ledger")
    with pytest.raises(UsageError, match=r"FORECASTING_TARGET.*FORECASTING_MEMBERS") as refused:
        read_settings()
    assert "hunter2" not in str(refused.value)
