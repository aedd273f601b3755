"""The forecasting library: functions of their arguments, the clock too, without a scheduler.

`connect` is where a notebook or a script begins (docs/analyst.md). It and the other public names
are loaded on first use: `import forecasting` alone loads no library.
"""

from typing import TYPE_CHECKING

__version__ = "0.3.0"
__all__ = [
    "Backtest",
    "Forecast",
    "Ledger",
    "__version__",
    "backtest",
    "connect",
    "forecast",
    "order",
]
__all__ += [
    "BadDataError",
    "DataLateError",
    "ForecastingError",
    "HistoryError",
    "StoreError",
    "UsageError",
]


if TYPE_CHECKING:  # which shall find no other name
    from forecasting.api import Backtest, Forecast, Ledger, backtest, connect, forecast, order
    from forecasting.errors import (
        BadDataError,
        DataLateError,
        ForecastingError,
        HistoryError,
        StoreError,
        UsageError,
    )
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from forecasting import api, errors

        return getattr(errors if hasattr(errors, name) else api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
