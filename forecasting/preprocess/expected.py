"""Earnings reports that nobody announced: found in the volume, or expected from a company's rhythm.

`known_at` says which reports an origin knows. It uses the announced dates that the origin knows
and the volume up to the origin, so a night and its replay know the same. From the newest
announced report on, a chain goes on for as long as nobody brings a list: the next report is
expected 364 days after an earlier one, until its weeks are over. Then the session that looks most
like a report becomes the report, if its volume reacted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from forecasting.ingest.earnings import EXPECTED, FOUND, REACTION, RHYTHM, WITHDRAWN
from forecasting.losses import Floats
from forecasting.sessions import calendar

KNOWN_AHEAD = 21
"""Sessions from which on an expected report is told."""

_OFFSETS = np.arange(-6, 8)
"""Sessions between the session that the rhythm names and those on which a report may come."""

# The share of reports that came at each offset: 200 choosing stocks, 2008 to 2025. The others came
# earlier or later (docs/experiments.md).
_SHARES = np.array(
    [
        0.005,
        0.014,
        0.012,
        0.015,
        0.025,
        0.058,
        0.479,
        0.101,
        0.058,
        0.047,
        0.038,
        0.094,
        0.012,
        0.007,
    ]
)
# The weight of these shares, in reports, against a company's own deviations.
_SHARES_WEIGHT = 20.0
_LEAST_MISS = 0.02  # probability that the report comes on none of the sessions
_NEWEST = 8  # reports whose deviations and reactions say how a company reports
_LEAST_REPORTS = 4

_YEAR = pd.Timedelta(days=364)  # the same weekday
SAME_QUARTER = timedelta(days=45)
"""Days within which two dates are of the same quarter's report."""
_USUAL_SESSIONS = 21

# Mean and standard deviation of the log of volume over its usual, on the sessions of reports and on
# those before them (the same 200 stocks).
_REPORT = (0.75, 0.45)
_NO_REPORT = (0.05, 0.37)
# Cases that are less probable are counted as none: each costs a forecast.
_LEAST_PROBABILITY = 0.02


@dataclass(frozen=True)
class Expected:
    """A report that is expected and that nobody has announced."""

    due: date  # the session that the company's rhythm names
    sessions: tuple[date, ...]  # on which it may come
    probabilities: tuple[float, ...]  # of each; the rest is that of no report near


@dataclass(frozen=True)
class KnownReports:
    """The reports that an origin knows."""

    events: pd.DataFrame  # the announced and the found ones, as `event_flags` takes them
    found: tuple[date, ...] = ()  # sessions of past reports that the volume shows
    expected: Expected | None = None


def known_at(
    events: pd.DataFrame, origin: date, *, volume: "pd.Series[float]", exchange: str
) -> KnownReports:
    """Return the reports that an origin knows: announced, found in the volume, and expected.

    A found report counts for the rows of the training window from 21 sessions before it on, as an
    announced one does. Nothing is expected of a company with fewer than four known reports.

    Args:
        events: Announced dates: columns session, kind, known_from and withdrawn_from.
        origin: The session after which nothing is used.
        volume: Shares by session, up to the origin.
        exchange: The exchange whose sessions these are.
    """
    night = pd.Timestamp(origin)
    is_known = events["known_from"] <= night
    if "withdrawn_from" in events:
        is_known &= ~(events["withdrawn_from"] <= night)
    announced = events.loc[is_known, "session"].drop_duplicates().sort_values()
    if len(announced) < _LEAST_REPORTS:
        return KnownReports(events)
    days = calendar(exchange).sessions
    chain = list(days.searchsorted(pd.DatetimeIndex(announced)))
    at = int(days.searchsorted(night))
    of_sessions = _log_times_usual(volume).reindex(days[: at + 1])
    times = np.asarray(of_sessions, dtype=np.float64)
    found: list[int] = []
    expected = None
    while (due := _next_due(chain, days)) is not None and due - KNOWN_AHEAD <= at:
        probabilities = _probabilities(chain, due, days, times)
        if due + _OFFSETS[-1] >= at:
            expected = _expected(due, probabilities, days)
            break
        likeliest = due + int(_OFFSETS[np.argmax(probabilities)])
        has_reacted = times[likeliest] >= np.log(REACTION)
        if has_reacted:
            found.append(likeliest)
        # Without a reaction the expectation stays, and the next year's follows from it.
        chain.append(likeliest if has_reacted else due)
    sessions = tuple(days[place].date() for place in found)
    return KnownReports(_with_found(events, found, days), sessions, expected)


