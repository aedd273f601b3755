"""How often the gate refuses sound fits, and fits damaged on purpose.

Nights in a row at past origins.

    python benchmarks/gate.py --source parquet:panel.parquet --symbols MSFT,BA --other KO --target
        volume --nights 250

Prints one Markdown table: nights or trials, how many were refused, and the first reason. A damage
is tried on every fifth night, on that night's own fit: median +0.4 in model scale, twice as wide,
one member's weights replaced by noise of their own spread, the weights of another symbol fitted on
the same night, a fit stopped after one of its epochs from random weights, and a card with a doubled
scaler or half of the calendar effect. On every 125th night a fit from random weights is tried as if
it were the first, with the same damages, and one that was trained on reversed features.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from skill import all_windows, as_of, machine
from torch import Tensor

from flows.clock import now
from forecasting.audit.series import load_series, market_series
from forecasting.night.steps.train import SCRATCH_EVERY
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train import loop
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import fit_scratch, fit_warm
from forecasting.train.gate import Verdict, examine
from forecasting.train.loop import (
    Hyperparameters,
    Tensors,
    generator,
    named_weights,
    new_network,
    train,
)
from forecasting.train.model import Network
from forecasting.train.prepare import make_card, prepare
from forecasting.train.pretrained import pretrained_for
from forecasting.values import parse_date

# nights between two trials of each damage, and between two first fits
EVERY = 5
FIRST_EVERY = 125
Weights = dict[str, Tensor]
Damage = Callable[[Checkpoint, "Night"], Checkpoint]


class Night:
    """A night's window, and the other symbol's fit of the same night."""

    def __init__(
        self, windows: Windows, settings: Settings, other: Checkpoint, number: int
    ) -> None:
        self.windows = windows
        self.settings = settings
        self.other = other
        self.number = number


def shifted(fitted: Checkpoint, night: Night) -> Checkpoint:
    """Every median 0.4 higher, in model scale."""
    return changed(
        fitted, "shape_bias", lambda bias: bias + torch.tensor([0.4] + [0.0] * (bias.shape[-1] - 1))
    )


def wider(fitted: Checkpoint, night: Night) -> Checkpoint:
    """Every interval twice as wide."""
    width = torch.tensor([0.0, float(np.log(2.0))])
    return changed(
        fitted, "shape_bias", lambda bias: torch.cat([bias[:, :2] + width, bias[:, 2:]], dim=1)
    )


def noisy(fitted: Checkpoint, night: Night) -> Checkpoint:
    """One member's weights replaced by noise of the same spread."""
    rng = generator(night.number, 0)
    member = f"{night.number % fitted.card.members}."
    drawn = {
        name: torch.randn(weight.shape, generator=rng) * weight.std()
        if name.startswith(member)
        else weight
        for name, weight in fitted.weights.items()
    }
    return replace(fitted, weights=drawn)


def half_trained(fitted: Checkpoint, night: Night) -> Checkpoint:
    """Random weights after one epoch."""
    card = make_card(night.windows, settings=night.settings)
    prepared = prepare(card, night.windows)
    weights: Weights = {}
    for member in range(night.settings.members):
        rng = generator(night.number, member)
        network = new_network(prepared.tensors, rng)
        train(network, [prepared.tensors], Hyperparameters(1, 3e-3), rng=rng)
        weights |= named_weights(network, member)
    return replace(fitted, weights=weights)


def doubled_scaler(fitted: Checkpoint, night: Night) -> Checkpoint:
    """Every scale of the card twice as large."""
    steps, past = (
        tuple(2.0 * scale for scale in scales)
        for scales in (fitted.card.step_scale, fitted.card.past_scale)
    )
    return replace(fitted, card=replace(fitted.card, step_scale=steps, past_scale=past))


def half_effect(fitted: Checkpoint, night: Night) -> Checkpoint:
    """Half of every calendar effect."""
    return replace(
        fitted, card=replace(fitted.card, effect=tuple(0.5 * value for value in fitted.card.effect))
    )


