"""The earnings dates that ship, made of two lists; and dates inferred from bars, for pretraining.

    python benchmarks/earnings.py --web earnings_web.csv --filings earnings_8k.csv
        --stated sbux_earnings.csv --bars panel.parquet panel_more_1.parquet ...

packs forecasting/ingest/earnings_dates.txt.gz, always the same bytes, and prints how often volume
reacted to the dates of each list. Columns of the web's list: symbol, date, timing (bmo, amc or
empty); of the filings': symbol, filed; of a company's own: symbol, announced, timing.

A date of the web counts where there is one, a filing before, after and between them. Where the two
differ by 2 to 60 days, the list counts whose dates volume reacted to more often in the symbol's
other quarters. A symbol's filings before or after the web's dates are left out where fewer than half
of the eight nearest to them agree with the web: they are other notices.

Inferred dates are used in pretraining alone: the reaction to an announcement, and the sessions
between announcements once its effect is removed, are similar for all stocks. They are inferred with
hindsight, so forecasts of these stocks must not be evaluated with them; pretrained weights are
never used inside the span of their training.
"""

import argparse
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.ingest.earnings import REACTION, reaction_sizes

PACKED = Path(__file__).parents[1] / "forecasting" / "ingest" / "earnings_dates.txt.gz"
HEAD = (
    "# Days of earnings reports and their hour: b before the open, a after the close",
    "# symbol, the first day, then the days from each to the next",
)

Floats = NDArray[np.float64]

_NEWER = "2019"
_SAME_DAY = 1  # days: a report after the close is often filed the next morning
_SAME_QUARTER = 60  # days between the dates of two lists
_NEAREST = 8  # filings that show whether a symbol's filings are its reports
_LETTERS = {"amc": "a", "bmo": "b", "": ""}


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


@dataclass(frozen=True)
class Reactions:
    """How volume reacted to the reports of a symbol."""

    volume: pd.Series  # by session

    def to(self, days: pd.DatetimeIndex) -> Floats:
        """(n,) 1.0 where volume reacted on the day or the session after it, 0.0 where not, or NaN."""
        times = reaction_sizes(self.volume, days)
        return np.where(np.isfinite(times), times > REACTION, np.nan)


def main() -> None:
    """Write the packed list, and print the reactions to it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--web", type=Path, required=True)
    parser.add_argument("--filings", type=Path, required=True)
    parser.add_argument("--stated", type=Path, required=True)
    parser.add_argument("--bars", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    web = pd.read_csv(options.web, parse_dates=["date"], keep_default_na=False)
    filings = pd.read_csv(options.filings, parse_dates=["filed"], keep_default_na=False)
    stated = pd.read_csv(options.stated, parse_dates=["announced"], keep_default_na=False)
    reactions = reactions_of(options.bars)
    lists = {}
    for symbol in sorted({*web["symbol"], *filings["symbol"]}):
        of_web = web[web["symbol"] == symbol]
        filed = pd.DatetimeIndex(filings.loc[filings["symbol"] == symbol, "filed"].sort_values())
        days = merged(pd.DatetimeIndex(of_web["date"].sort_values()), filed, reactions.get(symbol))
        lists[symbol] = with_hours(days, dict(zip(of_web["date"], of_web["timing"], strict=True)))
    for symbol, own in stated.groupby("symbol"):
        lists[symbol] = with_own(lists[symbol], own.set_index("announced")["timing"])
    PACKED.write_bytes(gzip.compress(packed(lists).encode(), compresslevel=9, mtime=0))
    print(f"{len(lists)} symbols, {PACKED.stat().st_size} bytes in {PACKED.name}")
    print_reactions(lists, filings, reactions)


def reactions_of(panels: Sequence[Path]) -> dict[str, Reactions]:
    """By symbol, the reactions of its volume; of Parquet files of columns Symbol, Date and Volume."""
    bars = pd.concat(pd.read_parquet(path, columns=["Symbol", "Date", "Volume"]) for path in panels)
    bars["Date"] = pd.to_datetime(bars["Date"])
    found = {}
    for symbol, rows in bars.groupby("Symbol"):
        volume = rows.set_index("Date")["Volume"].sort_index().astype("float64")
        found[str(symbol)] = Reactions(volume)
    return found


def merged(
    web: pd.DatetimeIndex, filed: pd.DatetimeIndex, reactions: Reactions | None
) -> pd.DatetimeIndex:
    """The days of reports of one symbol, ascending, from its two lists (both ascending)."""
    if web.empty or filed.empty:
        return web.union(filed)
    chosen = web.to_series().reset_index(drop=True)
    for at, day in better_filings(web, filed, reactions).items():
        chosen[at] = day
    distance = distances(filed, web)
    is_apart = distance > _SAME_QUARTER
    within = np.flatnonzero((filed >= web[0]) & (filed <= web[-1]))
    early = are_reports(distance[within[:_NEAREST]])
    late = are_reports(distance[within[-_NEAREST:]])
    is_trusted = np.where(filed < web[0], early, np.where(filed > web[-1], late, True))
    return pd.DatetimeIndex(chosen).union(filed[is_apart & is_trusted]).unique()


def better_filings(
    web: pd.DatetimeIndex, filed: pd.DatetimeIndex, reactions: Reactions | None
) -> dict[int, pd.Timestamp]:
    """By position in `web`, the filing of the same quarter that counts in place of its date."""
    if reactions is None:
        return {}
    apart = np.abs((web.to_numpy()[:, None] - filed.to_numpy()[None, :]) / np.timedelta64(1, "D"))
    nearest = apart.argmin(axis=1)
    distance = apart.min(axis=1)
    differing = np.flatnonzero((distance > _SAME_DAY) & (distance <= _SAME_QUARTER))
    to_web = reactions.to(web[differing])
    to_filed = reactions.to(filed[nearest[differing]])
    found = {}
    for position, at in enumerate(differing):
        gain = np.delete(to_filed - to_web, position)
        gain = gain[np.isfinite(gain)]
        if len(gain) and gain.mean() > 0.0:
            found[int(at)] = filed[nearest[at]]
    return found


def distances(days: pd.DatetimeIndex, others: pd.DatetimeIndex) -> Floats:
    """(n,) calendar days from each day to the nearest of the others."""
    apart = np.abs(days.to_numpy()[:, None] - others.to_numpy()[None, :])
    nearest: Floats = apart.min(axis=1) / np.timedelta64(1, "D")
    return nearest


def are_reports(distance: Floats) -> bool:
    """Whether at least half of some filings agree with the web's dates."""
    return len(distance) > 0 and float(np.mean(distance <= _SAME_DAY)) >= 0.5


