"""What a second source as witness would have reported of a symbol's past, night by night: its false alarms and finds.

    python benchmarks/two_sources.py --source csv:A.csv --witness csv:B.csv --symbol IBM --from 2017-10-05 --to ...

A source is named as FORECASTING_SOURCE names it; the rule is that of forecasting/ingest/witness.py, as nights use it.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from forecasting.ingest.sources.choose import source_of
from forecasting.ingest.witness import disagreements
from forecasting.settings import read_settings


def main() -> None:
    """Print how far the two lie apart, and each finding."""
    asked = _arguments()
    here, there = (_bars(text, asked) for text in (asked.source, asked.witness))
    here = here[here.index.isin(there.index)]
    print(f"{asked.symbol}: {len(here)} sessions that both have, {asked.source} against {asked.witness}")
    for name in ("close", "volume"):
        ratio = (there[name].reindex(here.index) / here[name]).describe()
        print(f"{name}: ratio {ratio['min']:.6g} to {ratio['max']:.6g}, median {ratio['50%']:.6g}")
    found = []
    for night in range(1, len(here) + 1):
        stored = [(one.session, one.rule, one.value) for one in found]
        found += disagreements(here.iloc[:night], there, witness=asked.witness, stored=stored)
    for one in found:
        print(f"{one.session} {one.rule}: {'' if one.value is None else f'{one.value:.4g}. '}{one.detail}")
    print(f"{len(found)} findings")


def _bars(text: str, asked: argparse.Namespace) -> pd.DataFrame:
    with TemporaryDirectory() as cache:
        source = source_of(text, cache_dir=Path(cache), alpaca_keys=read_settings().alpaca_keys)
        return source.fetch(asked.symbol, asked.first, asked.last).bars


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--witness", required=True)
    parser.add_argument("--symbol", required=True)
    parser.add_argument("--from", dest="first", type=date.fromisoformat, required=True)
    parser.add_argument("--to", dest="last", type=date.fromisoformat, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
