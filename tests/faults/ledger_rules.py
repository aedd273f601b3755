"""What must hold of the rows of a ledger at any moment, and from one moment to the next, computed naively."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from forecasting.pipeline.predict import ISSUED_BEFORE
from forecasting.predict.combine import _USUAL_WEIGHTS
from forecasting.sessions import opens_at, shift
from forecasting.store import connect
from forecasting.vocabulary import HORIZONS, KINDS, QUANTILE_COLUMNS, QUANTILES
from tests.faults.ledger_rows import Key, Row, Rows, score_key, versions_of
from tests.store.rows import rebuild_standings

FILLED_ONCE = {"bar_versions": ("superseded_at", "settled_at"), "findings": ("cleared_at",)}
"""Columns of rows that never change otherwise: NULL until they are filled in."""

OF_FORECAST = ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
RECOMPUTED = ("standings", "metrics")
UNCHANGED_OF_RUNS = ("as_of", "symbol", "target", "source", "started_at", "settings_hash", "settings", "code_version")


def check_kept(before: Rows, now: Rows) -> None:
    """No row was lost, and none has changed but in what may be filled in."""
    for name in before.keys() - RECOMPUTED:
        for key, row in before[name].items():
            assert key in now[name], f"{name} lost {row}"
            if now[name][key] is not row:
                check_changed(name, row, now[name][key])


def check_changed(table: str, row: Row, later: Row) -> None:
    """A changed row is a run that was not done, or had a column of FILLED_ONCE filled in, or lost its weights' path."""
    changed = {column for column in row if row[column] != later[column]}
    if table == "runs":
        assert row["status"] != "done", (row, later)
        assert not changed & set(UNCHANGED_OF_RUNS), (row, later)
    elif table == "models":
        assert changed == {"artifact_path"}, (row, later)
        assert later["artifact_path"] is None, (row, later)
    else:
        assert changed <= set(FILLED_ONCE.get(table, ())), (table, row, later)
        assert all(row[column] is None for column in changed), (table, row, later)


def check_bars(rows: Rows) -> None:
    """Each bar has versions 1, 2, ...; the newest alone is current, and each ends when the next begins."""
    for versions in versions_of(rows).values():
        assert [row["version"] for row in versions] == list(range(1, len(versions) + 1)), versions
        assert versions[-1]["superseded_at"] is None, versions
        for one, following in itertools.pairwise(versions):
            assert one["first_seen_at"] < following["first_seen_at"], versions
            assert one["superseded_at"] == following["first_seen_at"], versions


def check_forecasts(new: Rows, now: Rows) -> None:
    """A new forecast was made of a fetch, weights and decisions that were there, and of no session after its origin."""
    for row in new["forecasts"].values():
        fetch, model = now["fetches"][row["fetch_id"],], now["models"][row["model_id"],]
        run = now["runs"][row["run_id"],]
        assert fetch["fetched_at"] == row["data_as_of"], (row, fetch)
        assert fetch["last_received"] >= row["origin_session"] == run["as_of"], (row, fetch)
        assert model["trained_to"] is None or model["trained_to"] <= row["origin_session"], (row, model)
        assert row["target_session"] == shift(row["origin_session"], row["horizon"]), row
        quantiles = [row[name] for name in QUANTILE_COLUMNS]
        assert quantiles == sorted(quantiles), row
        assert all(map(math.isfinite, quantiles)), row
        is_live = row["issued_at"] < opens_at(shift(row["origin_session"], 1))
        assert (row["kind"] == "live") == is_live, row
        assert row["status"] == "ok" or row["reason"], row
    check_parts(new, now)


def check_parts(new: Rows, now: Rows) -> None:
    """What is published has parts, whose product is its median; of a close it is the log width of the 80 % interval."""
    products: dict[tuple[Any, ...], float] = defaultdict(lambda: 1.0)
    for row in now["forecast_parts"].values():
        products[*(row[name] for name in OF_FORECAST)] *= row["factor"]
    for row in new["forecasts"].values():
        if row["role"] == "champion":
            size = math.log(row["q90"] / row["q10"]) if row["target"] == "close" else row["q50"]
            assert math.isclose(products[*(row[name] for name in OF_FORECAST)], size, rel_tol=1e-9), row


def learned(row: Row) -> list[str]:
    """What earlier forecasts have decided of this one."""
    weight = json.loads(row["calibration"])["weight"] if row["calibration"] else None
    found = ["a weight other than the usual one"] if weight not in (None, _USUAL_WEIGHTS[row["target"]]) else []
    return [*found, "the network is behind"] if "the network is behind" in row["reason"] else found


def actual_of(bar: Row, target: str, factor: float) -> float:
    """The target's value of a bar, on the basis of `factor` fewer shares."""
    if target == "volume":
        return float(bar["volume"] / factor)
    return float(bar["close"] * factor if target == "close" else math.log(bar["high"] / bar["low"]))


def expected_scores(versions: list[Row], target: str, known_at: datetime) -> list[tuple[str, int]]:
    """The stages and versions against which a forecast is scored by a night that knew the bars at an instant."""
    needed = {"volume": ("volume",), "close": ("close",), "range": ("high", "low")}[target]
    known = [row for row in versions if row["first_seen_at"] <= known_at]
    usable = [row for row in known if all(row[name] is not None for name in needed)]
    found = [("first_print", usable[0]["version"])] if usable else []
    current = known[-1:] if known and known[-1] in usable else []
    found += [("settled", row["version"]) for row in current if row["settled_at"] and row["settled_at"] <= known_at]
    return found


