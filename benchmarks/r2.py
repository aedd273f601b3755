"""A table for `skill.py`: R² of log dollar volume over its mean of five sessions.

The formula: forecasting/evaluate/dollar_volume.py.
The columns are of one session ahead, as in the paper, and of all horizons together; the ridge is the baseline beside
ours. Every session of a symbol counts alike, and the last line is the median over symbols.
"""

from functools import partial

import numpy as np

from forecasting.backtest.walk_forward import BacktestResult

RIDGE = "ridge"


def r2_table(results: list[BacktestResult]) -> list[str]:
    """A Markdown row per symbol of target volume: ours one session ahead and over all horizons, and the ridge's."""
    rows = [r2_of(result) for result in results]
    lines = [f"| R² over the mean of 5 | {' | '.join(rows[0])} |", "|---|" + "---:|" * len(rows[0])]
    named = {result.spec.symbol: row for result, row in zip(results, rows, strict=True)}
    median = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    for symbol, row in {**named, **({"median": median} if len(rows) > 1 else {})}.items():
        lines.append(f"| {symbol} | {' | '.join(f'{100 * value:.1f} %' for value in row.values())} |")
    return lines


def r2_of(result: BacktestResult) -> dict[str, float]:
    """R² by column of the table; as published too where nights were replayed."""
    published = {} if result.nights is None else {"as published": partial(result.published_figures, result.nights)}
    found: dict[str, float] = {}
    for title, horizon in (("next session", 1), ("all horizons", None)):
        for name, figures in {"model alone": result.figures, **published}.items():
            part = figures(horizon)
            found[f"{name}, {title}"] = part.r2_dollar_volume if part.r2_dollar_volume is not None else np.nan
        found[f"{RIDGE}, {title}"] = part.r2_baselines[RIDGE]
    return found
