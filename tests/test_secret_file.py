from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.errors import UsageError
from forecasting.secret_file import secret_in, with_secrets

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
