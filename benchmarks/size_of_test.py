"""How often Diebold and Mariano's test calls two equal forecasters different, by horizon and number of pairs.

    python benchmarks/size_of_test.py

Prints a Markdown table: the shares of tries with p < 0.05 where the differences in loss have the mean 0, a moving
average over the horizon of independent draws: normal, with fat tails (Student's t, 4 degrees of freedom), and skewed
(exponential). A test of the right size does so in 5 %.
"""

import argparse
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from skill import machine

from forecasting.evaluate.significance import diebold_mariano

HORIZONS = (1, 2, 3, 5)
PAIRS = (1, 2, 5, 10, 20, 50)
"""Pairs for each session of the horizon; the first means the least that the test takes, horizon + 1."""


def differences(kind: str, tries: int, pairs: int, horizon: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Differences in loss (tries, pairs) with the mean 0, correlated up to horizon - 1."""
    shape = tries, pairs + horizon - 1
    if kind == "normal":
        drawn = rng.normal(size=shape)
    elif kind == "fat tails":
        drawn = rng.standard_t(4, size=shape)
    else:
        drawn = rng.exponential(size=shape) - 1.0
    return np.lib.stride_tricks.sliding_window_view(drawn, horizon, axis=1).mean(axis=-1)


def size(found: NDArray[np.float64], horizon: int) -> float:
    """The share of the tries whose p is below 0.05."""
    nothing = np.zeros(found.shape[1])
    return float(np.mean([diebold_mariano(one, nothing, horizon=horizon).p_value < 0.05 for one in found]))


def main() -> None:
    """Draw every figure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=4000, help="draws a figure (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"{datetime.now(UTC).date()}, {machine()}, {arguments.tries} tries a figure\n")
    print(f"| horizon | differences | {' | '.join(f'{k} x' if k > 1 else 'least' for k in PAIRS)} |")
    print(f"| ---: | --- | {' | '.join('---:' for _ in PAIRS)} |")
    rng = np.random.default_rng(arguments.seed)
    for horizon in HORIZONS:
        for kind in ("normal", "fat tails", "skewed"):
            counts = [max(horizon + 1, k * horizon) for k in PAIRS]
            shares = [size(differences(kind, arguments.tries, n, horizon, rng), horizon) for n in counts]
            print(f"| {horizon} | {kind} | {' | '.join(f'{share:.1%}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main()
