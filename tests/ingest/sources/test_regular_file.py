"""Only regular files of limited size are read, and a message quotes none of their content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forecasting.errors import UsageError
from forecasting.ingest.sources import regular_file
from forecasting.ingest.sources.regular_file import form_of, read_regular, text_of


def test_a_regular_file_is_read_whole_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_bytes(b"abc")
    (tmp_path / "link.csv").symlink_to(tmp_path / "bars.csv")
    assert [read_regular(tmp_path / name, "--source") for name in ("bars.csv", "link.csv")] == [b"abc", b"abc"]


def test_a_pipe_a_device_a_folder_and_the_kernels_files_are_refused_without_a_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/proc/self/environ")
    refused = {
        "nothing at": tmp_path / "none.csv",
        "a folder": tmp_path,
        "a device, a pipe": tmp_path / "pipe",
        "a device, a pipe or": Path("/dev/zero"),
        "a file of the kernel": Path("/proc/self/environ"),
        "or a file of the kernel": tmp_path / "link",
        r"no readable path \(": Path("a" * 5000),
        r"no readable path \(ValueError": Path("a\0b"),
    }
    for message, path in refused.items():
        with pytest.raises(UsageError, match=message) as caught:
            read_regular(path, "--source csv:PATH")
        assert len(str(caught.value)) < 500


def test_a_file_above_the_size_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regular_file, "MAX_BYTES", 2**20)
    with (tmp_path / "bars.csv").open("wb") as opened:
        opened.truncate(2**20 + 1)
    with pytest.raises(UsageError, match="at most 1 MiB in --source; found 1 MiB"):
        read_regular(tmp_path / "bars.csv", "--source")


def test_text_names_the_line_of_the_first_byte_that_is_not_utf8() -> None:
    assert text_of(b"\xef\xbb\xbfa\nb") == ("a\nb", None)
    assert text_of(b"a\n\xffb") == ("a\n\ufffdb", 2)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("03/08/2024", "'99/99/9999'"),
        ("9O", "'9a'"),
        ("root:x:0:", "'aaaa:a:9:'"),
        ("\x1b[31m", "'??99a'"),
        ("é" * 21, f"'{'a' * 20}...'"),
    ],
)
def test_the_form_of_a_cell_has_none_of_its_characters(text: str, form: str) -> None:
    assert form_of(text) == form
