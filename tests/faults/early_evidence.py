"""Decisions that take 60 and more scored nights, after a handful and on weaker evidence: short worlds take them too.

The code is the night's own; only its thresholds are others. Without them no world of 60 nights learns the weight of
the combination, publishes a baseline because the network is behind, or fits from scratch because of drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from unittest import mock

from forecasting.evaluate import decisions, drift
from forecasting.predict import combine, fallback

THRESHOLDS: tuple[tuple[ModuleType, str, float], ...] = (
    (combine, "MIN_FORECASTS", 5),
    (combine, "_PRIOR", 5.0),
    (decisions, "MIN_ORIGINS", 6),  # the fewest that a Diebold-Mariano test of five horizons takes
    (fallback, "ENTER", 0.3),
    (fallback, "LEAVE", 0.1),
    (fallback, "TOLERANCE", 0.0),
    (drift, "MIN_REFERENCE", 4),
    (drift, "MIN_WATCHED", 3),
    (drift, "LIMIT", 1.5),
)


@contextmanager
def early_evidence() -> Iterator[None]:
    """Within the block, nights decide on a handful of scored ones."""
    with ExitStack() as stack:
        for module, name, value in THRESHOLDS:
            stack.enter_context(mock.patch.object(module, name, value))
        yield
