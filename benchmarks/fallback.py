"""What publishing a baseline for skill gains or costs: rules replayed over symbols and years.

    python benchmarks/fallback.py --source parquet:panel.parquet --symbols ADM,BA,CSCO,EXC,LMT,MET,NKE \
        --target volume --from 2014-01-02 --to 2022-03-08

Prints one Markdown table: for each rule the gain in pinball loss over publishing the network on every night (mean and
worst symbol), the share of nights on which a baseline is published, and the number of episodes. The rules see the
losses that a night sees, up to the session before. The first 300 origins only serve as evidence.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from skill import machine
from split import name_of

from flows.clock import now
from forecasting.backtest.walk_forward import BacktestSpec, backtest
from forecasting.evaluate.significance import diebold_mariano
from forecasting.losses import Floats, pinball
from forecasting.option_values import parse_date
from forecasting.pipeline.backtest import load_series
from forecasting.predict import fallback
from forecasting.predict.fallback import Deficit, is_behind
from forecasting.settings import Settings
from forecasting.vocabulary import HORIZONS

SKIPPED = 300
"""Origins whose gain is not counted."""


@dataclass(frozen=True)
class Rule:
    """When a baseline is published: the origins compared, their minimum, and the decision on a deficit."""

    name: str
    window: int
    minimum: int
    decide: Callable[[Deficit, bool], bool]


def excess(tolerance: float) -> Callable[[Deficit, bool], bool]:
    """A larger loss by more than the tolerance, without a test."""
    return lambda deficit, _: deficit.network_pinball > deficit.baseline_pinball * (1.0 + tolerance)


def tested(enter: float, tolerance: float) -> Callable[[Deficit, bool], bool]:
    """A larger loss by more than the tolerance with a statistic above `enter`; on the nights after, above 1."""
    return lambda deficit, before: (
        deficit.statistic > fallback.LEAVE
        if before
        else deficit.statistic > enter and excess(tolerance)(deficit, before)
    )


RULES = (
    Rule("2 % over 60 origins, no test (until release 0.2)", 60, 20, excess(0.02)),
    Rule("statistic above 2, 2 % over 250 origins", 250, 60, tested(2.0, 0.02)),
    Rule("statistic above 3, 2 % over 120 origins", 120, 60, tested(3.0, 0.02)),
    Rule("statistic above 3, 2 % over 250 origins", 250, 60, tested(3.0, 0.02)),
    Rule(
        "the rule in force",
        fallback.WINDOW_ORIGINS,
        fallback.MIN_ORIGINS,
        lambda deficit, before: is_behind(deficit, in_fallback=before),
    ),
)


def main() -> None:
    """Replay every rule on every symbol and print the table."""
    options = arguments()
    symbols = options.symbols.split(",")
    losses = [losses_of(symbol, options) for symbol in symbols]
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    print(f"{options.source}, {options.symbols}, {options.target}, {options.first} .. {options.last}, refit every 63;")
    print(f"these symbols and years are of the {name_of(symbols, options.first, options.last)} set.\n")
    print("| rule | mean gain | worst | nights | episodes |\n|---|---:|---:|---:|---:|")
    for rule in RULES:
        gains, shares, episodes = np.array([outcome(rule, *one) for one in losses]).T
        print(
            f"| {rule.name} | {gains.mean():+.2%} | {gains.min():+.2%} | {shares.mean():.1%} | {episodes.sum():.0f} |"
        )


def losses_of(symbol: str, options: argparse.Namespace) -> tuple[Floats, Floats]:
    """Pinball losses of the network as issued (n,) and of every baseline (B, n), means over the horizons."""
    settings = Settings(source=options.source, symbols=(symbol,), target=options.target).for_symbol(symbol)
    bars, events, _ = load_series(settings, last=None, now=now)
    spec = BacktestSpec(symbol, options.first, options.last, refit_every=63, settings=settings)
    result = backtest(bars, events, spec=spec)
    known = np.isfinite(result.actual).all(axis=1)
    baselines = [pinball(result.actual, quantiles).mean(axis=1)[known] for quantiles in result.baselines.values()]
    return pinball(result.actual, result.issued).mean(axis=1)[known], np.stack(baselines)


def outcome(rule: Rule, network: Floats, baselines: Floats) -> tuple[float, float, float]:
    """Gain over the network alone, share of nights with a baseline, and number of episodes, after SKIPPED origins."""
    published, before, nights = network.copy(), False, []
    for night in range(len(network)):
        scored = slice(max(0, night - HORIZONS[-1] - rule.window), max(0, night - HORIZONS[-1]))
        deficit = deficit_of(network[scored], baselines[:, scored], rule.minimum)
        before = deficit is not None and rule.decide(deficit[0], before)
        if before and deficit is not None:
            published[night] = baselines[deficit[1], night]
        nights.append(before)
    counted = np.array(nights)[SKIPPED:]
    gain = 1.0 - published[SKIPPED:].mean() / network[SKIPPED:].mean()
    return gain, counted.mean(), (np.diff(counted.astype(int), prepend=0) > 0).sum()


def deficit_of(network: Floats, baselines: Floats, minimum: int) -> tuple[Deficit, int] | None:
    """The network against the best baseline, and which that is; None with fewer origins than the minimum."""
    if len(network) < minimum:
        return None
    best = int(baselines.mean(axis=1).argmin())
    test = diebold_mariano(network, baselines[best], horizon=HORIZONS[-1])
    return Deficit("", len(network), network.mean(), baselines[best].mean(), test.statistic), best


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="csv:PATH or parquet:PATH")
    parser.add_argument("--symbols", required=True, help="A,B,C")
    parser.add_argument("--target", choices=("volume", "range", "close"), default="volume")
    parser.add_argument("--from", dest="first", type=parse_date, default=date(2014, 1, 2))
    parser.add_argument("--to", dest="last", type=parse_date, default=date(2022, 3, 8))
    return parser.parse_args()


if __name__ == "__main__":
    main()
