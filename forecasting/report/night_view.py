"""A night in full, and as one line: what every page, table and document is made of."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from statistics import median, quantiles
from typing import Any

import pandas as pd

from forecasting.evaluate.significance import Skill
from forecasting.plain_text import named, of_each
from forecasting.preprocess.future_covariates import calendar_notes
from forecasting.report.record import TrackRecord, track_record
from forecasting.report.units import (
    Unit,
    as_day,
    as_sentence,
    change,
    percent,
    relative,
    short_day,
    unit_for,
)
from forecasting.sessions import after
from forecasting.targets import TARGETS
from forecasting.vocabulary import Target

Problem = tuple[str, tuple[str, str]]
"""A series, and of what is to be known of it the kind and the text."""

USUAL_SESSIONS = 20
MADE = {"live": "live", "late": "issued late", "replay": "made afterwards"}
"""When a forecast of each kind was issued, in words."""


def usual_value(known: Sequence[float]) -> float:
    """The median of the last 20 known values; NaN without any."""
    return median(known[-USUAL_SESSIONS:]) if known else math.nan


def hit_or_miss(result: Mapping[Any, Any]) -> str:
    """`hit` where a result came inside the 80% interval, else `miss`; empty without one."""
    if not result:
        return ""
    return "hit" if result["inside_80"] else "miss"


def reason_of(run: Mapping[str, Any]) -> str:
    """Why a night failed or waits, or what is to be known of it; empty without any."""
    return str(run["note"] if run["error"] is None else run["error"])


@dataclass(frozen=True)
class Why:
    """What one median is made of, for each sentence, bar and short form of it."""

    target: Target
    session: date
    status: str
    special_days: Sequence[str]
    # In order, the usual level first; empty where they are unknown
    parts: Sequence[tuple[str, float]]

    @property
    def notes(self) -> list[str]:
        """What is to be known of a forecast: that it is a baseline's, and the special days."""
        kind = [] if self.status == "ok" else ["baseline"]
        return [*kind, *self.special_days]

    @property
    def product(self) -> float:
        """That of the factors beside the usual level; NaN if unknown."""
        return math.prod(factor for _, factor in self.parts[1:]) if self.parts else math.nan


@dataclass(frozen=True)
class SessionLine:
    """What is published for one session, in bare numbers of the night's unit.

    It is a row of every table of the night.
    """

    session: date
    median: str
    span_50: str
    span_80: str
    span_90: str
    change: str
    special_days: list[str]
    why: Why


