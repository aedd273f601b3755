"""Short ids derived from what they name: never drawn, so that a repeated run repeats them."""

import hashlib
from datetime import date


def short_id(*parts: str) -> str:
    """Twelve hex digits that name `parts`."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]


def finding_id(fetch_id: str, session: date, rule: str) -> str:
    """Sixteen hex digits that name a finding: by the fetch that first showed it, its session and its rule."""
    return hashlib.sha256(f"{fetch_id}|{session}|{rule}".encode()).hexdigest()[:16]
