"""The sentences and facts of a night: headline, record, notices, model, data and provenance."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd

from forecasting.evaluate.figures import BacktestSummary
from forecasting.evaluate.scores import nearest_level, optimal_level
from forecasting.evaluate.significance import ENOUGH_NIGHTS, Skill
from forecasting.ingest.bar_rules import UNREADABLE
from forecasting.plain_text import quantity
from forecasting.report.night_view import NightDetails, NightView, SessionView
from forecasting.report.units import (
    Unit,
    as_day,
    change,
    full_day,
    p_value,
    percent,
    relative,
    short_day,
    unit_for,
)
from forecasting.store.read import Lead
from forecasting.store.rows import ResultRow, TotalRow
from forecasting.targets import TARGETS
from forecasting.vocabulary import BASELINES, LSTM

_PART_OF_DAY = dict.fromkeys(("triple witching", "options expiry"), "expiry")
_PART_OF_DAY |= dict.fromkeys(("half day", "after a holiday"), "holiday")
USUAL = (
    "Usual is the median of the last 20 sessions. The most unusual is furthest from usual, in "
    "widths of the usual 80% interval."
)
SKILL = (
    "Skill: how much lower the pinball loss was than the reference baseline's, one session ahead, "
    "over the newest 250 nights; + is better."
)
ADDED = "Network, trees, combination and other are corrections by models, not causes."
PARTS = f"The median is the usual value multiplied by the factors. {ADDED}"
_PART_WORDS = {
    "month_end": "month end nearby",
    "index": "index review nearby",
    "expiry": "expiry nearby",
    "holiday": "holiday nearby",
    "report": "report nearby",
}
_FACTORS = {"earnings?": "expected report"}
"""The name of a special day's factor, where that is not the name of the day."""

COMPARED = ("ridge", "har", "rolling_median")
"""Baselines that are named beside ours: the strongest, the usual one, the one made by hand."""

_FORECASTERS = {"har": "HAR", LSTM: "the network alone"}


def headline(data: NightView) -> dict[str, str]:
    """The one sentence of the page, in parts that can be set apart."""
    unit = data.unit
    row = data.forecasts[0]
    rules = TARGETS[data.target]
    against = departure(data.first.vs_usual) or "against"
    return {
        "subject": f"{data.symbol} {rules.verb}",
        "median": unit.text(row.q50),
        "day": f"on {full_day(row.target_session)}",
        "interval": unit.brief(row.q10, row.q90),
        "comparison": f"{against} the usual {unit.brief(data.usual)}",
    }


def departure(share: float) -> str:
    """Like `12% above`; empty where it is unknown."""
    if math.isnan(share):
        return ""
    size = percent(abs(share))
    if size == percent(0.0):
        return "about the same as"
    return f"{size} above" if share > 0 else f"{size} below"


def sentence(data: NightView) -> str:
    """The headline as plain text."""
    return "{subject} {median} {day} (80% interval {interval}), {comparison}.".format(
        **headline(data)
    )


def usual_sentence(data: NightView) -> str:
    """What the medians are compared with."""
    sessions = f"20 sessions up to {full_day(data.last_known or data.origin)}"
    return f"Usual is {data.unit.text(data.usual)}, the median of the last {sessions}."


def total_change(data: NightView, total: TotalRow) -> str:
    """Return how far the median of a total is from as many usual sessions, signed."""
    return change(total.q50, total.horizon * data.usual)


def totals_sentence(data: NightView) -> str:
    """The totals of the next sessions with their 80% intervals; empty without any."""
    each = [
        f"{total.horizon} sessions {data.unit.number(total.q50)} "
        f"({data.unit.span(total.q10, total.q90)})"
        for total in data.totals
    ]
    return f"Together (80% interval): the next {', '.join(each)}." if each else ""


def _is_small(factor: float) -> bool:
    return f"{factor:.2f}" in ("0.99", "1.00", "1.01")


def _times(name: str, factor: float) -> str:
    return f"{name} x{factor:.2f}"


def _large_parts(line: SessionView) -> list[tuple[str, float]]:
    """The factors beside the usual level that change it, in words."""
    words = _PART_WORDS | {"weekday": f"{line.session:%A}", "month": f"{line.session:%B}"}
    if "earnings" in line.special_days:
        words["report"] = "earnings"
    elif "earnings?" in line.special_days:
        words["report"] = _FACTORS["earnings?"]
    elif line.row.expected_report is not None:
        words["report"] = "expected report nearby"
    elif dict(line.parts).get("quarter", 1.0) >= 1.05:
        words["quarter"] = "report likely"
    # Of a half day after a holiday the first counts
    for day in reversed(line.special_days):
        if day in _PART_OF_DAY:
            words[_PART_OF_DAY[day]] = day
    large = [(part, factor) for part, factor in line.parts[1:] if not _is_small(factor)]
    return [(words.get(part, part), factor) for part, factor in large]


