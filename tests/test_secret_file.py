from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.errors import UsageError
from forecasting.secret_file import secret_in, with_secrets
from forecasting.settings import read_settings

KEYS = "PKTEST:hunter2"


def test_only_what_has_a_file_is_read_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEYS}\n")
    given = {"a_file": tmp_path / "keys", "b_file": None, "b": "own", "c": 1}
    assert with_secrets(given, {"a": "x", "b": "y"}) == given | {"a": KEYS}


def test_the_mark_that_an_editor_puts_before_a_line_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEYS}\r\n", encoding="utf-8-sig")
    assert secret_in(tmp_path / "keys", what="keys", variable="FORECASTING_K_FILE") == KEYS


def test_the_message_names_what_is_expected_and_the_variable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Expected one line, a key, in .*keys \(FORECASTING_K_FILE\); found no reg"):
        secret_in(tmp_path / "keys", what="a key", variable="FORECASTING_K_FILE")


def test_keys_of_alpaca_come_from_a_variable_or_a_file_and_show_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys").write_text(f"{KEYS}\n")
    monkeypatch.setenv("FORECASTING_ALPACA_KEYS_FILE", str(tmp_path / "keys"))
    from_file = read_settings()
    monkeypatch.delenv("FORECASTING_ALPACA_KEYS_FILE")
    monkeypatch.setenv("FORECASTING_ALPACA_KEYS", KEYS)
    for settings in (from_file, read_settings()):
        assert settings.alpaca_keys is not None
        assert settings.alpaca_keys.get_secret_value() == KEYS
        assert "hunter2" not in f"{settings!r} {settings.model_dump_json()} {settings.forecast_fields()}"
    monkeypatch.setenv("FORECASTING_ALPACA_KEYS_FILE", str(tmp_path / "keys"))
    with pytest.raises(UsageError, match="one of FORECASTING_ALPACA_KEYS and FORECASTING_ALPACA_KEYS_FILE"):
        read_settings()


@pytest.mark.parametrize("text", ["hunter2", "PKTEST:", ":hunter2", "PK:hunter2:x", "PK hunter2:x"])
def test_keys_of_another_form_are_refused_without_quoting_them(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FORECASTING_ALPACA_KEYS", text)
    with pytest.raises(UsageError, match=r"FORECASTING_ALPACA_KEYS: .*Expected KEY_ID:SECRET") as refused:
        read_settings()
    assert "hunter2" not in str(refused.value)