@dataclass(frozen=True)
class ReportData:
    """One night of one symbol and target.

    Mappings carry the tables' column names, frames the columns listed. Sessions may be dates,
    timestamps or ISO text; values are in the target's own unit (shares, log(high / low)).
    Frames may hold more columns and need no order.
    """

    run: Mapping[str, Any]  # the row of `runs`, as fetch and model of what was published
    fetch: Mapping[str, Any]
    model: Mapping[str, Any]
    # The published rows of the newest origin, one per horizon, of table forecasts
    forecasts: pd.DataFrame
    # By session, ascending; `value` (NaN for unknown) and `settled` (bool). Best with 60 rows
    history: pd.DataFrame
    # Session (the one that reacts), kind and known_from; history and coming sessions alike
    events: pd.DataFrame
    # Of about 250 origins, as read.scored; role published: whichever model made it
    scored: pd.DataFrame
    findings: pd.DataFrame  # those open at this night's fetch, new ones included, as read.findings
    # The published rows of total_forecasts, the shortest first; empty but for volume
    totals: Sequence[Mapping[str, Any]] = ()
    # The row of `fallback_margins` of this night; None without one
    margin: Mapping[str, Any] | None = None
    # The row of `runs` of a newer night that waits, or failed
    unfinished: Mapping[str, Any] | None = None
    # The newest completed session, where it is after the origin: the forecasts are stale
    newest: date | None = None
    # Inputs that the last finished night had not: name, then, now
    changed: Sequence[tuple[str, object, object]] = ()
    # By horizon, as in forecast_parts
    parts: Mapping[int, Sequence[tuple[str, float]]] = field(default_factory=dict)
    skill: Skill | None = None  # None before the first score, and of a past night
    # Of a page alone: of the model `parents` (nearest first), `fitted_on_the_night_of`, `forecasts`
    lineage: Mapping[str, Any] | None = None
    exchange: str = "XNYS"
    # Cost of an overestimate per unit over that of an underestimate
    cost_ratio: float | None = None

    @property
    def symbol(self) -> str:
        """The ticker."""
        return str(self.run["symbol"])

    @property
    def target(self) -> Target:
        """What is forecast."""
        return self.run["target"]

    @property
    def origin(self) -> date:
        """The last session whose bar the forecasts use."""
        return as_day(self.forecasts["origin_session"].iloc[0])

    @cached_property
    def unit(self) -> Unit:
        """The unit in which the night's values are easiest to read."""
        return unit_for(self.target, usual=self.usual)

    @cached_property
    def record(self) -> TrackRecord:
        """The track record up to this night, for every page and table that has figures of it."""
        return track_record(self.scored)

    @cached_property
    def result(self) -> Mapping[Any, Any]:
        """The newest score one session ahead; empty without one."""
        newest = self.record.ahead(1).tail(1).astype({"inside_80": bool})
        return next(iter(newest.to_dict("records")), {})

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The published forecasts, nearest session first, sessions as dates."""
        rows = self.forecasts.sort_values("horizon", ignore_index=True)
        return rows.assign(target_session=[as_day(value) for value in rows["target_session"]])

    @cached_property
    def lines(self) -> list[SessionLine]:
        """The same in words."""
        return [self._line(row) for row in self.rows.to_dict("records")]

    def _line(self, row: Mapping[Any, Any]) -> SessionLine:
        session = row["target_session"]
        days = self.special_days(session)
        why = Why(
            self.target,
            session,
            row["status"],
            days,
            self.parts.get(row["horizon"], ()),
        )
        return SessionLine(
            session=session,
            median=self.unit.number(row["q50"]),
            span_50=self.unit.span(row["q25"], row["q75"]),
            span_80=self.unit.span(row["q10"], row["q90"]),
            span_90=self.unit.span(row["q05"], row["q95"]),
            change=change(row["q50"], self.usual),
            special_days=days,
            why=why,
        )

    @cached_property
    def dated(self) -> pd.DataFrame:
        """The history by date."""
        return self.history.set_axis([as_day(day) for day in self.history.index])

    @cached_property
    def known(self) -> pd.Series[float]:
        """The target's known values up to the origin, by date, oldest first."""
        return self.dated["value"].astype(float).loc[: self.origin].dropna()

    def special_days(self, session: date) -> list[str]:
        """Earnings, half day, expiry and the like of a session."""
        kinds = self._event_kinds.get(session, [])
        return list(dict.fromkeys([*kinds, *calendar_notes(session, self.exchange)]))

    @cached_property
    def _event_kinds(self) -> dict[Any, list[str]]:
        sessions = self.events["session"].map(as_day)
        return {day: list(kinds) for day, kinds in self.events["kind"].groupby(sessions)}

    @cached_property
    def usual(self) -> float:
        """What a median is compared with: `usual_value`."""
        return usual_value(self.known.tolist())

    @cached_property
    def is_provisional(self) -> bool:
        """Whether the last value is a first print that no later fetch has confirmed."""
        return not self.dated["settled"][self.known.index[-1]]

    @property
    def model_age(self) -> int | None:
        """Sessions from the model's last training session to the origin; None of a baseline."""
        trained_to = self.model["trained_to"]
        if trained_to is None:
            return None
        return len(after(as_day(trained_to), self.origin, self.exchange))


