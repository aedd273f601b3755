"""A flow parameter names what the environment names, a source without argument, or a file of permitted folders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from forecasting.errors import UsageError
from forecasting.ingest.sources.permitted import check_permitted

OWN = ["csv:/own/SBUX.csv", "csv:/own/earnings.csv"]


def check(text: str, folder: Path, kind: Literal["source", "events"] = "source") -> None:
    check_permitted(text, kind=kind, given=OWN, folders=[folder])


def test_names_the_environments_own_and_files_of_the_folder_are_permitted(tmp_path: Path) -> None:
    for text in ("yahoo", "sample", "house", *OWN, f"csv:{tmp_path}/a/bars.csv", f"parquet:{tmp_path}/bars.parquet"):
        check(text, tmp_path)
    check(f"csv:{tmp_path}/earnings.csv", tmp_path, "events")


@pytest.mark.parametrize("kind", ["source", "events"])
def test_other_files_are_refused_by_the_same_words_whether_they_exist_or_not(
    tmp_path: Path, kind: Literal["source", "events"]
) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "link.csv").symlink_to("/etc/passwd")
    (tmp_path / "sources2").mkdir()
    texts = ["/etc/passwd", "/etc/none", "/proc/self/environ", f"{folder}/../x.csv", f"{folder}/link.csv"]
    messages = set()
    for text in [f"csv:{path}" for path in [*texts, f"{tmp_path}/sources2/x.csv", "a" * 9999, "a\0b"]]:
        with pytest.raises(UsageError, match=f"inside FORECASTING_FILES.*{folder}") as caught:
            check(text, folder, kind)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_an_installed_source_takes_its_argument_from_the_environment_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an argument that FORECASTING_SOURCE does not have"):
        check("house:http://10.0.0.1", tmp_path)
