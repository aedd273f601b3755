"""Make the pretrained weights that ship with the package, from a Parquet panel of daily bars.

    ends=$(printf -- '--to %d-12-31 ' 2014 2016 2018 2020 2022)
    python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX $ends --to 2024-03-08
    python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX $ends --to 2024-03-08 --market VIX.csv

PANEL holds the columns Symbol, Date, Open, High, Low, Close, Adj Close, Volume. For every target and span the newest
2,500 sessions of each symbol are the training rows, once without earnings dates and once with those that
inferred_earnings.py infers from the bars up to the end of the span. With --market, a CSV file with the columns Date and
Close, the weights are for symbols with a market series. Weights, cards and index.json are written to
forecasting/train/weights, next to those of other spans and kinds.
"""

import argparse
import json
import time
from datetime import date
from itertools import product
from pathlib import Path

import pandas as pd
from inferred_earnings import inferred_earnings

from forecasting.preprocess.features import MarketSeries
from forecasting.preprocess.windows import Windows, make_windows
from forecasting.sessions import sessions_index
from forecasting.settings import Settings
from forecasting.train.checkpoint import save
from forecasting.train.pretrained import Kind, pretrain, shipped_weights
from forecasting.vocabulary import Target

WEIGHTS = Path(__file__).parents[1] / "forecasting" / "train" / "weights"
TARGETS: tuple[Target, ...] = ("volume", "range", "close")


def main() -> None:
    """Fit and save the weights of every requested span; print the cost of each."""
    parser = argparse.ArgumentParser(description="Make the pretrained weights that ship with the package.")
    parser.add_argument("panel", type=Path)
    parser.add_argument("--leave-out", action="append", default=[], help="a symbol to exclude")
    parser.add_argument("--to", action="append", required=True, type=date.fromisoformat, help="newest day of a span")
    parser.add_argument("--market", type=Path, help="CSV file of the market series")
    options = parser.parse_args()
    market = None if options.market is None else read_market(options.market)
    panel = pd.read_parquet(options.panel)
    panel = panel[~panel["Symbol"].isin(options.leave_out)]
    entries = {str(entry["folder"]): entry for entry in shipped_weights()}
    for last, target, earnings in product(options.to, TARGETS, (False, True)):
        entry = make_weights(panel, target, last, earnings=earnings, market=market)
        entries[str(entry["folder"])] = entry
    index = sorted(
        entries.values(),
        key=lambda entry: (
            str(entry["trained_to"]),
            TARGETS.index(entry["target"]),
            entry["earnings"],
            entry["market"],
        ),
    )
    (WEIGHTS / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def read_market(path: Path) -> MarketSeries:
    """The market series of a CSV file."""
    return MarketSeries(pd.read_csv(path, parse_dates=["Date"], index_col="Date")["Close"])


def make_weights(
    panel: pd.DataFrame, target: Target, last: date, *, earnings: bool, market: MarketSeries | None
) -> dict[str, str | int | bool]:
    """The index entry of the weights of one span, after writing them."""
    started = time.perf_counter()
    newest = sessions_index(date(1990, 1, 2), last)[-1].date()
    settings = Settings(target=target, members=3, seed=0)
    windows = [
        windows_of(bars, newest, settings, earnings=earnings, market=market)
        for _, bars in panel.groupby("Symbol", observed=True)
    ]
    checkpoint = pretrain(windows, settings=settings)
    name = Kind(target, earnings, market is not None).name(newest)
    sha256 = save(checkpoint, WEIGHTS / name)
    seconds = time.perf_counter() - started
    print(f"{name}: {len(windows)} symbols, {checkpoint.card.rows} rows, {seconds:.0f} s", flush=True)
    return {
        "target": target,
        "trained_to": checkpoint.card.trained_to,
        "earnings": earnings,
        "market": market is not None,
        "members": settings.members,
        "symbols": len(windows),
        "folder": name,
        "sha256": sha256,
    }


def windows_of(
    bars: pd.DataFrame, newest: date, settings: Settings, *, earnings: bool, market: MarketSeries | None
) -> Windows:
    """One symbol's windows up to `newest`, with earnings inferred from its bars up to then, or without."""
    bars = bars.set_index("Date").drop(columns="Symbol").astype("float64").rename(columns=str.lower)
    bars = bars[: pd.Timestamp(newest)]
    inferred = inferred_earnings(bars[-settings.train_sessions :])
    return make_windows(
        bars,
        inferred if earnings else inferred[:0],
        origin=newest,
        target=settings.target,
        exchange=settings.exchange,
        train_sessions=settings.train_sessions,
        market=market,
    )


if __name__ == "__main__":
    main()
