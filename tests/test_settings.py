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
    assert "FORECASTING_MEMBERS: expected a valid integer, found 'none'" in str(refused.value)
    assert "FORECASTING_TARGET: expected 'volume', 'close' or 'range', found 'price'" in str(refused.value)


def test_a_symbol_that_is_not_valid_is_refused_with_its_variable(monkeypatch):
    for name, value in {"SYMBOLS": "SBUX,msft", "EXCHANGES": "vod=XLON"}.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    with pytest.raises(UsageError) as refused:
        read_settings()
    for named in ("SYMBOLS: Invalid symbol 'msft'", "EXCHANGES: Invalid symbol 'vod'"):
        assert f"FORECASTING_{named}: expected 1 to 15 of A-Z" in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("SYMBOL", "SYMBOLS"), ("DATADIR", "DATA_DIR"), ("TIME_ZONE", "TIMEZONE"), ("NOTIFI", "NOTIFY")],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(monkeypatch, wrong, nearest):
    monkeypatch.setenv(f"FORECASTING_{wrong}", "MSFT")
    with pytest.raises(UsageError, match=rf"found FORECASTING_{wrong} \(FORECASTING_{nearest}\?\)"):
        read_settings()


def test_variables_of_other_programs_and_of_commands_are_no_misspelt_settings(monkeypatch):
    for name in ("DB_PASSWORD", "OWNED_BY"):
        monkeypatch.setenv(f"FORECASTING_{name}", "x")
    read_settings()


@pytest.mark.parametrize("text", ["0", "-3", "inf", "nan", "three"])
def test_a_cost_ratio_is_a_number_above_zero(monkeypatch, text):
    monkeypatch.setenv("FORECASTING_COST_RATIO", text)
    with pytest.raises(UsageError, match="FORECASTING_COST_RATIO"):
        read_settings()


@pytest.mark.parametrize("name", ["scratch_every", "max_model_age"])
def test_settings_of_fits_from_scratch_and_of_age_are_of_the_hash_where_they_are_not_the_defaults(name):
    usual = getattr(Settings(), name)
    other = Settings(**{name: usual + 1})
    assert other.hash != Settings().hash == Settings(**{name: usual}).hash
    assert (other.forecast_fields()[name], name in Settings().forecast_fields()) == (usual + 1, False)


def test_a_cost_ratio_changes_no_forecast_and_so_no_hash(monkeypatch):
    unset = read_settings()
    monkeypatch.setenv("FORECASTING_COST_RATIO", "3")
    assert (unset.cost_ratio, read_settings().cost_ratio) == (None, 3.0)
    assert read_settings().hash == unset.hash


def test_a_schedule_and_a_time_zone_are_checked_with_the_settings(monkeypatch):
    monkeypatch.setenv("FORECASTING_CRON", "30 5 * *")
    monkeypatch.setenv("FORECASTING_TIMEZONE", "Mars/Olympus")
    with pytest.raises(UsageError, match=r"(?is)cron.*five fields.*timezone.*time zone"):
        read_settings()


def test_a_witness_is_another_source_and_changes_no_forecast(monkeypatch):
    unset = read_settings()
    monkeypatch.setenv("FORECASTING_WITNESS", "house:x")
    assert (unset.witness, read_settings().witness, read_settings().hash) == (None, "house:x", unset.hash)
    monkeypatch.setenv("FORECASTING_SOURCE", "house:x")
    with pytest.raises(UsageError, match=r"FORECASTING_WITNESS: .*another source"):
        read_settings()
