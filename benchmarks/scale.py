"""A warm night of many symbols in two processes, pages included, in this checkout and in others.

    python benchmarks/scale.py --bars SBUX.csv --symbols 20 --nights 120 --trees /tmp/before,.

The nights before it are made of one symbol. The other symbols are its copies, in the file of bars
and, by SQL, in the ledger: 500 of them take no hour. Seconds and memory, medians of the rounds.
"""

import argparse
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from night import command, days_of, environment_of, print_table


def main() -> None:
    """Make the ledgers, run the nights, and print the table."""
    options = arguments()
    with TemporaryDirectory() as name:
        folder = Path(name)
        symbols = [f"S{place:03}" for place in range(options.symbols)]
        write_bars(options.bars, symbols, folder / "bars.parquet")
        each = {tree: folder / f"{place}" for place, tree in enumerate(options.trees)}
        for tree, own in each.items():
            fill(tree, own, symbols, options)
        rounds = [
            pd.DataFrame(
                {tree: warm_night(tree, own, symbols, options) for tree, own in each.items()}
            )
            for _ in range(options.rounds)
        ]
    print(f"{options.symbols} symbols, {options.nights} nights before")
    print_table(pd.concat(rounds).groupby(level=0, sort=False).median(), options.rounds)


def arguments() -> argparse.Namespace:
    """The options of this benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bars", type=Path, required=True, help="a CSV file of SBUX")
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--nights", type=int, default=120, help="before it; 1: a young ledger")
    parser.add_argument("--trees", type=lambda text: text.split(","), default=["."])
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


def write_bars(bars: Path, symbols: list[str], path: Path) -> None:
    """Write a file in which each symbol has the same bars."""
    rows = pd.read_csv(bars).iloc[-2600:]
    pd.concat([rows.assign(symbol=symbol) for symbol in symbols]).to_parquet(path)


def variables(tree: str, folder: Path, symbols: list[str]) -> dict[str, str]:
    """The variables of a checkout's nights on the ledger in the folder."""
    return environment_of(tree, folder) | {
        "FORECASTING_SYMBOLS": ",".join(symbols),
        "FORECASTING_SOURCE": f"parquet:{folder.parent / 'bars.parquet'}",
        "FORECASTING_MARKET": "none",
        "FORECASTING_RUNNER": "processes",
        "FORECASTING_WORKERS": "2",
    }


def fill(tree: str, folder: Path, symbols: list[str], options: argparse.Namespace) -> None:
    """Make the nights of the first symbol in the folder, and copies of them for the others."""
    first, *others = symbols
    days = days_of(options.bars)
    span = ("--from", days[-options.nights - 1], "--to", days[-2], "--refit-every", "21")
    command("catch-up", *span, environment=variables(tree, folder, [first]))
    with closing(sqlite3.connect(folder / "data" / "forecasting.db")) as ledger, ledger:
        copy_symbol(ledger, first, others)


def copy_symbol(ledger: sqlite3.Connection, symbol: str, others: list[str]) -> None:
    """Copy a symbol's rows for each other one; to each id that is its own the name is added."""
    ledger.execute(
        "CREATE TEMP TABLE own AS SELECT id FROM runs WHERE symbol = :symbol UNION SELECT id FROM "
        "fetches WHERE symbol = :symbol UNION SELECT id FROM models WHERE symbol = :symbol",
        {"symbol": symbol},
    )
    tables = ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        columns = [row[1] for row in ledger.execute(f"PRAGMA table_info({table})")]
        if "symbol" not in columns and "model_id" not in columns:
            continue
        is_own = "symbol = :symbol" if "symbol" in columns else "model_id IN own"
        values = ", ".join(map(copied, columns))
        for name in others:
            ledger.execute(
                f"INSERT INTO {table} SELECT {values} FROM {table} WHERE {is_own}",  # noqa: S608
                {"symbol": symbol, "name": name},
            )


def copied(column: str) -> str:
    """The expression of a column in another symbol's copy."""
    if column == "symbol":
        return ":name"
    if column == "id":
        return "id || :name"
    if column.endswith("_id"):
        return f"CASE WHEN {column} IN own THEN {column} || :name ELSE {column} END"
    return column


def warm_night(
    tree: str, folder: Path, symbols: list[str], options: argparse.Namespace
) -> dict[str, float]:
    """What the night after those of the folder takes on a copy of them."""
    copy = folder.with_name(f"{folder.name}_night")
    shutil.copytree(folder, copy)
    night = days_of(options.bars)[-1]
    spent = command("run", "--as-of", night, environment=variables(tree, copy, symbols))
    warm = "SELECT count(*) FROM runs WHERE mode = 'warm' AND status = 'done' AND as_of = ?"
    with closing(sqlite3.connect(copy / "data" / "forecasting.db")) as ledger:
        (nights,) = ledger.execute(warm, (night,)).fetchone()
    shutil.rmtree(copy)
    return dict(zip(("wall", "CPU", "peak MiB", "warm nights"), (*spent, nights), strict=True))


if __name__ == "__main__":
    main()
