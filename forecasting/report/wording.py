"""The sentences and facts of a night: headline, record, notices, model, data and provenance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from forecasting.evaluate.scores import nearest_level, optimal_level
from forecasting.plain_text import quantity
from forecasting.report.night_view import ReportData, SymbolLine, Why
from forecasting.report.record import best_ahead
from forecasting.report.units import (
    Unit,
    as_day,
    change,
    instant,
    long_day,
    percent,
    short_day,
    unit_for,
)
from forecasting.targets import TARGETS
from forecasting.vocabulary import LSTM, Target

STAGES = ("ingest", "preprocess", "train", "predict", "evaluate")
_PART_OF_DAY = dict.fromkeys(("triple witching", "options expiry"), "expiry")
_PART_OF_DAY |= dict.fromkeys(("half day", "after a holiday"), "holiday")
_PART_OF_DAY["index review"] = "index"
USUAL = (
    "Usual is the median of the last 20 sessions; for close, the width of a random walk's 80% "
    "interval."
)
ADDED = "Network, trees, combination and other are what models add, not causes."
PARTS = f"Usual times the factors is the median, for close the width. {ADDED}"
MADE = {"live": "", "late": " (issued late)", "replay": " (replay: made afterwards)"}
_FORECASTERS = {"har": "HAR", "har_volatility": "HAR volatility", LSTM: "the network alone"}


class Notice(NamedTuple):
    """A banner at the top of the page.

    Its tone is warn where the forecast is less reliable than usual.
    """

    tone: Literal["warn", "info"]
    title: str
    text: str


def headline(data: ReportData) -> dict[str, str]:
    """The one sentence of the page, in parts that can be set apart.

    Subject, median, day, interval, comparison.
    """
    unit = data.unit
    row = data.rows.iloc[0]
    rules = TARGETS[data.target]
    against = departure(row["q50"], data.usual, data.target) or "against"
    return {
        "subject": f"{data.symbol} {rules.verb}",
        "median": unit.text(row["q50"]),
        "day": f"on {long_day(row['target_session'])}",
        "interval": unit.brief(row["q10"], row["q90"]),
        "comparison": f"{against} {rules.usual_name} {unit.brief(data.usual)}",
    }


def departure(
    value: float, other: float, target: Target, *, same: str = "about the same as"
) -> str:
    """Like `12% above`, where that is 0% `same`; empty where one is unknown."""
    share = value / other - 1.0 if other else math.nan
    decimals = TARGETS[target].change_decimals
    if math.isnan(share):
        return ""
    size = percent(abs(share), decimals=decimals)
    return (
        same
        if size == percent(0.0, decimals=decimals)
        else f"{size} {'above' if share > 0 else 'below'}"
    )


def sentence(data: ReportData) -> str:
    """The same as plain text."""
    return "{subject} {median} {day} (80% interval {interval}), {comparison}.".format(
        **headline(data)
    )


def usual_sentence(data: ReportData) -> str:
    """What the medians are compared with."""
    what = TARGETS[data.target].usual_of
    day = data.known.index[-1]
    return (
        f"Usual is {data.unit.text(data.usual)}, the {what} "
        f"{day}{', a first print' if data.is_provisional else ''}."
    )


def _is_small(factor: float) -> bool:
    return f"{factor:.2f}" in ("0.99", "1.00", "1.01")


def named_parts(why: Why, *, briefly: bool = False) -> list[tuple[str, float]]:
    """The factors beside the usual level, in words.

    As in view latest_forecasts, small ones are together `other`.
    """
    has_report = "earnings" in why.special_days
    quarter = dict(why.parts).get("quarter", 1.0)
    names = {  # in a sentence, and briefly
        "weekday": (f"{why.session:%A}",) * 2,
        "month": (f"{why.session:%B}",) * 2,
        "month_end": ("a month's end nearby", "month end nearby"),
        "index": ("an index review nearby", "index review nearby"),
        "expiry": ("an expiry nearby", "expiry nearby"),
        "holiday": ("a holiday nearby", "holiday nearby"),
        "report": ("a report nearby", "report nearby"),
        "quarter": ("no report is likely" if quarter <= 0.95 else "a quarter before", "quarter"),
        "recent": ("recent days", "recent"),
    }
    if has_report:
        names["report"] = ("the session after its report", "earnings")
        names["quarter"] = ("a quarter after its last report", "quarter")
    elif quarter >= 1.05:
        names["quarter"] = ("a report is likely, none is announced", "report likely")
    days = [day for day in why.special_days if day in _PART_OF_DAY]
    # Of a half day after a holiday the first counts
    names |= {_PART_OF_DAY[day]: (day, day) for day in reversed(days)}
    named = []
    other = 1.0
    for part, factor in why.parts[1:]:
        if _is_small(factor):
            other *= factor
        else:
            named.append((names.get(part, (part, part))[briefly], factor))
    return [*named, *([("other", other)] if f"{other:.2f}" != "1.00" else [])]


def factors(why: Why) -> str:
    """The factors beside the usual level, as column `why` of view latest_forecasts has them."""
    return ", ".join(
        f"{part} x{factor:.2f}" for part, factor in why.parts[1:] if not _is_small(factor)
    )


def why_sentence(why: Why, unit: Unit) -> str:
    """Like `Usual 4.1 M; the session after its report x1.90; Friday x0.96; network x1.05.`.

    Empty where unknown.
    """
    factors = (f"{name} x{factor:.2f}" for name, factor in named_parts(why))
    return "; ".join([usual_level(why, unit), *factors]) + "." if why.parts else ""


def usual_level(why: Why, unit: Unit) -> str:
    """What the factors begin with, where it is known."""
    level = why.parts[0][1]
    if TARGETS[why.target].moves_width:
        width, usual = (
            percent(math.expm1(size), decimals=1) for size in (level * why.product, level)
        )
        return f"80% interval {width} wide: usual {usual}"
    return f"Usual {unit.brief(level)}"


def brief_why(why: Why, notes: Sequence[str] = ()) -> str:
    """Like `triple witching x2.21; trees x1.05`: notes that no factor names, then the two largest factors."""
    named = [one for one in named_parts(why, briefly=True) if one[0] != "other"]
    factors = [
        f"{name} x{by:.2f}"
        for name, by in sorted(named, key=lambda one: -abs(math.log(one[1])))[:2]
    ]
    others = [note for note in notes if not any(note in factor for factor in factors)]
    if TARGETS[why.target].moves_width and factors:
        factors[0] = f"width: {factors[0]}"
    return "; ".join([*others, *factors])


def alike(data: ReportData) -> str:
    """The past nights most like this one, with what came; empty without any."""
    nights = (
        f"{day.day} {day:%B %Y} (median {data.unit.brief(median)}, came {data.unit.brief(actual)})"
        for day, median, actual in data.alike
    )
    return f"Most like it: {'; '.join(nights)}." if data.alike else ""


def without_bar(findings: pd.DataFrame) -> str:
    """The newest session of each rule that a bar or its volume is missing or rejected by.

    Empty without any.
    """
    found = findings.query("severity == 'reject' or rule in ('missing_session', 'volume_unknown')")
    return "; ".join(
        f"{str(rule).replace('_', ' ')} "
        f"{as_day(days.max())}{f' and {len(days) - 1} more' if len(days) > 1 else ''}"
        for rule, days in found.groupby("rule")["session"]
    )


def forecast_words(line: SymbolLine, *, briefly: bool = False) -> str:
    """The forecast of a line of the digest, with why.

    `briefly`, in alerts and text, with the two largest factors.
    """
    against = (
        "as usual" if percent(line.factor - 1.0) == percent(0.0) else f"{line.change} against usual"
    )
    text = f"{line.median} (80% interval {line.interval}), {against}"
    if briefly:
        return f"{'; '.join(filter(None, [text, brief_why(line.why, line.special_days)]))}."
    days = f"; {', '.join(line.special_days)}" if line.special_days else ""
    return f"{text}{days}. {why_sentence(line.why, line.unit)}".rstrip()


def alert_value(row: Mapping[str, Any], name: str = "value") -> str:
    """The newest value that an alert compares, or its `extreme`: in usual values, or in the target's unit."""
    unit = unit_for(
        row["target"],
        usual=row[name],
        symbol=row["symbol"],
        currency="",
    )
    return (
        Unit(
            1.0,
            3,
            "",
            "",
        )
        if row["of_usual"]
        else unit
    ).brief(row[name])


