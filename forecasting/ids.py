"""Short ids derived from what they name, never random, so that a repeated run gives the same ids."""

import hashlib
from datetime import date


def short_id(*parts: str) -> str:
    """Twelve hex digits derived from `parts`."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]


def finding_id(fetch_id: str, session: date, rule: str) -> str:
    """Sixteen hex digits derived from the fetch that first showed a finding, its session and its rule."""
    return hashlib.sha256(f"{fetch_id}|{session}|{rule}".encode()).hexdigest()[:16]
