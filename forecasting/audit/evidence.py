"""Two ledgers of the same nights compared: which rows and values differ, whatever was computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from forecasting.store import connect, read
from forecasting.store.frames import Row, rows
from forecasting.store.schema import metadata

Key = tuple[Any, ...]
Tables = dict[str, dict[Key, Row]]
"""What a ledger has of some nights, by NOUNS and primary key."""

NOUNS = {
    "forecasts": "forecast",
    "forecast_parts": "forecast part",
    "scores": "score",
    "total_forecasts": "total",
    "total_scores": "total score",
    "models": "model",
}
"""The tables that are compared, and what one of their rows is."""

MAY_DIFFER = [
    *("scored_at", "created_at", "seconds"),  # of the run
    "reason",  # may name a folder
    "withdrawn_at",  # by hand, later
    "code_version",  # another one may give the same bits
]
"""The columns that are not compared."""

KEYS = ["origin_session", "horizon", "model_id", "kind", "part", "stage", "bar_version", "id"]
"""What identifies a row of a symbol and target; a table has some of them."""


@dataclass(frozen=True)
class Compared:
    """What differs between what is stored of some nights and what their re-run has made."""

    # A row a value: `what`, KEYS, `column`, `stored`, `rerun`. Of a row that one ledger lacks the
    # column is empty, and the two are whether it is there.
    differences: pd.DataFrame
    totals: dict[str, int]  # rows compared, by noun


def compare(
    series: tuple[str, str], runs: Sequence[str], fetches: list[str], *, stored: str, rerun: str
) -> Compared:
    """What two ledgers hold of the same nights, compared.

    Args:
        series: Symbol and target.
        runs: The ids of the nights' runs.
        fetches: The ids of the fetches that their forecasts name.
        stored: The URL of the ledger that had the nights.
        rerun: The URL of the one where they were made again.
    """
    tables = _evidence(stored, series, runs)
    again = _evidence(rerun, series, runs)
    # The re-run scores by later bars too. Of totals, which have several bars, which is not known.
    expected = {"scores": _due_scores(rerun, series, fetches), "total_scores": set[Key]()}
    for name, due in expected.items():
        expected_too = due | tables[name].keys()
        again[name] = {key: row for key, row in again[name].items() if key in expected_too}
    differences = [row for name in NOUNS for row in _differences(name, tables[name], again[name])]
    columns = ["what", *KEYS, "column", "stored", "rerun"]
    totals = {noun: len(tables[name].keys() | again[name].keys()) for name, noun in NOUNS.items()}
    return Compared(pd.DataFrame(differences, columns=columns, dtype=object), totals)


def _evidence(url: str, series: tuple[str, str], runs: Sequence[str]) -> Tables:
    """The rows that the nights have left in a ledger."""
    chosen = read.rows_of_runs(*series, runs)
    tables: Tables = {}
    with connect.reading(url) as connection:
        for name in NOUNS:
            key = _key_of(name)
            found = rows(connection, chosen[name])
            tables[name] = {tuple(row[part] for part in key): row for row in found}
    return tables


def _due_scores(url: str, series: tuple[str, str], fetches: list[str]) -> set[Key]:
    """The keys of scores by bars that the last fetch of the nights had brought."""
    with connect.reading(url) as connection:
        newest = read.newest(connection, "fetches", "fetched_at", {"id": fetches})
        due = read.due_scores(*series, _key_of("scores"), known_at=newest)
        return {tuple(key) for key in connection.execute(due)}


def _key_of(table: str) -> tuple[str, ...]:
    return tuple(metadata.tables[table].primary_key.columns.keys())


def _differences(name: str, stored: dict[Key, Row], rerun: dict[Key, Row]) -> Iterator[Row]:
    """What differs in a table, as of Compared."""
    columns = metadata.tables[name].columns
    compared = [column.name for column in columns if column.name not in MAY_DIFFER]
    for key in sorted(stored.keys() | rerun.keys()):
        where = {"what": NOUNS[name], **dict(zip(_key_of(name), key, strict=True))}
        was = stored.get(key)
        came = rerun.get(key)
        if was is None or came is None:
            yield {**where, "column": "", "stored": was is not None, "rerun": came is not None}
            continue
        for column in compared:
            if was[column] != came[column]:
                yield {**where, "column": column, "stored": was[column], "rerun": came[column]}
