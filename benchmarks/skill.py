"""This project's forecasts against every baseline, by its backtest, on one symbol or many.

    python benchmarks/skill.py --source csv:SBUX.csv --symbol SBUX --target volume --from 2015-01-02
        --to 2024-03-07
    python benchmarks/skill.py --source parquet:panel.parquet --symbols all --from 2020-01-02
        --to 2024-03-07
    python benchmarks/skill.py --source parquet:panel.parquet --symbols confirming --from 2022-03-09
        --to 2024-03-07 --refit-every 1

Prints one Markdown table. One symbol: a row per forecaster. Several: a row per symbol against its
best baseline, and the number of symbols ahead. Skill is 1 - ours / theirs, p is Diebold-Mariano's
(two-sided, lag 4) on the mean over horizons. With --refit-every 1 the figures are of what nights
publish. For volume a second table has R² of log dollar volume. The first lines say whether these
symbols and years chose settings or confirm them. --dates tells
what was known of earnings: the listed dates (each known 21 sessions ahead unless its list says
more), none, or these with a tenth of them moved or announced five sessions before (`late`) or a
quarter of them a day off (`off`), by a seed.
"""

import argparse
import hashlib
import os
import platform
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from flows.clock import now
from forecasting.audit.backtest import BacktestSpec, backtest
from forecasting.audit.series import load_series, market_series
from forecasting.errors import ForecastingError
from forecasting.evaluate.figures import BacktestResult
from forecasting.evaluate.scores import inside, mean_of, skill
from forecasting.evaluate.significance import diebold_mariano
from forecasting.ingest.earnings import WITHDRAWN
from forecasting.losses import Floats, absolute_error, pinball
from forecasting.preprocess.windows import TRAIN_SESSIONS, MarketSeries, Windows, make_windows
from forecasting.sessions import calendar
from forecasting.settings import Settings
from forecasting.train import trees
from forecasting.values import parse_date
from forecasting.vocabulary import HORIZONS

UNITS = {
    "volume": (1e-6, "million shares"),
    "range": (100.0, "log points x 100"),
}
"""Factor of a target's errors in the table, and their unit after it."""

LOSSES = {"MAE": absolute_error, "pinball": pinball}
"""The losses compared, each in its mean over the horizons."""

PACKAGES = ("numpy", "pandas", "torch")

DATES = ("listed", "none", "late", "off")
# shares of dates that move or arrive late, and that are a session off
LATE = 0.1
OFF = 0.25
LATE_BY = 5  # sessions before the reaction at which a late date is known
LAST_CHOOSING = date(2022, 3, 8)
"""The last origin on which settings are chosen, of half of the stocks: by a hash of their name, so
that no taste is in it. The other half and the years after are looked at once a release: what
they show confirms what was chosen since the split was made, on 2026-11-26."""


def main() -> None:
    """Run every requested backtest and print the table."""
    options = arguments(__doc__)
    results = results_of(options)
    scale, unit = UNITS[options.target]
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    print(
        f"{options.source}, {options.target}, errors in {unit}, mean of horizons 1-{HORIZONS[-1]};"
    )
    print(f"{describe(results, options)}.")
    part = name_of([result.symbol for result in results], options.first, options.last)
    print(f"These symbols and years are of the {part} set.\n")
    print(
        "\n".join(
            forecaster_table(results[0], scale)
            if len(results) == 1
            else symbol_table(results, scale)
        )
    )
    if options.target == "volume":
        print("\n".join(["", *r2_table(results)]))