DAMAGES: dict[str, Damage] = {
    "median +0.4": shifted,
    "twice as wide": wider,
    "a member of noise": noisy,
    "weights of another symbol": lambda fitted, night: replace(fitted, weights=night.other.weights),
    "half-trained": half_trained,
    "scaler x2": doubled_scaler,
    "effect halved": half_effect,
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
    print(
        f"{options.source}, {options.symbols}, other {options.other}, {options.target}, from "
        f"{options.first}.\n"
    )
    print("| fits | tried | refused | first reason |\n|---|---:|---:|---|")
    for name, found in verdicts.items():
        refused = [verdict.refused for verdict in found if verdict.refused]
        print(f"| {name} | {len(found)} | {len(refused)} | {refused[0] if refused else ''} |")


def nights_of(symbol: str, options: argparse.Namespace) -> list[tuple[str, Verdict]]:
    """What the gate found about every fit of a symbol's nights, and about the damaged ones, by name."""
    (windows, settings), (others, other_settings) = (
        whole(name, options) for name in (symbol, options.other)
    )
    first = int(np.searchsorted(windows.origins, np.datetime64(options.first)))
    before: Checkpoint | None = None
    other: Checkpoint | None = None
    found: list[tuple[str, Verdict]] = []
    for number in range(options.nights):
        known = as_of(windows, first + number, settings)
        scratch = before is None or number % SCRATCH_EVERY == 0
        fitted = (
            fit_scratch(known, settings=settings, pretrained=pretrained_for(known))
            if scratch
            else fit_warm(known, before, settings=settings)
        )
        if other is None or number % SCRATCH_EVERY == 0:
            row = int(np.searchsorted(others.origins, known.origins[-1]))
            of_other = as_of(others, row, other_settings)
            start = pretrained_for(of_other)
            other = fit_scratch(of_other, settings=other_settings, pretrained=start)
        judged = {"sound, from scratch" if scratch else "sound, warm": fitted}
        if number % EVERY == 0:
            night = Night(known, settings, other, number)
            judged |= {name: damage(fitted, night) for name, damage in DAMAGES.items()}
        compared = None if scratch else before
        found += [(name, examine(one, known, before=compared)) for name, one in judged.items()]
        if number % FIRST_EVERY == 0:
            first_fit = fit_scratch(known, settings=settings, pretrained=None)
            night = Night(known, settings, other, number)
            judged = {"sound": first_fit, "reversed features": reversed_features(known, settings)}
            judged |= {name: damage(first_fit, night) for name, damage in DAMAGES.items()}
            found += [
                (f"first, {name}", examine(one, known, before=None)) for name, one in judged.items()
            ]
        before = fitted
    return found


def reversed_features(windows: Windows, settings: Settings) -> Checkpoint:
    """A fit from random weights that saw its features in the reverse order while it was trained."""

    def trained(network: Network, panel: list[Tensors], *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        (rows,) = panel
        flipped = replace(rows, past=rows.past.flip(-1), steps=rows.steps.flip(-1))
        train(network, [flipped], *arguments, **options)

    with patch.object(loop, "train", trained):
        return fit_scratch(windows, settings=settings, pretrained=None)


def whole(symbol: str, options: argparse.Namespace) -> tuple[Windows, Settings]:
    """A symbol's windows over all of its bars, and its settings."""
    asked = Settings(
        source=options.source, symbols=(symbol,), target=options.target, market=options.market
    )
    settings = asked.for_symbol(symbol)
    bars, events, _ = load_series(settings, last=None, now=now)
    return all_windows(bars, events, settings, market_series(settings, now=now)), settings


def changed(fitted: Checkpoint, parameter: str, change: Callable[[Tensor], Tensor]) -> Checkpoint:
    """The checkpoint with one parameter of every member changed."""
    weights = {
        name: change(weight) if name.endswith(f".{parameter}") else weight
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
    parser.add_argument(
        "--other", required=True, help="the symbol whose weights are put in their place"
    )
    parser.add_argument("--market", help="market series: csv:PATH or parquet:PATH")
    parser.add_argument("--target", choices=("volume", "range"), default="volume")
    parser.add_argument("--from", dest="first", type=parse_date, default=date(2019, 6, 3))
    parser.add_argument("--nights", type=int, default=250)
    return parser.parse_args()


if __name__ == "__main__":
    main()
