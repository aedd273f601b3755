"""The backtest as a Prefect flow: a team starts one from the form in the UI and finds its figures beside the others."""

from datetime import date
from typing import Annotated, Any

from prefect import flow, runtime
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows.artifacts import key_of
from flows.backtest import walk_forward
from flows.events import tell_failed
from flows.nightly import narrowed
from flows.prefect_logs import readable_errors
from flows.server import unless_away
from forecasting.settings import Target, read_settings
from forecasting.store import database

SHOWN = (
    "mae",
    "best_baseline",
    "skill_vs_best",
    "skill_vs_naive",
    "dm_p_value",
    "pinball",
    "coverage_80",
    "coverage_90",
)


def flow_run_name() -> str:
    """`backtest-SBUX-2023-01-03-2023-12-29`."""
    given = runtime.flow_run.parameters
    symbol = given.get("symbol") or read_settings().symbols[0]
    return f"backtest-{symbol}-{given['first']}-{given['last']}"


@flow(name="backtest", flow_run_name=flow_run_name, on_failure=[tell_failed])
def backtest(
    first: date,
    last: date,
    symbol: str | None = None,
    target: Target | None = None,
    source: str | None = None,
    events: str | None = None,
    refit_every: Annotated[int, Field(ge=1)] = 21,
) -> dict[str, Any]:
    """Replay the nightly path at past origins, score it against every baseline, keep the figures in table metrics.

    Args:
        first: First origin session.
        last: Last origin session.
        symbol: As Yahoo writes it; without it the first of FORECASTING_SYMBOLS.
        target: volume, close or range; without it FORECASTING_TARGET.
        source: yahoo, csv:PATH, parquet:PATH, sample or an installed NAME:ARGUMENT; without it FORECASTING_SOURCE.
        events: Earnings dates as csv:PATH; without it FORECASTING_EVENTS or the bundled ones.
        refit_every: Sessions between refits.

    Returns:
        The document that `forecasting backtest --json` writes.
    """
    given = {"symbols": symbol and (symbol,), "target": target, "source": source, "events": events}
    settings = narrowed(read_settings(), given)
    with readable_errors(), database.night_lock(settings.url, "backtest"):
        document = walk_forward(settings, first, last, refit_every=refit_every, workers=1, store=True)
    about = f"{settings.symbols[0]} {settings.target}, {first} to {last}, refit every {refit_every} sessions"
    with unless_away(f"the figures of {about}"):  # the table metrics has them
        key = key_of("backtest", settings.symbols[0], settings.target)
        create_table_artifact(key=key, table=figures(document), description=about)
    return document


def figures(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a horizon, and one over all."""
    rows = {"all": document["overall"], **document["horizons"]}
    return [{"horizon": horizon, **{name: row[name] for name in SHOWN}} for horizon, row in rows.items()]
