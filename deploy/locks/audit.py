"""Checks every locked package against the known advisories.

Ends with 1 if one applies that is not accepted.

    make audit

It asks PyPI for the advisories, and also ends with 1 if it gets no answer about a package. An
advisory that does not concern this project is accepted in advisories.toml, with a reason and a date
until which that holds.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

LOCKS = Path(__file__).parent
_PIN = re.compile(r"^[\w.-]+==[\w.]+(?: ; [^\\\n]*)?", re.MULTILINE)


def main() -> int:
    """Audit the locks; pip-audit's exit status."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    ignored = accepted((LOCKS / "advisories.toml").read_text(), datetime.now(UTC).date())
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "requirements.txt")
        pins.write_text("\n".join(all_pins()) + "\n")
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--strict",
            "--no-deps",
            "--disable-pip",
            "--requirement",
            str(pins),
        ]
        return subprocess.run(
            command + [f"--ignore-vuln={name}" for name in ignored], check=False
        ).returncode


def all_pins() -> list[str]:
    """The requirement of each package of the locks, without hashes.

    Torch as PyPI names its release.
    """
    locks = sorted(LOCKS.glob("*.lock"))
    return sorted({pin.strip() for lock in locks for pin in _PIN.findall(lock.read_text())})


def accepted(text: str, today: date) -> list[str]:
    """The accepted advisories, in the order of the file.

    Args:
        text: Of advisories.toml: tables `accepted` with the keys id, until and reason.
        today: The day of the audit; an entry holds up to its date, that day included.

    Raises:
        SystemExit: An entry is not complete, or its date has passed.
    """
    entries = tomllib.loads(text).get("accepted", [])
    for entry in entries:
        if (
            set(entry) != {"id", "until", "reason"}
            or not isinstance(entry["until"], date)
            or not entry["reason"]
        ):
            raise SystemExit(
                "Expected id, until (a date) and reason in each [[accepted]] of advisories.toml: "
                f"{entry}."
            )
        if entry["until"] < today:
            raise SystemExit(
                f"{entry['id']} was accepted until {entry['until']} ({entry['reason']}). "
                "Update the package, or look again whether it concerns this project and write a "
                "new date."
            )
    return [entry["id"] for entry in entries]


if __name__ == "__main__":
    sys.exit(main())