def arguments(description: str | None) -> argparse.Namespace:
    """The options of a benchmark of backtests."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", default="sample", help="csv:PATH, parquet:PATH, yahoo or sample"
    )
    of_panel = "A,B,C; of a panel also all, choosing, confirming"
    parser.add_argument("--symbol", "--symbols", dest="symbols", default="^GSPC", help=of_panel)
    parser.add_argument("--events", help="earnings dates as csv:PATH; without it the shipped ones")
    parser.add_argument(
        "--dates", choices=DATES, default="listed", help="what was known of earnings"
    )
    parser.add_argument(
        "--market", help="market series: a symbol of the source, csv:PATH, parquet:PATH or none"
    )
    parser.add_argument("--target", choices=tuple(UNITS), default="volume")
    parser.add_argument("--from", dest="first", type=parse_date, default=date(2015, 1, 2))
    parser.add_argument("--to", dest="last", type=parse_date, default=date(2018, 12, 21))
    parser.add_argument("--refit-every", type=int, default=21)
    parser.add_argument(
        "--without-trees", action="store_true", help="no boosted trees; with --workers 1"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes, a symbol each; 0 is one per core"
    )
    return parser.parse_args()


def symbols_of(options: argparse.Namespace) -> list[str]:
    """The symbols named, or every one of the panel."""
    if options.symbols not in ("all", "choosing", "confirming"):
        return [symbol.strip() for symbol in options.symbols.split(",")]
    kind, _, path = options.source.partition(":")
    if kind not in ("csv", "parquet"):
        raise SystemExit(
            f"--symbols {options.symbols} needs csv:PATH or parquet:PATH; found {options.source!r}."
        )
    panel = pd.read_parquet(Path(path)) if kind == "parquet" else pd.read_csv(Path(path))
    named = [name for name in panel.columns if name.lower() in ("symbol", "ticker")]
    if not named:
        raise SystemExit(
            f"--symbols all needs a column symbol or ticker in {path}; found "
            f"{', '.join(panel.columns)}."
        )
    found = sorted(panel[named[0]].astype(str).unique())
    chosen = options.symbols == "choosing"
    return [
        symbol
        for symbol in found
        if options.symbols == "all" or symbol == "SBUX" or chooses(symbol) == chosen
    ]


def chooses(symbol: str) -> bool:
    """Whether settings may be chosen on the symbol's origins up to LAST_CHOOSING."""
    return symbol == "SBUX" or int(hashlib.sha256(symbol.encode()).hexdigest(), 16) % 2 == 0


def name_of(symbols: list[str], first: date, last: date) -> str:
    """What a table over these symbols and origins is of.

    It chose settings, confirms them, or is mixed.
    """
    if last <= LAST_CHOOSING and all(chooses(symbol) for symbol in symbols):
        return "choosing"
    return (
        "confirming"
        if first > LAST_CHOOSING or not any(chooses(symbol) for symbol in symbols)
        else "mixed"
    )


def results_of(options: argparse.Namespace) -> list[BacktestResult]:
    """The backtest of every requested symbol that can be replayed; ends the command without any."""
    if options.without_trees:
        trees.newest_shipped = lambda *_: None
    symbols = symbols_of(options)
    tasks = (delayed(run)(options, symbol) for symbol in symbols)
    processes = min(options.workers or cpu_count(), len(symbols))
    results = [result for result in Parallel(n_jobs=processes)(tasks) if result is not None]
    if not results:
        raise SystemExit("No symbol could be replayed; see the errors above.")
    return results


def run(options: argparse.Namespace, symbol: str) -> BacktestResult | None:
    """The backtest of one symbol; None, with the error printed, if it cannot be run."""
    settings = Settings(
        source=options.source,
        symbols=(symbol,),
        events=options.events,
        target=options.target,
        market=options.market,
    )
    spec = BacktestSpec(
        settings.for_symbol(symbol), options.first, options.last, options.refit_every
    )
    try:
        bars, events, _ = load_series(settings, last=None, now=now)
        events = simulated(events, options.dates, symbol, exchange=spec.settings.exchange)
        result = backtest(bars, events, spec=spec, market=market_series(settings, now=now))
    except ForecastingError as error:
        print(f"{symbol} left out: {error}", file=sys.stderr)
        return None
    print(f"{symbol}: {len(result.origins)} origins in {result.seconds:.0f} s", file=sys.stderr)
    return result


def simulated(events: pd.DataFrame, dates: str, symbol: str, *, exchange: str) -> pd.DataFrame:
    """The events as a user might have had them.

    Each symbol has its own draw, the same in every run.

    `late`: of a tenth of the dates half are unknown until five sessions before, and half were
    announced for another session, one to five away, and moved then. `off`: a quarter react a
    session before or after the one listed.
    """
    if dates == "listed" or events.empty:
        return events
    if dates == "none":
        return events[:0]
    days = calendar(exchange).sessions
    count = len(events)
    draw = np.random.default_rng(int(hashlib.sha256(symbol.encode()).hexdigest()[:8], 16))
    drawn = draw.random(count) < (LATE if dates == "late" else OFF)
    sign = draw.choice([-1, 1], count)
    at = days.get_indexer(events["session"])
    if dates == "off":
        return events.assign(session=events["session"].where(~drawn, days[at + sign]))
    moved = drawn & (draw.random(count) < 0.5)
    by = draw.integers(1, 6, count)
    late = np.maximum(events["known_from"], days[at - LATE_BY])
    right = events.assign(known_from=events["known_from"].where(~drawn, late))
    wrong = events[moved].assign(session=days[(at + sign * by)[moved]])
    withdrawn = wrong.assign(known_from=days[at - LATE_BY][moved], known_rule=WITHDRAWN)
    return pd.concat([right, wrong, withdrawn], ignore_index=True) if moved.any() else right


