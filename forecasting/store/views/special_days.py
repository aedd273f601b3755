"""View special_days: earnings as announced, and special days of the exchange's calendar among the sessions forecast."""

# ruff: noqa: S608 - the SQL is built from this file's own constants

from forecasting.ingest.events import WITHDRAWN
from forecasting.store.views.view import View
from forecasting.vocabulary import CHAMPION

# As in read.events: the newest row of a session and kind counts unless it withdraws the event; of an announcement that
# is valid under several sessions only the one first seen last.
_SELECT = f"""
WITH newest AS (
    SELECT e.*, row_number() OVER (
        PARTITION BY e.symbol, e.session, e.kind ORDER BY e.first_seen_at DESC
    ) AS place
    FROM events e
),
valid AS (
    SELECT n.*, row_number() OVER (
        PARTITION BY n.symbol, n.announced, n.kind ORDER BY n.first_seen_at DESC, n.session DESC
    ) AS newest_place
    FROM newest n
    WHERE n.place = 1 AND n.known_rule <> '{WITHDRAWN}'
),
days AS (
    SELECT DISTINCT f.symbol, f.target_session AS session, f.calendar AS day, 'calendar' AS kind
    FROM forecasts f
    WHERE f.role = '{CHAMPION}' AND f.calendar <> ''
    UNION ALL
    SELECT v.symbol, v.session, CASE v.timing
        WHEN 'bmo' THEN v.kind || ' before the open'
        WHEN 'amc' THEN v.kind || ' after the close before' ELSE v.kind END AS day, v.kind
    FROM valid v
    WHERE v.newest_place = 1
)
SELECT d.symbol, d.session, d.kind, d.day, d.session > COALESCE(
    (SELECT max(b.session) FROM bar_versions b WHERE b.symbol = d.symbol), d.session
) AS ahead
FROM days d
"""

SPECIAL_DAYS = View(
    _SELECT,
    "One special session of a symbol: earnings, past and announced, or a special day of the exchange's calendar among "
    "the sessions that were forecast; of the calendar no other days are stored.",
    "events",
    {
        "session": "The session; of earnings the one that reacts.",
        "kind": "`calendar`, or the kind of the event: `earnings`.",
        "day": "What is special, in words: `triple witching`; `earnings after the close before`.",
        "ahead": "Whether it is later than the newest stored bar of the symbol.",
    },
)