def result_words(line: SymbolLine) -> tuple[str, str, str, str]:
    """Of the newest result of a line of the digest: what came; what was forecast; how far off.

    Inside or outside.
    """
    actual, median = (
        (line.result[name] for name in ("actual", "q50")) if line.result else (math.nan, math.nan)
    )
    off = change(actual, median, target=line.target)
    side = "inside" if line.hit == "hit" else "outside"
    return line.unit.brief(actual), line.unit.brief(median), off, side


def record_sentence(data: ReportData) -> str:
    """The results of the forecasts one session ahead so far; empty before the first score."""
    ahead = data.record.ahead(1)
    if ahead.empty:
        return ""
    n = len(ahead)
    hits = int(ahead["inside_80"].astype(bool).sum())
    times = f"its last {n} forecasts" if n > 1 else "its only forecast so far"
    text = (
        f"Of {times} one session ahead, {hits} landed inside the 80% interval"
        f" and the median missed by {data.unit.brief(ahead['error'].abs().mean())} on average"
    )
    best = best_ahead(data.record, "mae")
    # none, or one that was exact
    if best is None or (math.isnan(best["skill_mae"]) and best["mae"] > 0.0):
        return text + "."
    skill = float(best["skill_mae"])
    name = forecaster_label(best["forecaster"])
    if not abs(skill) >= 0.005:
        return f"{text}: about as much as the best baseline there, {name}."
    side = "less" if skill > 0 else "more"
    return f"{text}: {percent(abs(skill))} {side} than the best baseline there, {name}."


