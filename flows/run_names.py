"""The names of flow runs and task runs, from their parameters."""

from prefect import runtime

from flows import clock
from forecasting.pipeline.parameters import backtest_name, night_name
from forecasting.pipeline.symbols import joined


def night_run_name() -> str:
    """`nightly-SBUX-volume-2024-03-08`."""
    return night_name(str(runtime.flow_run.flow_name), runtime.flow_run.parameters, now=clock.now)


def backtest_run_name() -> str:
    """`backtest-SBUX-volume-2023-01-03-2023-12-29`."""
    return backtest_name(runtime.flow_run.parameters)


def step_run_name() -> str:
    """`train-SBUX-2024-03-08`, of many symbols `train-AAPL+24-others-2024-03-08`."""
    nights = runtime.task_run.parameters["nights"]
    symbols = list(dict.fromkeys(night.symbol for night in nights))
    return f"{runtime.task_run.task_name}-{joined(symbols)}-{nights[-1].session}"
