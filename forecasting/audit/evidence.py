"""Two ledgers of the same nights compared: which rows and values differ, whatever was computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from forecasting.predict.combine import forecast_kind
from forecasting.store import connect, read
from forecasting.store.frames import Row
from forecasting.store.schema import FORECAST_KEY, metadata

Tables = dict[str, pd.DataFrame]
"""What a ledger has of some nights, by NOUNS, indexed by what identifies a row."""

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
    *("issued_at", "scored_at", "created_at", "seconds", "kind"),  # of the run
    "reason",  # may name a folder
    "withdrawn_at",  # by hand, later
    "code_version",  # another one may give the same bits
]
"""The columns that are not compared."""

KEYS = ["session", "horizon", "id", "part", "stage", "bar_version"]
"""What identifies a row; a table has some of them."""

_VALUES = ["column", "stored", "rerun"]


@dataclass(frozen=True)
class Comparison:
    """What differs between what is stored of some nights and what their re-run has made."""

    # A row a value: `what`, KEYS, `column`, `stored`, `rerun`. Of a row that one ledger lacks the
    # column is empty, and the two are whether it is there.
    differences: pd.DataFrame
    totals: dict[str, int]  # rows compared, by noun
    later: int  # stored forecasts that a later run issued again, which are left out


def compare(nights: Sequence[Row], exchange: str, *, stored: str, rerun: str) -> Comparison:
    """The ledgers `stored` and `rerun`, by URL, compared.

    `nights` are of one symbol and target: rows of table runs, with the `fetch_id` of forecasts.
    """
    tables, later = _evidence(stored, nights)
    again, _ = _evidence(rerun, nights)
    again["scores"] = _expected(
        again["scores"],
        tables["scores"],
        nights,
        url=stored,
    )

    # Of more than one bar: those of the re-run by later bars are not told from the others
    is_stored = again["total_scores"].index.isin(tables["total_scores"].index)
    again["total_scores"] = again["total_scores"][is_stored]

    frames = [_differences(name, tables[name], again[name]) for name in NOUNS]
    frames.append(_not_live(tables["forecasts"], exchange))
    differences = pd.concat([frame.astype(object) for frame in frames])
    totals = {
        noun: len(tables[name].index.union(again[name].index)) for name, noun in NOUNS.items()
    }
    return Comparison(differences.reindex(columns=["what", *KEYS, *_VALUES]), totals, later)


def _evidence(url: str, nights: Sequence[Row]) -> tuple[Tables, int]:
    """The rows of the nights in a ledger, and how many forecasts a later run issued again."""
    series = {name: nights[0][name] for name in ("symbol", "target")}
    days = [row["as_of"] for row in nights]
    ids = [row["id"] for row in nights]
    chosen = dict.fromkeys(NOUNS, series | {"origin_session": days}) | {
        "forecasts": series | {"run_id": ids},
        "models": series,
    }
    with connect.reading(url) as connection:
        tables = {name: _rows(connection, name, where) for name, where in chosen.items()}
    issued = tables["forecasts"].sort_values(["issued_at", "kind"])
    forecasts = issued.drop_duplicates(["origin_session", "horizon", "model_id"])
    of_forecasts = forecasts[list(FORECAST_KEY)]
    for name in ("forecast_parts", "scores", "total_forecasts", "total_scores"):
        tables[name] = tables[name].merge(of_forecasts)
    models = tables["models"]
    is_made = models["id"].isin(forecasts["model_id"]) | models["run_id"].isin(ids)
    tables |= {"forecasts": forecasts, "models": models[is_made]}
    return {name: _by_key(table) for name, table in tables.items()}, len(issued) - len(forecasts)


def _rows(connection: connect.Connection, table: str, where: Row) -> pd.DataFrame:
    """The rows of a table as Python's values, so that none is rounded on its way."""
    columns = metadata.tables[table].columns.keys()
    return pd.DataFrame(read.table_rows(connection, table, where), columns=columns, dtype=object)


def _by_key(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, indexed by what identifies one."""
    if "origin_session" in table:
        table = table.rename(columns={"origin_session": "session", "model_id": "id"})
    return table.set_index([name for name in KEYS if name in table])


def _expected(
    rerun: pd.DataFrame, stored: pd.DataFrame, nights: Sequence[Row], *, url: str
) -> pd.DataFrame:
    """The scores of the re-run, but of a bar that came after the last fetch only stored ones."""
    fetches = {"id": [row["fetch_id"] for row in nights]}
    sessions = list(rerun["target_session"].unique())
    of_targets = {"symbol": nights[0]["symbol"], "session": sessions}
    with connect.reading(url) as connection:
        newest = read.newest(
            connection,
            "fetches",
            "fetched_at",
            fetches,
        )
        bars = _rows(connection, "bar_versions", of_targets)

    bars = bars.rename(columns={"session": "target_session", "version": "bar_version"})
    seen = rerun.reset_index().merge(bars, how="left", on=["target_session", "bar_version"])
    known_at = seen["settled_at"].where(seen["stage"] == "settled", seen["first_seen_at"])
    is_due = pd.to_datetime(known_at, utc=True) <= newest
    return rerun[is_due.to_numpy() | rerun.index.isin(stored.index)]


def _differences(name: str, stored: pd.DataFrame, rerun: pd.DataFrame) -> pd.DataFrame:
    """What differs in a table, as of Comparison."""
    keys = [str(key) for key in stored.index.names]
    both = stored.index.intersection(rerun.index, sort=False)
    compared = stored.columns.difference(MAY_DIFFER, sort=False)
    changed = stored.loc[both, compared].compare(
        rerun.loc[both, compared], keep_shape=True, result_names=("stored", "rerun")
    )
    values = changed.stack(level=0, future_stack=True).dropna(how="all")
    one_sided = stored.index.symmetric_difference(rerun.index, sort=False)
    is_stored = one_sided.isin(stored.index)
    missing = one_sided.to_frame(index=False).assign(column="", stored=is_stored, rerun=~is_stored)
    frames = [missing, values.rename_axis([*keys, "column"]).reset_index()]
    each = pd.concat([frame.astype(object) for frame in frames]).assign(what=NOUNS[name])
    return each.sort_values(keys, kind="stable")


def _not_live(forecasts: pd.DataFrame, exchange: str) -> pd.DataFrame:
    """Rows as of `_differences` for forecasts stored as `live` whose instant is too late."""
    live = forecasts[forecasts["kind"] == "live"].reset_index()
    # A night has one, and the calendar is slow
    instants = live[["issued_at", "session"]].drop_duplicates()
    kinds = [
        forecast_kind(issued_at, session, exchange)
        for issued_at, session in instants.itertuples(index=False)
    ]
    other = instants.assign(rerun=kinds).query("rerun != 'live'")
    live = live[["session", "horizon", "id", "issued_at"]].merge(other)
    return live.assign(what=NOUNS["forecasts"], column="kind", stored="live")
