"""What can be wrong with a night, or is to be known of it, as kinds and values without words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, get_args

Kind = Literal[
    # What came of the newest night
    "failed",
    "part_failed",
    "late",
    "refused",
    "future",
    "no_calendar",
    "cut_off",
    "unended",
    "running",
    "no_night",
    "done",
    # Of the newest forecast
    "old",
    "baseline",
    "break",
    "issued_late",
    "made_afterwards",
    # Of what a night found
    "revised",
    "missing",
    "model",
    "inputs",
    "earnings_expected",
    "earnings_unannounced",
    "earnings_quiet",
    "sample",
    "rival",
    "ended",
    "note",
    # Of alerts
    "unjudged",
]
"""A kind of condition, those of one group the most severe first."""

FAILED: frozenset[Kind] = frozenset({"failed", "part_failed"})
"""The kinds of a night that an error stopped, before or after its forecast."""

EARNINGS: tuple[Kind, ...] = ("earnings_quiet",)
"""The kinds of conditions that are named like the rule of a finding on earnings dates."""


@dataclass(frozen=True)
class Condition:
    """One condition, with the values that its sentence states."""

    kind: Kind
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """The place of its kind among all, the most severe first."""
        return get_args(Kind).index(self.kind)


@dataclass(frozen=True)
class Check:
    """What a check of `doctor` found."""

    check: str
    state: Literal["ok", "wrong"]
    found: str


def of_earnings(findings: Iterable[tuple[str, date]]) -> list[Condition]:
    """What the open findings of a symbol, rule and session, say of its earnings dates."""
    newest = {rule: session for rule, session in sorted(findings) if rule in EARNINGS}
    return [Condition(kind, {"session": newest[kind]}) for kind in EARNINGS if kind in newest]
