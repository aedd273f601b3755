"""What fits from shipped weights do on bars unlike those that the weights were trained on: thin, lumpy, or of an index.

    python benchmarks/thin.py --source parquet:panel.parquet --symbols BA,EXC,NKE,MET,PEP --target volume
    python benchmarks/thin.py --source sample --symbols ^GSPC --target volume --from 2015-01-05 --to 2018-12-20

Of each symbol four forms: its bars as they are; thin, 1/2,000 of the trades; lumpy, the same in blocks of a
heavy-tailed size; still, lumpy and every fifth session without a bar. Of an index only the first. Trades are drawn with
a seed. Every `--refit-every` sessions a fit as a night makes it, one forced to start from the shipped weights and one
from random ones, the linear model and the baselines, each forecasting up to the next fit.

Prints one Markdown table: fits that started from shipped weights, and pinball loss of what a night would have (network
alone), of both forced starts, of the linear model and of the best baseline, relative to the first.
"""

import argparse
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import torch
from skill import machine
from split import name_of

from flows.clock import now
from forecasting.backtest.refits import rows_of, windows_at
from forecasting.backtest.walk_forward import all_windows
from forecasting.errors import HistoryError
from forecasting.losses import Floats, pinball
from forecasting.option_values import parse_date
from forecasting.pipeline.backtest import load_series
from forecasting.predict.forecasts import network_quantiles
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.fit import fit
from forecasting.train.linear_model import linear_quantiles
from forecasting.train.pretrained import pretrained_for
from forecasting.train.starting_weights import fit_scratch

SHARE = 1 / 2000
"""Of a large stock's trades: 5 M shares a day become 2,500."""

LOT = 100
FORMS = ("as it is", "thin", "lumpy", "still")


@dataclass
class Losses:
    """Pinball losses by forecaster, a list of arrays (n, H), and the starts of the fits."""

    by_name: dict[str, list[Floats]] = field(default_factory=dict)
    shipped: int = 0
    fits: int = 0

    def add(self, name: str, losses: Floats) -> None:
        """Add the losses of a block of origins."""
        self.by_name.setdefault(name, []).append(losses)

    def mean(self, name: str) -> float:
        """The mean loss over origins and horizons whose values are known."""
        return float(np.nanmean(np.concatenate(self.by_name[name])))


def main() -> None:
    """Run every symbol and form and print the table."""
    options = arguments()
    torch.set_num_threads(1)
    symbols = options.symbols.split(",")
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    part = name_of(symbols, options.first, options.last)
    print(f"{options.source}, {options.target}, {options.first} .. {options.last}, refit every {options.refit_every}.")
    print(f"These symbols and years are of the {part} set.\n")
    print("| symbol | bars | from shipped weights | shipped start | random start | linear model | best baseline |")
    print("|---|---|---:|---:|---:|---:|---|")
    for symbol in symbols:
        for form in FORMS[:1] if symbol.startswith("^") else FORMS:
            print(line(symbol, form, losses_of(symbol, form, options)), flush=True)


def line(symbol: str, form: str, losses: Losses) -> str:
    """One row of the table."""
    ours = losses.mean("night")
    baselines = {
        name: losses.mean(name) for name in losses.by_name if name not in ("night", "shipped", "random", "linear")
    }
    best = min(baselines, key=lambda name: baselines[name])
    against = [f"{losses.mean(name) / ours - 1.0:+.1%}" for name in ("shipped", "random", "linear")]
    cells = [
        symbol,
        form,
        f"{losses.shipped} of {losses.fits}",
        *against,
        f"{best} {baselines[best] / ours - 1.0:+.1%}",
    ]
    return "| " + " | ".join(cells) + " |"


def losses_of(symbol: str, form: str, options: argparse.Namespace) -> Losses:
    """The losses of every forecaster at the origins of the span."""
    settings = Settings(source=options.source, symbols=(symbol,), target=options.target).for_symbol(symbol)
    bars, events, _ = load_series(settings, last=None, now=now)
    bars = changed(bars, form, seed=sum(map(ord, symbol)))
    windows = all_windows(bars, events, settings)
    first, last = (int(np.searchsorted(windows.origins, np.datetime64(day))) for day in (options.first, options.last))
    losses = Losses()
    for row in range(first, last, options.refit_every):
        add_block(losses, windows, np.arange(row, min(row + options.refit_every, last)), settings)
    return losses


def add_block(losses: Losses, windows: Windows, block: np.ndarray, settings: Settings) -> None:
    """Fit at the first row of the block, and add the losses of every forecaster on all of its rows."""
    known, _ = windows_at([windows], int(block[0]), settings, last=int(block[-1]))
    rows = rows_of(block, known)
    actual = windows.scale(block).from_model(windows.scaled[block][..., None])[..., 0]
    start = pretrained_for(known)
    if start is None:
        raise HistoryError(f"Expected weights older than {known.origins[rows[0]]}; choose a later --from.")
    night = fit_scratch(known, [], settings=settings)
    forced = fit(known, mode="scratch", parent=None, settings=settings, pretrained=start, max_loss_ratio=np.inf)
    random = fit(known, mode="scratch", parent=None, settings=settings)
    losses.fits += 1
    losses.shipped += night.card.base != ""
    for name, fitted in {"night": night, "shipped": forced, "random": random}.items():
        losses.add(name, pinball(actual, network_quantiles(fitted, known, rows)))
    losses.add("linear", pinball(actual, linear_quantiles(known, rows)))
    for name in baseline_names(settings.target):
        losses.add(name, pinball(actual, baseline_quantiles(name, known, rows)))


def changed(bars: pd.DataFrame, form: str, *, seed: int) -> pd.DataFrame:
    """The bars of a stock with far fewer trades; NaN where a session has none."""
    if form == "as it is":
        return bars
    rng = np.random.default_rng(seed)
    lots = bars["volume"].to_numpy(dtype=np.float64) * SHARE / LOT
    if form != "thin":
        lots = lots * rng.lognormal(-0.5, 1.0, len(lots))  # a few large orders: the mean stays
    traded = LOT * rng.poisson(np.nan_to_num(lots)).astype(np.float64)
    volume = np.where(np.isfinite(lots) & (traded > 0.0), traded, np.nan)
    thin = bars.assign(volume=volume)
    if form == "still":
        thin.iloc[rng.random(len(thin)) < 0.2] = np.nan  # no bar: filled forward in the features, never a target
        thin = thin.dropna(how="all")
    return thin


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="csv:PATH, parquet:PATH or sample")
    parser.add_argument("--symbols", required=True, help="A,B,C")
    parser.add_argument("--target", choices=("volume", "range", "close"), default="volume")
    parser.add_argument("--from", dest="first", type=parse_date, default=date(2017, 1, 3))
    parser.add_argument("--to", dest="last", type=parse_date, default=date(2020, 12, 21))
    parser.add_argument("--refit-every", type=int, default=252)
    return parser.parse_args()


if __name__ == "__main__":
    main()
