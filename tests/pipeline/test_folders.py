from __future__ import annotations

import os
from pathlib import Path

import pytest

from forecasting.errors import ArtifactError, UsageError
from forecasting.pipeline.folders import check_inside, check_writable, child_folder, delete_files, write_whole


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\0b", "a b", "a" * 65, "a\n"])
def test_a_name_that_is_no_id_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="Nothing was read or deleted"):
        child_folder(tmp_path, name)


def test_a_link_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to("/etc")
    with pytest.raises(ArtifactError, match="found a symbolic link"):
        child_folder(tmp_path, "linked")


def test_a_link_to_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").symlink_to("/etc/hostname")
    check_inside(tmp_path, ["weights.safetensors"])
    with pytest.raises(ArtifactError, match="outside its folder"):
        check_inside(tmp_path, ["model.json"])


def test_files_are_deleted_by_name_and_the_empty_folder_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "known").write_text("x", encoding="utf-8")
    (folder / "other").write_text("x", encoding="utf-8")
    assert not delete_files(folder, ["known"])
    assert [path.name for path in folder.iterdir()] == ["other"]
    (folder / "other").unlink()
    assert delete_files(folder, ["known"])
    assert not folder.exists()


def test_what_a_link_points_to_remains(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "known").write_text("x", encoding="utf-8")
    (tmp_path / "linked").symlink_to(outside)
    assert not delete_files(tmp_path / "linked", ["known"])
    assert (outside / "known").exists()


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
