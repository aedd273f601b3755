"""The totals of the next 2 to 20 sessions' volume: correlation, coverage, losses, and orders.

    python benchmarks/totals.py --source parquet:panel.parquet --symbols choosing --take 7
        --years 2015,2016,2017,2018,2019,2020,2021 --market csv:VIX.csv --refit-every 63

Each stock is worked off in one of the years, in turn, by the backtest, or with --length 2 in that
and the next one. Prints the correlation
between the normal scores of the five sessions under their own published forecasts, the mean over
stocks (what `forecasting/predict/totals.py` ships is that of the choosing set), then of totals of 2
to 5, 10 and 20 sessions: what their intervals hold, and the pinball loss against the reference
baseline's, against the quantiles of the sessions added up, against a ridge on the log totals
themselves, refitted every 21 sessions on the 2,500 before, and against the mean of 20 sessions with
the quantiles of its errors on as many; of the latter also the error of the median. Last of orders of 0.5 to 4 usual
sessions' tenth: how often they were done by a session, against the stated chance. With --keep FOLDER
each backtest is kept there, and read again.
"""

import argparse
import pickle
import sys
from datetime import date
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
from skill import chooses, mean_of, row, symbols_of

from flows.clock import now
from forecasting.audit.backtest import BacktestSpec, backtest
from forecasting.audit.series import load_series, market_series
from forecasting.evaluate.figures import BacktestResult
from forecasting.evaluate.scores import inside, skill
from forecasting.losses import Floats, absolute_error, pinball
from forecasting.predict.totals import (
    CORRELATION,
    LONG,
    chance_of,
)
from forecasting.sessions import sessions_index
from forecasting.settings import Settings
from forecasting.vocabulary import HORIZONS, QUANTILES

SIZES = (0.5, 1.0, 2.0, 3.0, 4.0)  # of orders, in a tenth of usual sessions
LENGTHS = (*HORIZONS, *LONG)
AVERAGED = 20
RIDGE_SESSIONS = 2500
RIDGE_EVERY = 21


def main() -> None:
    """Run every requested backtest and print the tables."""
    options = arguments()
    results = []
    for place, symbol in enumerate(symbols_of(options)[: options.take]):
        year = options.years[place % len(options.years)]
        results.append((*worked_off(symbol, year, options), year))
    stocks = ", ".join(f"{result.symbol} {year}" for result, _, year in results)
    nights = sum(len(result.origins) for result, _, _ in results)
    parts = {chooses(result.symbol) for result, _, _ in results}
    print(f"{len(results)} stocks, {nights} origins: {stocks}.")
    print(f"Of the {'choosing' if parts == {True} else 'confirming'} set.\n")
    print_correlation([result for result, _, _ in results])
    print_totals([(result, bars) for result, bars, _ in results])
    print_orders([(result, bars) for result, bars, _ in results])


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, help="csv:PATH or parquet:PATH")
    parser.add_argument("--symbols", default="choosing", help="A,B,C; all, choosing, confirming")
    parser.add_argument("--take", type=int, help="the first of them; without it all")
    parser.add_argument(
        "--years", type=lambda text: [int(year) for year in text.split(",")], default=[2021]
    )
    parser.add_argument("--length", type=int, default=1, help="years of each, from that one on")
    parser.add_argument("--market", help="market series: csv:PATH, parquet:PATH or none")
    parser.add_argument("--refit-every", type=int, default=63)
    parser.add_argument("--keep", type=Path, help="folder of the backtests")
    return parser.parse_args()


def worked_off(
    symbol: str, year: int, options: argparse.Namespace
) -> tuple[BacktestResult, pd.DataFrame]:
    """The backtest of a symbol's year, and all bars."""
    settings = Settings(source=options.source, symbols=(symbol,), market=options.market)
    bars, events, _ = load_series(settings, last=None, now=now)
    kept = options.keep and options.keep / f"{symbol}-{year}.pkl"
    if kept and kept.exists():
        return pickle.loads(kept.read_bytes()), bars  # noqa: S301 - written below
    first = date(year, 1, 2)
    last = min(date(year + options.length - 1, 12, 29), bars.index[-2].date())
    spec = BacktestSpec(settings.for_symbol(symbol), first, last, options.refit_every)
    result = backtest(bars, events, spec=spec, market=market_series(settings, now=now))
    print(f"{symbol} {year}: {result.seconds:.0f} s", file=sys.stderr)
    if kept:
        kept.write_bytes(pickle.dumps(result))
    return result, bars


