"""Findings on volumes and closes that differ between the stored bars and those of a witness.

The newest sessions that both sources have are compared; of the witness the ratio alone is stored. A
ratio that several sessions share is one finding: another share basis, currency, unit or market, as
one exchange's volume against that of all.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from operator import attrgetter

import numpy as np
import pandas as pd

from forecasting.ingest.bar_rules import Finding, findings_on

# Newest sessions compared: a volume that a vendor completes a day or a week later is compared again
SESSIONS = 20
CLOSE_LIMIT = 0.01
"""Relative difference past which two closes disagree, as in revisions.py. Of 176 sessions of AAPL
and IBM, 2017, from Yahoo and from another vendor, the closes differ by 0.3% at most."""

VOLUME_LIMIT = 1.25
"""Factor, either way, past which two volumes disagree. On the same sessions they differ by 1.3% at
most, but for one that the other vendor has with a fifteenth; two downloads of one vendor, 19
months apart, by 2.2%. A newest volume that is still counted may lack a quarter: reported of
Yahoo and of others."""

# sessions that share a ratio, and their share of those past the limit
_FEWEST = 3
_MOST = 2 / 3

_FACTOR = "_factor"

RULES = ("witness_close", "witness_volume", "witness_close_factor", "witness_volume_factor")
"""Of one session alone, and of several together."""

Stored = Sequence[tuple[date, str, float | None]]
"""Session, rule and value of findings that are stored already."""

_REASONS = {
    "witness_close": "another share basis, currency or series",
    "witness_volume": "another unit, another series, or another market: one exchange's volume "
    "against that of all",
}


def disagreements(
    bars: pd.DataFrame, of_witness: pd.DataFrame, *, witness: str, stored: Stored
) -> list[Finding]:
    """The findings that are not stored, ascending by session; each value is the witness's multiple.

    Volumes are compared on one share basis: multiplied by the ratio of closes where that brings the
    two together.
    """
    common = bars.index[-SESSIONS:].intersection(of_witness.index)
    there, here = (side.reindex(common)[["close", "volume"]] for side in (of_witness, bars))
    multiples = there.where(_is_possible(there)) / here.where(_is_possible(here))
    close, volume = np.log(multiples.to_numpy()).T
    far = np.abs(close) > np.log1p(CLOSE_LIMIT)
    volume = np.where(far & (np.abs(volume + close) < np.abs(volume)), volume + close, volume)
    findings = []
    for rule, ratio, limit in (
        ("witness_close", pd.Series(close, common), np.log1p(CLOSE_LIMIT)),
        ("witness_volume", pd.Series(volume, common), np.log(VOLUME_LIMIT)),
    ):
        findings += _of_sessions(
            rule,
            ratio,
            limit,
            witness,
        )
    new = (finding for finding in findings if not _is_stored(finding, stored))
    return sorted(new, key=attrgetter("session", "rule"))


def _of_sessions(rule: str, ratio: pd.Series, limit: float, witness: str) -> list[Finding]:
    """Findings on log ratios, by session, past the limit.

    One on those that share a ratio (if none, on most), one on each other.
    """
    far = ratio[ratio.abs() > limit]
    is_alike = (far - far.median()).abs() <= abs(far.median()) / 2.0
    is_other_series = False
    if is_alike.sum() < max(_FEWEST, _MOST * len(far)):
        is_other_series = len(far) >= _FEWEST and 2 * len(far) > ratio.notna().sum()
        is_alike[:] = is_other_series
    detail = f"{witness} has this multiple of the bar's."
    findings = findings_on(np.exp(far[~is_alike]), rule, detail)
    if is_alike.any():
        group = _of_group(
            rule,
            far[is_alike],
            len(ratio),
            witness,
        )
        findings.append(replace(group, value=None) if is_other_series else group)
    return findings


def _of_group(rule: str, group: pd.Series, sessions: int, witness: str) -> Finding:
    """The finding on several sessions with their log ratios."""
    multiples = np.exp(group)
    span = " to ".join(dict.fromkeys(f"{end:.4g}" for end in (multiples.min(), multiples.max())))
    detail = (
        f"{witness} has {span} times the bar's on {len(group)} of {sessions} sessions since "
        f"{group.index[0].date()}: {_REASONS[rule]}."
    )
    return Finding(
        group.index[-1].date(),
        f"{rule}{_FACTOR}",
        "flag",
        float(multiples.median()),
        detail,
    )


def _is_possible(values: pd.DataFrame) -> pd.DataFrame:
    """Which are a price or volume; the bars of a witness pass no rule before this one."""
    return (values >= 1e-12) & (values <= 1e14)


def _is_alike(ratio: float, other: float) -> bool:
    """Whether a log ratio is at most half as far from the other as that is from 0."""
    return abs(ratio - other) <= abs(other) / 2.0


def _is_stored(finding: Finding, stored: Stored) -> bool:
    """Whether it is stored already: a session's own, or one on several with a like ratio."""
    if finding.value is None:
        return any(rule == finding.rule and value is None for _, rule, value in stored)
    several = f"{finding.rule.removesuffix(_FACTOR)}{_FACTOR}"
    alike = [
        _is_alike(np.log(finding.value), np.log(value))
        for _, rule, value in stored
        if rule == several and value is not None
    ]
    same = [(day, rule) == (finding.session, finding.rule) for day, rule, _ in stored]
    return any(alike + same)
