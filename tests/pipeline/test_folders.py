from __future__ import annotations

from pathlib import Path

import pytest

from forecasting.errors import ArtifactError
from forecasting.pipeline.folders import check_inside, child_folder, delete_files


def test_an_id_names_a_folder_of_the_parent(tmp_path: Path) -> None:
    assert child_folder(tmp_path, "0123456789ab") == tmp_path / "0123456789ab"


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
