"""View bars: the current version of each bar."""

from forecasting.store.views.view import View

_SELECT_BARS = """
SELECT symbol, session, open, high, low, close, volume, version, settled_at IS NOT NULL AS settled, first_seen_at
FROM bar_versions
WHERE superseded_at IS NULL
"""

BARS = View(
    _SELECT_BARS,
    "The current version of one session's bar.",
    "bar_versions",
    {"settled": "Whether the fetch of a later night has confirmed it.", "version": "1, or more once restated."},
)
