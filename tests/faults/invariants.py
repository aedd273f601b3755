"""What must hold of the ledger of a simulated world after every morning, whatever went wrong: computed naively."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecasting.night.night import make_night
from forecasting.night.steps.predict import ISSUED_BEFORE
from forecasting.sessions import last_completed, opens_at, shift
from forecasting.settings import read_settings
from forecasting.store import connect
from forecasting.store.schema import metadata
from forecasting.vocabulary import HORIZONS, KINDS, QUANTILE_COLUMNS, QUANTILES
from tests.faults.look_ahead import SAME_BITS, learned, replay_one
from tests.store.rows import rebuild_standings

if TYPE_CHECKING:
    from tests.faults.world import World

Row = dict[str, Any]
Key = tuple[Any, ...]
Rows = dict[str, dict[Key, Row]]
"""By table and primary key."""


FILLED_ONCE = {"bar_versions": ("superseded_at", "settled_at"), "findings": ("cleared_at",)}
"""Columns of rows that never change otherwise: NULL until they are filled in."""

RECOMPUTED = ("standings", "metrics")
UNCHANGED_OF_RUNS = {
    "as_of",
    "symbol",
    "target",
    "source",
    "started_at",
    "settings_hash",
    "settings",
    "code_version",
}


class Invariants:
    """The checks, with the ledger as it was after the morning before."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: Rows = {name: {} for name in metadata.tables}  # after the newest checked morning
        # The morning after which a row was first seen
        self.born: dict[str, dict[Key, int]] = defaultdict(dict)
        self.mornings = 0
        self.environment: dict[Key, dict[str, str]] = {}
        self.reached: Counter[str] = Counter()

    def check(self, ended: str, *, honest_clock: bool) -> None:
        """Check the ledger after a morning whose run ended so."""
        self.mornings += 1
        now = read_all(self.world.url)
        new = {
            name: {key: row for key, row in now[name].items() if key not in self.rows[name]}
            for name in now
        }
        check_kept(self.rows, now)
        check_bars(now)
        check_forecasts(new, now)
        check_scores(new, now)
        check_runs(now)
        check_latest(self.world.url, now)
        if ended != "killed" and honest_clock:
            self._check_due(now, ended)
        if ended == "done" and honest_clock:
            self._check_complete(new, now)
        self._remember(new, now)
        if self.mornings % 15 == 0:
            self._replay_one()

    def check_end(self) -> None:
        """Check what holds once nothing has gone wrong for some mornings."""
        check_standings(self.world.url)
        hashes = {run["settings_hash"] for run in self._due_runs(self.rows)}
        left = [run for run in self.rows["runs"].values() if run["status"] == "running"]
        assert not [
            run
            for run in left
            if run["settings_hash"] in hashes and run["symbol"] in self.world.symbols
        ], left
        check_artifacts(self.world.folder / "data" / "artifacts", self.rows, lost=self.world.lost)
        self._replay_one()

    def _check_due(self, now: Rows, ended: str) -> None:
        """The newest night of each symbol is done with one published forecast, or its row says why not."""
        if self.world.cannot_write or ended in ("StoreError", "LockedError"):
            return  # the command's error says so
        for run in self._due_runs(now):
            published = [row for row in now["forecasts"].values() if row["run_id"] == run["id"]]
            horizons = sorted(row["horizon"] for row in published if row["role"] == "champion")
            if run["status"] == "done":
                assert horizons == ([] if ISSUED_BEFORE in run["note"] else list(HORIZONS)), (
                    run,
                    horizons,
                )
            else:
                assert run["status"] in ("late", "failed"), run
                assert run["error"] or run["note"], run

    def _due_runs(self, now: Rows) -> list[Row]:
        settings = read_settings()
        session = last_completed(self.world.now())
        nights = [
            make_night(symbol, session, settings, now=self.world.now).id
            for symbol in settings.symbols
        ]
        assert not [run_id for run_id in nights if (run_id,) not in now["runs"]], (
            "no row says what became of it"
        )
        return [now["runs"][run_id,] for run_id in nights]

    def _check_complete(self, new: Rows, now: Rows) -> None:
        """After a done night every forecast whose bar was known to it has its scores."""
        scored = {
            (*score_key(row), row["stage"], row["bar_version"]) for row in now["scores"].values()
        }
        bars = versions_of(now)
        for run in self._due_runs(now):
            if run["status"] != "done" or (run["id"],) not in new["runs"]:
                continue
            known_at = next(
                row["data_as_of"] for row in now["forecasts"].values() if row["run_id"] == run["id"]
            )
            for row in now["forecasts"].values():
                if (row["symbol"], row["target"]) != (run["symbol"], run["target"]):
                    continue
                if row["target_session"] > run["as_of"]:
                    continue
                for stage, version in expected_scores(
                    bars[row["symbol"], row["target_session"]], row["target"], known_at
                ):
                    assert (*score_key(row), stage, version) in scored, (row, stage, version)

    def _remember(self, new: Rows, now: Rows) -> None:
        for name, rows in new.items():
            self.born[name].update(dict.fromkeys(rows, self.mornings))
        for key, run in new["runs"].items():
            # Not of a night of this morning that ran before the settings were changed.
            if run["settings_hash"] == read_settings().for_symbol(run["symbol"]).hash:
                self.environment[key] = dict(self.world.variables)
        published = [row for row in new["forecasts"].values() if row["role"] == "champion"]
        runs = [
            run
            for key, run in now["runs"].items()
            if run["status"] != self.rows["runs"].get(key, {}).get("status")
        ]
        for paths in (
            (f"fetch {row['verdict']}" for row in new["fetches"].values()),
            (f"published {row['status']}" for row in published),
            (path for row in published for path in learned(row)),
            (
                f"score {row['stage']}, version {min(row['bar_version'], 3)}"
                for row in new["scores"].values()
            ),
            (f"run {run['status']}" for run in runs),
            ("a fit because of drift" for run in runs if run["mode_kind"] == "drift"),
            (
                "weights pruned"
                for key, row in self.rows["models"].items()
                if row["artifact_path"] and not now["models"][key]["artifact_path"]
            ),
        ):
            self.reached.update(paths)
        self.rows = now

    def _replay_one(self) -> None:
        """A night alone on its morning, replayed from what the ledger held before it, gives the same bits."""
        issued = {
            row["run_id"]: self.born["forecasts"][key]
            for key, row in self.rows["forecasts"].items()
        }
        runs = {run_id: self.rows["runs"][run_id,] for run_id in sorted(issued)}
        decided = {
            (row["run_id"], self.born["promotions"][key])
            for key, row in self.rows["promotions"].items()
        }
        at_work = {(run_id, born) for run_id, born in {*issued.items(), *decided} if run_id in runs}
        mornings = Counter(
            (runs[run_id]["symbol"], runs[run_id]["target"], born) for run_id, born in at_work
        )
        alone = [
            ((run_id,), run)
            for run_id, run in runs.items()
            if run["status"] == "done"
            and (run_id,) in self.environment
            # Not one that an earlier morning began
            and issued[run_id] == self.born["runs"][run_id,]
            and mornings[run["symbol"], run["target"], issued[run_id]] == 1
        ]
        for key, run in self.world.draw.sample(alone, len(alone)):
            found = replay_one(self.world, run, self.born, self.environment[key])
            self.reached[f"a night replayed: {found}"] += 1
            if found == SAME_BITS:
                return


