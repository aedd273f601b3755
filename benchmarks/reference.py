"""Which baseline is a target's reference: pinball losses one session ahead on the choosing set.

python benchmarks/reference.py --source parquet:panel.parquet

Every third choosing symbol by name, every 40th session of its bars from 2015 up to 2022-03-08,
without a market series. A column is the geometric mean over the symbols of a baseline's mean loss
over the least one of the symbol.
"""

import argparse

import numpy as np
import pandas as pd
from skill import all_windows, as_of, symbols_of

from flows.clock import now
from forecasting.audit.series import load_series
from forecasting.losses import pinball
from forecasting.settings import Settings
from forecasting.targets import TARGETS
from forecasting.train.baselines import baseline_quantiles

FIRST = np.datetime64("2015-01-02")
LAST = np.datetime64("2022-03-08")
EVERY = 40


def main() -> None:
    """Print a table a target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, help="csv:PATH or parquet:PATH of a panel")
    options = parser.parse_args()
    options.symbols = "choosing"
    symbols = symbols_of(options)[::3]
    print(f"{len(symbols)} symbols: {', '.join(symbols)}")
    for target in TARGETS:
        losses = pd.concat(of_symbol(options.source, symbol, target) for symbol in symbols)
        means = losses.groupby("symbol").mean()
        over_best = means.div(means.min(axis=1), axis=0)
        print(f"\n{target}, {len(losses)} nights")
        table = pd.DataFrame(
            {
                "pinball over the best": np.exp(np.log(over_best).mean()).round(3),
                "best of symbols": means.idxmin(axis=1).value_counts(),
            }
        ).fillna(0)
        print(table.sort_values("pinball over the best").to_string())


def of_symbol(source: str, symbol: str, target: str) -> pd.DataFrame:
    """One row a night: symbol, and the loss of each baseline."""
    settings = Settings(source=source, symbols=(symbol,), target=target).for_symbol(symbol)
    bars, events, _ = load_series(settings, last=None, now=now)
    windows = all_windows(bars, events, settings)
    rows = []
    for row, session in enumerate(windows.origins[:-1]):
        if row % EVERY or not FIRST <= session <= LAST:
            continue
        night = as_of(windows, row, settings)
        actual = windows.values[windows.warm_up + row + 1]
        losses = {
            name: float(pinball(actual, baseline_quantiles(name, night)[0]))
            for name in TARGETS[target].baselines
        }
        rows.append({"symbol": symbol} | losses)
    return pd.DataFrame(rows).dropna()


if __name__ == "__main__":
    main()
