"""What forecasts of the next session are worth, and whether a lead lasts, by backtests.

    python benchmarks/decisions.py --source parquet:panel.parquet --symbols confirming
        --market csv:VIX.csv --from 2022-03-09 --to 2024-03-07 --refit-every 1
    python benchmarks/decisions.py --source parquet:panel.parquet --symbols choosing
        --market csv:VIX.csv --from 2019-03-01 --to 2021-12-31

The first table: each day an order of 10% of the forecast volume; on how many days was it more than
15% of the volume? Days within two sessions of an earnings date are told apart. The second: of spans
of 60 and 250 nights, how many were ahead of the ridge, and of these and the others, how many were
ahead over the 250 nights that followed: by it the verdict of `forecasting backtest` was chosen.
Options as of skill.py.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skill import arguments, machine, name_of, results_of, row

from flows.clock import now
from forecasting.audit.series import load_series
from forecasting.evaluate.comparison import lead_over, over_limit
from forecasting.evaluate.figures import BacktestResult
from forecasting.settings import Settings
from forecasting.vocabulary import MEDIAN, QUANTILE_COLUMNS

NEAR = 2  # sessions from an earnings date
FOLLOWING = 250  # nights after a span
STEP = 20  # nights between the beginnings of two spans


def main() -> None:
    """Run every requested backtest and print both tables."""
    options = arguments(__doc__)
    results = results_of(options)
    settings = Settings(
        source=options.source, symbols=tuple(result.symbol for result in results), target="volume"
    )
    part = name_of([result.symbol for result in results], options.first, options.last)
    nights = sum(len(result.origins) for result in results)
    print(f"{machine()}\n")
    print(f"{len(results)} symbols of the {part} set, {nights} nights.\n")
    print("\n".join([*orders_table(results, settings), "", *lasting_table(results)]))


def orders_table(results: list[BacktestResult], settings: Settings) -> list[str]:
    """A row a forecaster: percent of days over the limit, all days, near reports, the others."""
    days = [near_reports(result, settings) for result in results]
    lines = [*row("order by", "all days", "near reports", "other days"), "|---|---:|---:|---:|"]
    for name in ("this system", "its 25% quantile", *results[0].baselines):
        shares = [
            shares_over(result, near, name) for result, near in zip(results, days, strict=True)
        ]
        lines += row(name, *(f"{100 * share:.1f}%" for share in np.nanmean(shares, axis=0)))
    return lines


def shares_over(result: BacktestResult, near: NDArray[np.bool_], name: str) -> list[float]:
    """The share of days over the limit of one forecaster: of all, near reports, of the others."""
    actual = result.actual[:, 0]
    forecasts = result.baselines.get(name, result.issued)[:, 0]
    level = QUANTILE_COLUMNS.index("q25") if name == "its 25% quantile" else MEDIAN
    every = np.ones(len(actual), dtype=bool)
    return [over_limit(actual[days], forecasts[days, level]) for days in (every, near, ~near)]


def near_reports(result: BacktestResult, settings: Settings) -> NDArray[np.bool_]:
    """(n,) whether the next session is within NEAR sessions of an earnings date."""
    bars, events, _ = load_series(settings.for_symbol(result.symbol), last=None, now=now)
    sessions = pd.DatetimeIndex(bars.index)
    reports = sessions.get_indexer(pd.DatetimeIndex(events["session"]))
    places = sessions.get_indexer(pd.DatetimeIndex(result.target_sessions[:, 0]))
    distances = np.abs(places[:, None] - reports[reports >= 0][None, :])
    return np.asarray((distances <= NEAR).any(axis=1))


def lasting_table(results: list[BacktestResult]) -> list[str]:
    """A row a length of span: how many were ahead of the ridge, and what followed."""
    lines = row(
        "nights", "spans", "ahead", "of these ahead after", "behind", "of these ahead after"
    )
    lines += ["|---:|" + "---:|" * 5]
    for length in (60, 250):
        leads = np.array([lead for result in results for lead in span_leads(result, length)])
        if not len(leads):
            continue
        ahead = leads[:, 0] > 0
        followed = leads[:, 1] > 0
        counts = (len(leads), ahead.sum(), (ahead & followed).sum())
        lines += row(
            str(length), *map(str, counts), str((~ahead).sum()), str((~ahead & followed).sum())
        )
    return lines


def span_leads(result: BacktestResult, length: int) -> Iterator[tuple[float, float]]:
    """The lead over the ridge in each span, and in the nights that follow it."""
    series = (result.actual, result.issued, result.baselines["ridge"])
    for start in range(0, len(result.actual) - length - FOLLOWING + 1, STEP):
        middle = start + length
        spans = (slice(start, middle), slice(middle, middle + FOLLOWING))
        one, other = (lead_over(*(values[span, 0] for values in series)) for span in spans)
        yield one.share, other.share


if __name__ == "__main__":
    main()
