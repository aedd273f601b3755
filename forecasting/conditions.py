"""What can be wrong with a night, or is to be known of it, as kinds and values without words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    # Of the newest night, which has brought no forecast
    "failed",
    "late",
    "refused",
    "no_calendar",
    "cut_off",
    "unended",
    "running",
    "no_night",
    "behind",
    # Of the newest forecast
    "old",
    "part_failed",
    "baseline",
    "break",
    "issued_late",
    "made_afterwards",
    "outage",
    # Of what a night found
    "revised",
    "missing",
    "market",
    "drift",
    "fit_refused",
    "model",
    "inputs",
    "sample",
    "note",
    # Of alerts
    "unjudged",
]
"""A kind of condition, those of one group the most severe first."""


@dataclass(frozen=True)
class Condition:
    """One condition, with the values that its sentence states."""

    kind: Kind
    values: Mapping[str, Any] = field(default_factory=dict)
