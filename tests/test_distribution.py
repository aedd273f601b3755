"""What the tests state about their own tree."""

from __future__ import annotations

from pathlib import Path

from tests.distribution import FILES_OF

ROOT = Path(__file__).parent.parent


def test_the_files_that_share_a_prefect_server_exist_and_share_one_alone():
    files = [file for shared in FILES_OF.values() for file in shared]
    assert len(files) == len(set(files))
    assert [file for file in files if not (ROOT / file).is_file()] == []