def rules_to_record(
    found: Sequence[date], expected: Expected | None, stored: pd.DataFrame
) -> dict[date, str]:
    """Return the known_rule of each row to append to table events, by its session.

    A report is not recorded if a date of its quarter has been announced, as for a night that is
    made up for. A stored report is withdrawn if such a date has come since, and a stored
    expectation also if another one or a found report has replaced it.

    Args:
        found: Sessions of the past reports that the volume shows.
        expected: The report that is expected; None without one.
        stored: All rows of the symbol in table events, ascending by first_seen_at.
    """
    newest = stored.drop_duplicates("session", keep="last")
    is_unannounced = newest["source"] == RHYTHM
    is_announced = ~is_unannounced & (newest["known_rule"] != WITHDRAWN)
    announced = set(newest["session"][is_announced].dt.date)

    def is_replaced(session: date) -> bool:
        return any(abs(day - session) <= SAME_QUARTER for day in announced)

    rules = dict.fromkeys(found, FOUND)
    if expected is not None:
        rules[expected.due] = EXPECTED
    recorded = {session: rule for session, rule in rules.items() if not is_replaced(session)}
    sessions = newest["session"][is_unannounced].dt.date
    stored_rules = dict(zip(sessions, newest["known_rule"][is_unannounced], strict=True))
    for session, rule in stored_rules.items():
        # A found report that has left the bars' window stays, because nothing has replaced it.
        if rule == EXPECTED or is_replaced(session):
            recorded.setdefault(session, WITHDRAWN)
    return {
        session: rule for session, rule in recorded.items() if stored_rules.get(session) != rule
    }


def _log_times_usual(volume: "pd.Series[float]") -> "pd.Series[float]":
    """Return the log of volume over its usual by session.

    It is NaN on days on which options expire, which are busy without a report.
    """
    days = pd.DatetimeIndex(volume.index)
    is_expiry = (days.day_of_week == 4) & (days.day >= 15) & (days.day <= 21)
    usual = volume.rolling(_USUAL_SESSIONS).median().shift()
    times = volume.where(volume > 0.0) / usual
    return pd.Series(np.log(times.to_numpy()), volume.index).mask(is_expiry)


def _next_due(chain: Sequence[int], days: pd.DatetimeIndex) -> int | None:
    """Return the place of the next session that the rhythm names; None if the calendar ends."""
    years_later = days[list(chain)] + _YEAR
    is_next = years_later > days[chain[-1]] + SAME_QUARTER
    if not is_next.any():
        return None
    due = int(days.searchsorted(years_later[is_next].min()))
    return due if due + _OFFSETS[-1] < len(days) else None


def _probabilities(chain: Sequence[int], due: int, days: pd.DatetimeIndex, times: Floats) -> Floats:
    """Return the probability (K,) of a report on each session around the one that is due.

    The company's own deviations are shrunk to those of all companies. The volume of the sessions
    that have passed then speaks for or against each of them (Bayes' rule).
    """
    deviations = _deviations(chain, days)
    counts = np.array([deviations.count(int(offset)) for offset in _OFFSETS])
    prior = (counts + _SHARES_WEIGHT * _SHARES) / (len(deviations) + _SHARES_WEIGHT)
    miss = max(1.0 - float(prior.sum()), _LEAST_MISS)

    past = [place for place in chain if place < len(times) and np.isfinite(times[place])]
    mean = float(np.median(times[past[-_NEWEST:]])) if past else _REPORT[0]
    passed = np.full(len(_OFFSETS), np.nan)
    is_past = due + _OFFSETS < len(times)
    passed[is_past] = times[due + _OFFSETS[is_past]]
    log_ratio = _log_density(passed, mean, _REPORT[1]) - _log_density(passed, *_NO_REPORT)
    weights = prior * np.exp(np.nan_to_num(log_ratio))
    probabilities: Floats = weights / (weights.sum() + miss)
    return probabilities


def _log_density(values: Floats, mean: float, deviation: float) -> Floats:
    """Return the log density of a normal distribution, up to a constant."""
    density: Floats = -0.5 * ((values - mean) / deviation) ** 2 - np.log(deviation)
    return density


def _deviations(chain: Sequence[int], days: pd.DatetimeIndex) -> list[int]:
    """Return by how many sessions each of the newest reports missed its rhythm, if it has one."""
    deviations = []
    reports = days[list(chain)]
    for place, report in zip(chain[-_NEWEST:], reports[-_NEWEST:], strict=True):
        named = reports[np.abs(reports + _YEAR - report) <= SAME_QUARTER]
        if len(named):
            nearest = named[int(np.argmin(np.abs(named + _YEAR - report)))]
            deviations.append(int(place - days.searchsorted(nearest + _YEAR)))
    return deviations


def _expected(due: int, probabilities: Floats, days: pd.DatetimeIndex) -> Expected:
    """Return the expected report with the sessions that are probable enough."""
    is_kept = probabilities >= _LEAST_PROBABILITY
    sessions = days[due + _OFFSETS[is_kept]].date
    return Expected(days[due].date(), tuple(sessions), tuple(probabilities[is_kept].tolist()))


def _with_found(events: pd.DataFrame, found: Sequence[int], days: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the events with rows of the found reports."""
    if not found:
        return events
    places = np.array(found)
    rows = pd.DataFrame(
        {"session": days[places], "kind": "earnings", "known_from": days[places - KNOWN_AHEAD]}
    )
    return pd.concat([events, rows], ignore_index=True)
