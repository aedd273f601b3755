"""Which rule notices wrong data that looks right, how often, on which night, and how often sound data sets it off.

    python benchmarks/data_faults.py PANEL.parquet [--nights 3] [--seed 0]

PANEL holds the columns Symbol, Date, Open, High, Low, Close, Adj Close, Volume. Of every symbol
some nights are drawn; on each, every fault is put into the answer of the night, which the code of a
night then assesses against the bars that
it has stored: `held` is kept out of the ledger, `flagged` is stored with a finding. The same nights
without a fault are the first row. The second table counts the findings on all sound bars, one fetch
a symbol. Prints Markdown.
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.ingest.actions import implied_dividends
from forecasting.ingest.assessment import assess
from forecasting.ingest.bar_rules import (
    INFLATED_QUIET,
    PARTIAL_VOLUME,
    PRICES,
    is_inflated,
    is_partial,
    quiet_moves,
    volume_multiple,
)
from forecasting.ingest.bars import check_bars, no_bars
from forecasting.ingest.revisions import StoredBars
from forecasting.ingest.sources import Request, Response, canonical

WINDOW = 300  # sessions of an answer
WEEK = 5


@dataclass(frozen=True)
class Night:
    """A night's answer, what is stored before it, and the answer of another symbol for the same sessions."""

    symbol: str
    bars: pd.DataFrame
    stored: pd.DataFrame
    other: pd.DataFrame


Fault = Callable[[Night], pd.DataFrame]  # the answer with the fault


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("panel", type=Path)
    options.add_argument("--nights", type=int, default=3)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    series = panel(chosen.panel)
    drawn = list(nights(series, chosen.nights, np.random.default_rng(chosen.seed)))
    print(f"{len(drawn)} nights of {len(series)} symbols\n")
    print("| fault | held | flagged | not noticed | rules |\n|---|---:|---:|---:|---|")
    for name, fault in FAULTS.items():
        print(row(name, [outcome(name, night, fault) for night in drawn]), flush=True)
    print(
        "\n| rule | findings on sound bars | one in | per symbol and year |\n|---|---:|---:|---:|"
    )
    bars = sum(map(len, series.values()))
    for rule, count in sorted(false_alarms(series).items()):
        print(f"| `{rule}` | {count} | {bars / max(count, 1):,.0f} | {252 * count / bars:.4f} |")


def panel(path: Path) -> dict[str, pd.DataFrame]:
    """The bars of each symbol."""
    rows = pd.read_parquet(path).rename(columns=lambda name: name.lower().replace(" ", "_"))
    rows["symbol"] = rows["symbol"].astype(str)
    return {
        symbol: canonical(own.set_index("date").astype({"volume": "float64"}))
        for symbol, own in rows.groupby("symbol")
        if len(own) > 2 * WINDOW
    }


def nights(
    series: dict[str, pd.DataFrame], count: int, chosen: np.random.Generator
) -> Iterator[Night]:
    """`count` nights of each symbol, at random sessions."""
    for symbol, bars in series.items():
        for end in chosen.integers(WINDOW, len(bars), count):
            own = bars.iloc[end - WINDOW : end + 1]
            other = series[str(chosen.choice([name for name in series if name != symbol]))].reindex(
                own.index
            )
            if not other.isna().any().any():
                yield Night(symbol, own, own.iloc[:-1], other)


def scaled(night: Night, factor: float, columns: list[str], rows: int) -> pd.DataFrame:
    """The newest rows with some columns times a factor."""
    bars = night.bars.copy()
    bars.iloc[-rows:, [bars.columns.get_loc(name) for name in columns]] *= factor
    return bars.assign(volume=bars["volume"].round())


def split(night: Night, ratio: float) -> pd.DataFrame:
    """The newest bar on a new share basis, without a record."""
    bars = scaled(night, 1.0 / ratio, _PRICES, 1)
    bars.iloc[-1, bars.columns.get_loc("volume")] = round(ratio * float(bars["volume"].iloc[-1]))
    return bars


def swapped(night: Night, rows: int) -> pd.DataFrame:
    """The newest rows are another symbol's, with the Adj Close that its dividends give them."""
    other = night.other.iloc[-rows:]
    ratio = night.bars["adj_close"].iloc[-rows] / night.bars["close"].iloc[-rows]
    own = other["adj_close"] / other["close"]
    other = other.assign(adj_close=other["close"] * own * (ratio / own.iloc[0]))
    return pd.concat([night.bars.iloc[:-rows], other])


def older(night: Night, sessions: int, rows: int) -> pd.DataFrame:
    """The newest rows are those of some sessions before, under the new dates."""
    old = night.bars.iloc[-rows - sessions : len(night.bars) - sessions].set_axis(
        night.bars.index[-rows:]
    )
    return pd.concat([night.bars.iloc[:-rows], old])


