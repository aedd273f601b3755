"""One view of a night, of which index, page, digest, terminal and artifacts are templates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from statistics import quantiles

import pandas as pd

from forecasting.conditions import Condition, Kind, of_earnings
from forecasting.evaluate.significance import Skill
from forecasting.report.record import TrackRecord
from forecasting.report.units import Unit, as_day, as_sentence, percent, unit_for
from forecasting.report.words import WORDS, word
from forecasting.store.read import Lead
from forecasting.store.rows import FetchRow, ForecastRow, ModelRow, ResultRow, RunRow, TotalRow
from forecasting.targets import TARGETS
from forecasting.vocabulary import HORIZONS, Target

USUAL_SESSIONS = 20
NEARLY_USUAL = 0.1
"""Usual widths from usual within which a digest leaves a forecast out."""

MADE = {"live": "live", "late": WORDS["issued_late"].word, "replay": WORDS["made_afterwards"].word}
"""When a forecast of each kind was issued, in words."""

# One that is still running has written its page already, in its last step
_PUBLISHED: dict[Kind, Kind] = {"failed": "part_failed", "running": "done"}
"""What has come of a night that has published its forecasts."""


@dataclass(frozen=True)
class SessionView:
    """What is published for one session: a row of every table of a night."""

    row: ForecastRow
    unit: Unit  # of the night
    # Of its median in order, the usual level first; empty where they are unknown
    parts: Sequence[tuple[str, float]] = ()

    @property
    def session(self) -> date:
        """The session that is forecast."""
        return self.row.target_session

    @property
    def median(self) -> str:
        """The median as a bare number."""
        return self.unit.number(self.row.q50)

    def span(self, low: str, high: str) -> str:
        """The interval between two quantiles in bare numbers."""
        return self.unit.span(getattr(self.row, low), getattr(self.row, high))

    @property
    def brief_median(self) -> str:
        """The median with its unit, in brief."""
        return self.unit.brief(self.row.q50)

    @property
    def brief_interval(self) -> str:
        """The 80% interval with its unit, in brief."""
        return self.unit.brief(self.row.q10, self.row.q90)

    @property
    def vs_usual(self) -> float:
        """The median's change against usual as a share; NaN where it is unknown."""
        share = self.row.vs_usual
        return math.nan if share is None else float(share)

    @property
    def change(self) -> str:
        """The median's change against usual in words; a dash where it is unknown."""
        return percent(self.vs_usual, signed=True)

    @property
    def special_days(self) -> list[str]:
        """What is special about the session: earnings, half day, expiry and the like."""
        days = [day for day in self.row.special_day.split(", ") if day]
        # The hour of a report is in the view. An expected report has a mark of its own.
        return ["earnings" if day.startswith("earnings ") else day for day in days]

    @property
    def notes(self) -> list[str]:
        """What is to be known of a forecast: that it is a baseline's, and the special days."""
        kind = [] if self.row.status == "ok" else [WORDS["baseline"].word]
        return [*kind, *self.special_days]


@dataclass(frozen=True)
class NightDetails:
    """What a page and the documents of one night add to its view."""

    run: RunRow  # as fetch and model of what was published
    fetch: FetchRow
    model: ModelRow
    findings: pd.DataFrame  # those open at this night's fetch, new ones included, as read.findings
    # Of the scores up to this night, not of a line of a listing; leads are not of a past night
    record: TrackRecord = field(default_factory=lambda: TrackRecord(pd.DataFrame()))
    leads: Mapping[str, Lead] = field(default_factory=dict)
    # By past session: earnings, half day and the like
    past_days: Mapping[date, Sequence[str]] = field(default_factory=dict)
    # Inputs that the last finished night had not: name, then, now
    changed: Sequence[tuple[str, object, object]] = ()
    # Cost of an overestimate per unit over that of an underestimate
    cost_ratio: float | None = None


NO_HISTORY = pd.DataFrame({"value": [], "settled": []})