@dataclass(frozen=True)
class SymbolLine:
    """The newest night of a symbol and target: a row of the index, a run's page or the digest."""

    symbol: str
    target: Target
    # The newest row of `runs`, whatever came of it; None before the first night
    run: Mapping[str, Any] | None
    # The published row of table forecasts one session ahead, with `title` of its fetch;
    # empty where there is none, and then nothing that is said of it can be asked for.
    forecast: Mapping[str, Any] = field(default_factory=dict)
    # Known values up to the origin, oldest first, in the target's own unit; NaN: unknown
    values: Sequence[float] = ()
    # Earnings dates (session, kind, announced, timing) to which it, or a session near, reacts
    reports: Sequence[Mapping[str, Any]] = ()
    # The newest score one session ahead, of a replay where all are, and `q50`; empty without one
    result: Mapping[str, Any] = field(default_factory=dict)
    skill: Skill | None = None  # None before the first score
    parts: Sequence[tuple[str, float]] = ()  # of its median in order, as in ReportData.parts
    # Of its next five sessions together, as in view latest_totals; empty without
    total: Mapping[str, Any] = field(default_factory=dict)
    opens: datetime | None = None  # when the session that is forecast opens
    page: str = ""  # file name or address of its page; empty where there is none
    # Whether the ledger has a newer forecast of it: a run was of a past night
    is_past: bool = False

    @property
    def series(self) -> str:
        """What names it: symbol and target."""
        return f"{self.symbol} {self.target}"

    @property
    def known(self) -> list[float]:
        """The values without unknown ones."""
        return [value for value in self.values if math.isfinite(value)]

    @property
    def usual(self) -> float:
        """As `usual_value`."""
        return usual_value(self.known)

    @property
    def unit(self) -> Unit:
        """The unit in which its values are written; of the median where no value is known."""
        usual = self.usual if math.isfinite(self.usual) else float(self.forecast["q50"])
        return unit_for(self.target, usual=usual)

    @property
    def origin(self) -> date:
        """The session from which it is forecast."""
        return as_day(self.forecast["origin_session"])

    @property
    def session(self) -> date:
        """The session that is forecast."""
        return as_day(self.forecast["target_session"])

    @property
    def median(self) -> str:
        """With its unit, in brief."""
        return self.unit.brief(self.forecast["q50"])

    @property
    def interval(self) -> str:
        """That of 80%, with its unit, in brief."""
        return self.unit.brief(self.forecast["q10"], self.forecast["q90"])

    @property
    def change(self) -> str:
        """The median's change against usual in words; a dash where it is unknown."""
        return percent(self.vs_usual, signed=True)

    @property
    def vs_usual(self) -> float:
        """The median's change against usual as a share; NaN where it is unknown."""
        return relative(self.forecast["q50"], self.usual)

    @property
    def factor(self) -> float:
        """The median in usual values; NaN if unknown."""
        return 1.0 + self.vs_usual

    @property
    def unusualness(self) -> float:
        """The median's distance from usual in widths of the usual interval; 0 where it is unknown.

        That interval holds the middle 80% of the last 20 values.
        """
        newest = self.known[-USUAL_SESSIONS:]
        if len(newest) < 2:
            return 0.0
        tenths = quantiles(newest, n=10, method="inclusive")
        width = tenths[-1] - tenths[0]
        return abs(self.forecast["q50"] - self.usual) / width if width else 0.0

    @property
    def is_total_unusual(self) -> bool:
        """Whether the usual total of its next five sessions is outside their 80% interval."""
        total = self.total
        return bool(total) and not total["q10"] <= total["usual"] <= total["q90"]

    @property
    def special_days(self) -> list[str]:
        """What is special about the session; of a report near it when it comes."""
        calendar = filter(None, str(self.forecast["calendar"]).split(", "))
        on_session = [one for one in self.reports if as_day(one["session"]) == self.session]
        if on_session:
            return [*(one["kind"] for one in on_session), *calendar]
        return [*map(_report_words, self.reports), *calendar]

    @property
    def why(self) -> Why:
        """What its median is made of."""
        return Why(
            self.target,
            self.session,
            self.forecast["status"],
            self.special_days,
            self.parts,
        )

    @property
    def hit(self) -> str:
        """As `hit_or_miss` of the newest result."""
        return hit_or_miss(self.result)

    @property
    def result_session(self) -> date:
        """The session of the newest result."""
        return as_day(self.result["target_session"])

    @property
    def status(self) -> str:
        """That of the newest night; without its bar its forecast is stale."""
        if not self.run:
            return "no night yet"
        return "stale" if self.run["status"] == "late" else str(self.run["status"])

    @property
    def reason(self) -> str:
        """Why it failed or waits, or what is to be known of it."""
        return reason_of(self.run) if self.run else ""

    @property
    def unusual(self) -> list[str]:
        """How its forecast differs from a live one of the network."""
        words = []
        if self.forecast and self.forecast["kind"] != "live":
            words.append(MADE[self.forecast["kind"]])
        if self.forecast and self.forecast["status"] == "fallback":
            words.append("baseline")
        return words

    @property
    def state(self) -> str:
        """One or two words for all of that: what is wrong with the newest forecast, or `ok`."""
        if self.is_behind:
            return self.status
        return self.unusual[-1] if self.unusual else "ok"

    @property
    def remedy(self) -> str:
        """The command that makes its newest night."""
        return (
            f"`forecasting run --symbol {self.symbol} --target {self.target}` makes it, or says "
            "why not."
        )

    @property
    def problem(self) -> tuple[str, str] | None:
        """What is wrong with the newest night, like failed, and why; None where all is well."""
        if self.status != "done":
            unsaid = "It has not ended yet." if self.run else self.remedy
            return self.status, self.reason or unsaid
        if self.unusual and self.unusual != [MADE["replay"]]:
            reason = self.forecast["reason"] or "Issued after its session had opened."
            return self.unusual[-1], as_sentence(reason)
        return None

    @property
    def is_behind(self) -> bool:
        """Whether the newest night failed or waits, so that the forecast is of an earlier one."""
        if self.run is None or self.status not in ("stale", "failed"):
            return False
        return as_day(self.run["as_of"]) > self.origin


def _report_words(report: Mapping[str, Any]) -> str:
    hours = {"bmo": " before the open", "amc": " after the close", "": ", hour unknown"}
    return f"report on {short_day(as_day(report['announced']))}{hours[report['timing']]}"


def by_cause(problems: Iterable[Problem]) -> list[tuple[str, str, str]]:
    """Kind, series and text of each problem, once for all of one cause."""
    causes = defaultdict[tuple[str, str], list[tuple[str, str]]](list)
    for series, (kind, why) in problems:
        causes[kind, of_each(why, series)].append((series, why))
    return [
        (kind, named([series for series, _ in some], 3), some[0][1] if len(some) == 1 else cause)
        for (kind, cause), some in causes.items()
    ]


def most_unusual_first(lines: Iterable[SymbolLine]) -> list[SymbolLine]:
    """The lines by target, and within one by distance from usual."""
    targets = list(TARGETS)
    return sorted(lines, key=lambda line: (targets.index(line.target), -line.unusualness))
