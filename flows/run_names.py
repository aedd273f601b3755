"""The names of flow runs, from their parameters."""

from prefect import runtime

from flows import clock
from forecasting.pipeline.parameters import newest_named
from forecasting.settings import read_settings


def night_run_name() -> str:
    """`nightly-SBUX-2024-03-08`: flow, symbols and session, for the list of runs."""
    given = runtime.flow_run.parameters
    symbols = given.get("symbols") or read_settings().symbols
    session = given.get("as_of") or given.get("last") or newest_named(symbols[0], given.get("source"), now=clock.now)
    return f"{runtime.flow_run.flow_name}-{'+'.join(symbols[:3])}-{session}"


def backtest_run_name() -> str:
    """`backtest-SBUX-2023-01-03-2023-12-29`."""
    given = runtime.flow_run.parameters
    symbol = given.get("symbol") or read_settings().symbols[0]
    return f"backtest-{symbol}-{given['first']}-{given['last']}"
