"""Which score of a night counts, and for whom: the rule that the views share.

The newest forecast of a slot counts, by its settled score where there is one. A published forecast counts twice: as
published, and as its forecaster's own.
"""

from forecasting.vocabulary import CHALLENGER, CHAMPION

WINDOWS = (20, 60, 250)
"""Newest nights with a score of what was published that standings and costs are summed over."""

SLOT = ("symbol", "target", "kind", "horizon", "origin_session")
"""One score of a forecaster counts for each."""

KEY = ", ".join(f"s.{name}" for name in SLOT)
"""The slot of a score `s`."""

BEST_FIRST = "ORDER BY s.issued_at DESC, s.model_id, s.stage DESC, s.bar_version DESC"
"""The order of the scores `s` of a slot: the one that counts comes first."""

LINES = "lines (line) AS (VALUES ('published'), ('own'))"
"""The common table expression that scores are crossed with, as `l`; SQLite passes no filter into a UNION ALL."""

FORECASTER = "CASE l.line WHEN 'published' THEN 'published' ELSE s.model END"
"""Whose forecast the score counts as."""

COUNTS = f"s.role = '{CHAMPION}' OR l.line = 'own' AND s.role <> '{CHALLENGER}'"
"""Whether it counts as that."""

FORECASTER_TEXT = (
    "`published` (what was published each night, whichever model made it), `lstm` (the champion's own, "
    "published or not) or a baseline's name. Challengers are left out."
)
"""The meaning of a column `forecaster`."""


def same_slot(alias: str, other: str) -> str:
    """That the rows of two aliases are of one slot."""
    return " AND ".join(f"{alias}.{name} = {other}.{name}" for name in SLOT)
