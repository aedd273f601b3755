"""The views that people query, as SQL for both databases. `migrate.upgrade` re-creates them each time.

Filters on symbol and target reach the tables' keys through every step: each window starts with both, and a symbol's
newest rows are searched from the newest backwards. SQLite passes a filter on through a window only when all windows of
the step have one PARTITION BY, and never through GROUP BY; neither database passes it into a common table expression
that is used twice.
"""

import sqlalchemy as sa

from forecasting.store.tables import meanings
from forecasting.store.tables.views.bars import BARS
from forecasting.store.tables.views.champions import CHAMPIONS
from forecasting.store.tables.views.comparison import MODEL_COMPARISON
from forecasting.store.tables.views.costs import COSTS
from forecasting.store.tables.views.forecasts import FORECAST_VS_ACTUAL, LATEST_FORECASTS, QUANTILE_FORECASTS
from forecasting.store.tables.views.nights import NIGHT_DURATIONS, NIGHT_LOG
from forecasting.store.tables.views.r2 import LIVE_R2
from forecasting.store.tables.views.skill import LIVE_SKILL
from forecasting.store.tables.views.special_days import SPECIAL_DAYS
from forecasting.store.tables.views.view import View

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
    """The meaning of a view's column: its own text, or that of the view's source table.

    Raises:
        KeyError: It has no text.
    """
    own = VIEWS[view].columns
    return own[column] if column in own else meanings.text_of(VIEWS[view].table, column)


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


_GRANTS = sa.text(
    "SELECT format('GRANT %s ON %I TO %s', privilege_type, table_name, "
    "CASE grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(grantee) END) FROM information_schema.role_table_grants "
    "WHERE table_schema = current_schema() AND table_name = ANY(:views) AND grantee <> grantor"
)
