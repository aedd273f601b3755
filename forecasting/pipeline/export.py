"""The ledger's forecasts, history and bars, written to a file that other programs read."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from forecasting.errors import StoreError, SymbolsFailedError, UsageError
from forecasting.pipeline import ledger_frames
from forecasting.pipeline.output_file import check_writable, write_whole
from forecasting.pipeline.symbols import combined, each_symbol, failures_of, raise_failed, values_of
from forecasting.report.documents import hubverse, nixtla
from forecasting.settings import Settings
from forecasting.store import connect, migrate
from forecasting.vocabulary import Clock

Form = Literal["latest", "history", "bars", "hubverse", "nixtla"]
"""What is exported: a frame of `ledger_frames`, or the history in another program's form."""

SUFFIXES = (".parquet", ".csv")


def export(settings: Settings, form: str, out: Path, *, now: Clock, as_of: date | None = None) -> str:
    """A sentence with the number of rows that were written to `out`.

    The rows of the symbols that have some are written, also where another symbol has none, which is an error then.

    Args:
        settings: Of the symbols, the target and the database.
        form: One of `Form`.
        out: A path that ends with one of `SUFFIXES`.
        now: The clock.
        as_of: For the form bars: a session, as for `ledger_frames.bars`.

    Raises:
        UsageError: One of these is not valid, or `out` cannot be written; raised before anything is read.
        ForecastingError: The database is not ready, holds no row for one of the symbols, or no fetch reaches `as_of`.
    """
    _check(form, out, as_of)
    migrate.check_ready(settings.url, writes=False)
    with connect.kept_open(settings.url):
        outcomes = each_symbol(settings, lambda own: _rows(own, form, as_of), now=now)
    written = [outcome.symbol for outcome in outcomes if outcome.error is None]
    if not written:
        raise_failed(outcomes)
    frames: list[pd.DataFrame] = values_of(outcomes)
    found = pd.concat(frames, ignore_index=True)
    write_frame(found, out)
    what = "bars" if form == "bars" else settings.target
    sentence = f"{form}: {len(found)} rows, {what} of {', '.join(written)}, written to {out}"
    if failed := failures_of(outcomes):
        error = combined(failed, of=len(outcomes))
        raise SymbolsFailedError(f"{error} Of the others: {sentence}.", error.exit_code)
    return sentence


def write_frame(found: pd.DataFrame, out: Path) -> None:
    """Write a frame to `out`, as Parquet or CSV by its suffix: there whole or not at all.

    Sessions become dates, instants timestamps in UTC. In Nixtla's form the days stay timestamps in Parquet, as its
    libraries take them; in CSV, which has no types, they are dates too. Texts of a CSV are quoted,
    unknown values empty.
    """
    table = pa.Table.from_pandas(found, preserve_index=False).replace_schema_metadata(None)
    as_text = out.suffix == ".csv"
    fields = [
        pa.field(field.name, _type(field, is_day=field.name in ledger_frames.SESSIONS or as_text))
        for field in table.schema
    ]
    table = table.cast(pa.schema(fields))
    write_whole(out, partial(csv.write_csv if as_text else parquet.write_table, table))


def _check(form: str, out: Path, as_of: date | None) -> None:
    if form not in get_args(Form):
        raise UsageError(f"Invalid form {form!r}: expected one of {', '.join(get_args(Form))}.")
    if out.suffix not in SUFFIXES:
        raise UsageError(f"Invalid --out {str(out)[:100]!r}: expected a path that ends with .parquet or .csv.")
    if as_of is not None and form != "bars":
        raise UsageError(f"--as-of applies to the form bars only; found it with {form}. Leave it out.")
    check_writable(out)


def _rows(own: Settings, form: str, as_of: date | None) -> pd.DataFrame:
    """The rows of one symbol; without any it fails, since a misspelt symbol would be an empty file."""
    found, symbol = _frame(own, form, as_of), own.symbols[0]
    if found.empty:
        what = {"bars": "bars", "nixtla": f"scored {own.target} forecasts"}.get(form, f"{own.target} forecasts")
        raise StoreError(
            f"Expected {what} of {symbol} in the database; found none. Correct the symbol, or run its nights: "
            f"forecasting run --symbol {symbol} --target {own.target}"
        )
    return found


def _frame(settings: Settings, form: str, as_of: date | None) -> pd.DataFrame:
    if form == "bars":
        return ledger_frames.bars(settings, as_of=as_of)
    if form == "latest":
        return ledger_frames.latest(settings)
    found = ledger_frames.history(settings)
    return {"hubverse": hubverse, "nixtla": nixtla}[form](found) if form != "history" else found


def _type(field: pa.Field, *, is_day: bool) -> pa.DataType:
    if pa.types.is_timestamp(field.type):
        if field.type.tz is not None:
            return pa.timestamp("us", tz="UTC")
        return pa.date32() if is_day else pa.timestamp("us")
    return pa.string() if pa.types.is_large_string(field.type) else field.type
