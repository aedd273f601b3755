"""Each module has a test file of its own name, or a line in tests/README.md with the file that covers it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.distribution import FILES_OF

ROOT = Path(__file__).parent.parent
_LINE = re.compile(r"^\| `((?:forecasting|flows)/\S+\.py)` \| `(tests/\S+\.py)`", re.MULTILINE)

MODULES = {
    path.relative_to(ROOT).as_posix()
    for package in ("forecasting", "flows")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py"
}
COVERED = _LINE.findall((ROOT / "tests" / "README.md").read_text(encoding="utf-8"))


def own_test(module: str) -> Path:
    """Path of the test file of a module's own name; the tests of `forecasting` lie directly below tests/."""
    path = Path(module.removeprefix("forecasting/"))
    return ROOT / "tests" / path.with_name(f"test_{path.name}")


def test_every_module_has_its_own_test_file_or_a_line_that_names_another():
    listed = {module for module, _ in COVERED}
    assert sorted(module for module in MODULES - listed if not own_test(module).exists()) == []


def test_no_module_with_its_own_test_file_is_listed():
    assert [module for module, _ in COVERED if own_test(module).exists()] == []


def test_every_line_names_a_module_and_a_test_file_that_exist():
    missing = [
        line
        for line in COVERED
        if line[0] not in MODULES or not (ROOT / line[1]).name.startswith("test_") or not (ROOT / line[1]).is_file()
    ]
    assert missing == []


def test_no_module_is_listed_twice_and_the_lines_are_sorted():
    modules = [module for module, _ in COVERED]
    assert modules == sorted(set(modules))


def test_the_files_that_share_a_prefect_server_exist_and_share_one_alone():
    files = [file for shared in FILES_OF.values() for file in shared]
    assert len(files) == len(set(files))
    assert [file for file in files if not (ROOT / file).is_file()] == []