@dataclass(frozen=True)
class NightView:
    """The newest night of a symbol and target, or a past one."""

    symbol: str
    target: Target
    # The newest, whatever came of it; None before the first night
    run: RunRow | None = None
    # Those of a week, the nearest session first, or that one alone; empty where there is none, and
    # then nothing that is said of them can be asked for
    forecasts: Sequence[ForecastRow] = ()
    parts: Mapping[int, Sequence[tuple[str, float]]] = field(default_factory=dict)  # by horizon
    # The bars that its fetch had: by date, ascending, `value` (NaN: unknown) and `settled`
    history: pd.DataFrame = field(default_factory=lambda: NO_HISTORY)
    result: ResultRow | None = None  # None before the first score
    skill: Skill | None = None  # None before the first score, and of a past night
    totals: Sequence[TotalRow] = ()  # of the next sessions together; empty but for volume
    page: str = ""  # file name or address of its page; empty where there is none
    # The newest completed session, where it is after the origin: the forecasts are stale
    newest: date | None = None
    details: NightDetails | None = None

    @property
    def full(self) -> NightDetails:
        """The details of a night that was read with them."""
        if self.details is None:
            raise ValueError(f"The night of {self.series} was read without details.")
        return self.details

    @property
    def series(self) -> str:
        """What names it: symbol and target."""
        return f"{self.symbol} {self.target}"

    @property
    def origin(self) -> date:
        """The last session whose bar the forecasts use."""
        return self.forecasts[0].origin_session

    @cached_property
    def unit(self) -> Unit:
        """The unit in which its values are easiest to read."""
        usual = self.usual if math.isfinite(self.usual) else self.forecasts[0].q50
        return unit_for(self.target, usual=usual)

    @property
    def usual(self) -> float:
        """What a median is compared with; NaN where it is unknown."""
        usual = self.forecasts[0].usual
        return math.nan if usual is None else float(usual)

    @cached_property
    def week(self) -> list[SessionView]:
        """Its sessions, the nearest first."""
        return [
            SessionView(row, self.unit, self.parts.get(row.horizon, ())) for row in self.forecasts
        ]

    @property
    def first(self) -> SessionView:
        """The nearest session."""
        return self.week[0]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The forecasts as a frame."""
        return pd.DataFrame(list(self.forecasts))

    @cached_property
    def known(self) -> pd.Series[float]:
        """The target's known values up to the origin, by date, oldest first."""
        return self.history["value"].astype(float).dropna()

    @property
    def last_known(self) -> date | None:
        """The session of the last value; None without any."""
        last: date | None = next(iter(self.known.index[::-1]), None)
        return last

    @property
    def is_provisional(self) -> bool:
        """Whether the last value is a first print that no later fetch has confirmed."""
        return self.last_known is not None and not self.history["settled"][self.last_known]

    @property
    def unusualness(self) -> float:
        """The median's distance from usual in usual widths; 0 where it is unknown."""
        width = self.usual_width
        is_known = width > 0.0 and not math.isnan(self.usual)
        return abs(self.forecasts[0].q50 - self.usual) / width if is_known else 0.0

    @cached_property
    def usual_width(self) -> float:
        """The width of the usual 80% interval; NaN where it is unknown.

        That interval holds the middle 80% of the last 20 values.
        """
        newest = self.known.tolist()[-USUAL_SESSIONS:]
        if len(newest) < 2:
            return math.nan
        tenths = quantiles(newest, n=10, method="inclusive")
        return tenths[-1] - tenths[0]

    @property
    def is_as_usual(self) -> bool:
        """Whether the median and the total of the next five sessions are near usual.

        It is not where it is unknown.
        """
        is_near = self.usual_width > 0.0 and self.unusualness < NEARLY_USUAL
        return is_near and not math.isnan(self.usual) and self.unusual_total is None

    @property
    def unusual_total(self) -> TotalRow | None:
        """The total of its next five sessions, where the usual one is outside its 80% interval."""
        for total in self.totals:
            usual = total.horizon * self.usual
            if total.horizon == HORIZONS[-1] and not total.q10 <= usual <= total.q90:
                return total
        return None

    @property
    def hit(self) -> str:
        """`hit` where the newest result is inside its 80% interval, else `miss`; empty without."""
        if self.result is None:
            return ""
        return "hit" if self.result.inside_80 else "miss"

    @cached_property
    def conditions(self) -> list[Condition]:
        """What is wrong with the night, or is to be known of it, the most severe first."""
        found = [*self._of_run()]
        if self.forecasts:
            found += self._of_forecast(self.forecasts[0])
        if self.details is not None:
            found += self._of_details(self.details)
        return sorted(found, key=lambda condition: condition.rank)

    @cached_property
    def outcome(self) -> Condition:
        """What came of the newest night, whether or not it published something."""
        if self.run is None:
            return Condition("no_night", {"symbol": self.symbol, "target": self.target})
        outcome = self.run.outcome
        if not self.forecasts or self.run.as_of > self.origin:
            return outcome
        return replace(outcome, kind=_PUBLISHED.get(outcome.kind, outcome.kind))

    def _of_run(self) -> Iterator[Condition]:
        """What is to be known of the newest night: that it is not done, or its note."""
        if self.outcome.kind != "done":
            yield self.outcome
        elif self.outcome.values["reason"]:
            yield Condition("note", self.outcome.values)

    def _of_forecast(self, row: ForecastRow) -> Iterator[Condition]:
        """The conditions of the newest forecasts, of which one shows all: they are issued alike."""
        if self.newest is not None and self.outcome.kind == "done":
            yield Condition("old", {"newest": self.newest})
        if row.status == "fallback":
            yield Condition("baseline", {"reason": as_sentence(row.reason)})
        elif row.reason:
            yield Condition("break", {"reason": as_sentence(row.reason)})
        if row.kind == "late":
            values = {"issued": row.issued_at, "session": self.first.session}
            yield Condition("issued_late", values)
        if row.kind == "replay":
            yield Condition("made_afterwards")
        if row.expected_report is not None:
            yield Condition("earnings_expected", {"session": row.expected_report})
        if row.source == "sample":
            yield Condition("sample", {"title": row.title})

    def _of_details(self, details: NightDetails) -> Iterator[Condition]:
        """The conditions of the night that published them, which newer ones may have followed."""
        if details.changed:
            each = [
                f"{name} {_input(now)}, before {_input(then)}"
                for name, then, now in details.changed
            ]
            yield Condition("inputs", {"changes": "; ".join(each)})
        dated = details.findings.dropna(subset="session")
        yield from of_earnings(zip(dated["rule"], map(as_day, dated["session"]), strict=True))
        if self.is_behind and details.run.note:
            yield Condition("note", {"reason": details.run.note})

    @property
    def is_current(self) -> bool:
        """Whether it has a forecast from the newest completed session."""
        return bool(self.forecasts) and self.newest is None

    @property
    def is_behind(self) -> bool:
        """Whether the newest night failed or is late, so that the forecast is of an earlier one."""
        return bool(self.forecasts) and self.outcome.kind in ("failed", "late")

    @property
    def flags(self) -> list[Condition]:
        """The conditions by which it differs from a live forecast of the network."""
        return [
            one
            for one in self.conditions
            if one.kind == "made_afterwards" or WORDS[one.kind].severity != "info"
        ]

    @property
    def notes(self) -> list[str]:
        """What a row of a table says of it: these conditions, and the nearest session's days."""
        return [*map(word, self.flags), *self.first.special_days]

    @property
    def state(self) -> str:
        """The worst of them in a word or two, or `ok`."""
        return word(self.flags[0]) if self.flags else "ok"

    @property
    def to_know(self) -> list[Condition]:
        """What a person should know of it; empty where all is well, or it was made afterwards."""
        known = [one for one in self.flags if one.kind != "made_afterwards"]
        return known + [one for one in self.conditions if one.kind in ("running", "note")]


def _input(value: object) -> str:
    if value is None:
        return "default"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "none")


def most_unusual_first(nights: Iterable[NightView]) -> list[NightView]:
    """The nights by target, as tables group them, and within one by distance from usual."""
    targets = list(TARGETS)
    return sorted(nights, key=lambda night: (targets.index(night.target), -night.unusualness))
