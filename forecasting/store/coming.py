"""Events that come and go: the spells in which an origin may know one, and those that a source still announces."""

from __future__ import annotations

from datetime import date

import pandas as pd
import sqlalchemy as sa

from forecasting.ingest.events import WITHDRAWN
from forecasting.store import tables
from forecasting.store.frames import frame


def spells(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as spells: known from known_from on, and no longer from `withdrawn_from` on (NaT while it stands).

    Args:
        rows: Columns session, kind, known_from, announced, known_rule; as they were first seen. A later row of an event
            replaces an earlier one; one that is withdrawn ends the spell, and one after it begins another.
    """
    gone = rows["known_rule"] == WITHDRAWN
    counted = gone.astype("int64").groupby([rows["session"], rows["kind"]]).cumsum()
    rows = rows.assign(spell=counted - gone)  # a withdrawal belongs to the spell that it ends
    key = ["session", "kind", "spell"]
    ends = rows.loc[gone, [*key, "known_from"]].rename(columns={"known_from": "withdrawn_from"})
    return rows[~gone].drop_duplicates(key, keep="last").merge(ends, on=key, how="left").drop(columns="spell")


def without_moved(told: pd.DataFrame) -> pd.DataFrame:
    """The spells less those of an announcement that stands under a newer session: only its newest session counts."""
    stands = told["withdrawn_from"].isna()
    return told[
        ~stands | ~told[stands].duplicated(["announced", "kind"], keep="last").reindex(told.index, fill_value=False)
    ]


def coming_events(connection: sa.Connection, symbol: str, *, source: str, after: date) -> pd.DataFrame:
    """What a source has announced for sessions after a day and not taken back: session, kind, announced, timing."""
    table = tables.events
    names = ("session", "kind", "announced", "timing", "known_rule", "source")
    statement = sa.select(*(table.c[name] for name in names)).where(table.c.symbol == symbol, table.c.session > after)
    found = frame(connection, statement.order_by(table.c.first_seen_at, table.c.session))
    newest = found.drop_duplicates(["session", "kind"], keep="last")
    stands = (newest["source"] == source) & (newest["known_rule"] != WITHDRAWN)
    return newest.loc[stands, ["session", "kind", "announced", "timing"]].reset_index(drop=True)
