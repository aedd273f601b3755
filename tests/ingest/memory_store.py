"""A store in memory that applies a Revision as the real one.

Append versions, settle, keep actions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import pandas as pd

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import check_bars
from forecasting.ingest.earnings import joined
from forecasting.ingest.revisions import NOTHING_STORED, Revision, StoredBars, explain
from forecasting.ingest.sources import Request, Response
from forecasting.ingest.splits import on_one_basis

VALUES = ["open", "high", "low", "close", "volume"]
NO_ACTIONS = make_actions([])


@dataclass
class MemoryStore:
    """All versions in the order of their fetches."""

    versions: pd.DataFrame = field(default_factory=pd.DataFrame)
    actions: pd.DataFrame = field(default_factory=lambda: make_actions([]))

    def bars(self) -> pd.DataFrame:
        """The current view, as read.bars returns it."""
        if self.versions.empty:
            return NOTHING_STORED.bars
        newest = (
            self.versions.drop_duplicates("session", keep="last").set_index("session").sort_index()
        )
        return newest[[*VALUES, "version", "settled"]]

    def take(self, fetched: Response) -> tuple[Revision, list[Finding]]:
        """Check, explain and store one fetch."""
        stored = StoredBars(self.bars(), self.actions)
        fetched = on_one_basis(fetched, known=stored.bars, known_actions=stored.actions)
        bars, findings = check_bars(fetched, known=stored.bars)
        revision = explain(stored, bars, actions=fetched.actions, exchange="XNYS")
        added = revision.versions.assign(settled=False)
        self.versions = joined(self.versions, added)
        assert not self.versions.duplicated(["session", "version"]).any()
        newest = self.versions["session"].drop_duplicates(keep="last")
        self.versions.loc[
            newest.index[newest.isin(pd.DatetimeIndex(revision.settled))], "settled"
        ] = True
        both = pd.concat([self.actions, revision.new_actions])
        self.actions = both.drop_duplicates(["session", "kind"], keep="last").reset_index(drop=True)
        return revision, [*findings, *revision.findings]


def stored(bars: pd.DataFrame, actions: pd.DataFrame | None = None) -> MemoryStore:
    """The store after one fetch of `bars`."""
    store = MemoryStore()
    store.take(fetched_of(bars, actions))
    return store


def assert_view(store: MemoryStore, bars: pd.DataFrame):
    pd.testing.assert_frame_equal(store.bars()[VALUES], bars[VALUES], check_freq=False, rtol=1e-5)


def fetched_of(
    bars: pd.DataFrame,
    actions: pd.DataFrame | None = None,
    *,
    live: bool = False,
    **changed,
) -> Response:
    """A response that brought `bars`, asked for exactly their span; `changed` is of its request."""
    span = {"first": bars.index[0].date(), "last": bars.index[-1].date()}
    request = Request(**{"source": "test", "symbol": "SBUX"} | span | changed)
    actions = NO_ACTIONS if actions is None else actions
    return Response(request, bars, actions, live=live, title="a test")


def found(findings: Sequence[Finding]) -> list[tuple[date, str, str]]:
    """Session, rule and severity of each."""
    return [(finding.session, finding.rule, finding.severity) for finding in findings]


def split_of(revision):
    """New shares per old share of the newest rebased bar, as the detail has them.

    None when the basis stayed.
    """
    found = re.search(r"\bsplit x([0-9.e+-]+)", revision.detail)
    return None if found is None else float(found[1])