def last_result(data: ReportData) -> str:
    """How the newest scored forecast one session ahead that counts did, in a sentence.

    Empty before the first score.
    """
    ahead = data.record.ahead(1)
    unit = data.unit
    if ahead.empty:
        return ""
    row = ahead.iloc[-1]
    off = change(row["actual"], row["q50"], target=data.target)
    side = "inside" if row["inside_80"] else "outside"
    return (
        f"{short_day(row['target_session'])}: forecast {unit.brief(row['q50'])}, actual "
        f"{unit.brief(row['actual'])} "
        f"({off}), {side} the 80% interval {unit.span(row['q10'], row['q90'])}"
    )


def notices(data: ReportData) -> list[Notice]:
    """What a reader needs to know before the numbers, most severe first."""
    rows = data.rows
    run = data.run
    notes = []
    first = rows.iloc[0]
    fallback = rows[rows["status"] == "fallback"]
    if run.get("error"):
        notes.append(Notice("warn", "Part of the night failed", str(run["error"])))
    if (newer := data.unfinished) is not None:
        title = "Data late" if newer["status"] == "late" else "Newest night failed"
        origin = long_day(data.origin)
        missing = long_day(as_day(newer["as_of"]))
        reason = newer["error"] or newer["note"] or ""
        text = f"{reason} These forecasts are from {origin}; there are none from {missing} yet."
        notes.append(Notice("warn", title, text))
    if len(fallback):
        reasons = "; ".join(dict.fromkeys(str(reason) for reason in fallback["reason"] if reason))
        notes.append(
            Notice(
                "warn",
                "Fallback",
                f"The network is not published: {reasons or 'no reason was given'}.",
            )
        )
    elif broken := str(first["reason"] or ""):
        notes.append(Notice("warn", "Break in the bars", f"{broken[0].upper()}{broken[1:]}."))
    outside = [part.rpartition(" ") for part in str(first.get("outside", "")).split(", ") if part]
    if inputs := [f"{name} on {session}" for name, _, session in outside]:
        *others, last = inputs
        named = f"{', '.join(others)} and {last}" if others else last
        text = (
            f"{named[0].upper()}{named[1:]} {'are' if others else 'is'} outside the range of "
            "the training data."
        )
        notes.append(Notice("info", "Never seen before", text))
    kinds = set(rows["kind"])
    if "late" in kinds:
        opened = short_day(first["target_session"])
        text = (
            f"Written at {instant(first['issued_at'])}, after {opened} had opened: it is not "
            "scored as live."
        )
        notes.append(Notice("warn", "Issued late", text))
    if "replay" in kinds:
        text = (
            "Made afterwards for a past session, from the data known at that session; never "
            "counted as live."
        )
        notes.append(Notice("info", "Replay", text))
    if data.changed:
        each = "; ".join(
            f"{name} {_input(now)}, before {_input(then)}" for name, then, now in data.changed
        )
        notes.append(Notice("warn", "Other inputs than the night before", f"{each}."))
    if str(data.fetch["source"]) == "sample":
        notes.append(
            Notice(
                "info", "Sample data", f"{data.fetch['title']}. Real bars, but not current ones."
            )
        )
    if run.get("note"):
        notes.append(Notice("info", "Note", str(run["note"])))
    return notes


def _input(value: object) -> str:
    if value is None:
        return "default"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "none")


def forecaster_label(name: str) -> str:
    """The name in words of a baseline, or of the network."""
    return _FORECASTERS.get(name, name.replace("_", " "))


def level_name(ratio: float) -> str:
    """The quantile of least expected cost, like `25% quantile`."""
    return f"{100 * nearest_level(ratio):.3g}% quantile"


def cost_sentence(ratio: float) -> str:
    """What a cost ratio means, and which quantile it asks for."""
    times = "as much" if ratio == 1.0 else f"{ratio:.4g} times as much"
    level = optimal_level(ratio)
    issued = nearest_level(ratio)
    end = "" if level == issued else f"; the outermost that is issued is shown: {100 * issued:g}%"
    return (
        f"Where an overestimate costs {times} per unit as an underestimate, the {100 * level:.3g}% "
        "quantile has the "
        f"least expected cost{end}."
    )


def published_sentence(document: Mapping[str, Any]) -> str:
    """What the nights of a backtest's document published and fitted, in a sentence."""
    nights = document["nights"]
    return (
        f"Published: {quantity(nights['network'], 'night')} the network, {nights['fallback']} a "
        "baseline; "
        f"{quantity(nights['scratch'], 'fit')} from scratch, {nights['warm']} warm, "
        f"{nights['refused']} refused."
    )


def backtest_unit(document: Mapping[str, Any]) -> Unit:
    """The unit of the errors of a backtest's document: about three digits of the mean one."""
    return unit_for(
        document["target"],
        usual=document["overall"]["mae"],
        symbol=document["symbol"],
        currency="",
    )
