"""Which advisories the audit of the locks lets pass, and which packages it asks about."""

from __future__ import annotations

from datetime import date

import pytest
from audit import LOCKS, accepted, all_pins

ENTRY = '[[accepted]]\nid = "GHSA-1"\nuntil = 2027-01-31\nreason = "Its parser is not used."\n'


def test_an_accepted_advisory_passes_up_to_its_date_and_ends_the_audit_after_it() -> None:
    assert accepted(ENTRY, date(2027, 1, 31)) == ["GHSA-1"]
    with pytest.raises(SystemExit, match=r"GHSA-1 was accepted until 2027-01-31 \(Its parser is not used.\)"):
        accepted(ENTRY, date(2027, 2, 1))


def test_an_entry_states_what_until_when_and_why_and_the_shipped_list_can_be_read() -> None:
    without = [
        "\n".join(line for line in ENTRY.splitlines() if not line.startswith(name)) for name in ("id", "until", "re")
    ]
    for entry in (*without, ENTRY.replace("2027-01-31", '"2027-01-31"')):
        with pytest.raises(SystemExit, match="Expected id, until"):
            accepted(entry, date(2027, 1, 1))
    assert accepted((LOCKS / "advisories.toml").read_text(), date(2026, 11, 26)) == []


def test_the_audit_asks_about_every_package_of_every_lock_and_about_torch_by_pypi_s_name() -> None:
    pins = all_pins()
    assert len(pins) > 200
    assert {"torch", "prefect", "pytest", "zizmor"} <= {pin.split("==")[0] for pin in pins}
    assert [pin for pin in pins if "hash" in pin or "+" in pin or "\\" in pin] == []
