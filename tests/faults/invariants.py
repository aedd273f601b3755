"""What must hold of the ledger of a simulated world after every morning, whatever went wrong on it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pandas as pd

from forecasting.pipeline.night import make_night
from forecasting.pipeline.predict import ISSUED_BEFORE
from forecasting.sessions import last_completed
from forecasting.store.schema import metadata
from forecasting.vocabulary import HORIZONS
from tests.faults import ledger_rules as rules
from tests.faults.ledger_rows import Key, Row, Rows, read_all, score_key, versions_of
from tests.faults.replayed import SAME_BITS, replay_one

if TYPE_CHECKING:
    from tests.faults.world import World


class Invariants:
    """The checks, with the ledger as it was after the morning before.

    Attributes:
        rows: Every row of every table after the newest checked morning, by key.
        born: The number of the morning after which a row was first seen, by table and key.
        reached: How often each rare path shows in the ledger.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: Rows = {name: {} for name in metadata.tables}
        self.born: dict[str, dict[Key, int]] = defaultdict(dict)
        self.mornings = 0
        self.environment: dict[Key, dict[str, str]] = {}
        self.reached: Counter[str] = Counter()
        self._parsed: dict[str, dict[Key, Row]] = {name: {} for name in metadata.tables}

    def check(self, ended: str, *, honest_clock: bool) -> None:
        """Check the ledger after a morning whose run ended so."""
        self.mornings += 1
        now = read_all(self.world.url, self._parsed)
        new = {name: {key: row for key, row in now[name].items() if key not in self.rows[name]} for name in now}
        rules.check_kept(self.rows, now)
        rules.check_bars(now)
        rules.check_forecasts(new, now)
        rules.check_scores(new, now)
        rules.check_runs(now)
        rules.check_latest(self.world.url, now)
        if ended != "killed" and honest_clock:
            self._check_due(now, ended)
        if ended == "done" and honest_clock:
            self._check_vendor(new, now)
            self._check_complete(new, now)
        self._remember(new, now)
        if self.mornings % 15 == 0:
            self._replay_one()

    def check_end(self) -> None:
        """Check what holds once nothing has gone wrong for some mornings."""
        rules.check_standings(self.world.url)
        hashes = {run["settings_hash"] for run in self._due_runs(self.rows)}
        left = [run for run in self.rows["runs"].values() if run["status"] == "running"]
        assert not [run for run in left if run["settings_hash"] in hashes and run["symbol"] in self.world.symbols], left
        rules.check_artifacts(self.world.folder / "data" / "artifacts", self.rows, lost=self.world.lost)
        self._replay_one()

    def _check_due(self, now: Rows, ended: str) -> None:
        """The newest night of each symbol is done with one published forecast, or its row says why not."""
        if self.world.cannot_write or ended in ("StoreError", "LockedError"):
            return  # the command's error says so
        for run in self._due_runs(now):
            published = [row for row in now["forecasts"].values() if row["run_id"] == run["id"]]
            horizons = sorted(row["horizon"] for row in published if row["role"] == "champion")
            if run["status"] == "done":
                assert horizons == ([] if ISSUED_BEFORE in run["note"] else list(HORIZONS)), (run, horizons)
            else:
                assert run["status"] in ("late", "failed"), run
                assert run["error"] or run["note"], run

    def _due_runs(self, now: Rows) -> list[Row]:
        settings, found = self.world.settings, []
        instant = self.world.now()
        for symbol in settings.symbols:
            night = make_night(symbol, last_completed(instant), settings, now=self.world.now)
            run_id = night.id
            assert (run_id,) in now["runs"], f"no row says what became of {night}"
            found.append(now["runs"][run_id,])
        return found

    def _check_vendor(self, new: Rows, now: Rows) -> None:
        """What an accepted fetch has left as current bars is what the vendor served."""
        for fetch in new["fetches"].values():
            symbol = fetch["symbol"]
            newest = max(row["fetched_at"] for row in now["fetches"].values() if row["symbol"] == symbol)
            accepted = fetch["verdict"] in ("first", "extended", "unchanged", "dividend", "split", "revised")
            if not accepted or fetch["fetched_at"] != newest or symbol in self.world.tampered:
                continue
            served, _ = self.world.vendor.told(symbol)
            span = pd.Timestamp(fetch["first_asked"]), pd.Timestamp(fetch["last_received"])
            served = served[served["session"].between(*span)]
            current = {
                row["session"]: row
                for row in now["bar_versions"].values()
                if row["symbol"] == symbol and not row["superseded_at"]
            }
            for bar in served.itertuples():
                stored = current[bar.session.date()]
                for name in ("open", "high", "low", "close"):
                    assert math.isclose(stored[name], getattr(bar, name), rel_tol=2e-5), (fetch, stored, bar)
                assert stored["volume"] == bar.volume or symbol.startswith("^"), (fetch, stored, bar)
            self.reached["fetches compared with the vendor"] += 1

    def _check_complete(self, new: Rows, now: Rows) -> None:
        """After a done night every forecast whose bar was known to it has its scores."""
        scored = {(*score_key(row), row["stage"], row["bar_version"]) for row in now["scores"].values()}
        bars = versions_of(now)
        for run in self._due_runs(now):
            if run["status"] != "done" or (run["id"],) not in new["runs"]:
                continue
            known_at = next(row["data_as_of"] for row in now["forecasts"].values() if row["run_id"] == run["id"])
            for row in now["forecasts"].values():
                if (row["symbol"], row["target"]) != (run["symbol"], run["target"]):
                    continue
                if row["target_session"] > run["as_of"]:
                    continue
                for stage, version in rules.expected_scores(
                    bars[row["symbol"], row["target_session"]], row["target"], known_at
                ):
                    assert (*score_key(row), stage, version) in scored, (row, stage, version)

    def _remember(self, new: Rows, now: Rows) -> None:
        for name, rows in new.items():
            self.born[name].update(dict.fromkeys(rows, self.mornings))
        for key, run in new["runs"].items():
            # Not of a night of this morning that ran before the settings were changed.
            if run["settings_hash"] == self.world.settings.for_symbol(run["symbol"]).hash:
                self.environment[key] = dict(self.world.variables)
        self.reached.update(f"fetch {row['verdict']}" for row in new["fetches"].values())
        self.reached.update(f"finding {row['rule']}" for row in new["findings"].values())
        self.reached.update(f"forecast {row['kind']}" for row in new["forecasts"].values())
        self.reached.update(f"role {row['role']}" for row in new["forecasts"].values())
        self.reached.update(
            f"published {row['status']}" for row in new["forecasts"].values() if row["role"] == "champion"
        )
        self.reached.update(path for row in new["forecasts"].values() for path in rules.learned(row))
        self.reached.update(f"model {row['method']}" for row in new["models"].values())
        self.reached.update("a fit refused by the gate" for row in new["models"].values() if row["refused"])
        self.reached.update(f"promotion by {row['trigger']}" for row in new["promotions"].values())
        self.reached.update(
            f"score {row['stage']}, version {min(row['bar_version'], 3)}" for row in new["scores"].values()
        )
        self.reached.update(
            "an earnings date moved" for row in new["events"].values() if row["known_rule"] == "withdrawn"
        )
        self.reached["weights pruned"] += sum(
            row["artifact_path"] is None and before["artifact_path"] is not None
            for key, before in self.rows["models"].items()
            for row in [now["models"][key]]
        )
        for key, run in now["runs"].items():
            if run["status"] != self.rows["runs"].get(key, {}).get("status"):
                self.reached[f"run {run['status']}"] += 1
                self.reached[f"mode {run['mode']}"] += bool(run["mode"])
                self.reached["a fit because of drift"] += (run["mode_reason"] or "").startswith("drift: ")
        self.rows = now

    def _replay_one(self) -> None:
        """A night alone on its morning, replayed from what the ledger held before it, gives the same bits."""
        issued = {row["run_id"]: self.born["forecasts"][key] for key, row in self.rows["forecasts"].items()}
        runs = {run_id: self.rows["runs"][run_id,] for run_id in sorted(issued)}
        decided = {(row["run_id"], self.born["promotions"][key]) for key, row in self.rows["promotions"].items()}
        at_work = {(run_id, born) for run_id, born in {*issued.items(), *decided} if run_id in runs}
        mornings = Counter((runs[run_id]["symbol"], runs[run_id]["target"], born) for run_id, born in at_work)
        alone = [
            ((run_id,), run)
            for run_id, run in runs.items()
            if run["status"] == "done"
            and (run_id,) in self.environment
            and issued[run_id] == self.born["runs"][run_id,]  # not one that an earlier morning began
            and mornings[run["symbol"], run["target"], issued[run_id]] == 1
        ]
        for key, run in self.world.draw.sample(alone, len(alone)):
            found = replay_one(self.world, run, self.rows, self.born, self.environment[key])
            self.reached[f"a night replayed: {found}"] += 1
            if found == SAME_BITS:
                return
