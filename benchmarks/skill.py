"""Ours against every baseline of the project, by its own walk-forward backtest, on one symbol or many.

    python benchmarks/skill.py --source csv:SBUX.csv --symbol SBUX --target volume --from 2015-01-02 --to 2024-03-07
    python benchmarks/skill.py --source parquet:panel.parquet --symbols all --from 2020-01-02 --to 2024-03-07

Prints one Markdown table. One symbol: a row per forecaster. Several: a row per symbol against its best baseline, and
how many are ahead. Skill is 1 - ours / theirs, p is Diebold-Mariano's (two-sided, lag 4) on the mean over horizons.
"""

import argparse
import os
import platform
import sys
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from flows.clock import now
from forecasting.backtest.figures import Loss, best_set
from forecasting.backtest.walk_forward import BacktestResult, BacktestSpec, backtest
from forecasting.errors import ForecastingError
from forecasting.evaluate.scores import inside, skill
from forecasting.evaluate.significance import diebold_mariano
from forecasting.losses import Floats, absolute_error, pinball
from forecasting.pipeline.backtest import companion_series, load_series
from forecasting.settings import Settings, parse_date
from forecasting.vocabulary import HORIZONS

UNITS = {"volume": (1e-6, "million shares"), "range": (100.0, "log points x 100"), "close": (1.0, "the bar's currency")}
"""What a target's errors are multiplied by in the table, and what they then are."""

LOSSES: dict[str, Loss] = {"MAE": absolute_error, "pinball": pinball}
"""What forecasters are compared by; either in its mean over the horizons."""

PACKAGES = ("numpy", "pandas", "scikit-learn", "torch")


def main() -> None:
    """Run every backtest asked for and print the table."""
    asked = arguments()
    symbols = symbols_of(asked)
    results = [result for symbol in symbols if (result := run(asked, symbol)) is not None]
    if not results:
        raise SystemExit("No symbol could be replayed; the lines above say why.")
    scale, unit = UNITS[asked.target]
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    print(f"{asked.source}, {asked.target}, errors in {unit}, mean of horizons 1-{HORIZONS[-1]};")
    print(f"{about(results, asked)}.\n")
    print("\n".join(forecaster_table(results[0], scale) if len(results) == 1 else symbol_table(results, scale)))


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="csv:PATH, parquet:PATH, yahoo or sample")
    parser.add_argument("--symbol", "--symbols", dest="symbols", default="^GSPC", help="S, A,B,C or all of a panel")
    parser.add_argument("--events", help="earnings dates as csv:PATH; without it the bundled ones")
    parser.add_argument("--companions", default="", help="symbols of the same source to learn from beside, A,B,C")
    parser.add_argument("--target", choices=tuple(UNITS), default="volume")
    parser.add_argument("--from", dest="first", type=parse_date, default=date(2015, 1, 2))
    parser.add_argument("--to", dest="last", type=parse_date, default=date(2018, 12, 21))
    parser.add_argument("--refit-every", type=int, default=21)
    parser.add_argument("--workers", type=int, default=0, help="processes that fit; 0 is one a core")
    return parser.parse_args()


def symbols_of(asked: argparse.Namespace) -> list[str]:
    """The symbols named, or every one of the panel."""
    if asked.symbols != "all":
        return [symbol.strip() for symbol in asked.symbols.split(",")]
    kind, _, path = asked.source.partition(":")
    if kind not in ("csv", "parquet"):
        raise SystemExit(f"--symbols all needs --source csv:PATH or parquet:PATH; found {asked.source!r}.")
    panel = pd.read_parquet(Path(path)) if kind == "parquet" else pd.read_csv(Path(path))
    named = [name for name in panel.columns if name.lower() in ("symbol", "ticker")]
    if not named:
        raise SystemExit(f"--symbols all needs a column symbol or ticker in {path}; found {', '.join(panel.columns)}.")
    return sorted(panel[named[0]].astype(str).unique())


def run(asked: argparse.Namespace, symbol: str) -> BacktestResult | None:
    """The backtest of one symbol, nothing kept or taken up again; None, with the reason printed, where it cannot be."""
    settings = Settings(
        source=asked.source, symbols=(symbol,), events=asked.events, target=asked.target, companions=asked.companions
    )
    spec = BacktestSpec(
        symbol=symbol,
        first=asked.first,
        last=asked.last,
        refit_every=asked.refit_every,
        settings=settings,
        workers=asked.workers,
    )
    try:
        bars, events, _ = load_series(settings, last=None, now=now)
        result = backtest(bars, events, spec=spec, companions=companion_series(settings, now=now))
    except ForecastingError as error:
        print(f"{symbol} left out: {error}", file=sys.stderr)
        return None
    print(f"{symbol}: {len(result.origins)} origins in {result.seconds:.0f} s", file=sys.stderr)
    return result


def about(results: list[BacktestResult], asked: argparse.Namespace) -> str:
    """Span, refits and seconds of all backtests together."""
    origins, refits = sum(len(one.origins) for one in results), sum(one.refits for one in results)
    seconds = sum(one.seconds for one in results)
    first, last = min(one.origins[0] for one in results), max(one.origins[-1] for one in results)
    symbols = results[0].spec.symbol if len(results) == 1 else f"{len(results)} symbols"
    return (
        f"{symbols}, {origins} origins {first} .. {last}, {refits} refits (every {asked.refit_every} sessions), "
        f"{seconds:.0f} s in all" + (f", companions {asked.companions}" if asked.companions else "")
    )