def print_correlation(results: list[BacktestResult]) -> None:
    """The correlation of the normal scores, mean over stocks."""
    each = []
    for result in results:
        scores = np.array(
            [
                [
                    NormalDist().inv_cdf(np.clip(1.0 - chance_of(*pair), 1e-12, 1.0 - 1e-12))
                    for pair in zip(quantiles, actual, strict=True)
                ]
                for quantiles, actual in zip(result.issued, result.actual, strict=True)
            ]
        )
        each.append(np.corrcoef(scores[np.isfinite(scores).all(axis=1)].T))
    print("Correlation here, and as shipped:")
    for found, shipped in zip(np.mean(each, axis=0), CORRELATION, strict=True):
        print("  ", *(f"{value:.2f}" for value in found), "|", *(f"{v:.2f}" for v in shipped))
    print()


def volumes_of(bars: pd.DataFrame) -> pd.Series:
    """The volume of each session, NaN where unknown."""
    sessions = sessions_index(bars.index[0].date(), bars.index[-1].date())
    return bars["volume"].reindex(sessions).astype(float)


def totals_after(volume: pd.Series, origins: Floats) -> Floats:
    """(n, L) what came of each length after each origin, NaN where unknown."""
    each = [volume.rolling(length).sum().shift(-length) for length in LENGTHS]
    return np.column_stack([total.loc[pd.DatetimeIndex(origins)] for total in each])


def averages(volume: pd.Series, origins: Floats) -> Floats:
    """(n, L, Q) the mean of the newest 20 sessions, and its past errors' quantiles, as totals."""
    mean = volume.rolling(AVERAGED).mean()
    rows = volume.index.get_indexer(pd.DatetimeIndex(origins))
    quantiles = np.full((len(rows), len(LENGTHS), len(QUANTILES)), np.nan)
    for place, length in enumerate(LENGTHS):
        errors = np.log(volume.rolling(length).mean().shift(-length) / mean).to_numpy()
        for at, origin in enumerate(rows):
            past = errors[max(0, origin - RIDGE_SESSIONS) : origin - length + 1]
            spread = np.nanquantile(past, QUANTILES)
            quantiles[at, place] = length * mean.iloc[origin] * np.exp(spread)
    return quantiles


def direct_ridge(result: BacktestResult, bars: pd.DataFrame) -> Floats:
    """(n, L, Q) a ridge on log totals: lags and means of log volume, weekday; past residuals."""
    volume = volumes_of(bars)
    sessions = volume.index
    logs = np.log(volume).ffill()
    inputs = {f"lag {lag}": logs.shift(lag) for lag in range(10)}
    inputs |= {f"mean {span}": logs.rolling(span).mean() for span in (5, 22, 66)}
    inputs |= {f"day {day}": pd.Series(sessions.day_of_week == day, sessions) for day in range(5)}
    columns = np.column_stack([np.asarray(value, dtype=float) for value in inputs.values()])
    rows = sessions.get_indexer(pd.DatetimeIndex(result.origins))
    quantiles = np.full((len(rows), len(LENGTHS), len(QUANTILES)), np.nan)
    for place, length in enumerate(LENGTHS):
        ahead = np.log(volume.rolling(length).sum()).shift(-length).to_numpy()
        for at, origin in enumerate(rows):
            if at % RIDGE_EVERY == 0:
                past = np.arange(max(66, origin - RIDGE_SESSIONS), origin - length + 1)
                past = past[np.isfinite(ahead[past])]
                known = columns[past] - columns[past].mean(axis=0)
                level = ahead[past].mean()
                weights = np.linalg.solve(
                    known.T @ known + np.eye(known.shape[1]), known.T @ (ahead[past] - level)
                )
                spread = np.quantile(ahead[past] - level - known @ weights, QUANTILES)
                centre = columns[past].mean(axis=0)
            median = level + (columns[origin] - centre) @ weights
            quantiles[at, place] = np.exp(median + spread)
    return quantiles