def describe(results: list[BacktestResult], options: argparse.Namespace) -> str:
    """Span, fits and seconds of all backtests together."""
    origins = sum(len(result.origins) for result in results)
    fits = sum(result.fits for result in results)
    seconds = sum(result.seconds for result in results)
    first = min(result.origins[0] for result in results)
    last = max(result.origins[-1] for result in results)
    symbols = results[0].symbol if len(results) == 1 else f"{len(results)} symbols"
    return (
        f"{symbols}, {origins} origins {first} .. {last}, {fits} fits (every {options.refit_every} "
        f"sessions), {seconds:.0f} s in all"
        + (f", market {options.market}" if options.market else "")
        + (f", earnings dates {options.dates}" if options.dates != "listed" else "")
        + f"; nights: {nights_text(results)}"
    )


def nights_text(results: list[BacktestResult]) -> str:
    """How many nights published what, over all results."""
    counts = [result.nights for result in results]
    return ", ".join(f"{sum(count[name] for count in counts)} {name}" for name in counts[0])


def forecaster_table(result: BacktestResult, scale: float) -> list[str]:
    """A row per forecaster, ours first; skill and p of ours against each."""
    lines = row(
        "forecaster",
        "MAE",
        "pinball",
        "cover 80",
        "cover 90",
        "skill MAE",
        "p",
        "skill pinball",
        "p",
    )
    lines += ["|---|" + "---:|" * 8]
    published = result.issued
    for name, quantiles in {"**ours**": published, **result.baselines}.items():
        cells = []
        skills = []
        for loss in LOSSES.values():
            theirs = loss(result.actual, quantiles)
            cells.append(number(mean_of(theirs) * scale))
            skills += (
                ["", ""]
                if quantiles is published
                else skill_and_p(loss(result.actual, published), theirs)
            )
        lines += row(
            name, *cells, *(f"{share:.1f}%" for share in covered(result, quantiles)), *skills
        )
    return lines


def symbol_table(results: list[BacktestResult], scale: float) -> list[str]:
    """A row per symbol, ours against the best baseline of each loss, and the number of symbols ahead."""
    over_best = ("best baseline", "skill", "p")
    lines = row("symbol", "MAE", *over_best, "pinball", *over_best, "cover 80", "cover 90", "s")
    lines += ["|---|" + "---:|---|---:|---:|" * 2 + "---:|" * 3]
    covers = []
    for result in results:
        published = result.issued
        cells = []
        for loss in LOSSES.values():
            ours = loss(result.actual, published)
            baselines = {
                name: loss(result.actual, quantiles) for name, quantiles in result.baselines.items()
            }
            best = min(baselines, key=lambda name: mean_of(baselines[name]))
            cells += [
                number(mean_of(ours) * scale),
                f"{best} {number(mean_of(baselines[best]) * scale)}",
            ]
            cells += skill_and_p(ours, baselines[best])
        covers.append(covered(result, published))
        cells += [*(f"{share:.1f}%" for share in covers[-1]), f"{result.seconds:.0f}"]
        lines += row(result.symbol, *cells)
    names = list(results[0].baselines)
    over = {"the best baseline": names, **{name: [name] for name in names}}
    (low_80, low_90), (cover_80, cover_90), (high_80, high_90) = (
        of(covers, axis=0) for of in (np.min, np.mean, np.max)
    )
    return [
        *lines,
        "",
        *(
            summary(title, np.array([skills_over(result, part) for result in results]))
            for title, part in over.items()
        ),
        f"Coverage {cover_80:.1f} and {cover_90:.1f}% (80%: {low_80:.1f} to {high_80:.1f}, 90%: "
        f"{low_90:.1f} to {high_90:.1f}).",
    ]


