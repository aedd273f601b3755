"""The views that people query, as SQL for both databases. `migrate.upgrade` creates them, again where one has changed.

Filters on symbol and target reach the tables' keys through every step: each window starts with both, and a symbol's
newest rows are searched from the newest backwards. SQLite passes a filter on through a window only when all windows of
the step have one PARTITION BY, and never through GROUP BY; neither database passes it into a common table expression
that is used twice.
"""

import sqlalchemy as sa

from forecasting.ids import short_id
from forecasting.store.tables import metadata
from forecasting.store.views.bars import BARS
from forecasting.store.views.champions import CHAMPIONS
from forecasting.store.views.comparison import MODEL_COMPARISON
from forecasting.store.views.costs import COSTS
from forecasting.store.views.forecasts import FORECAST_VS_ACTUAL, LATEST_FORECASTS, QUANTILE_FORECASTS
from forecasting.store.views.nights import NIGHT_DURATIONS, NIGHT_LOG
from forecasting.store.views.r2 import LIVE_R2
from forecasting.store.views.skill import LIVE_SKILL
from forecasting.store.views.special_days import SPECIAL_DAYS
from forecasting.store.views.view import View

VIEWS: dict[str, View] = {
    "bars": BARS,
    "latest_forecasts": LATEST_FORECASTS,
    "forecast_vs_actual": FORECAST_VS_ACTUAL,
    "live_skill": LIVE_SKILL,
    "live_r2": LIVE_R2,
    "model_comparison": MODEL_COMPARISON,
    "costs": COSTS,
    "quantile_forecasts": QUANTILE_FORECASTS,
    "champions": CHAMPIONS,
    "special_days": SPECIAL_DAYS,
    "night_log": NIGHT_LOG,
    "night_durations": NIGHT_DURATIONS,
}
"""Each view after those it reads."""


def text_of(view: str, column: str) -> str:
    """The meaning of a view's column: its own text, that of the view's source table, or of table scores."""
    own = VIEWS[view].columns
    source, scores = metadata.tables[VIEWS[view].table], metadata.tables["scores"]
    return own[column] if column in own else str((source if column in source.c else scores).c[column].comment)


def are_current(connection: sa.Connection) -> bool:
    """Whether Postgres has these very views: dropped and created, they would wait for every reader of one.

    Postgres rewrites their text, so a comment on a constraint that no reader locks has a digest of it.
    """
    if connection.dialect.name != "postgresql" or not set(VIEWS) <= set(sa.inspect(connection).get_view_names()):
        return False
    return bool(connection.scalar(_STORED_DIGEST) == _digest())


def drop(connection: sa.Connection) -> list[str]:
    """The GRANT statements that people had issued on the views, for `create`; the views are dropped."""
    grants: list[str] = []
    if connection.dialect.name == "postgresql":
        grants = list(connection.scalars(_GRANTS, {"views": list(VIEWS)}))
    for name in reversed(VIEWS):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
    return grants


def create(connection: sa.Connection, grants: list[str]) -> None:
    """Create the views, and repeat the grants on them."""
    for name, view in VIEWS.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {view.select}")
    for grant in grants:
        connection.exec_driver_sql(grant)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"COMMENT ON CONSTRAINT alembic_version_pkc ON alembic_version IS '{_digest()}'")


def _digest() -> str:
    return short_id(*(f"{name} {view.select}" for name, view in VIEWS.items()))


_STORED_DIGEST = sa.text(
    "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint "
    "WHERE conname = 'alembic_version_pkc' AND connamespace = current_schema()::regnamespace"
)


def comment(connection: sa.Connection) -> int:
    """The number of comments written on Postgres: those of tables, views and their columns that differ.

    One that is in place is not written again: COMMENT ON waits for nights that hold a lock on the table.
    """
    if connection.dialect.name != "postgresql":
        return 0
    stored = {(relation, column): text for relation, column, text in connection.execute(_COMMENTS)}
    changed = [(place, text) for place, text in meanings(connection).items() if stored.get(place) != text]
    for (relation, column), text in changed:
        kind = "VIEW" if relation in VIEWS else "TABLE"
        what = f"COLUMN {relation}.{column}" if column else f"{kind} {relation}"
        quoted = text.replace("'", "''").replace("%", "%%")
        connection.exec_driver_sql(f"COMMENT ON {what} IS '{quoted}'", ())
    return len(changed)


def meanings(connection: sa.Connection) -> dict[tuple[str, str], str]:
    """The text of every table, view and column, by both names; an empty one for the table or view itself."""
    found = {}
    for table in metadata.tables.values():
        found[table.name, ""] = str(table.comment)
        found |= {(table.name, column.name): str(column.comment) for column in table.columns}
    made = sa.inspect(connection)
    for name, view in VIEWS.items():
        found[name, ""] = view.row
        found |= {(name, one["name"]): text_of(name, one["name"]) for one in made.get_columns(name)}
    return found


_COMMENTS = sa.text(
    "SELECT c.relname, COALESCE(a.attname, ''), d.description FROM pg_description d "
    "JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass "
    "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 "
    "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v')"
)

_GRANTS = sa.text(
    "SELECT format('GRANT %s ON %I TO %s', privilege_type, table_name, "
    "CASE grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(grantee) END) FROM information_schema.role_table_grants "
    "WHERE table_schema = current_schema() AND table_name = ANY(:views) AND grantee <> grantor"
)
