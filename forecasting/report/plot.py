"""Forecasts drawn with matplotlib, which the extra `plot` installs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from forecasting.errors import UsageError
from forecasting.report.units import Unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BANDS = (("q05", "q95", 0.2, "90% interval"), ("q10", "q90", 0.35, "80% interval"))


def draw(rows: pd.DataFrame, known: pd.Series, *, unit: Unit, ax: Axes | None) -> Axes:
    """The axes with intervals and medians by target session, and the known values by session.

    Raises:
        UsageError: There is no matplotlib to make axes with.
    """
    if ax is None:
        ax = _new_axes()
    from matplotlib.dates import ConciseDateFormatter

    days = pd.DatetimeIndex(rows["target_session"])
    for low, high, alpha, label in _BANDS:
        ax.fill_between(
            days, rows[low], rows[high], alpha=alpha, color="tab:blue", linewidth=0.0, label=label
        )
    ax.plot(days, rows["q50"], color="tab:blue", label="median")
    ax.plot(pd.DatetimeIndex(known.index), known.astype(float), color="0.3", label="actual")
    ax.yaxis.set_major_formatter(lambda value, _: unit.number(value))
    ax.set_ylabel(unit.name)
    dates = ConciseDateFormatter(ax.xaxis.get_major_locator())  # type: ignore[no-untyped-call]  # matplotlib's
    ax.xaxis.set_major_formatter(dates)
    ax.set_title(f"{rows['symbol'].iat[0]} {rows['target'].iat[0]}")
    ax.legend()
    return ax


def _new_axes() -> Axes:
    try:
        from matplotlib import pyplot
    except ImportError:
        raise UsageError(
            "Expected matplotlib for plot(); it is not installed. Install it with `pip install "
            "'forecasting[plot]'`."
        ) from None
    return pyplot.subplots()[1]
