"""Measure what earnings dates are worth in volume: announced ones where they are known, inferred ones on the panel.

    python benchmarks/dates_worth.py PANEL.parquet VIX.csv

PANEL and VIX are as for base_weights.py. The panel has no earnings dates, so they are INFERRED: of every stock the row
of sessions about a quarter apart that looked most like reactions (`inferred_earnings.py`), in two ways. "Projected":
from bars up to each origin alone, and a year of the calendar ahead, which is less than a company announces.
"Hindsight": from all bars, and known 21 sessions ahead as if announced, which is more: the volume that is forecast has
chosen them. SBUX has announced dates too, the bundled ones. Symbols and years are of the choosing set (split.py). Every
REFIT sessions all models are fitted from scratch, without dates and with them, and forecast until the next fit; the
last column is Diebold-Mariano's p of the mean of network and linear model, with dates against without.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
from base_weights import of_panel, read_market
from inferred_earnings import KNOWN_AHEAD, positions_at, quarterly_chains, reaction_scores
from skill import machine, mean
from split import name_of

from forecasting.backtest.refits import LINEAR, NETWORK, Block, forecast_block
from forecasting.evaluate.significance import diebold_mariano
from forecasting.ingest.events import bundled_events, no_events, reacting
from forecasting.losses import Floats, pinball
from forecasting.preprocess.market import MarketSeries
from forecasting.preprocess.windows import make_windows
from forecasting.sessions import sessions_index
from forecasting.settings import Settings
from forecasting.vocabulary import HORIZONS

SYMBOLS = "SBUX,CSCO,NKE,UPS,JNJ"
FIRST, LAST = date(2019, 1, 2), date(2022, 3, 8)
REFIT = 126
MEMBERS = 2  # enough for a difference of inputs
FORECASTERS = (NETWORK, LINEAR, "mean of both", "ridge")
_YEAR_DAYS = 364  # 52 weeks: companies report on the same weekday
_QUARTERS = 4
_WEAK = 0.25
"""Quantile of a stock's scores below which its newest date is not believed until a later one confirms it."""


def main() -> None:
    """Walk every symbol without dates and with them, and print a table."""
    options = of_panel(__doc__, SYMBOLS).parse_args()
    symbols, market = options.symbols.split(","), read_market(options.market)
    panel = dict(list(pd.read_parquet(options.panel).groupby("Symbol", observed=True)))
    print(f"{datetime.now(UTC).date()}, {machine()}\n")
    print(
        f"volume, {FIRST} .. {LAST} ({name_of(symbols, FIRST, LAST)}), refit every {REFIT}: pinball with dates against"
    )
    print("without, mean of horizons. Score: median reaction of the inferred dates before the span.\n")
    print(f"| symbol | score | dates | {' | '.join(FORECASTERS)} | p |\n|---|---:|---|" + "---:|" * 5, flush=True)
    for symbol in symbols:
        bars = bars_of(panel[symbol])
        without = walk(bars, lambda block: reacting(no_events()), market)
        inferred = Inferred(bars)
        print_row(symbol, inferred.score, "projected", walk(bars, inferred.as_of, market), without)
        hindsight = inferred.in_hindsight()
        print_row(
            symbol, inferred.score, "hindsight", walk(bars, lambda block, dates=hindsight: dates, market), without
        )
        if len(bundled_events(symbol)):
            announced = reacting(bundled_events(symbol))
            print_row(
                symbol, inferred.score, "announced", walk(bars, lambda block, dates=announced: dates, market), without
            )
            print(hits_line(symbol, inferred, announced), flush=True)


def bars_of(rows: pd.DataFrame) -> pd.DataFrame:
    """A symbol's bars in the columns of the library."""
    return rows.set_index("Date").drop(columns="Symbol").astype("float64").rename(columns=str.lower)


