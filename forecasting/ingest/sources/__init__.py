"""Sources of bars: small protocols, implementations beside them, and others in installed packages.

A new source is a class with a `name` and a `fetch`: it returns a Response to a Request, and raises
only the three SourceErrors. docs/developer.md contains a complete one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from pydantic import AfterValidator, ConfigDict
from pydantic.dataclasses import dataclass as validated

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import Finding
from forecasting.targets import TARGETS
from forecasting.vocabulary import Target

COLUMNS = ["open", "high", "low", "close", "adj_close", "volume"]

# Shares up to which a volume is unknown: the ledger has whole ones, and Yahoo writes 0 for unknown
NO_VOLUME = 0.5


def canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Canonical bars: `session`, ascending naive midnights, and six float64; a volume 0 is NaN."""
    bars = frame.reindex(columns=COLUMNS).astype("float64")
    bars.index = pd.DatetimeIndex(frame.index).as_unit("ns").rename("session")
    bars["volume"] = bars["volume"].where(bars["volume"].abs() > NO_VOLUME)
    return bars.sort_index()


def are_midnights(days: pd.Series) -> bool:
    """Whether each value is a naive midnight."""
    if days.empty:
        return True
    return bool(pd.api.types.is_datetime64_dtype(days) and (days == days.dt.normalize()).all())


def _sound_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars, canonical; a ValueError, as pydantic expects it, for another shape."""
    days = bars.index.to_series()
    if (
        sorted(bars.columns) != sorted(COLUMNS)
        or days.duplicated().any()
        or not are_midnights(days)
    ):
        raise ValueError(
            f"expected the columns {', '.join(COLUMNS)} and a row a session, at its naive "
            f"midnight; found {', '.join(map(str, bars.columns))} at {list(map(str, days[:1]))}"
        )
    return canonical(bars)


def _sound_actions(actions: pd.DataFrame) -> pd.DataFrame:
    """The actions; a ValueError where one is no dividend or split above 0 at a naive midnight."""
    value = actions["value"]
    is_sound = actions["kind"].isin(("dividend", "split")) & (value > 0.0) & (value < np.inf)
    if is_sound.all() and are_midnights(actions["session"]):
        return actions
    raise ValueError(
        "expected dividends and splits above 0 at naive midnights; found "
        f"{actions[~is_sound].head(1).to_dict('records')}"
    )


@dataclass(frozen=True)
class Request:
    """A request for a symbol's bars, and what its night needs of the response."""

    source: str  # the name of the source, as stored in the ledger
    symbol: str
    first: date  # first session requested
    last: date  # last session requested, the night's; no bar is newer
    exchange: str = "XNYS"
    # Of the run: without the values that they are made of the night is late. None of a market
    # series, whose bars no run is made for.
    targets: tuple[Target, ...] = ()
    sessions_needed: int = 1  # fewest that a forecast needs
    # Take a history that differs from the stored one: the user gave --switch-source
    accept: bool = False
    of_index: bool = False  # whether it is of a market series

    @property
    def columns(self) -> list[str]:
        """The columns of the newest bar that the targets are made of."""
        return [column for target in self.targets for column in TARGETS[target].columns]


def _no_actions() -> pd.DataFrame:
    return make_actions([])


@validated(
    frozen=True, config=ConfigDict(arbitrary_types_allowed=True, strict=True, extra="forbid")
)
class Response:
    """The response to a request, before any check of its values.

    Its bars are made canonical; a value of another type or shape is a pydantic.ValidationError.
    """

    request: Request
    # Index `session` (naive midnight, ascending, unique); float64 columns open, high, low, close,
    # adj_close (for dividends too; NaN where the source has none) and volume (shares; NaN means
    # unknown, never 0), on the newest share basis. `canonical` makes them.
    bars: Annotated[pd.DataFrame, AfterValidator(_sound_bars)]
    # Columns session (naive midnight), kind (`dividend` or `split`), value (per share, or new per
    # old share). One newer than the last bar is announced by the source already.
    actions: Annotated[pd.DataFrame, AfterValidator(_sound_actions)] = field(
        default_factory=_no_actions
    )
    # The newest bar may be unfinished or cut off, so its volume is checked; no bar follows
    live: bool = False
    title: str = ""  # description of the series, for tables and report
    library_version: str = ""  # the library that read it, `yfinance 1.7.0`
    # Of the prices, as the source writes it (USD, EUR, GBp for pence); empty if unknown
    currency: str = ""
    # Newest session after the last one requested that has a bar: this machine's clock is behind
    newest: date | None = None
    findings: tuple[Finding, ...] = ()  # on rows that it could not read and has left out


class Source(Protocol):
    """An object that returns a symbol's bars."""

    name: str  # The source as stored in the ledger; a symbol keeps its source

    def fetch(self, request: Request) -> Response:
        """The symbol's bars for the sessions `first` .. `last` of the request, both included.

        Raises:
            RateLimitedError, UnavailableError: A later retry may succeed.
            BadDataError: A retry cannot succeed: unknown symbol, malformed file, no bars in the
                span.
        """
        ...


@runtime_checkable
class EndedSource(Protocol):
    """A source with a last session, as a file. A source without `newest` is live.

    The calendar gives the newest one.
    """

    def newest(self, symbol: str) -> date:
        """The newest session of its bars; raises the errors of `fetch`."""
        ...


@runtime_checkable
class EarningsSource(Protocol):
    """A source that also lists earnings dates."""

    def earnings_dates(self, since: Mapping[str, date], session: date) -> pd.DataFrame:
        """Return the earnings dates of the symbols, past and coming, as the source lists them now.

        A SourceError stops no night: it becomes a finding.

        Args:
            since: The symbols, and the day from which on the dates of each are asked: the day after
                its newest known report, at most a year and at least a week before `session`. The
                source may list older dates too.
            session: The session of the night. The dates after it matter most.

        Returns:
            Columns symbol, announced (naive midnight) and timing (`bmo`, `amc` or empty), by the
            clock of the symbol's exchange.
        """
        ...
