"""The names of flow runs, from their parameters."""

from prefect import runtime

from flows import clock
from forecasting.pipeline.parameters import backtest_name, night_name


def night_run_name() -> str:
    """`nightly-SBUX-volume-2024-03-08`."""
    return night_name(str(runtime.flow_run.flow_name), runtime.flow_run.parameters, now=clock.now)


def backtest_run_name() -> str:
    """`backtest-SBUX-volume-2023-01-03-2023-12-29`."""
    return backtest_name(runtime.flow_run.parameters)
