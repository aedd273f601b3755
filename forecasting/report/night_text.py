"""What `show` prints: one night in full, or a line for each of many symbols."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from forecasting.report import wording
from forecasting.report.costs import (
    cost_listing,
    cost_note,
    cost_quantiles,
    cost_sentence,
    level_name,
    quantile_listing,
)
from forecasting.report.data import ReportData
from forecasting.report.days import as_day
from forecasting.report.listings import (
    Listing,
    change,
    night_listing,
    record_listing,
    usual_value,
    window_listing,
)
from forecasting.report.text_table import paragraph, text_table
from forecasting.report.track_record import TrackRecord, best_ahead, newest_origins
from forecasting.report.units import instant, percent, short_day, unit_of
from forecasting.sessions import closes_at, newest_up_to


def night_text(data: ReportData, *, now: datetime, width: int | None) -> str:
    """One night: tomorrow in a sentence, notices, the week, champion, data, last result, record."""
    record, (against, usual) = data.record, usual_value(data)
    unit = unit_of(data)
    what = f"usual is {unit.text(usual)}, the median of 20 sessions up to" if against == "usual" else "last is of"
    lines = [f"{data.symbol} {data.target}: {data.fetch['title']}", wording.sentence(data)]
    lines += [f"{notice.title}: {notice.text}" for notice in wording.notices(data)]
    blocks = ["\n".join(paragraph(line, width=width) for line in lines)]
    blocks.append(text_table(*night_listing(data), width=width))
    blocks.append(paragraph(f"In {unit.name}; {what} {data.known.index[-1]}.", width=width))
    facts = (f"{name + ':':<13}{text}" for name, text in _facts(data, record, now))
    blocks.append("\n".join(paragraph(fact, width=width, indent=" " * 13) for fact in facts))
    if len(record.published):
        blocks.append(paragraph(wording.record_sentence(data, record), width=width))
        listings = (window_listing(data, record), record_listing(data, record))
        blocks += [text_table(*listing, width=width) for listing in listings if listing[1]]
        blocks.append(paragraph(record_note(unit.name, compared=bool(listings[1][1])), width=width))
    if data.cost_ratio is not None:
        blocks += _cost_blocks(data, record, data.cost_ratio, width)
    return "\n\n".join(block for block in blocks if block)


def line_listing(nights: Sequence[ReportData], *, now: datetime) -> Listing:
    """A row a symbol: the median and 80 % interval of its next session, against usual; how it did; what to know.

    With a cost ratio, which all have in common, the quantile of least expected cost stands after the interval.
    """
    ratios = [data.cost_ratio for data in nights if data.cost_ratio is not None]
    cost = [level_name(ratios[0])] if ratios else []
    return (
        ["symbol", "session", "median", "80 % interval", *cost, "usual", "last", "skill", "data", "notes"],
        [_line(data, now) for data in nights],
    )


LEGEND = (
    "usual: change against the median of 20 sessions (a close: against the last one). last: whether the newest scored "
    "forecast one session ahead (once there are 20 live ones, the newest of these) came inside its 80 % interval. "
    "skill: error against the best baseline's, last 20 sessions, + is better. data: age of the newest bar."
)
"""What the columns of `line_listing` mean."""


def record_note(unit: str, *, compared: bool) -> str:
    """What the columns of the record mean, and of the comparison where there is one."""
    against = " against: one to five sessions ahead, on the forecasts that both have." if compared else ""
    return (
        f"record: one session ahead.{against} error: mean absolute error of the median in {unit}. skill: 1 - error / "
        "its error, + is better; pinball skill: the same of the loss over all seven quantiles."
    )


def last_result(data: ReportData, record: TrackRecord) -> str:
    """How the newest scored forecast one session ahead that counts did, in a sentence; empty before the first score."""
    ahead, unit = record.ahead(1), unit_of(data)
    if ahead.empty:
        return ""
    row = ahead.iloc[-1]
    off = change(float(row["actual"]), float(row["q50"]), target=data.target)
    side = "inside" if row["inside_80"] else "outside"
    return (
        f"{short_day(row['target_session'])}: forecast {unit.brief(float(row['q50']))}, actual "
        f"{unit.brief(float(row['actual']))} ({off}), {side} the 80 % interval "
        f"{unit.span(float(row['q10']), float(row['q90']))}"
    )


def age(since: datetime, now: datetime) -> str:
    """The time since an instant: 40 min, 14 h, 3 d; of years ago, 7.9 y."""
    minutes = max(0.0, (now - since).total_seconds() / 60.0)
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    if hours < 48:
        return f"{hours:.0f} h"
    days = hours / 24
    return f"{days:.0f} d" if days < 730 else f"{days / 365.25:.1f} y"


def _cost_blocks(data: ReportData, record: TrackRecord, ratio: float, width: int | None) -> list[str]:
    blocks = [paragraph(cost_sentence(ratio), width=width), text_table(*quantile_listing(data, ratio), width=width)]
    costs = cost_listing(data, record, ratio)
    return [*blocks, text_table(*costs, width=width), paragraph(cost_note(data), width=width)] if costs[1] else blocks


def _facts(data: ReportData, record: TrackRecord, now: datetime) -> list[tuple[str, str]]:
    model = data.model
    trained = f", trained up to {model['trained_to']}" if model.get("trained_to") else ""
    first_print, known = " (first print)" if data.is_provisional else "", data.known.index[-1]
    bars = f"bars up to {data.origin}{first_print}, {_bar_age(data, now)} old"
    if known < data.origin:
        bars = (
            f"bars up to {data.origin}, {_bar_age(data, now)} old, newest known {data.target} of {known}{first_print}"
        )
    facts = [
        ("Published", f"{model['name']} {model['id']}, {model['method']}{trained}"),
        ("Data", f"{bars}, fetched {instant(data.fetch['fetched_at'])}"),
        ("Findings", _findings(data)),
        ("Last result", last_result(data, record)),
    ]
    return [(name, text) for name, text in facts if text]


def _findings(data: ReportData) -> str:
    """The newest session of each rule that a bar is missing or rejected by; empty without any."""
    found = data.findings
    without_bar = found[(found["severity"] == "reject") | (found["rule"] == "missing_session")]
    each = {str(rule).replace("_", " "): rows["session"] for rule, rows in without_bar.groupby("rule")}
    return "; ".join(
        f"{rule} {as_day(days.max())}{f' and {len(days) - 1} more' if len(days) > 1 else ''}"
        for rule, days in each.items()
    )


def _line(data: ReportData, now: datetime) -> list[object]:
    row, record, unit = data.rows.iloc[0], data.record, unit_of(data)
    ahead, best = record.ahead(1), best_ahead(newest_origins(record, 20), "mae")
    return [
        data.symbol,
        f"{row['target_session']:%a %m-%d}",
        unit.brief(float(row["q50"])),
        unit.span(float(row["q10"]), float(row["q90"])),
        *([] if data.cost_ratio is None else [unit.brief(float(cost_quantiles(data.rows, data.cost_ratio).iloc[0]))]),
        change(float(row["q50"]), usual_value(data)[1], target=data.target),
        ("hit" if ahead["inside_80"].iloc[-1] else "miss") if len(ahead) else None,
        percent(float(best["skill_mae"]), signed=True) if best is not None else None,
        _bar_age(data, now),
        ", ".join([*_flags(data), *wording.day_notes(data, row["target_session"])]),
    ]


def _flags(data: ReportData) -> list[str]:
    """What is unusual: an unfinished newest night, a forecast that is no live one of the network, inputs, bars."""
    row, new = data.rows.iloc[0], data.findings[data.findings["since"] >= data.fetch["fetched_at"]]
    unfinished = [] if data.unfinished is None else [f"night {data.unfinished['as_of']} {data.unfinished['status']}"]
    return [
        *unfinished,
        *([str(row["kind"])] if row["kind"] != "live" else []),
        *([str(row["status"])] if row["status"] != "ok" else ["break in the bars"] if row["reason"] else []),
        *(["other inputs"] if data.changed else []),
        *(["rows rejected"] if new[new["severity"] == "reject"].size else []),
    ]


def _bar_age(data: ReportData, now: datetime) -> str:
    # A calendar that was corrected since, or another one that was set, may not have the origin among its sessions.
    return age(closes_at(newest_up_to(data.origin, data.exchange), data.exchange), now)