def print_totals(each: list[tuple[BacktestResult, pd.DataFrame]]) -> None:
    """Coverage and losses of totals, medians over stocks."""
    rows = []
    for result, bars in each:
        volume = volumes_of(bars)
        actual = totals_after(volume, result.origins)
        issued, reference = result.totals
        added_up = np.full_like(issued, np.nan)
        added_up[:, : len(HORIZONS)] = np.cumsum(result.issued, axis=1)
        mean = averages(volume, result.origins)
        others = {
            "ridge's": reference,
            "added up": added_up,
            "ridge on log totals": direct_ridge(result, bars),
            "mean of 20": mean,
        }
        for place, length in enumerate(LENGTHS[1:], start=1):
            at = slice(place, place + 1)
            known = np.isfinite(actual[:, place])
            loss = mean_of(pinball(actual[:, at], issued[:, at]))
            figures = {
                name: skill(loss, mean_of(pinball(actual[:, at], other[:, at])))
                for name, other in others.items()
                if length in HORIZONS or name != "added up"
            }
            errors = [absolute_error(actual[:, at], each[:, at]) for each in (issued, mean)]
            figures["median over mean of 20"] = skill(*map(mean_of, errors))
            for percent in (80, 90):
                figures[f"holds {percent}"] = inside(
                    actual[known, place], issued[known, place], percent
                ).mean()
            held = inside(actual[known, place], added_up[known, place], 80).mean()
            figures["added up holds 80"] = held if length in HORIZONS else np.nan
            rows.append({"stock": result.symbol, "sessions": length, **figures})
    frame = pd.DataFrame(rows).set_index(["stock", "sessions"])
    by_length = frame.groupby("sessions")
    names = list(frame)
    print("\n".join(row("sessions", "", *names)))
    print("|---|---|" + "---:|" * len(names))
    for what, table in {"median": by_length.median(), "worst": by_length.min()}.items():
        for length, values in table.iterrows():
            print("\n".join(row(str(length), what, *(f"{value:.1%}" for value in values))))
    five = frame.xs(5, level="sessions")["ridge's"]
    print(f"\nFive sessions: ahead of that ridge on {(five > 0).sum()} of {len(five)} stocks.\n")


def print_orders(each: list[tuple[BacktestResult, pd.DataFrame]]) -> None:
    """The stated chance that an order is done by a session against how often it was."""
    stated = []
    came = []
    for result, bars in each:
        totals = np.array(result.totals[0][:, : len(HORIZONS)])
        totals[:, 0] = result.issued[:, 0]
        actual = np.cumsum(result.actual, axis=1)
        usual = bars["volume"].astype(float).rolling(20).median()
        for night, origin in enumerate(pd.DatetimeIndex(result.origins)):
            for size in SIZES:
                needed = size * usual[origin]
                chances = [chance_of(total, needed) for total in totals[night]]
                known = np.isfinite(actual[night])
                stated.extend(np.maximum.accumulate(chances)[known])
                came.extend(actual[night][known] >= needed)
    bins = pd.cut(pd.Series(stated), np.linspace(0.0, 1.0, 11), include_lowest=True)
    table = pd.DataFrame({"stated": stated, "came": came}).groupby(bins, observed=True)
    print("\n".join(row("chance", "orders", "stated", "done", "difference")))
    print("|---|---:|---:|---:|---:|")
    for name, part in table:
        mean, done = part["stated"].mean(), part["came"].mean()
        cells = (f"{mean:.1%}", f"{done:.1%}", f"{100 * (done - mean):+.1f}")
        print("\n".join(row(str(name), f"{len(part):,}", *cells)))


if __name__ == "__main__":
    main()
