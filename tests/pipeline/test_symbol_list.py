from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.errors import UsageError
from forecasting.pipeline.symbols import MAX_BYTES, asked_symbols, joined, only_symbol
from forecasting.settings import Settings


def test_symbols_are_those_named_and_those_of_the_file_each_once(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes("\ufeff# my list\nSBUX\r\n\n  BRK-B # B shares\n^GSPC\n".encode())
    assert asked_symbols(["MSFT,SBUX", "AAPL"], file) == ["MSFT", "SBUX", "AAPL", "BRK-B", "^GSPC"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SBUX\nsbux\n", "line 2: Invalid symbol 'sbux'"),
        (b"SBUX MSFT\n", "line 1: Invalid symbol 'SBUX MSFT'"),
        (b"# nothing\n\n", "found none"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b"A\n" * MAX_BYTES, "more than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_list_of_symbols_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        asked_symbols([], file)


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_a_path_without_a_file_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no regular file"):
        asked_symbols([], tmp_path / name)


def test_a_command_on_one_symbol_refuses_several_by_name() -> None:
    assert only_symbol(Settings(symbols=("KO",)), "article") == "KO"
    for symbols, found in ((("KO", "V"), "2: KO, V."), (("KO", "V", "T", "GE", "F"), "5: KO, V, T and 2 more.")):
        with pytest.raises(UsageError, match=f"^Expected one symbol for `article`, found {found} Name one with --symb"):
            only_symbol(Settings(symbols=symbols), "article")


def test_few_symbols_are_joined_and_of_many_the_others_are_counted() -> None:
    assert joined(["SBUX"]) == "SBUX"
    assert joined(["SBUX", "MSFT", "^GSPC"]) == "SBUX+MSFT+^GSPC"
    assert joined(["SBUX", "MSFT", "^GSPC", "AAPL"]) == "SBUX+3-others"
