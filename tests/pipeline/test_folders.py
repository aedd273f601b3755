from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from forecasting.errors import ArtifactError, UsageError
from forecasting.pipeline.folders import check_inside, check_writable, child_folder, delete_files, write_whole


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\0b", "a b", "a" * 65, "a\n", "linked"]
)
def test_a_name_that_is_no_id_and_a_link_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "linked").symlink_to("/etc")
    with pytest.raises(ArtifactError, match="Nothing was read or deleted"):
        child_folder(tmp_path, name)


def test_a_link_to_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").symlink_to("/etc/hostname")
    check_inside(tmp_path, ["weights.safetensors"])
    with pytest.raises(ArtifactError, match="outside its folder"):
        check_inside(tmp_path, ["model.json"])


def test_files_are_deleted_by_name_and_the_empty_folder_with_them_but_nothing_behind_a_link(tmp_path: Path) -> None:
    folder, linked = tmp_path / "one", tmp_path / "linked"
    folder.mkdir()
    linked.symlink_to(folder)
    for name in ("known", "other"):
        (folder / name).write_text("x", encoding="utf-8")
    assert not delete_files(linked, ["known"])
    assert (folder / "known").exists()
    assert not delete_files(folder, ["known"])
    assert [path.name for path in folder.iterdir()] == ["other"]
    assert delete_files(folder, ["other"])
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("new.json", ""),
        ("old.json", ""),
        (".", "a folder"),
        ("missing/x.json", "in a folder that is missing"),
        ("x" * 300, "a folder, or"),
        ("../closed/new.json", "cannot write"),
    ],
)
def test_a_path_that_cannot_be_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    closed, folder = tmp_path / "closed", tmp_path / "folder"
    for one in (closed, folder):
        one.mkdir()
    (folder / "old.json").write_text("{}")
    monkeypatch.setattr(os, "access", lambda path, mode: "closed" not in path.parts)  # root may write anywhere
    with pytest.raises(UsageError, match=problem) if problem else nullcontext():
        check_writable(folder / name)
    assert [path.name for path in folder.iterdir()] == ["old.json"]


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
