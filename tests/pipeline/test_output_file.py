from __future__ import annotations

import os
from pathlib import Path

import pytest

from forecasting.errors import UsageError
from forecasting.pipeline.output_file import check_writable, write_whole


def test_a_new_file_and_an_existing_one_can_be_written(tmp_path: Path):
    check_writable(tmp_path / "new.json")
    (tmp_path / "old.json").write_text("{}")
    check_writable(tmp_path / "old.json")
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [(".", "a folder"), ("missing/x.json", "no folder to put it in"), ("x" * 300, "File name too long")],
)
def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str, problem: str):
    with pytest.raises(UsageError, match=problem):
        check_writable(tmp_path / name)


def test_a_path_without_the_right_to_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UsageError, match="no right to write"):
        check_writable(tmp_path / "new.json")


def test_writers_of_one_process_id_in_one_folder_do_not_write_the_same_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as of the workers of containers, each the first of its own

    def write(draft: Path) -> None:
        draft.write_text("one")
        write_whole(tmp_path / "two.html", lambda other: other.write_text("two"))

    write_whole(tmp_path / "one.html", write)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"one.html": "one", "two.html": "two"}


def test_a_file_is_written_whole_through_a_link_or_left_as_it_was(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder" / "real.csv", tmp_path / "link.csv"
    link.symlink_to(real)
    write_whole(link, lambda draft: draft.write_text("one"))
    assert (real.read_text(), link.is_symlink()) == ("one", True)

    def half(draft: Path) -> None:
        draft.write_text("half")
        raise OSError

    with pytest.raises(OSError):
        write_whole(link, half)
    assert real.read_text() == "one"
    assert [path.name for path in real.parent.iterdir()] == ["real.csv"]