def read_all(url: str) -> Rows:
    """Every row of every table, by its primary key."""
    found: Rows = {}
    with connect.reading(url) as connection:
        for name, table in metadata.tables.items():
            key = [column.name for column in table.primary_key]
            rows = connection.execute(table.select()).mappings()
            found[name] = {tuple(row[column] for column in key): dict(row) for row in rows}
    return found


def versions_of(rows: Rows) -> dict[tuple[str, date], list[Row]]:
    """The versions of each bar, oldest first; an empty list for one that is not stored."""
    found: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for _, row in sorted(rows["bar_versions"].items()):
        found[row["symbol"], row["session"]].append(row)
    return found


def score_key(row: Row) -> Key:
    """The key of a forecast, of one of its scores or of its parts."""
    return tuple(
        row[name] for name in ("symbol", "target", "origin_session", "horizon", "model_id", "kind")
    )


def check_kept(before: Rows, now: Rows) -> None:
    """No row was lost, and none has changed but a run that was not done, and in what may be filled in or pruned."""
    for name in before.keys() - RECOMPUTED:
        for key, row in before[name].items():
            assert key in now[name], f"{name} lost {row}"
            later = now[name][key]
            changed = {column for column in row if row[column] != later[column]}
            if name == "runs":
                may_change = row.keys() - UNCHANGED_OF_RUNS if row["status"] != "done" else set()
            elif name == "models":  # weights are pruned
                may_change = {"artifact_path"} if later["artifact_path"] is None else set()
            else:
                may_change = {column for column in FILLED_ONCE.get(name, ()) if row[column] is None}
            assert changed <= may_change, (name, row, later)


