"""Measure what a fit loses with the age of the pretrained weights it starts from, and what own weights gain.

    python benchmarks/weight_age.py PANEL.parquet VIX.csv --target volume

PANEL and VIX are as for base_weights.py. Symbols and spans are of the choosing set (split.py). Every REFIT sessions a
fit from scratch starts from shipped weights that ended 0, 2 or 4 years before the span, or from own weights: of some
symbols up to the day before the span, the tested ones among them, from random weights or, as `forecasting pretrain`
makes them, from shipped ones, here of two years before. Losses are the networks' own, pinball in model scale, against
those from shipped weights aged 0. "Without gain" counts the fits that the gate refuses because they gained nothing
clear on their training rows.
"""

import argparse
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
from base_weights import of_panel, read_market, windows_of
from skill import machine
from split import chooses, name_of

from forecasting.backtest.refits import Block, rows_of, windows_at
from forecasting.losses import Floats, row_losses
from forecasting.preprocess.market import MarketSeries
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.ensemble import scaled_quantiles
from forecasting.train.fit import fit
from forecasting.train.gate import learned_nothing
from forecasting.train.pretrained import CONTINUED, Kind, pretrain, shipped_for
from forecasting.vocabulary import Target

SYMBOLS = "CSCO,EXC,JNJ,NKE,UPS"
REFIT = 126
OWN = (10, 30)
"""Symbols that own weights are made of."""


@dataclass(frozen=True)
class Span:
    """Origins from `first` to `last`, and the ends of the shipped weights by their age in years."""

    first: date
    last: date
    ages: dict[int, str]


SPANS = (
    Span(date(2019, 1, 2), date(2020, 12, 31), {0: "2018-12-31", 2: "2016-12-30", 4: "2014-12-31"}),
    Span(date(2021, 1, 4), date(2022, 3, 8), {0: "2020-12-31", 2: "2018-12-31", 4: "2016-12-30"}),
)


def main() -> None:
    """Fit from every start on every symbol and span, and print a table."""
    options = arguments()
    symbols, market = options.symbols.split(","), read_market(options.market)
    panel = dict(list(pd.read_parquet(options.panel).groupby("Symbol", observed=True)))
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    for span in SPANS:
        part = name_of(symbols, span.first, span.last)
        print(f"{options.target}, {span.first} .. {span.last}, {', '.join(symbols)} ({part}), refit every {REFIT}\n")
        print("| start | pinball | worst symbol | fits without gain |\n|---|---:|---:|---:|", flush=True)
        starts = shipped(span, options.target)
        starts |= own(span, panel, symbols, market, starts[name_of_age(2)])
        settings = settings_of(options.target)
        windows = [whole_windows(panel[symbol], span.last, settings, market) for symbol in symbols]
        fresh = None
        for name, start in starts.items():
            losses, idle = np.array([walk(one, span, start, settings) for one in windows]).T
            fresh = losses if fresh is None else fresh
            ratios = losses / fresh - 1.0
            print(f"| {name} | {ratios.mean():+.2%} | {ratios.max():+.2%} | {idle.sum():.0f} |", flush=True)
        print()


def shipped(span: Span, target: Target) -> dict[str, Checkpoint]:
    """The shipped weights of every age, the youngest first."""
    kind = Kind(target, earnings=False, market=True)
    found = {age: shipped_for(kind, date.fromisoformat(end)) for age, end in span.ages.items()}
    return {name_of_age(age): weights for age, weights in found.items() if weights is not None}


def name_of_age(years: int) -> str:
    """The name of a row of the table."""
    return f"shipped, {years} years old"


def own(
    span: Span, panel: dict[str, pd.DataFrame], tested: list[str], market: MarketSeries, older: Checkpoint
) -> dict[str, Checkpoint]:
    """Weights made of the tested symbols and others of the choosing set, up to the end of the youngest shipped ones."""
    settings = settings_of(older.card.target)
    names = [*tested, *(name for name in panel if chooses(name) and name not in tested)]
    newest = date.fromisoformat(span.ages[0])
    windows = [windows_of(panel[name], newest, settings, earnings=False, market=market) for name in names[: max(OWN)]]
    made: dict[str, Checkpoint] = {}
    for count in OWN:
        made[f"own, {count} symbols, from random"] = pretrain(windows[:count], settings=settings)
        made[f"own, {count} symbols, from shipped"] = pretrain(
            windows[:count], settings=settings, hyperparameters=CONTINUED, start=older
        )
    return made


def whole_windows(bars: pd.DataFrame, last: date, settings: Settings, market: MarketSeries) -> Windows:
    """A symbol's windows over all of its bars up to `last`."""
    settings = settings.model_copy(update={"train_sessions": len(bars)})
    return windows_of(bars, last, settings, earnings=False, market=market)


def walk(whole: Windows, span: Span, start: Checkpoint, settings: Settings) -> tuple[float, int]:
    """The mean pinball loss of a symbol's fits over the span, in model scale; how many of them gained nothing."""
    inside = (whole.origins >= np.datetime64(span.first)) & (whole.origins <= np.datetime64(span.last))
    rows = np.flatnonzero(inside & np.isfinite(whole.scaled).all(axis=1))
    losses: list[Floats] = []
    without_gain = 0
    for at in range(0, len(rows), REFIT):
        block = rows[at : at + REFIT]
        known, _ = windows_at([whole], int(block[0]), settings, last=int(block[-1]))
        fitted = fit(known, mode="scratch", parent=None, settings=settings, pretrained=start)
        used = start if fitted.card.validation_loss is None else None  # with one, random weights were the better start
        without_gain += bool(learned_nothing(fitted, used, known))
        losses.append(block_losses(fitted, known, whole, block))
    return float(np.concatenate(losses).mean()), without_gain


def block_losses(fitted: Checkpoint, known: Windows, whole: Windows, block: Block) -> Floats:
    """(n,) losses of a fit on the rows `block` of the whole windows, the newest of which is the newest of `known`."""
    return row_losses(whole.scaled[block], scaled_quantiles(fitted, known, rows_of(block, known)))


def settings_of(target: Target) -> Settings:
    """Two networks: enough for a difference of starts."""
    return Settings(target=target, members=2, seed=0)


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = of_panel(__doc__, SYMBOLS)
    parser.add_argument("--target", choices=("volume", "range", "close"), default="volume")
    return parser.parse_args()


if __name__ == "__main__":
    main()
