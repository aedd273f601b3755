"""A backtest's forecasts and figures as data frames."""

from typing import TYPE_CHECKING

import numpy as np

from forecasting.backtest.walk_forward import BacktestResult
from forecasting.losses import Floats, pinball
from forecasting.sessions import next_sessions
from forecasting.vocabulary import HORIZONS, LSTM, MEDIAN, QUANTILE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def forecast_frame(result: BacktestResult) -> "pd.DataFrame":
    """A row a forecaster, origin and horizon, ascending by origin and horizon, the model (`lstm`) before the baselines.

    Columns symbol, target, model (text), origin_session, target_session (naive midnights), horizon (int64), q05 to q95,
    actual (NaN where unknown), error (q50 - actual) and pinball (float64, in the target's unit).
    """
    import pandas as pd

    forecasters = {LSTM: result.issued, **result.baselines}
    frame = pd.concat([_of_one(result, name, issued) for name, issued in forecasters.items()])
    return frame.sort_values(["origin_session", "horizon"], kind="stable", ignore_index=True)


def figure_frame(result: BacktestResult) -> "pd.DataFrame":
    """A row a figure: the columns of table metrics but for the ids; those without a test have p_value NaN."""
    import pandas as pd

    days = ("window_from", "window_to")
    texts = ("symbol", "target", "scope", "metric", "baseline")
    types = {**dict.fromkeys(days, "datetime64[ns]"), **dict.fromkeys(texts, "string"), "p_value": "float64"}
    return pd.DataFrame(result.metric_rows()).astype(types)


def _of_one(result: BacktestResult, name: str, issued: Floats) -> "pd.DataFrame":
    import pandas as pd

    settings, n, horizons = result.spec.settings, len(result.origins), len(HORIZONS)
    origins = [day.item() for day in result.origins.astype("datetime64[D]")]
    targets = [next_sessions(origin, horizons, settings.exchange) for origin in origins]
    actual = result.actual.ravel()  # (n * H,)
    flat = {
        "symbol": result.spec.symbol,
        "target": settings.target,
        "model": name,
        "origin_session": np.repeat(np.array(origins, dtype="datetime64[ns]"), horizons),
        "target_session": np.array(targets, dtype="datetime64[ns]").ravel(),
        "horizon": np.tile(np.array(HORIZONS, dtype=np.int64), n),
        **dict(zip(QUANTILE_COLUMNS, issued.reshape(n * horizons, -1).T, strict=True)),
        "actual": actual,
        "error": issued[..., MEDIAN].ravel() - actual,
        "pinball": pinball(result.actual, issued).ravel(),
    }
    return pd.DataFrame(flat).astype(dict.fromkeys(("symbol", "target", "model"), "string"))