def basis_at(splits: Sequence[Row], instant: datetime) -> float:
    """The product of the splits known at an instant; of several rows of a session the newest is of all its splits."""
    known = sorted((one for one in splits if one["first_seen_at"] <= instant), key=lambda one: one["first_seen_at"])
    return math.prod({one["session"]: one["value"] for one in known}.values())


def check_scores(new: Rows, now: Rows) -> None:
    """A new score is that of its forecast and its version of the bar, computed as plainly as can be."""
    splits: dict[str, list[Row]] = defaultdict(list)
    for row in now["corporate_actions"].values():
        if row["kind"] == "split":
            splits[row["symbol"]].append(row)
    bars = versions_of(now)
    for row in new["scores"].values():
        forecast = now["forecasts"][score_key(row)]
        bar = bars[row["symbol"], row["target_session"]][row["bar_version"] - 1]
        later, sooner = (basis_at(splits[row["symbol"]], one) for one in (bar["first_seen_at"], forecast["data_as_of"]))
        factor = later / sooner
        actual = actual_of(bar, row["target"], factor)
        quantiles = [forecast[name] for name in QUANTILE_COLUMNS]
        losses = [
            max(level * (actual - value), (level - 1.0) * (actual - value))
            for level, value in zip(QUANTILES, quantiles, strict=True)
        ]
        assert row["target_session"] == forecast["target_session"], (row, forecast)
        assert (row["role"], row["issued_at"]) == (forecast["role"], forecast["issued_at"]), (row, forecast)
        assert math.isclose(row["actual"], actual, rel_tol=1e-9, abs_tol=1e-12), (row, bar, factor)
        assert math.isclose(row["error"], quantiles[3] - actual, rel_tol=1e-9, abs_tol=1e-9), (row, bar)
        assert math.isclose(row["pinball"], sum(losses) / len(losses), rel_tol=1e-6, abs_tol=1e-9), (row, losses)
        assert bool(row["inside_80"]) == (quantiles[1] <= actual <= quantiles[5]), row
        assert bool(row["inside_90"]) == (quantiles[0] <= actual <= quantiles[6]), row
        assert row["stage"] == "first_print" or bar["settled_at"] is not None, (row, bar)


def check_runs(rows: Rows) -> None:
    """A finished night has all of its facts; no other has the forecasts of none."""
    issued = [row for row in rows["forecasts"].values() if row["role"] == "champion"]
    published = Counter(row["run_id"] for row in issued)
    sessions = {(row["symbol"], row["target"], row["origin_session"]) for row in issued}
    for run in rows["runs"].values():
        assert run["status"] in ("running", "done", "late", "failed"), run
        assert published[run["id"]] in (0, len(HORIZONS)), (run, published[run["id"]])
        if run["status"] == "done":  # run again under other settings, its session may have its forecast already
            assert (published[run["id"]] == len(HORIZONS)) == (ISSUED_BEFORE not in run["note"]), run
            assert (run["symbol"], run["target"], run["as_of"]) in sessions, run
            assert run["finished_at"] is not None, run
            assert run["error"] is None, run
            assert run["mode"], run
        if run["status"] == "failed":
            assert run["error"] or run["note"], run


def check_latest(url: str, rows: Rows) -> None:
    """View latest_forecasts is the published forecast of the newest origin, and view bars the current versions."""
    published = [row for row in rows["forecasts"].values() if row["role"] == "champion"]
    newest: dict[Key, Row] = {}
    for row in sorted(published, key=_preference):  # of equal ones the last: the smallest model id
        newest[row["symbol"], row["target"], row["horizon"]] = row
    with connect.reading(url) as connection:
        found = connection.exec_driver_sql("SELECT symbol, target, horizon, q50, run_id FROM latest_forecasts").all()
        bars = connection.exec_driver_sql("SELECT symbol, version FROM bars").all()
    assert sorted(map(tuple, found)) == sorted((*line, row["q50"], row["run_id"]) for line, row in newest.items())
    current = [(symbol, versions[-1]["version"]) for (symbol, _), versions in versions_of(rows).items()]
    assert sorted(map(tuple, bars)) == sorted(current)


def _preference(row: Row) -> tuple[Any, ...]:
    smallest_id = [-ord(letter) for letter in row["model_id"]]
    return row["origin_session"], -KINDS.index(row["kind"]), row["issued_at"], smallest_id


def check_standings(url: str) -> None:
    """The standings, updated with every score, are those that are made from all scores at once."""
    select = "SELECT * FROM standings ORDER BY symbol, target, kind, horizon, window_sessions, line"
    with connect.transaction(url) as connection:
        updated = [tuple(row) for row in connection.exec_driver_sql(select) if row.n]
        rebuild_standings(connection)
        rebuilt = [tuple(row) for row in connection.exec_driver_sql(select) if row.n]
    assert updated == rebuilt


def check_artifacts(folder: Path, rows: Rows, *, lost: set[str]) -> None:
    """Every folder of weights is of a model that has its weights, and the other way round; nothing else is there."""
    present = {path.name for path in folder.iterdir()}
    wanted = {row["id"] for row in rows["models"].values() if row["artifact_path"]}
    assert present <= wanted, present - wanted
    assert wanted - present <= lost, wanted - present
