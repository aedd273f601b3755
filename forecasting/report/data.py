"""The data of one report page: a night's rows as the store holds them, without a database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from statistics import median
from typing import Any

import pandas as pd

from forecasting.errors import StoreError
from forecasting.report.days import as_day
from forecasting.report.track_record import TrackRecord, track_record
from forecasting.vocabulary import QUANTILE_COLUMNS, Target

FORECAST_COLUMNS = (
    *("origin_session", "horizon", "target_session", *QUANTILE_COLUMNS),
    *("kind", "status", "reason", "last_value", "issued_at", "data_as_of"),
)
SCORED_COLUMNS = (
    *(
        "name",
        "model_id",
        "role",
        "kind",
        "origin_session",
        "horizon",
        "target_session",
        *QUANTILE_COLUMNS,
        "issued_at",
    ),
    *("actual", "error", "pinball", "inside_80", "inside_90"),
)
EVENT_COLUMNS = ("session", "kind")
FINDING_COLUMNS = ("session", "rule", "severity", "value", "detail", "since")


def usual_value(target: Target, known: Sequence[float]) -> float:
    """The last known value of a close, else the median of the last 20; NaN without any."""
    return median(known[-1 if target == "close" else -20 :]) if known else math.nan


@dataclass(frozen=True)
class ReportData:
    """One night of one symbol and target. Mappings carry the tables' column names, frames the columns listed.

    Sessions may be dates, timestamps or ISO text; instants are aware UTC; values are in the target's own unit (shares,
    price, log(high / low)). Frames may hold more columns and need no order.

    Attributes:
        run: The row of `runs`; what is not written yet (stage seconds, finished_at) may be None or absent.
        fetch: The row of `fetches` that brought the bars.
        model: The row of `models` whose forecasts are published.
        forecasts: FORECAST_COLUMNS; the published rows of the newest origin, one per horizon.
        history: Index of sessions, ascending; `value` (NaN for unknown) and `settled` (bool). Best with 60 rows.
        events: EVENT_COLUMNS; earnings and the like, on the session that reacts, history and coming sessions alike.
        scored: SCORED_COLUMNS; `scores` joined to `forecasts` and to `models.name`. Role champion: as published,
            whichever model made it. One score per forecast, of every kind. No rows on the first night. Every row given
            is counted: pass the last 250 origins or so.
        findings: FINDING_COLUMNS of the findings open at this night's fetch, new ones included; may have no rows.
        issued: FORECAST_COLUMNS, `name` of the model, `role` and `split_factor` (shares of this night per share when
            issued) of past nights and this one; None: a reader can pick this night alone.
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
        """Refuse a frame with a missing column, and a night without forecasts.

        Raises:
            ValueError: A column is missing.
            StoreError: There is no forecast, or no known value.
        """
        wanted = {"forecasts": FORECAST_COLUMNS, "history": ("value", "settled"), "events": EVENT_COLUMNS}
        wanted |= {"scored": SCORED_COLUMNS, "findings": FINDING_COLUMNS}
        for name, columns in wanted.items():
            missing = [column for column in columns if column not in getattr(self, name).columns]
            if missing:
                raise ValueError(
                    f"Expected the columns {', '.join(columns)} in ReportData.{name}; missing: {', '.join(missing)}."
                )
        if self.forecasts.empty or not self.history["value"].notna().any():
            raise StoreError(
                f"Expected at least one forecast and one known value; found {len(self.forecasts)} forecasts and "
                f"{int(self.history['value'].notna().sum())} known values. Run the night first."
            )

    @property
    def symbol(self) -> str:
        """The ticker."""
        return str(self.run["symbol"])

    @property
    def target(self) -> Target:
        """What is forecast."""
        found: Target = self.run["target"]
        return found

    @property
    def origin(self) -> date:
        """The last session whose bar the forecasts use."""
        return as_day(self.forecasts["origin_session"].iloc[0])

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
    def known(self) -> pd.Series[float]:
        """The target's known values up to the origin, by date, oldest first."""
        values = self.history["value"].astype(float)
        values.index = pd.Index([as_day(value) for value in values.index], dtype=object)
        origin = self.origin
        return values[[session <= origin for session in values.index]].dropna()

    @cached_property
    def event_kinds(self) -> dict[date, list[str]]:
        """The kinds of the events of each session that has any."""
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

    @cached_property
    def is_provisional(self) -> bool:
        """Whether the last value is a first print that no later fetch has confirmed."""
        settled = {as_day(day): bool(flag) for day, flag in self.history["settled"].items()}
        return not settled[self.known.index[-1]]