class Inferred:
    """The dates of one symbol as they are inferred at each of its origins.

    Attributes:
        bars: (D,) its bars.
        scores: (D,) its sessions as reactions.
        chains: Of the scores; what ends at a session depends on no later one.
        calendar: Sessions, a year past the last bar.
        score: Median score of the inferred dates before the first origin.
    """

    def __init__(self, bars: pd.DataFrame) -> None:
        self.bars = bars
        self.scores = reaction_scores(bars)
        self.chains = quarterly_chains(self.scores)
        first, last = bars.index[0].date(), bars.index[-1].date()
        self.calendar = sessions_index(first, date(last.year + 2, 1, 1))
        if not bars.index.equals(self.calendar[: len(bars)]):
            raise SystemExit(
                f"Expected a bar on every session from {first} to {last}; found gaps. Choose another symbol."
            )
        before = positions_at(self.chains, int(bars.index.searchsorted(pd.Timestamp(FIRST))) - 2)
        self.score = float(np.median(self.scores[before]))

    def believed(self, at: int) -> set[int]:
        """Positions in the calendar of all dates believed at the close of session `at`, past and projected ones."""
        past = positions_at(self.chains, at - 1)  # a session's score counts the volume of the next one
        if self.scores[past[-1]] < np.quantile(self.scores[past], _WEAK):
            past = past[:-1]  # the next reaction may still be ahead
        year_later = self.calendar[past[-_QUARTERS - 1 :]] + pd.Timedelta(days=_YEAR_DAYS)
        ahead = self.calendar.searchsorted(year_later)
        return {int(one) for one in past} | {int(one) for one in ahead if one > at}

    def in_hindsight(self) -> pd.DataFrame:
        """Events of the whole span, from all of its bars and a quarter more: columns session, kind, known_from."""
        newest = int(self.bars.index.searchsorted(pd.Timestamp(LAST))) + KNOWN_AHEAD * _QUARTERS
        found = positions_at(self.chains, min(newest, len(self.bars) - 1))
        known_from = self.calendar[np.maximum(found - KNOWN_AHEAD, 0)]
        return pd.DataFrame({"session": self.calendar[found], "kind": "earnings", "known_from": known_from})

    def as_of(self, block: Block) -> pd.DataFrame:
        """Events for the origins `block`: those believed at its first by the default rule, then as they change.

        Columns session, kind, known_from, withdrawn_from. A fit at the first origin has past reactions, as a
        night's would; later origins have what had been inferred by then.
        """
        valid = {one: max(0, one - KNOWN_AHEAD) for one in self.believed(int(block[0]))}
        rows: list[tuple[int, int, int]] = []
        for at in block[1:]:
            now = self.believed(int(at))
            rows += [(one, valid.pop(one), int(at)) for one in set(valid) - now]
            valid |= {one: max(int(at), one - KNOWN_AHEAD) for one in now - set(valid)}
        rows += [(one, since, -1) for one, since in valid.items()]
        reaction, since, until = np.array(sorted(rows), dtype=np.int64).T
        return pd.DataFrame(
            {
                "session": self.calendar[reaction],
                "kind": "earnings",
                "known_from": self.calendar[since],
                "withdrawn_from": pd.Series(self.calendar[until]).where(until >= 0),
            }
        )


def walk(bars: pd.DataFrame, events_of: Callable[[Block], pd.DataFrame], market: MarketSeries) -> dict[str, Floats]:
    """(n, H) pinball losses of every forecaster, refitted with the events of each block."""
    settings = Settings(target="volume", members=MEMBERS)
    inside = (bars.index >= pd.Timestamp(FIRST)) & (bars.index <= pd.Timestamp(LAST))
    origins = np.flatnonzero(inside)
    found: dict[str, list[Floats]] = {name: [] for name in FORECASTERS}
    for start in range(0, len(origins), REFIT):
        block = origins[start : start + REFIT]
        known = bars.iloc[max(0, block[0] - settings.train_sessions) : block[-1] + len(HORIZONS) + 1]
        windows = make_windows(
            known,
            events_of(block),
            origin=known.index[-1].date(),
            target=settings.target,
            exchange=settings.exchange,
            train_sessions=len(known),
            market=market,
        )
        rows = np.flatnonzero(np.isin(windows.origins, bars.index[block].to_numpy()))
        raw = forecast_block([windows], rows, settings)
        raw["mean of both"] = (raw[NETWORK] + raw[LINEAR]) / 2.0
        actual = windows.scale(rows).from_model(windows.scaled[rows])
        for name in FORECASTERS:
            found[name].append(pinball(actual, raw[name]))
    return {name: np.concatenate(losses) for name, losses in found.items()}


def print_row(symbol: str, score: float, dates: str, losses: dict[str, Floats], without: dict[str, Floats]) -> None:
    """One line of the table: the change of every forecaster's loss."""
    changes = [f"{mean(losses[name]) / mean(without[name]) - 1.0:+.2%}" for name in FORECASTERS]
    pair = (losses["mean of both"].mean(axis=1), without["mean of both"].mean(axis=1))
    p_value = diebold_mariano(*pair, horizon=HORIZONS[-1]).p_value
    print(f"| {symbol} | {score:.1f} | {dates} | {' | '.join(changes)} | {p_value:.3f} |", flush=True)


def hits_line(symbol: str, inferred: Inferred, announced: pd.DataFrame) -> str:
    """How many announced reactions of the span were projected, five sessions before, to the day and to the next one."""
    in_span = announced["session"].between(pd.Timestamp(FIRST), pd.Timestamp(LAST))
    reactions = inferred.calendar.searchsorted(pd.DatetimeIndex(announced.loc[in_span, "session"]))
    off = [min(abs(one - at) for one in inferred.believed(at - HORIZONS[-1])) for at in reactions.tolist()]
    hit = [sum(distance <= most for distance in off) for most in (0, 1)]
    return f"\nOf {symbol}'s {len(off)} reactions {hit[0]} were projected to the day, {hit[1]} within one session.\n"


if __name__ == "__main__":
    main()
