"""The one model of a night that every page, table and document is made of, without a database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from statistics import median
from typing import Any

import pandas as pd

from forecasting.errors import StoreError
from forecasting.preprocess.future_covariates import calendar_notes
from forecasting.report.record import TrackRecord, track_record
from forecasting.report.units import Unit, as_day, change, unit_for
from forecasting.vocabulary import QUANTILE_COLUMNS, Target

SCORED_COLUMNS = (
    *("name", "model_id", "role", "kind", "origin_session", "horizon", "target_session", *QUANTILE_COLUMNS),
    *("issued_at", "actual", "error", "pinball", "inside_80", "inside_90"),
)
FINDING_COLUMNS = ("session", "rule", "severity", "value", "detail", "since")


def usual_value(target: Target, known: Sequence[float]) -> float:
    """The last known value of a close, else the median of the last 20; NaN without any."""
    return median(known[-1 if target == "close" else -20 :]) if known else math.nan


@dataclass(frozen=True)
class SessionLine:
    """What is published for one session, in the night's unit: a row of every table that shows the night.

    Attributes:
        session: That is forecast.
        median: As the spans a bare number.
        span_50: As the other spans of the interval of so many percent.
        change: Of the median against the usual value, which is the last one of a close.
        change_last: Of the median against the last value.
        status: ok or fallback.
        special_days: Earnings, half day, expiry, the first after a holiday.
    """

    session: date
    median: str
    span_50: str
    span_80: str
    span_90: str
    change: str
    change_last: str
    status: str
    special_days: list[str]


@dataclass(frozen=True)
class ReportData:
    """One night of one symbol and target. Mappings carry the tables' column names, frames the columns listed.

    Sessions may be dates, timestamps or ISO text; instants are aware UTC; values are in the target's own unit (shares,
    price, log(high / low)). Frames may hold more columns and need no order.

    Attributes:
        run: The row of `runs`; what is not written yet (stage seconds, finished_at) may be None or absent.
        fetch: The row of `fetches` that brought the bars.
        model: The row of `models` whose forecasts are published.
        forecasts: The published rows of the newest origin, one per horizon, of table forecasts; at least one.
        history: Index of sessions, ascending; `value` (NaN for unknown) and `settled` (bool). Best with 60 rows.
        events: session and kind; earnings and the like, on the session that reacts, history and coming sessions alike.
        scored: SCORED_COLUMNS; `scores` joined to `forecasts` and to `models.name`. Role champion: as published,
            whichever model made it. One score per forecast, of every kind. No rows on the first night. Every row given
            is counted: pass the last 250 origins or so.
        findings: FINDING_COLUMNS of the findings open at this night's fetch, new ones included; may have no rows.
        issued: Columns of `forecasts`, `name` of the model, `role` and `split_factor` (shares of this night per share
            when issued) of past nights and this one; None: a reader can pick this night alone.
        first_prints: The target's values as first stored, by session, of the newest sessions; NaN for unknown.
        champions: Rows of view `champions`, up to this night.
        lineage: Of the published model: `parents` (ids, the nearest first), `fitted_on_the_night_of`, `forecasts`.
        decision: The row of `promotions` of this night; None when nothing was decided.
        unfinished: The row of `runs` of a newer night that waits for its bar, continued without it or failed.
        changed: Inputs that are not those of the last finished night: name, value then and now.
        exchange: Whose sessions count.
        currency: Of prices, as the source writes it (USD, GBp); empty where it is unknown.
        cost_ratio: Cost of an overestimate per unit over that of an underestimate; None where none is set.
    """

    run: Mapping[str, Any]
    fetch: Mapping[str, Any]
    model: Mapping[str, Any]
    forecasts: pd.DataFrame
    history: pd.DataFrame
    events: pd.DataFrame
    scored: pd.DataFrame
    findings: pd.DataFrame
    issued: pd.DataFrame | None = None
    first_prints: pd.Series[float] | None = None
    champions: pd.DataFrame | None = None
    lineage: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    unfinished: Mapping[str, Any] | None = None
    changed: Sequence[tuple[str, object, object]] = ()
    exchange: str = "XNYS"
    currency: str = "USD"
    cost_ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse a night without forecasts or known values, by a StoreError."""
        known = int(self.history["value"].notna().sum())
        if self.forecasts.empty or not known:
            raise StoreError(
                f"Expected at least one forecast and one known value; found {len(self.forecasts)} forecasts and "
                f"{known} known values. Run the night first."
            )

    @property
    def symbol(self) -> str:
        """The ticker."""
        return str(self.run["symbol"])

    @property
    def target(self) -> Target:
        """What is forecast."""
        target: Target = self.run["target"]
        return target

    @property
    def origin(self) -> date:
        """The last session whose bar the forecasts use."""
        return as_day(self.forecasts["origin_session"].iloc[0])

    @cached_property
    def unit(self) -> Unit:
        """The unit in which the night's values are easiest to read."""
        return unit_for(self.target, usual=self.usual, symbol=self.symbol, currency=self.currency)

    @cached_property
    def record(self) -> TrackRecord:
        """The track record up to this night, for every page and table that has figures of it."""
        return track_record(self.scored)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The published forecasts, nearest session first, sessions as dates."""
        rows = self.forecasts.sort_values("horizon", ignore_index=True)
        return rows.assign(target_session=[as_day(value) for value in rows["target_session"]])

    @cached_property
    def lines(self) -> list[SessionLine]:
        """The same in words."""
        return [
            SessionLine(
                row["target_session"],
                self.unit.number(row["q50"]),
                self.unit.span(row["q25"], row["q75"]),
                self.unit.span(row["q10"], row["q90"]),
                self.unit.span(row["q05"], row["q95"]),
                change(row["q50"], self.usual, target=self.target),
                change(row["q50"], self.last_value, target=self.target),
                str(row["status"]),
                self.special_days(row["target_session"]),
            )
            for row in self.rows.to_dict("records")
        ]

    @cached_property
    def known(self) -> pd.Series[float]:
        """The target's known values up to the origin, by date, oldest first."""
        values = self.history["value"].astype(float)
        values.index = pd.Index([as_day(value) for value in values.index], dtype=object)
        origin = self.origin
        return values[[session <= origin for session in values.index]].dropna()

    def special_days(self, session: date) -> list[str]:
        """What is special about a session: earnings, half day, expiry, the first after a holiday."""
        return list(dict.fromkeys([*self._event_kinds.get(session, []), *_calendar_notes(session, self.exchange)]))

    @cached_property
    def _event_kinds(self) -> dict[date, list[str]]:
        kinds: dict[date, list[str]] = {}
        for session, kind in zip(self.events["session"], self.events["kind"], strict=True):
            kinds.setdefault(as_day(session), []).append(str(kind))
        return kinds

    @property
    def last_value(self) -> float:
        """The newest known value at the origin."""
        return float(self.known.iloc[-1])

    @cached_property
    def usual(self) -> float:
        """What a median is compared with: `usual_value`."""
        return usual_value(self.target, self.known.tolist())

    @property
    def usual_name(self) -> str:
        """What that is: the last value of a close, else the usual one."""
        return "last" if self.target == "close" else "usual"

    @cached_property
    def is_provisional(self) -> bool:
        """Whether the last value is a first print that no later fetch has confirmed."""
        settled = {as_day(day): bool(flag) for day, flag in self.history["settled"].items()}
        return not settled[self.known.index[-1]]


@lru_cache(maxsize=4096)
def _calendar_notes(session: date, exchange: str) -> tuple[str, ...]:
    """A page asks for hundreds of sessions, and those of many symbols for the same ones."""
    return tuple(calendar_notes(session, exchange))
