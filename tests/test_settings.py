from __future__ import annotations

import os
import tomllib
from datetime import time
from pathlib import Path

import pytest

from forecasting.errors import UsageError
from forecasting.settings import Settings, config_text, read_settings, write_config


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


@pytest.mark.parametrize("zone", ["Mars/Olympus", "America", "/etc/passwd", "../UTC", "New York"])
def test_a_schedule_and_a_time_zone_are_checked_with_the_settings(monkeypatch, zone):
    monkeypatch.setenv("FORECASTING_CRON", "30 5 * *")
    monkeypatch.setenv("FORECASTING_TIMEZONE", zone)
    with pytest.raises(UsageError, match=rf"(?s)FORECASTING_CRON: .*five fields.*FORECASTING_TIMEZONE: .*{zone}"):
        read_settings()


def test_the_address_of_pages_is_checked_and_changes_no_forecast(monkeypatch):
    unset = read_settings()
    monkeypatch.setenv("FORECASTING_PAGES_URL", "https://host.example:8443/reports/")
    assert (read_settings().pages_url, read_settings().hash) == ("https://host.example:8443/reports", unset.hash)
    for wrong in ("file:///reports", "https://host/a b", "https://user:pw@host/", "javascript:alert(1)"):
        monkeypatch.setenv("FORECASTING_PAGES_URL", wrong)
        with pytest.raises(UsageError, match=r"FORECASTING_PAGES_URL: Expected an address as https://HOST/reports"):
            read_settings()


def test_alerts_are_checked_with_the_settings(monkeypatch):
    unset = read_settings()
    monkeypatch.setenv("FORECASTING_ALERTS", "median > 1.5 usual")
    assert (unset.alerts, read_settings().alerts, read_settings().hash) == ("", "median > 1.5 usual", unset.hash)
    monkeypatch.setenv("FORECASTING_ALERTS", "median >> 1.5")
    with pytest.raises(UsageError, match=r"FORECASTING_ALERTS: Expected conditions .*found 'median >> 1.5'"):
        read_settings()


def test_a_witness_is_another_source_and_changes_no_forecast(monkeypatch):
    unset = read_settings()
    monkeypatch.setenv("FORECASTING_WITNESS", "house:x")
    assert (unset.witness, read_settings().witness, read_settings().hash) == (None, "house:x", unset.hash)
    monkeypatch.setenv("FORECASTING_SOURCE", "house:x")
    with pytest.raises(UsageError, match=r"FORECASTING_WITNESS: .*another source"):
        read_settings()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, two folders below one that has a forecasting.toml."""
    (tmp_path / "forecasting.toml").write_text(
        'data_dir = "ledger"\nsymbols = ["SBUX", "VOD.L"]\ntarget = "range"\nlate_until = 07:15:00\n'
        'exchanges = {"VOD.L" = "XAMS"}\ncost_ratio = 2\n'
    )
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    return tmp_path


def test_the_nearest_file_beside_or_above_the_data_folder_is_read_and_variables_come_first(folder, monkeypatch):
    monkeypatch.setenv("FORECASTING_TARGET", "close")
    found = read_settings()
    assert (found.symbols, found.target, found.late_until) == (("SBUX", "VOD.L"), "close", time(7, 15))
    assert (found.exchanges, found.cost_ratio, found.data_dir) == ({"VOD.L": "XAMS"}, 2.0, folder / "ledger")
    (folder / "a" / "forecasting.toml").write_text('symbols = "MSFT"')
    assert (read_settings().symbols, read_settings().data_dir) == (("MSFT",), Path("forecasting-data"))
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(folder / "elsewhere"))
    assert read_settings().symbols == ("SBUX", "VOD.L")
    monkeypatch.setenv("FORECASTING_CONFIG", str(folder / "a" / "forecasting.toml"))
    assert read_settings().symbols == ("MSFT",)


def test_a_file_that_another_user_has_put_above_is_passed_over(folder, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    if (folder / "forecasting.toml").stat().st_uid == 0:
        os.chown(folder / "forecasting.toml", 4243, -1)
    assert read_settings().symbols == ("SBUX",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('databas_url = "postgresql://u:hunter2@h/d"', "databas_url: no such setting"),
        ('[forecasting]\nnotify = "hunter2"', "forecasting: no such setting"),
        ("notify = 42\nseed = 'many'", "FORECASTING_SEED: expected a valid integer, found 'many'"),
        ("seed =", "to be TOML; found: Invalid value"),
        (None, "no file"),
    ],
)
def test_a_file_that_is_not_valid_is_named_and_no_secret_is_quoted(tmp_path, monkeypatch, text, words):
    monkeypatch.setenv("FORECASTING_CONFIG", str(tmp_path / "own.toml"))
    if text is not None:
        (tmp_path / "own.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        read_settings()
    assert words in str(refused.value)
    assert str(tmp_path / "own.toml") in str(refused.value)
    assert not any(secret in str(refused.value) for secret in ("hunter2", "42,"))


def test_a_written_file_gives_the_same_settings_and_replaces_none(tmp_path, monkeypatch):
    given = {"symbols": ("SBUX", "VOD.L"), "exchanges": {"VOD.L": "XAMS"}, "late_until": time(7, 15), "cost_ratio": 2.0}
    settings = Settings(**given, data_dir=tmp_path / "data", database_url="postgresql://u:hunter2@h/d")
    path = write_config(settings)
    assert path == tmp_path / "forecasting.toml"
    assert "hunter2" not in path.read_text()
    monkeypatch.chdir(tmp_path)
    assert read_settings() == settings.model_copy(update={"database_url": None})
    with pytest.raises(UsageError, match="File exists"):
        write_config(settings)


def test_a_written_file_has_every_setting_with_its_default(tmp_path):
    text = config_text(Settings())
    lines = [line.removeprefix("# ") if " = " in line else line for line in text.splitlines()]
    found = tomllib.loads("\n".join(lines))
    assert list(found) == list(Settings.model_fields)
    given = {name: value for name, value in found.items() if value not in ("", [], {})}
    assert Settings(**given) == Settings()