_PRICES = [*PRICES, "adj_close"]

FAULTS: dict[str, Fault] = {
    "none": lambda night: night.bars,
    "volume in thousands, newest bar": lambda night: scaled(night, 0.001, ["volume"], 1),
    "volume in thousands, whole history": lambda night: scaled(
        night, 0.001, ["volume"], WINDOW + 1
    ),
    "another symbol's newest bar": lambda night: swapped(night, 1),
    "another symbol's history": lambda night: swapped(night, WINDOW + 1),
    "stale: ends a session early": lambda night: night.bars.iloc[:-1],
    "stale: the bars of a week ago under the dates of this week": lambda night: older(
        night, WEEK, WEEK
    ),
    "stale: the newest bar is that of a week ago": lambda night: older(night, WEEK, 1),
    "stale: the newest bar is that of a year ago": lambda night: older(night, 252, 1),
    "another currency, x 1.16, newest bar": lambda night: scaled(night, 1.16, _PRICES, 1),
    "another currency, x 0.93, newest bar": lambda night: scaled(night, 0.93, _PRICES, 1),
    "another currency, x 0.78, newest bar": lambda night: scaled(night, 0.78, _PRICES, 1),
    "another currency, x 150, newest bar": lambda night: scaled(night, 150.0, _PRICES, 1),
    "another currency, x 0.93, whole history": lambda night: scaled(
        night, 0.93, _PRICES, WINDOW + 1
    ),
    "repeated day: the newest bar is that of the session before": lambda night: older(night, 1, 1),
    "missing week, before the newest bar": lambda night: night.bars.drop(
        index=night.bars.index[-WEEK - 1 : -1]
    ),
    "missing week, in a first answer": lambda night: night.bars.drop(
        index=night.bars.index[-60 : WEEK - 60]
    ),
    "unrecorded split 2:1": lambda night: split(night, 2.0),
    "unrecorded split 3:2": lambda night: split(night, 1.5),
    "unrecorded split 5:4": lambda night: split(night, 1.25),
    "unrecorded reverse split 1:10": lambda night: split(night, 0.1),
}
STORED = {
    "missing week, before the newest bar": slice(-WEEK),
    "missing week, in a first answer": slice(0),
}
"""What of the bars before is stored, where not all is."""


def outcome(name: str, night: Night, fault: Fault) -> tuple[str, list[str]]:
    """`held`, `flagged` or `not noticed`, and the rules of the findings on the night's own changes."""
    bars = fault(night)
    stored = night.stored.iloc[STORED.get(name, slice(None))]
    actions = implied_dividends(night.bars)
    last = night.bars.index[-1].date()
    known = stored.drop(columns="adj_close").assign(
        version=1, settled=np.arange(len(stored)) < len(stored) - 1
    )
    first = night.bars.index[0].date()
    request = Request("file", night.symbol, first, last, sessions_needed=200)
    before = StoredBars(known, actions[actions["session"] < str(last)])
    revision = assess(Response(request, bars, actions, live=True), before)
    rules = sorted({finding.rule for finding in revision.findings})
    if revision.error is not None:
        return "held", rules or [type(revision.error).__name__]
    return ("flagged" if rules else "not noticed"), rules


def row(name: str, outcomes: list[tuple[str, list[str]]]) -> str:
    """A line of the first table."""
    found = Counter(state for state, _ in outcomes)
    rules = Counter(rule for _, each in outcomes for rule in each)
    shares = " | ".join(
        f"{found[state] / len(outcomes):.1%}" for state in ("held", "flagged", "not noticed")
    )
    return (
        f"| {name} | {shares} | "
        f"{', '.join(f'{rule} {count}' for rule, count in rules.most_common(4))} |"
    )


def false_alarms(series: dict[str, pd.DataFrame]) -> Counter[str]:
    """Findings on sound bars by rule: each bar as the newest one, and as one of a whole history."""
    found: Counter[str] = Counter()
    for symbol, bars in series.items():
        actions = implied_dividends(bars)
        last = bars.index[-1].date()
        request = Request("file", symbol, bars.index[0].date(), last)
        findings = check_bars(Response(request, bars, actions), known=no_bars())[1]
        found.update(finding.rule for finding in findings)
        # As the newest of each night; the rules themselves decide on those that their limits name.
        multiple = volume_multiple(bars)
        low = np.flatnonzero(multiple < PARTIAL_VOLUME)
        high = np.flatnonzero(multiple > INFLATED_QUIET)
        found["partial_bar"] += sum(is_partial(bars.iloc[: at + 1]) for at in low)
        found["volume_inflated"] += sum(is_inflated(bars.iloc[: at + 1]) for at in high)
        found["quiet_move"] += int(quiet_moves(bars, bars, actions, exchange="XNYS").sum())
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)
    main()
