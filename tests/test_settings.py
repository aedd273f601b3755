from __future__ import annotations

import pytest

from forecasting.errors import UsageError
from forecasting.settings import Settings, read_settings


def test_an_empty_variable_counts_as_not_set(monkeypatch):
    unset = Settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"FORECASTING_{name.upper()}", "")
    assert read_settings() == unset


def test_the_error_names_every_invalid_variable_and_shows_no_secret(monkeypatch):
    monkeypatch.setenv("FORECASTING_MEMBERS", "none")
    monkeypatch.setenv("FORECASTING_TARGET", "price")
    monkeypatch.setenv("FORECASTING_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1/ledger")
    with pytest.raises(UsageError, match=r"FORECASTING_TARGET.*FORECASTING_MEMBERS") as refused:
        read_settings()
    assert "hunter2" not in str(refused.value)
