"""How baselines forecast young symbols: stocks of a panel cut to their first sessions.

    python benchmarks/young.py --panel panel.parquet --starts 6

Each stock of the choosing set begins at random sessions before LAST_CHOOSING, and is forecast after
66 to 435 sessions by the baseline that is published then. Prints a row a target and horizon: the
number of forecasts and the shares of actual values inside their 80 and 90% intervals.
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from skill import LAST_CHOOSING, chooses

from forecasting.evaluate.scores import inside
from forecasting.preprocess.windows import NETWORK_SESSIONS, actual_of, make_windows
from forecasting.settings import Settings
from forecasting.train.baselines import baseline_quantiles, usable_baselines
from forecasting.vocabulary import HORIZONS, Target

SESSIONS = (66, 75, 86, 97, 108, 120, 132, 146, 160, 180, 200, 225, 250, 280, 310, 340, 380, 430)
COLUMNS = ("open", "high", "low", "close", "volume")
NO_EVENTS = pd.DataFrame({"session": [], "kind": [], "known_from": []})


def main() -> None:
    """Forecast every young start and print the shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--panel", type=Path, required=True, help="Parquet of daily bars")
    parser.add_argument("--starts", type=int, default=6, help="of each stock")
    options = parser.parse_args()
    panel = pd.read_parquet(options.panel).rename(columns=str.lower)
    rows = []
    for symbol, bars in panel.groupby("symbol"):
        if chooses(str(symbol)):
            dated = bars.set_index(pd.DatetimeIndex(bars["date"])).sort_index()
            rows += list(forecasts(str(symbol), dated[list(COLUMNS)].astype(float), options.starts))
    found = pd.DataFrame(rows, columns=["target", "horizon", "coverage_80", "coverage_90"])
    shares = found.groupby(["target", "horizon"])
    print(shares.mean().join(shares.size().rename("forecasts")).round(3).to_string())


def forecasts(
    symbol: str, bars: pd.DataFrame, starts: int
) -> Iterator[tuple[str, int, bool, bool]]:
    """Target, horizon, and whether the actual value was inside, of each forecast of a stock."""
    draw = np.random.default_rng(int(hashlib.sha256(symbol.encode()).hexdigest()[:8], 16))
    newest = bars.index.searchsorted(pd.Timestamp(LAST_CHOOSING)) - NETWORK_SESSIONS
    for start in draw.integers(0, newest, starts):
        for sessions in SESSIONS:
            stop = start + sessions + draw.integers(0, 6)
            for target in get_args(Target):
                actual = actual_of(target, bars.iloc[stop : stop + len(HORIZONS)]).to_numpy()
                quantiles = published(symbol, bars.iloc[start:stop], target)
                within = [inside(actual, quantiles, percent) for percent in (80, 90)]
                for horizon in np.flatnonzero(np.isfinite(actual)):
                    yield target, HORIZONS[horizon], within[0][horizon], within[1][horizon]


def published(symbol: str, bars: pd.DataFrame, target: Target) -> np.ndarray:
    """(H, Q) the quantiles that are published of a young symbol with these bars."""
    windows = make_windows(
        bars,
        NO_EVENTS,
        origin=bars.index[-1].date(),
        settings=Settings(source="sample", symbols=(symbol,), target=target),
    )
    return baseline_quantiles(usable_baselines(windows)[-1], windows)


if __name__ == "__main__":
    main()
