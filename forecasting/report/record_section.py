"""What the page's template needs for the figures of `record_figures`: charts, and rows of text."""

from __future__ import annotations

from typing import Any

from forecasting.evaluate.scores import RATIOS
from forecasting.report import record_charts, record_figures, wording
from forecasting.report.costs import cost_quantiles, level_name, realised_costs_of
from forecasting.report.data import ReportData
from forecasting.report.days import as_day
from forecasting.report.track_record import TrackRecord
from forecasting.report.units import percent, short_day, unit_of

RESTATED_SHOWN = 10
CHAMPIONS_SHOWN = 10


def figures(data: ReportData, record: TrackRecord) -> dict[str, Any]:
    """Skill over time, places of the actuals, errors by day, restated bars and champions; empty where unknown."""
    against, skill = record_figures.skill_over_time(record)
    shares = record_figures.pit_histogram(record)
    label = wording.forecaster_label(against)
    return {
        "skill_against": label,
        "skill_lines": [record_charts.skill_line(skill, layout, against=label) for layout in ("wide", "narrow")]
        if len(skill)
        else [],
        "skill_nights": record_figures.ENOUGH_NIGHTS,
        "pit": record_charts.pit_bars(shares) if len(shares) else "",
        "pit_rows": [_pit_row(row) for row in shares.to_dict("records")],
        "enough": record_figures.ENOUGH_FOR_SHARES,
        "days": _day_rows(data, record),
        "costs": _cost_rows(data, record),
        "restated": _restated(data),
        "champions": _champion_rows(data),
        "champions_left_out": 0 if data.champions is None else max(0, len(data.champions) - CHAMPIONS_SHOWN),
    }


def _pit_row(row: dict[Any, Any]) -> dict[str, str]:
    band = f"{percent(row['low'])} to {percent(row['high'])}"
    return {"place": row["place"], "share": percent(row["share"]), "expected": percent(row["expected"]), "band": band}


def _day_rows(data: ReportData, record: TrackRecord) -> list[dict[str, Any]]:
    unit = unit_of(data)
    found = record_figures.errors_by_day(record, lambda session: wording.day_notes(data, session))
    return [
        {
            "day": row["day"],
            "n": row["n"],
            "mae": unit.number(row["mae"]),
            "bias": unit.number(row["bias"]),
            "inside": percent(row["inside_80"]),
        }
        for row in found.to_dict("records")
    ]


def _cost_rows(data: ReportData, record: TrackRecord) -> list[dict[str, Any]]:
    """A row a cost ratio above 1, and for the one that is set: tomorrow's quantile, and costs one session ahead."""
    unit, own = unit_of(data), [] if data.cost_ratio is None else [data.cost_ratio]
    rows = []
    ratios = sorted({*map(float, RATIOS[1:]), *own})
    for ratio, costs in zip(ratios, realised_costs_of(record, ratios), strict=True):
        found = costs.to_dict("records")
        if not found:
            continue
        ours, best = found[0], next(iter(found[1:]), None)
        rows.append(
            {
                "ratio": f"{ratio:.4g} to 1",
                "own": ratio in own,
                "level": level_name(ratio),
                "tomorrow": unit.number(float(cost_quantiles(data.rows, ratio).iloc[0])),
                "n": ours["n"],
                "cost": unit.number(ours["cost"], finer=1),
                "saving": percent(ours["saving"], signed=True),
                "best": "" if best is None else wording.forecaster_label(best["forecaster"]),
                "best_saving": "\N{EN DASH}" if best is None else percent(best["published_saving"], signed=True),
            }
        )
    return rows


def _restated(data: ReportData) -> dict[str, Any] | None:
    """A sentence and the newest restated sessions; None where no first prints are given."""
    if data.first_prints is None or data.first_prints.empty:
        return None
    unit, first = unit_of(data), data.first_prints
    now = data.history["value"].astype(float).reindex(first.index)
    found = record_figures.restated(first, now, target=data.target)
    rows = [
        {
            "session": as_day(row["session"]).isoformat(),
            "day": short_day(as_day(row["session"])),
            "first": unit.number(row["first"], finer=1),
            "now": unit.number(row["now"], finer=1),
            "change": percent(row["change"], signed=True, decimals=1),
        }
        for row in found.head(RESTATED_SHOWN).to_dict("records")
    ]
    typical = percent(float(found["change"].abs().median()), decimals=1) if len(found) else ""
    return {"sessions": len(first), "changed": len(found), "typical": typical, "rows": rows}


def _champion_rows(data: ReportData) -> list[dict[str, str]]:
    if data.champions is None:
        return []
    newest = data.champions.sort_values(["from_session", "decided_at"], ascending=False).head(CHAMPIONS_SHOWN)
    return [
        {
            "since": as_day(row["from_session"]).isoformat(),
            "until": "now" if row["to_session"] != row["to_session"] else as_day(row["to_session"]).isoformat(),
            "model": str(row["model_id"]),
            "method": str(row["method"]),
            "why": str(row["why"]),
        }
        for row in newest.to_dict("records")
    ]