def forecaster_table(result: BacktestResult, scale: float) -> list[str]:
    """A row per forecaster, ours first; skill and p of ours against that row."""
    lines = row("forecaster", "MAE", "pinball", "cover 80", "cover 90", "skill MAE", "p", "skill pinball", "p")
    lines += ["|---|" + "---:|" * 8]
    for name, quantiles in {"**ours**": result.issued, **result.baselines}.items():
        errors, losses = absolute_error(result.actual, quantiles), pinball(result.actual, quantiles)
        ours = [("", ""), ("", "")]
        if quantiles is not result.issued:
            ours = [
                against(absolute_error(result.actual, result.issued), errors),
                against(pinball(result.actual, result.issued), losses),
            ]
        covers = (f"{100 * covered(result, quantiles, percent):.1f} %" for percent in (80, 90))
        lines += row(name, number(mean(errors) * scale), number(mean(losses) * scale), *covers, *ours[0], *ours[1])
    returns = [as_returns(result)] if result.spec.settings.target == "close" else []
    return [*lines, "", *returns, *map(partial(not_told_apart, result), LOSSES)]


def as_returns(result: BacktestResult) -> str:
    """A close's pinball loss as that of its log return: in prices, years of a high price weigh more than others."""
    ours = pinball(np.log(result.actual), np.log(result.issued))
    told = []
    for name, quantiles in result.baselines.items():
        theirs = pinball(np.log(result.actual), np.log(quantiles))
        gained, p_value = against(ours, theirs)
        at = ", ".join(f"{skill(mean(ours[:, [h]]), mean(theirs[:, [h]])):+.1%}" for h in range(len(HORIZONS)))
        told.append(f"{name} {100 * mean(theirs):.4f}, skill {gained} (p {p_value}; by horizon {at})")
    return f"Pinball of log returns x 100: ours {100 * mean(ours):.4f}; {'; '.join(told)}."


def not_told_apart(result: BacktestResult, loss: str) -> str:
    """Who is in the 90 % model confidence set by a loss, best first, each with its p value."""
    best = best_set(result.actual, result.issued, result.baselines, loss=LOSSES[loss])
    named = ", ".join(f"{name} ({best.p_values[name]:.3f})" for name in best.included)
    return f"In the 90 % confidence set of the best by {loss}: {named}."


def symbol_table(results: list[BacktestResult], scale: float) -> list[str]:
    """A row per symbol, ours against the best baseline of each loss, and how many are ahead."""
    titles = (
        "MAE",
        "best baseline",
        "skill",
        "p",
        "pinball",
        "best baseline",
        "skill",
        "p",
        "cover 80",
        "cover 90",
        "s",
    )
    lines = row("symbol", *titles)
    lines += ["|---|" + "".join("---|" if title == "best baseline" else "---:|" for title in titles)]
    skills: list[tuple[float, float]] = []
    for result in results:
        cells: list[str] = []
        gained: list[float] = []
        for loss in LOSSES.values():
            ours = loss(result.actual, result.issued)
            rivals = {k: loss(result.actual, v) for k, v in result.baselines.items()}
            best = min(rivals, key=lambda name: mean(rivals[name]))
            cells += [number(mean(ours) * scale), f"{best} {number(mean(rivals[best]) * scale)}"]
            cells += against(ours, rivals[best])
            gained.append(skill(mean(ours), mean(rivals[best])))
        covers = (f"{100 * covered(result, result.issued, percent):.1f} %" for percent in (80, 90))
        lines += row(result.spec.symbol, *cells, *covers, f"{result.seconds:.0f}")
        skills.append((gained[0], gained[1]))
    return [*lines, "", summary(np.array(skills))]


def summary(skills: Floats) -> str:
    """How many symbols are ahead of their best baseline, and by how much at the median; skills (S, 2)."""
    ahead, median, worst = (skills > 0).sum(axis=0), np.median(skills, axis=0), skills.min(axis=0)
    says = [
        f"in {loss} {ahead[k]} of {len(skills)} (median {median[k]:+.1%}, worst {worst[k]:+.1%})"
        for k, loss in enumerate(LOSSES)
    ]
    return f"Ahead of the best baseline: {'; '.join(says)}."


def covered(result: BacktestResult, quantiles: Floats, percent: int) -> float:
    """Share of the actuals inside the central interval."""
    known = np.isfinite(result.actual)
    return float(inside(result.actual, quantiles, 80 if percent == 80 else 90)[known].mean())


def against(ours: Floats, theirs: Floats) -> tuple[str, str]:
    """Skill and p value of losses (n, H)."""
    test = diebold_mariano(ours.mean(axis=1), theirs.mean(axis=1), horizon=HORIZONS[-1])
    return f"{skill(mean(ours), mean(theirs)):+.1%}", f"{test.p_value:.4f}"


def mean(losses: Floats) -> float:
    """Mean over the horizons of the mean over origins of what is known."""
    return float(np.nanmean(losses, axis=0).mean())


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:#.4g}"


def row(*cells: str) -> list[str]:
    """One Markdown row."""
    return ["| " + " | ".join(cells) + " |"]


def machine() -> str:
    """Platform, cores and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main()
