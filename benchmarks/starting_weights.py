"""How good the shipped weights are before a fit: their loss over the linear model's, on a symbol's newest year.

    python benchmarks/starting_weights.py PANEL.parquet VIX.csv

PANEL and VIX are as for base_weights.py. A fit from scratch starts from shipped weights where this ratio is at most
MAX_LOSS_RATIO (forecasting/train/fit.py). At each of ORIGINS the weights ended a year before, so that they have seen
none of those rows; the linear model was fitted on the symbol's older rows. The stocks have the market series
and no earnings dates; the two indices, which the package arch ships up to 2018, have neither. Prints the least and the
most of each group.
"""

from datetime import UTC, date, datetime
from importlib.metadata import distribution
from pathlib import Path

import pandas as pd
from base_weights import TARGETS, of_panel, read_market, windows_of
from skill import machine
from split import name_of

from forecasting.preprocess.market import MarketSeries
from forecasting.settings import Settings
from forecasting.train.fit import linear_validation_loss, validation_loss
from forecasting.train.prepare import prepare
from forecasting.train.pretrained import pretrained_for
from forecasting.train.training_loop import load_members
from forecasting.vocabulary import Target

SYMBOLS = "SBUX,CSCO,EXC,JNJ,NKE,UPS"
ORIGINS = (date(2015, 12, 31), date(2017, 12, 29), date(2019, 12, 31), date(2021, 12, 31))
INDICES = {"S&P 500": "sp500", "Nasdaq": "nasdaq"}
"""Folders of the package arch."""


def main() -> None:
    """Print a Markdown table."""
    options = of_panel(__doc__, SYMBOLS).parse_args()
    symbols, market = options.symbols.split(","), read_market(options.market)
    panel = dict(list(pd.read_parquet(options.panel).groupby("Symbol", observed=True)))
    stocks = [panel[symbol] for symbol in symbols]
    indices = [index_bars(folder) for folder in INDICES.values()]
    part = name_of(symbols, ORIGINS[0], ORIGINS[-1])
    print(f"{datetime.now(UTC).date()}, {machine()}; {options.symbols} ({part}), {', '.join(map(str, ORIGINS))}\n")
    print(f"| target | {len(symbols)} stocks | {', '.join(INDICES)} |\n|---|---:|---:|")
    for target in TARGETS:
        of_stocks = [ratio(bars, target, origin, market) for bars in stocks for origin in ORIGINS]
        of_indices = [ratio(bars, target, origin, None) for bars in indices for origin in ORIGINS if origin.year < 2019]
        cells = (f"{min(found):.2f} to {max(found):.2f}" for found in (of_stocks, of_indices))
        print(f"| {target} | {' | '.join(cells)} |", flush=True)


def ratio(bars: pd.DataFrame, target: Target, origin: date, market: MarketSeries | None) -> float:
    """The loss of the shipped weights on the newest year before `origin` over that of the linear model."""
    settings = Settings(target=target, members=3, seed=0)
    windows = windows_of(bars, origin, settings, earnings=False, market=market)
    weights = pretrained_for(windows)
    if weights is None:
        raise ValueError(f"Expected shipped weights that ended before {origin}; found none for {target}.")
    prepared = prepare(windows, method="scratch", settings=settings)
    networks = load_members(weights.weights, prepared.training.tensors)
    return validation_loss(networks, prepared.training) / linear_validation_loss(windows, prepared)


def index_bars(folder: str) -> pd.DataFrame:
    """Daily bars of an index in the panel's columns."""
    file = distribution("arch").locate_file(f"arch/data/{folder}/{folder}.csv.gz")
    return pd.read_csv(Path(str(file)), parse_dates=["Date"]).assign(Symbol=folder)


if __name__ == "__main__":
    main()
