"""Meaning of the columns of the tables in inputs.py; those they share with others are in meanings.py."""

INPUT_COLUMNS: dict[str, dict[str, str]] = {
    "fetches": {
        "id": "Id, derived from source, symbol, requested span, payload and run.",
        "run_id": "Run that made the request, an id of `runs`; NULL for an ingest alone.",
        "source": (
            "Source of the bars: `yahoo`, `sample`, `alpaca`, `csv:FILE`, `parquet:FILE`, or the `name` of an "
            "installed source."
        ),
        "title": "Description of the series: SBUX, daily, from Yahoo Finance.",
        "currency": "Currency of the prices as the source writes it: USD, EUR, GBp for pence; empty if unknown.",
        "first_asked": "First session requested.",
        "last_asked": "Last session requested; no bar is newer.",
        "first_received": "Oldest session of the response; NULL without bars.",
        "last_received": "Newest session of the response, also if that bar was held back; NULL without bars.",
        "fetched_at": "When the response was received, UTC.",
        "row_count": "Bars in the response, before any check.",
        "payload_hash": "SHA-256 over symbol, sessions, prices to 4 decimals, volumes and actions, without Adj Close.",
        "library_version": "Library that read the response: yfinance 1.7.0, pandas 3.0.0.",
        "adjustment_session": "Newest session with an Adj Close; NULL without one.",
        "adjustment": "Adj Close / Close on that session, 0 to 1; the next dividend lowers it. NULL without one.",
        "verdict": (
            "Outcome: `first`, `extended`, `unchanged`, `dividend`, `split`, `revised`, `held`; no bar stored: `late`,"
            " `rate_limited`, `unavailable`, `bad_data`."
        ),
        "detail": "All changes in one line, or the error's message.",
    },
    "bar_versions": {
        "session": "Session of the bar, a trading day of the symbol's exchange.",
        "version": "1 for the first stored bar, then ascending.",
        "open": "Opening price, split-adjusted, in the fetch's currency.",
        "high": "Highest price, as open.",
        "low": "Lowest price, as open.",
        "close": "Closing price, as open; not adjusted for dividends.",
        "volume": "Shares traded, split-adjusted; NULL if unknown, never 0 for unknown.",
        "fetch_id": "Fetch that added the version.",
        "first_seen_at": "When that fetch was made, UTC.",
        "superseded_at": "When a later version replaced it, UTC; NULL for the current one.",
        "settled_at": "When the fetch of a later night confirmed it, UTC; NULL while provisional.",
    },
    "corporate_actions": {
        "session": "Ex-date, or first session on the new share basis.",
        "kind": "`dividend` or `split`.",
        "first_seen_at": "When its fetch was made, UTC.",
        "value": "Dividend in the fetch's currency per share, or new shares per old share; above 0.",
        "fetch_id": "Fetch that added it.",
    },
    "events": {
        "session": "Session that reacts: the announcement's own, or the next one after the close.",
        "kind": "`earnings`.",
        "first_seen_at": "When it was read, UTC.",
        "known_from": "First origin session that may use the event; for a withdrawal, the first that may not.",
        "known_rule": (
            "`seen`, `21 sessions ahead` (the default rule, where the first day is unknown), or `withdrawn` (the row "
            "ends the event)."
        ),
        "announced": "Day of the announcement.",
        "timing": "`bmo` (before the open), `amc` (after the close) or empty if unknown.",
        "source": "List of the event: a file, the bundled list or the source of the bars.",
    },
    "findings": {
        "id": "Id, derived from fetch, session and rule.",
        "session": "Session of the bar; of `earnings_stale` the newest one that reacted to earnings.",
        "rule": "Name of the rule: `price_unknown`, `price_spike`, `split_like_jump`, `volume_restated`, ...",
        "severity": "`reject` (the row is kept out of the bars) or `flag` (recorded only).",
        "value": (
            "The offending number, in the unit of its rule (price, factor, share, volume; of `witness_*` the witness's "
            "multiple); NULL without one."
        ),
        "detail": "One sentence that explains the rule.",
        "fetch_id": "Fetch that first showed it.",
        "cleared_at": (
            "When a fetch no longer showed it, UTC; for a flag about one row, its own fetch. NULL: still open."
        ),
    },
}
