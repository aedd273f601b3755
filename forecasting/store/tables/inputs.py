"""Tables of fetched data: fetches, bars in all their versions, corporate actions, events, findings.

All other tables of a ledger can be computed from these and the settings (outputs.py).
"""

from typing import get_args

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, Date, ForeignKey, Index, Integer, MetaData, String, Table, Text

from forecasting.errors import FailedVerdict
from forecasting.store.tables.types import UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Real = sa.Double
EMPTY = sa.text("''")  # Alembic takes a plain "" for another default than the one it finds on SQLite
BigInt = sa.BigInteger  # a day's index volume exceeds 2**31

fetches = Table(
    "fetches",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("run_id", String(16)),
    Column("source", Text, nullable=False),
    Column("symbol", String(15), nullable=False),
    Column("title", Text, nullable=False),
    Column("currency", String(6), nullable=False, server_default=EMPTY),
    Column("first_asked", Date, nullable=False),
    Column("last_asked", Date, nullable=False),
    Column("first_received", Date),
    Column("last_received", Date),
    Column("fetched_at", UtcDateTime, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("payload_hash", String(64), nullable=False),
    Column("library_version", String(60), nullable=False),
    Column("adjustment_session", Date),
    Column("adjustment", Real),
    Column("verdict", String(12), nullable=False),
    Column("detail", Text, nullable=False, server_default=EMPTY),
    Index("ix_fetches_symbol_fetched_at", "symbol", "fetched_at"),
)

NO_BARS = get_args(FailedVerdict)
"""Verdicts of requests that stored no bar: their rows record when the request was made, and why it stored none."""

bar_versions = Table(
    "bar_versions",
    metadata,
    Column("symbol", String(15), primary_key=True),
    Column("session", Date, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("open", Real),
    Column("high", Real),
    Column("low", Real),
    Column("close", Real),
    Column("volume", BigInt),
    Column("fetch_id", String(16), ForeignKey("fetches.id"), nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("superseded_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    CheckConstraint("volume IS NULL OR volume >= 0", name="volume_not_negative"),
)

corporate_actions = Table(
    "corporate_actions",
    metadata,
    Column("symbol", String(15), primary_key=True),
    Column("session", Date, primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("first_seen_at", UtcDateTime, primary_key=True),
    Column("value", Real, nullable=False),
    Column("fetch_id", String(16), ForeignKey("fetches.id"), nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("symbol", String(15), primary_key=True),
    Column("session", Date, primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("first_seen_at", UtcDateTime, primary_key=True),
    Column("known_from", Date, nullable=False),
    Column("known_rule", String(20), nullable=False),
    Column("announced", Date, nullable=False),
    Column("timing", String(5), nullable=False),
    Column("source", Text, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("symbol", String(15), nullable=False),
    Column("session", Date, nullable=False),
    Column("rule", String(40), nullable=False),
    Column("severity", String(6), nullable=False),
    Column("value", Real),
    Column("detail", Text, nullable=False, server_default=EMPTY),
    Column("fetch_id", String(16), ForeignKey("fetches.id"), nullable=False),
    Column("cleared_at", UtcDateTime),
    Index("ix_findings_symbol_session", "symbol", "session"),
)
