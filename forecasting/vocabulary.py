"""The closed sets: targets, modes, kinds, roles, stages, horizons and quantile levels; and ids.

No numpy here: the settings import this module, and `forecasting --help` must start without loading
it.
"""

import hashlib
from collections.abc import Callable
from datetime import date, datetime
from typing import Literal, TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Returns the present instant, aware UTC. Only `flows` has one; the library takes it as an
argument."""

Progress: TypeAlias = Callable[[str, int], None]
"""Called, maybe in another process, with what is at work and how much has ended since the call
before."""

Target = Literal["volume", "range"]
"""What is forecast: shares traded, or log(high / low)."""

Mode = Literal["auto", "scratch", "warm", "skip"]
"""How tonight's network is fitted; `auto` chooses and records the reason, `skip` fits none."""

Method = Literal["scratch", "warm", "skip"]
FITS: tuple[Method, ...] = ("scratch", "warm")
"""What a night does for its network, and those of them that are fits."""

RULES = 3
"""Version of the rules by which nights are made.

Rules 1 published a night's fit from the next night on. Rules 2 summed the products of each ridge on
their own, so that forecasts differ by 1e-13 of their value, and missed the flags of triple witching
in weeks with a holiday.
"""

Kind = Literal["live", "late", "replay"]
"""When a forecast was issued: before its first target session opened, before it closed, or after
that."""

KINDS: tuple[Kind, ...] = ("live", "late", "replay")
"""Order of preference where one origin was forecast more than once."""

RunStatus = Literal["running", "done", "late", "failed", "closed"]
"""How a night stands, in table runs; of a late one the bar is missing, of a closed one the day was
no session."""

Role = Literal["published", "network", "baseline", "rival"]
"""Role of a forecast; `published` whichever model made it, also as a forecaster in exports and in
view counted_scores."""

PUBLISHED: Literal["published"] = "published"
NETWORK: Literal["network"] = "network"
"""The network's own forecast on a night on which a baseline is published in its place."""

BASELINE: Literal["baseline"] = "baseline"

RIVAL: Literal["rival"] = "rival"
"""The user's own forecast, scored beside ours; nothing that is published depends on it."""

BASELINES = ("last_value", "seasonal", "rolling_median", "har", "ridge")
"""Names of the baselines of all targets, the naive one first, the usually strongest last."""

LSTM = "lstm"
"""Name of the network in `models.name`, `scores.model` and `standings.line`; every other name is a
baseline's or a rival's."""

PUBLISHED_LINE = ""
"""Column `line` of table `standings` for the published forecasts; for a forecaster it is its name.
Sorts first."""

Stage = Literal["first_print", "settled"]
"""Which version of a bar a score uses: the first stored, or the one that a later fetch has
confirmed."""

HORIZONS = (1, 2, 3, 4, 5)
"""Sessions ahead of the origin that every forecast covers."""

QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
"""Levels of every forecast; the outer pairs are the 90% and 80% intervals."""

QUANTILE_COLUMNS = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
"""Column names of the same levels, in the same order."""

MEDIAN = QUANTILES.index(0.50)
"""Position of the median among the levels."""

RANDOM = "drawn"
"""Value of `models.base` other than names of pretrained weights: random."""


def short_id(*parts: str) -> str:
    """Twelve hex digits derived from `parts`, never random: a repeated run gives the same ids."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:12]


def finding_id(fetch_id: str, place: date | float | None, rule: str) -> str:
    """Sixteen hex digits of a finding: from its first fetch, its session or line, and its rule."""
    return hashlib.sha256(f"{fetch_id}|{place}|{rule}".encode()).hexdigest()[:16]