def with_hours(days: pd.DatetimeIndex, stated: dict[pd.Timestamp, str]) -> pd.Series:
    """The hour of each day: the stated one, else the one that most of the symbol's days have."""
    hours = [hour for hour in stated.values() if hour]
    usual = max(("bmo", "amc"), key=hours.count) if hours else ""
    return pd.Series([stated.get(day) or usual for day in days], index=days)


def with_own(hours: pd.Series, own: pd.Series) -> pd.Series:
    """The days and hours of a symbol, in the span of its own list that list's alone."""
    outside = hours[(hours.index < own.index[0]) | (hours.index > own.index[-1])]
    apart = distances(pd.DatetimeIndex(outside.index), pd.DatetimeIndex(own.index))
    return pd.concat([outside[apart > _SAME_QUARTER], own]).sort_index()


def packed(lists: dict[str, pd.Series]) -> str:
    """A line a symbol: the first day, then the days from each to the next, each with its hour."""
    lines = list(HEAD)
    for symbol, hours in lists.items():
        letters = hours.map(_LETTERS).to_list()
        gaps = hours.index.to_series().diff().dt.days[1:].astype(int)
        first = f"{hours.index[0]:%Y-%m-%d}{letters[0]}"
        later = [f"{gap}{letter}" for gap, letter in zip(gaps, letters[1:], strict=True)]
        lines.append(" ".join([symbol, first, *later]))
    return "\n".join(lines) + "\n"


def print_reactions(
    lists: dict[str, pd.Series], filings: pd.DataFrame, reactions: dict[str, Reactions]
) -> None:
    """Print how often volume reacted to the filings and to the list, and the twenty worst symbols."""
    rows = {}
    for symbol in sorted(reactions.keys() & lists.keys()):
        filed = pd.DatetimeIndex(filings.loc[filings["symbol"] == symbol, "filed"])
        listed = pd.DatetimeIndex(lists[symbol].index)
        to_filed = reactions[symbol].to(filed)
        to_listed = reactions[symbol].to(listed)
        rows[symbol] = {
            "filings": share(to_filed),
            "list": share(to_listed),
            f"filings, {_NEWER} on": share(to_filed[filed >= _NEWER]),
            f"list, {_NEWER} on": share(to_listed[listed >= _NEWER]),
            "dates": int(np.isfinite(to_listed).sum()),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    weighted = (table["list"] * table["dates"]).sum() / table["dates"].sum()
    print(f"Volume over {REACTION} times its usual, mean of {len(table)} symbols:")
    print(table.drop(columns="dates").mean().round(4).to_string())
    print(f"of all {table['dates'].sum()} dates of the list: {weighted:.4f}")
    print("The twenty symbols whose listed days react least:")
    print(table.sort_values(["list", "dates"]).head(20).round(3).to_string())


def share(reacted: Floats) -> float:
    """The mean of what is known; NaN without any."""
    known = reacted[np.isfinite(reacted)]
    return float(known.mean()) if len(known) else float("nan")


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