def named_parts(line: SessionView) -> list[tuple[str, float]]:
    """The factors beside the usual level, in words; small ones are together `other`."""
    large = _large_parts(line)
    other = math.prod(factor for _, factor in line.parts[1:] if _is_small(factor))
    return large if f"{other:.2f}" == "1.00" else [*large, ("other", other)]


def why_sentence(line: SessionView) -> str:
    """Like `Usual 4.1 M; Friday x0.96; network x1.05.`; empty where unknown."""
    if not line.parts:
        return ""
    factors = [_times(*part) for part in named_parts(line)]
    return f"{'; '.join([f'Usual {line.unit.brief(line.parts[0][1])}', *factors])}."


def brief_why(line: SessionView, notes: Sequence[str]) -> str:
    """Notes that no factor names, then the two largest factors, like `trees x1.05`."""
    largest = sorted(_large_parts(line), key=lambda part: -abs(math.log(part[1])))[:2]
    factors = [_times(*part) for part in largest]
    names = [name for name, _ in largest]
    return "; ".join([*(note for note in notes if _FACTORS.get(note, note) not in names), *factors])


def without_bar(findings: pd.DataFrame) -> str:
    """The newest session of each rule by which a bar or its volume is missing or rejected."""
    missing = findings.query(
        "severity == 'reject' or rule in ('missing_session', 'volume_unknown')"
    )
    texts = []
    for rule, found in missing.groupby("rule"):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        newest = found.sort_values(["session", "value"]).to_dict("records")[-1]
        texts.append(f"{str(rule).replace('_', ' ')} {finding_place(newest)}{more}")
    return "; ".join(texts)


def finding_place(finding: Mapping[Any, Any]) -> str:
    """The session of a finding, of a row of a file its line, and its session where it has one."""
    day = "" if pd.isna(finding["session"]) else full_day(as_day(finding["session"]))
    line = f"line {finding['value']:.0f}" if finding["rule"] == UNREADABLE else ""
    return ", ".join(filter(None, [line, day]))


def forecast_words(night: NightView) -> str:
    """The nearest forecast of a night in the digest, with why."""
    first = night.first
    text = (
        f"{first.brief_median} (80% interval {first.brief_interval}), {first.change} against usual"
    )
    return f"{'; '.join(filter(None, [text, digest_notes(night)]))}."


def digest_notes(night: NightView) -> str:
    """Return why, an expected report that is near, and the next five sessions' unusual total."""
    notes = [brief_why(night.first, night.first.notes), _near_report(night.first)]
    total = night.unusual_total
    if total is not None:
        share = relative(total.q50, total.horizon * night.usual)
        notes.append(
            f"the next {total.horizon} sessions {night.unit.brief(total.q50)} "
            f"({night.unit.brief(total.q10, total.q90)}), "
            f"{percent(share, signed=True)} against usual"
        )
    return "; ".join(filter(None, notes))


def _near_report(line: SessionView) -> str:
    """Return a note on a report expected within a week of the session; empty without one."""
    session = line.row.expected_report
    if session is None or abs(session - line.session) > timedelta(days=7):
        return ""
    return f"report expected around {short_day(session)}, not announced"


def result_words(night: NightView, result: ResultRow) -> tuple[str, str, str, str]:
    """A result of a series: what came; what was forecast; how far off; inside or outside."""
    side = "inside" if result.inside_80 else "outside"
    unit = night.unit
    off = change(result.actual, result.q50)
    return unit.brief(result.actual), unit.brief(result.q50), off, side


def skill_sentence(skill: Skill) -> str:
    """Like `8% ahead of ridge over 250 nights (p 0.01)`; below ENOUGH_NIGHTS only how many."""
    if not skill.is_known:
        return _too_few(skill.n)
    standing = "ahead of" if skill.share > 0 else "behind"
    reference = f"{standing} {forecaster_label(skill.reference)}"
    p = p_value(skill.p_value)
    return f"{percent(abs(skill.share))} {reference} over {skill.n} nights (p {p})"


def _too_few(nights: int) -> str:
    return f"{nights} of {ENOUGH_NIGHTS} nights: too few to say"


