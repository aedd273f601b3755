"""Pack the days on which companies filed their results for the wheel: forecasting/ingest/filed_earnings.txt.gz.

    python benchmarks/filed_earnings.py earnings_8k.csv --day 2025-11-20 --source "SEC EDGAR, form 8-K item 2.02, ..."

The file is a CSV with the columns symbol and filed. The same CSV gives the same bytes.
"""

import argparse
import gzip
from pathlib import Path

import pandas as pd

PACKED = Path(__file__).parents[1] / "forecasting" / "ingest" / "filed_earnings.txt.gz"


def main() -> None:
    """Write the packed file and print its size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--source", required=True, help="where the days come from, for the head of the file")
    parser.add_argument("--day", required=True, help="when they were collected")
    options = parser.parse_args()
    text = packed(pd.read_csv(options.csv, parse_dates=["filed"]), f"{options.source}; collected {options.day}")
    PACKED.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(f"{text.count(chr(10)) - 2} symbols, {PACKED.stat().st_size} bytes in {PACKED.name}")


def packed(filings: pd.DataFrame, source: str) -> str:
    """A line a symbol: the first day, then the days from each to the next."""
    lines = [f"# {source}", "# symbol, the first day, then the days from each to the next"]
    for symbol, days in filings.drop_duplicates().sort_values("filed").groupby("symbol", sort=True)["filed"]:
        gaps = days.diff().dt.days[1:].astype(int)
        lines.append(" ".join([str(symbol), f"{days.iloc[0]:%Y-%m-%d}", *map(str, gaps)]))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