def skills_over(result: BacktestResult, names: list[str]) -> list[float]:
    """Skill in each loss over the best of these baselines."""
    found = []
    for loss in LOSSES.values():
        theirs = min(mean_of(loss(result.actual, result.baselines[name])) for name in names)
        found.append(skill(mean_of(loss(result.actual, result.issued)), theirs))
    return found


def summary(baseline: str, skills: Floats) -> str:
    """The number of symbols ahead of a baseline, with median and worst skill; skills (S, 2)."""
    ahead = (skills > 0).sum(axis=0)
    median = np.median(skills, axis=0)
    worst = skills.min(axis=0)
    by_loss = [
        f"in {loss} {ahead[k]} of {len(skills)} (median {median[k]:+.1%}, worst {worst[k]:+.1%})"
        for k, loss in enumerate(LOSSES)
    ]
    return f"Ahead of {baseline}: {'; '.join(by_loss)}."


def r2_table(results: list[BacktestResult]) -> list[str]:
    """R² of log dollar volume over its mean of five sessions, ours and the ridge's.

    A row per symbol and the median.
    """
    rows = {result.symbol: r2_of(result) for result in results}
    titles = list(rows[results[0].symbol])
    if len(rows) > 1:
        rows["median"] = {
            title: float(np.median([row[title] for row in rows.values()])) for title in titles
        }
    lines = [*row("R² over the mean of 5", *titles), "|---|" + "---:|" * len(titles)]
    for symbol, values in rows.items():
        lines += row(symbol, *(f"{100 * value:.1f}%" for value in values.values()))
    return lines


def r2_of(result: BacktestResult) -> dict[str, float]:
    """R² by column of the table."""
    found: dict[str, float] = {}
    for title, horizon in (("next session", 1), ("all horizons", None)):
        part = result.figures(horizon)
        found[f"ours, {title}"] = (
            part.r2_dollar_volume if part.r2_dollar_volume is not None else np.nan
        )
        found[f"ridge, {title}"] = part.r2_baselines["ridge"]
    return found


def covered(result: BacktestResult, quantiles: Floats) -> tuple[float, float]:
    """Percent of the actuals inside the central 80% and 90% intervals."""
    known = np.isfinite(result.actual)
    first, second = (
        100 * float(inside(result.actual, quantiles, level)[known].mean()) for level in (80, 90)
    )
    return first, second


def all_windows(
    bars: pd.DataFrame, events: pd.DataFrame, settings: Settings, market: MarketSeries | None = None
) -> Windows:
    """Windows over all of a symbol's bars, however many a night trains on."""
    return make_windows(
        bars,
        events,
        origin=bars.index[-1].date(),
        settings=settings,
        rows=len(bars),
        market=market,
    )


def as_of(windows: Windows, row: int) -> Windows:
    """The rolling window of a night at `row`, with the targets known at its close."""
    return cut(windows, max(0, row + 1 - TRAIN_SESSIONS), row + 1, known_to=row)


def cut(windows: Windows, start: int, stop: int, *, known_to: int) -> Windows:
    """Rows `start` to `stop` - 1 with the targets known at the close of row `known_to`.

    The arrays are copies with the memory layout of windows made for those rows alone.
    """
    known = windows.known_to(known_to)
    last = stop + windows.warm_up
    of_sessions = ("steps", "flags", "values", "market")
    of_rows = ("future_flags", "level", "scaled")
    return replace(
        known,
        **{name: getattr(known, name)[start:last].copy() for name in of_sessions},
        **{name: getattr(known, name)[start:stop].copy() for name in of_rows},
        sessions=known.sessions[start : last + len(HORIZONS)].copy(),
    )


def skill_and_p(ours: Floats, theirs: Floats) -> tuple[str, str]:
    """Skill and p value of losses (n, H)."""
    _, p_value = diebold_mariano(ours.mean(axis=1), theirs.mean(axis=1), horizon=HORIZONS[-1])
    return f"{skill(mean_of(ours), mean_of(theirs)):+.1%}", f"{p_value:.4f}"


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:#.4g}"


def row(*cells: str) -> list[str]:
    """One Markdown row."""
    return ["| " + " | ".join(cells) + " |"]


def machine(packages: tuple[str, ...] = PACKAGES) -> str:
    """Platform, cores and versions."""
    versions = ", ".join(
        f"{name} {version(name) if find_spec(name) else 'missing'}" for name in packages
    )
    return (
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{versions}"
    )


if __name__ == "__main__":
    main()
