"""Make the base weights that ship with the package, from a Parquet panel of daily bars.

    ends=$(printf -- '--to %d-12-31 ' 2014 2016 2018 2020 2022)
    python benchmarks/base_weights.py PANEL.parquet --leave-out SBUX $ends --to 2024-03-08

PANEL holds the columns Symbol, Date, Open, High, Low, Close, Adj Close, Volume. For every target and span the newest
2,500 sessions of each symbol are learned from, once without earnings dates and once with those that
inferred_earnings.py reads off the bars up to the span's end. Weights, cards and index.json go to
forecasting/train/weights, beside those of other spans that are there.
"""

import argparse
import json
import time
from datetime import date
from itertools import product
from pathlib import Path

import pandas as pd
from inferred_earnings import inferred_earnings

from forecasting.preprocess.windows import Windows, make_windows
from forecasting.sessions import sessions_index
from forecasting.settings import Settings
from forecasting.train.checkpoint import save
from forecasting.train.pretrained import pretrain, shipped_weights
from forecasting.vocabulary import Target

WEIGHTS = Path(__file__).parents[1] / "forecasting" / "train" / "weights"
TARGETS: tuple[Target, ...] = ("volume", "range", "close")


def main() -> None:
    """Fit and save every base asked for; print what each cost."""
    options = argparse.ArgumentParser(description="Make the base weights that ship with the package.")
    options.add_argument("panel", type=Path)
    options.add_argument("--leave-out", action="append", default=[], help="a symbol not to learn from")
    options.add_argument("--to", action="append", required=True, type=date.fromisoformat, help="newest day of a span")
    asked = options.parse_args()
    panel = pd.read_parquet(asked.panel)
    panel = panel[~panel["Symbol"].isin(asked.leave_out)]
    made = {str(one["folder"]): one for one in shipped_weights()}
    for last, target, earnings in product(asked.to, TARGETS, (False, True)):
        base = make_base(panel, target, last, earnings=earnings)
        made[str(base["folder"])] = base
    index = sorted(
        made.values(), key=lambda one: (str(one["trained_to"]), TARGETS.index(one["target"]), one["earnings"])
    )
    (WEIGHTS / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def make_base(panel: pd.DataFrame, target: Target, last: date, *, earnings: bool) -> dict[str, str | int | bool]:
    """The index entry of one base, now on disk."""
    started = time.perf_counter()
    newest = sessions_index(date(1990, 1, 2), last)[-1].date()
    settings = Settings(target=target, members=3, seed=0)
    windows = [
        windows_of(bars, newest, settings, earnings=earnings) for _, bars in panel.groupby("Symbol", observed=True)
    ]
    base = pretrain(windows, settings=settings)
    artifact = save(base, WEIGHTS / (f"{target}-{newest}" + "-earnings" * earnings))
    seconds = time.perf_counter() - started
    print(f"{artifact.path.name}: {len(windows)} symbols, {base.card.rows} rows, {seconds:.0f} s", flush=True)
    return {
        "target": target,
        "trained_to": base.card.trained_to,
        "earnings": earnings,
        "members": settings.members,
        "symbols": len(windows),
        "folder": artifact.path.name,
        "sha256": artifact.sha256,
    }


def windows_of(bars: pd.DataFrame, newest: date, settings: Settings, *, earnings: bool) -> Windows:
    """One symbol's windows up to `newest`, with earnings read off its bars up to then or without any."""
    bars = bars.set_index("Date").drop(columns="Symbol").astype("float64").rename(columns=str.lower)
    bars = bars[: pd.Timestamp(newest)]
    inferred = inferred_earnings(bars[-settings.train_sessions :])
    return make_windows(
        bars,
        inferred if earnings else inferred[:0],
        origin=newest,
        target=settings.target,
        exchange=settings.exchange,
        train_sessions=settings.train_sessions,
    )


if __name__ == "__main__":
    main()