def skill_brief(skill: Skill | None) -> str:
    """A skill for a cell of a table, like `+8%` or `12 of 60`; empty for None."""
    if skill is None:
        return ""
    if not skill.is_known:
        return f"{skill.n} of {ENOUGH_NIGHTS}"
    return percent(skill.share, signed=True)


def lead_sentence(details: NightDetails) -> str:
    """The errors and leads of the next session, and of the five ahead together.

    Like `Typical error 14% (five sessions: 17%), against ridge +4% (+3%), against HAR +11% (+12%)`.
    An error is a share of the mean actual value, a lead one in pinball loss. Empty below
    ENOUGH_NIGHTS.
    """
    record = details.record
    if len(record.ahead(1)) < ENOUGH_NIGHTS:
        return ""
    errors = [
        percent(rows["error"].abs().mean() / rows["actual"].mean())
        for rows in (record.ahead(1), record.published)
    ]
    texts = [f"Typical error {errors[0]} (five sessions: {errors[1]})"]
    for name in (*COMPARED, *sorted(details.leads.keys() - {*BASELINES, LSTM})):
        lead = details.leads.get(name)
        if lead is not None and lead.n >= ENOUGH_NIGHTS:
            one = percent(lead.next_session, signed=True)
            five = percent(lead.five_sessions, signed=True)
            texts.append(f"against {forecaster_label(name)} {one} ({five})")
    return ", ".join(texts)


def baselines_sentence(leads: Mapping[str, Lead]) -> str:
    """Like `Ahead of 4 of 5 baselines one session ahead.`; of few nights as `skill_sentence`."""
    baselines = [lead for name, lead in leads.items() if name in BASELINES]
    nights = max(lead.n for lead in baselines)
    if nights < ENOUGH_NIGHTS:
        return f"{_too_few(nights)}."
    ahead = sum(lead.next_session > 0 for lead in baselines)
    return f"Ahead of {ahead} of {quantity(len(baselines), 'baseline')} one session ahead."


def calibration_sentence(coverages: pd.DataFrame) -> str:
    """How many actuals one session ahead fell inside the 80% interval, and what that says of it.

    Empty before the first.
    """
    if coverages.empty:
        return ""
    row = coverages.iloc[0]
    verdict = "as it should be"
    if row["n"] < ENOUGH_NIGHTS:
        verdict = "too few to say"
    elif row["share"] < row["low"]:
        verdict = "too narrow"
    elif row["share"] > row["high"]:
        verdict = "too wide"
    actuals = quantity(int(row["n"]), "actual")
    return f"{percent(row['share'])} of {actuals} fell inside the 80% interval: {verdict}"


def last_result(data: NightView) -> str:
    """How the newest scored forecast one session ahead did; empty before the first score."""
    result = data.result
    if result is None:
        return ""
    actual, median, off, side = result_words(data, result)
    return (
        f"{full_day(result.target_session)}: forecast {median}, actual {actual} ({off}), {side} "
        f"the 80% interval {data.unit.span(result.q10, result.q90)}"
    )


def forecaster_label(name: str) -> str:
    """The name in words of a baseline, of the network, or of a rival."""
    label = _FORECASTERS.get(name, name.replace("_", " "))
    return label if name in (*BASELINES, *_FORECASTERS) else f"{label} (yours)"


def level_name(ratio: float) -> str:
    """The quantile of least expected cost, like `25% quantile`."""
    return f"{100 * nearest_level(ratio):.3g}% quantile"


def cost_sentence(ratio: float) -> str:
    """What a cost ratio means, and which quantile it asks for."""
    level = optimal_level(ratio)
    issued = nearest_level(ratio)
    end = "" if level == issued else f"; the outermost that is issued is shown: {100 * issued:g}%"
    return (
        f"Where an overestimate costs {ratio:.4g} times as much per unit as an underestimate, the "
        f"{100 * level:.3g}% quantile has the least expected cost{end}."
    )


def published_sentence(backtest: BacktestSummary) -> str:
    """What the nights of a backtest published and fitted, in a sentence."""
    nights = backtest.nights
    return (
        f"Published: {quantity(nights['network'], 'night')} the network, {nights['fallback']} a "
        f"baseline; {quantity(nights['scratch'], 'fit')} from scratch, {nights['warm']} warm, "
        f"{nights['refused']} refused. Skill and p are of pinball loss."
    )


def backtest_unit(backtest: BacktestSummary) -> Unit:
    """The unit of the errors of a backtest: about three digits of the mean one."""
    return unit_for(backtest.target, usual=backtest.overall.mae)
