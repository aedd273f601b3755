from __future__ import annotations

import subprocess
import sys

import pytest

NULL = "import os, sys; assert {os.fstat(number).st_rdev for number in range(3)} == {os.stat(os.devnull).st_rdev}"
CHECK = f"""{NULL}
import subprocess
print("to nobody")
print("\\u2013", file=sys.stderr)
assert sys.stdin.read() == ""
subprocess.run([sys.executable, "-c", {NULL!r}], check=True)
"""
CODE = f"from flows.cli import main; main(lambda: exec({CHECK!r}, {{}}))"


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "</dev/null >/dev/null 2>&-"])
def test_a_closed_stream_is_the_null_device_for_a_command_and_its_children(closed: str) -> None:
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, CODE]
    assert subprocess.run(command, check=False).returncode == 0