def check_bars(rows: Rows) -> None:
    """Each bar has versions 1, 2, ....

    The newest alone is current, and each ends when the next begins.
    """
    for versions in versions_of(rows).values():
        assert [row["version"] for row in versions] == list(range(1, len(versions) + 1)), versions
        assert versions[-1]["superseded_at"] is None, versions
        for one, following in itertools.pairwise(versions):
            assert one["first_seen_at"] < following["first_seen_at"], versions
            assert one["superseded_at"] == following["first_seen_at"], versions


def check_forecasts(new: Rows, now: Rows) -> None:
    """A new forecast was made of a fetch, weights and decisions that were there, and of no session after its origin."""
    products: dict[Key, float] = defaultdict(lambda: 1.0)
    for row in now["forecast_parts"].values():
        products[score_key(row)] *= row["factor"]
    for row in new["forecasts"].values():
        fetch = now["fetches"][row["fetch_id"],]
        model = now["models"][row["model_id"],]
        run = now["runs"][row["run_id"],]
        assert fetch["fetched_at"] == row["data_as_of"], (row, fetch)
        assert fetch["last_received"] >= row["origin_session"] == run["as_of"], (row, fetch)
        assert model["trained_to"] is None or model["trained_to"] <= row["origin_session"], (
            row,
            model,
        )
        assert row["target_session"] == shift(row["origin_session"], row["horizon"]), row
        quantiles = [row[name] for name in QUANTILE_COLUMNS]
        assert quantiles == sorted(quantiles), row
        assert all(map(math.isfinite, quantiles)), row
        assert (row["kind"] == "live") == (
            row["issued_at"] < opens_at(shift(row["origin_session"], 1))
        ), row
        assert row["status"] == "ok" or row["reason"], row
        # Its parts multiply to its median; of a close to the width of the 80% interval
        if row["role"] == "champion":
            size = math.log(row["q90"] / row["q10"]) if row["target"] == "close" else row["q50"]
            assert math.isclose(products[score_key(row)], size, rel_tol=1e-9), row


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
    found += [
        ("settled", row["version"])
        for row in current
        if row["settled_at"] and row["settled_at"] <= known_at
    ]
    return found


def basis_at(splits: Sequence[Row], instant: datetime) -> float:
    """The product of the splits known at an instant.

    Of several rows of a session the newest is of all its splits.
    """
    known = sorted(
        (one for one in splits if one["first_seen_at"] <= instant),
        key=lambda one: one["first_seen_at"],
    )
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
        later, sooner = (
            basis_at(splits[row["symbol"]], one)
            for one in (bar["first_seen_at"], forecast["data_as_of"])
        )
        factor = later / sooner
        actual = actual_of(bar, row["target"], factor)
        quantiles = [forecast[name] for name in QUANTILE_COLUMNS]
        losses = [
            max(level * (actual - value), (level - 1.0) * (actual - value))
            for level, value in zip(QUANTILES, quantiles, strict=True)
        ]
        assert row["target_session"] == forecast["target_session"], (row, forecast)
        assert (row["role"], row["issued_at"]) == (forecast["role"], forecast["issued_at"]), (
            row,
            forecast,
        )
        assert math.isclose(row["actual"], actual, rel_tol=1e-9, abs_tol=1e-12), (row, bar, factor)
        assert math.isclose(row["error"], quantiles[3] - actual, rel_tol=1e-9, abs_tol=1e-9), (
            row,
            bar,
        )
        assert math.isclose(
            row["pinball"], sum(losses) / len(losses), rel_tol=1e-6, abs_tol=1e-9
        ), (row, losses)
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
        # Run again under other settings, its session may have its forecast already
        if run["status"] == "done":
            assert (published[run["id"]] == len(HORIZONS)) == (ISSUED_BEFORE not in run["note"]), (
                run
            )
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
        found = connection.exec_driver_sql(
            "SELECT symbol, target, horizon, q50, run_id FROM latest_forecasts"
        ).all()
        bars = connection.exec_driver_sql("SELECT symbol, version FROM bars").all()
    assert sorted(map(tuple, found)) == sorted(
        (*line, row["q50"], row["run_id"]) for line, row in newest.items()
    )
    current = [
        (symbol, versions[-1]["version"]) for (symbol, _), versions in versions_of(rows).items()
    ]
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
    """Every folder of weights is of a model that has its weights, and the other way round.

    Nothing else is there.
    """
    present = {path.name for path in folder.iterdir()}
    wanted = {row["id"] for row in rows["models"].values() if row["artifact_path"]}
    assert present <= wanted, present - wanted
    assert wanted - present <= lost, wanted - present
