"""How often the gate refuses sound fits, and fits damaged on purpose.

Nights in a row at past origins.

    python benchmarks/gate.py --source parquet:panel.parquet --symbols MSFT,GE --from 2022-06-01
        --nights 85

Prints one Markdown table: fits tried, how many were refused, the first reason, and their loss by
that of what they are compared with, the least and the largest. A damage is tried on every fifth
night, on that night's own fit: median +0.4 in model scale, twice as wide, and one member's weights
replaced by noise of their own spread.
"""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import torch
from skill import all_windows, as_of, machine
from torch import Tensor

from flows.clock import now
from forecasting.audit.series import load_series, market_series
from forecasting.night.steps.train import SCRATCH_EVERY
from forecasting.settings import Settings
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import fit_scratch, fit_warm
from forecasting.train.gate import Verdict, examine
from forecasting.train.loop import generator
from forecasting.train.pretrained import pretrained_for
from forecasting.values import parse_date

EVERY = 5  # nights between two trials of each damage
Damage = Callable[[Checkpoint, int], Checkpoint]
"""A night's fit, damaged; the number of the night is a seed."""


def shifted(fitted: Checkpoint, night: int) -> Checkpoint:
    """Every median 0.4 higher, in model scale."""
    return with_bias(fitted, lambda bias: torch.cat([bias[:, :1] + 0.4, bias[:, 1:]], dim=1))


def wider(fitted: Checkpoint, night: int) -> Checkpoint:
    """Every interval twice as wide."""
    width = torch.tensor([0.0, math.log(2.0)])
    return with_bias(fitted, lambda bias: torch.cat([bias[:, :2] + width, bias[:, 2:]], dim=1))


def noisy(fitted: Checkpoint, night: int) -> Checkpoint:
    """One member's weights replaced by noise of the same spread."""
    rng = generator(night, 0)
    member = f"{night % fitted.card.members}."
    drawn = {
        name: torch.randn(weight.shape, generator=rng) * weight.std()
        if name.startswith(member)
        else weight
        for name, weight in fitted.weights.items()
    }
    return replace(fitted, weights=drawn)


DAMAGES: dict[str, Damage] = {
    "median +0.4": shifted,
    "twice as wide": wider,
    "a member of noise": noisy,
}


def main() -> None:
    """Run the nights of every symbol and print the table."""
    options = arguments()
    torch.set_num_threads(1)
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    for symbol in options.symbols.split(","):
        for name, verdict in nights_of(symbol, options):
            verdicts[name].append(verdict)
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    print(f"{options.source}, {options.symbols}, {options.target}, from {options.first}.\n")
    print("| fits | tried | refused | first reason | loss by the other's |")
    print("|---|---:|---:|---|---:|")
    for name, found in verdicts.items():
        refused = [verdict.refused for verdict in found if verdict.refused]
        ratios = [ratio_of(verdict) for verdict in found]
        first = refused[0] if refused else ""
        span = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(f"| {name} | {len(found)} | {len(refused)} | {first} | {span} |")


def nights_of(symbol: str, options: argparse.Namespace) -> list[tuple[str, Verdict]]:
    """What the gate found about every fit of a symbol's nights, and about the damaged ones, by name."""
    asked = Settings(
        source=options.source, symbols=(symbol,), target=options.target, market=options.market
    )
    settings = asked.for_symbol(symbol)
    bars, events, _ = load_series(settings, last=None, now=now)
    windows = all_windows(bars, events, settings, market_series(settings, now=now))
    first = int(np.searchsorted(windows.origins, np.datetime64(options.first)))
    before: Checkpoint | None = None
    found: list[tuple[str, Verdict]] = []
    for number in range(options.nights):
        known = as_of(windows, first + number)
        if before is None or number % SCRATCH_EVERY == 0:
            kind = "from scratch"
            compared = None
            fitted = fit_scratch(known, pretrained=pretrained_for(known))
        else:
            kind = "warm"
            compared = before
            fitted = fit_warm(known, before)
        judged = {"sound": fitted}
        if number % EVERY == 0:
            judged |= {name: damage(fitted, number) for name, damage in DAMAGES.items()}
        for name, one in judged.items():
            found.append((f"{kind}, {name}", examine(one, known, before=compared)))
        before = fitted
    return found


def ratio_of(verdict: Verdict) -> float:
    """The loss of a fit by that of what it was compared with; infinite where it is not finite."""
    losses = json.loads(verdict.compared)
    if losses["fit"] is None:
        return math.inf
    return float(losses["fit"] / losses["before" if "before" in losses else "linear"])


def with_bias(fitted: Checkpoint, change: Callable[[Tensor], Tensor]) -> Checkpoint:
    """The checkpoint with the last bias of every member changed: median, log width and steps."""
    weights = {
        name: change(weight) if name.endswith(".shape_bias") else weight
        for name, weight in fitted.weights.items()
    }
    return replace(fitted, weights=weights)


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, help="csv:PATH or parquet:PATH")
    parser.add_argument("--symbols", required=True, help="A,B,C")
    parser.add_argument("--market", help="market series: csv:PATH or parquet:PATH")
    parser.add_argument("--target", choices=("volume", "range"), default="volume")
    parser.add_argument("--from", dest="first", type=parse_date, default=date(2019, 6, 3))
    parser.add_argument("--nights", type=int, default=250)
    return parser.parse_args()


if __name__ == "__main__":
    main()
