"""Earnings dates: inferred from bars, for pretraining; and those of filings, packed for the wheel.

    python benchmarks/earnings.py earnings_8k.csv --day 2025-11-20 --source "SEC EDGAR, form 8-K
        item 2.02, ..."

packs a CSV of the columns symbol, filed and perhaps timing into
forecasting/ingest/filed_earnings.txt.gz, always the same bytes.

Inferred dates are used in pretraining alone: the reaction to an announcement, and the sessions
between announcements once its effect is removed, are similar for all stocks. They are inferred with
hindsight, so forecasts of these stocks must not be evaluated with them; pretrained weights are
never used inside the span of their training.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PACKED = Path(__file__).parents[1] / "forecasting" / "ingest" / "filed_earnings.txt.gz"

Floats = NDArray[np.float64]

KNOWN_AHEAD = 21
"""Sessions before a reaction from which its date counts as known, as for dates without a first-seen
day."""

_QUARTER = 63.2  # sessions
_INTERVALS = np.arange(50, 80)
_PENALTY = 0.06  # per session of deviation from a quarter; finds 88% of SBUX's 57 dates to the day
# Of a stock's dates: SBUX has 2.1, a calm utility 1.0; 53 to 60 of 94 stocks reach it
_MIN_MEDIAN_SCORE = 1.4
_MONTH = 22
_TWO_MONTHS = 44


def main() -> None:
    """Write the packed file and print its size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("csv", type=Path)
    parser.add_argument(
        "--source", required=True, help="where the days come from, for the head of the file"
    )
    parser.add_argument("--day", required=True, help="when they were collected")
    options = parser.parse_args()
    text = packed(
        pd.read_csv(options.csv, parse_dates=["filed"]),
        f"{options.source}; collected {options.day}",
    )
    PACKED.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(f"{text.count(chr(10)) - 2} symbols, {PACKED.stat().st_size} bytes in {PACKED.name}")


def packed(filings: pd.DataFrame, source: str) -> str:
    """A line a symbol: the first day, then the days from each to the next, marked where timed."""
    lines = [
        f"# {source}",
        "# symbol, the first day, then the days from each to the next; a after the close, b before "
        "the open",
    ]
    timing = filings.get("timing", pd.Series("", filings.index))
    marked = filings.assign(mark=timing.map({"amc": "a", "bmo": "b"}).fillna(""))
    for symbol, rows in marked.drop_duplicates().sort_values("filed").groupby("symbol"):
        gaps = rows["filed"].diff().dt.days[1:].astype(int)
        words = [f"{rows['filed'].iloc[0]:%Y-%m-%d}", *map(str, gaps)]
        marks = [word + mark for word, mark in zip(words, rows["mark"], strict=True)]
        lines.append(" ".join([str(symbol), *marks]))
    return "\n".join(lines) + "\n"


def inferred_earnings(bars: pd.DataFrame) -> pd.DataFrame:
    """Columns session, kind and known_from of the sessions most like a quarterly series of reactions.

    No rows for a stock with weak reactions: their dates would be guesses, and weights trained with
    guesses are worse (docs/experiments.md).

    Args:
        bars: One row per session, ascending; open, close and volume. Unknown volumes are carried.
    """
    scores = reaction_scores(bars)
    at = quarterly_positions(scores)
    at = at[:0] if np.median(scores[at]) < _MIN_MEDIAN_SCORE else at
    days = bars.index
    return pd.DataFrame(
        {
            "session": days[at],
            "kind": "earnings",
            "known_from": days[np.maximum(at - KNOWN_AHEAD, 0)],
        }
    )


def reaction_scores(bars: pd.DataFrame) -> Floats:
    """(D,) score of each session as a reaction.

    High volume, gap and move, and high volume in the next session.
    """
    log_volume = np.log(bars["volume"].where(bars["volume"] > 0)).ffill().bfill()
    log_close = np.log(bars["close"])
    log_open = np.log(bars["open"])
    excess = log_volume - log_volume.rolling(_MONTH).mean().shift(1)
    moved = log_close.diff().abs()
    gap = (log_open - log_close.shift(1)).abs()
    usual = moved.rolling(_TWO_MONTHS).mean().shift(1)
    score = (
        excess.clip(-1.0, 2.0)
        + 0.25 * (gap / usual - 0.5).clip(0.0, 6.0)
        + 0.1 * (moved / usual - 1.0).clip(0.0, 6.0)
    )
    return (score.fillna(0.0) + 0.3 * excess.shift(-1).fillna(0.0).clip(-0.5, 1.0)).to_numpy(
        dtype=np.float64
    )


def quarterly_positions(scores: Floats) -> NDArray[np.int64]:
    """Positions, ascending, a quarter apart, whose scores (D,) add up to most, less a penalty for irregularity.

    By dynamic programming: the best series that ends at a session extends the best one that ends a
    quarter before it.
    """
    total = scores.copy()
    before = np.full(len(scores), -1)
    penalties = _PENALTY * np.abs(_INTERVALS - _QUARTER)
    for at in range(_INTERVALS[0], len(scores)):
        intervals = _INTERVALS[: at - _INTERVALS[0] + 1]
        candidates = total[at - intervals] - penalties[: len(intervals)]
        best = int(np.argmax(candidates))
        if candidates[best] > 0.0 or at >= _INTERVALS[-1]:
            total[at] = scores[at] + candidates[best]
            before[at] = at - intervals[best]
    first = max(0, len(scores) - _INTERVALS[-1])
    positions = [first + int(np.argmax(total[first:]))]
    while before[positions[-1]] >= 0:
        positions.append(int(before[positions[-1]]))
    return np.array(positions[::-1], dtype=np.int64)


if __name__ == "__main__":
    main()
