"""The page of a night: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forecasting.report import facts, night_json, record_section, track_record_charts, units, wording
from forecasting.report.data import ReportData
from forecasting.report.environment import environment
from forecasting.report.listings import change
from forecasting.report.staleness import stale_after
from forecasting.report.track_record import ENOUGH_LIVE, TrackRecord, coverages
from forecasting.vocabulary import LSTM


def render_page(data: ReportData, *, links: Sequence[tuple[str, str]] = ()) -> str:
    """The whole HTML page; it makes no network request.

    Args:
        data: The night.
        links: Text and address of each other page, as of the index.
    """
    record = data.record
    unit = units.unit_of(data)
    return (
        environment()
        .get_template("page.html")
        .render(
            data=data,
            links=links,
            unit=unit,
            what=wording.TARGETS[data.target],
            headline=wording.headline(data),
            so_far=wording.record_sentence(data, record),
            notices=wording.notices(data),
            issued_at=data.rows["issued_at"].iloc[0],
            issued=units.instant(data.rows["issued_at"].iloc[0]),
            stale_after=stale_after(data.rows["target_session"].iloc[0]),
            # A replay and the sample are old on purpose, and say so.
            may_be_stale="replay" not in set(data.rows["kind"]),
            nights=night_json.embedded(data),
            forecasters=night_json.forecasters(data),
            last=_last_row(data),
            forecasts=_forecast_rows(data),
            past=[track_record_charts.past_chart(data, record, layout) for layout in ("wide", "narrow")]
            if len(record.ahead(1))
            else [],
            past_rows=_past_rows(data, record),
            counted=_counted(record),
            origins=record.origins,
            fallbacks=record.fallbacks,
            first_score=units.long_day(data.rows["target_session"].iloc[0]),
            **_skill_tables(data, record),
            coverages=_coverage_tables(record),
            **record_section.figures(data, record),
            facts=facts.fact_groups(data),
            stages=facts.stage_rows(data),
            findings=facts.finding_rows(data),
            findings_left_out=max(0, len(data.findings) - facts.FINDINGS_SHOWN),
        )
    )


def _last_row(data: ReportData) -> dict[str, Any]:
    value = units.unit_of(data).number(data.last_value)
    return {"day": units.short_day(data.known.index[-1]), "value": value, "provisional": data.is_provisional}


def _forecast_rows(data: ReportData) -> list[dict[str, Any]]:
    unit = units.unit_of(data)
    return [
        {
            "day": units.short_day(row["target_session"]),
            "iso": row["target_session"].isoformat(),
            "median": unit.number(row["q50"]),
            "span_50": unit.span(row["q25"], row["q75"]),
            "span_80": unit.span(row["q10"], row["q90"]),
            "span_90": unit.span(row["q05"], row["q95"]),
            "change": change(row["q50"], data.last_value, target=data.target),
            "notes": wording.day_notes(data, row["target_session"]),
        }
        for row in data.rows.to_dict("records")
    ]


def _past_rows(data: ReportData, record: TrackRecord) -> list[dict[str, str]]:
    unit = units.unit_of(data)
    return [
        {
            "day": units.short_day(row["target_session"]),
            "iso": row["target_session"].isoformat(),
            "median": unit.number(row["q50"]),
            "span_80": unit.span(row["q10"], row["q90"]),
            "actual": unit.number(row["actual"]),
            "error": unit.number(row["error"]),
            "where": "inside" if row["inside_80"] else "outside",
            "kind": str(row["kind"]),
        }
        for row in record.ahead(1).iloc[:-21:-1].to_dict("records")
    ]


def _counted(record: TrackRecord) -> str:
    if not record.origins:
        return ""
    days = record.published["origin_session"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(record.kinds.items()))
    if record.origins == 1:
        return f"one night, {days.min()} ({kinds})"
    return f"{record.origins} nights from {days.min()} to {days.max()} ({kinds})"


def _skill_tables(data: ReportData, record: TrackRecord) -> dict[str, list[dict[str, Any]]]:
    unit, found = units.unit_of(data), record.comparisons
    if found.empty:
        return {"skills": [], "losses": []}
    each = found[found["horizon"] > 0]
    limit = max(0.05, float(each["skill_pinball"].abs().max()))
    rows = []
    # One session ahead, as the sentence at the top of the page: the same nights, so the same best baseline.
    ahead = found[found["horizon"] == 1]
    network_last = ahead.assign(is_network=ahead["forecaster"] == LSTM).sort_values(["is_network", "their_pinball"])
    for row in network_last.to_dict("records"):
        own = each[each["forecaster"] == row["forecaster"]]
        by_horizon = dict(zip(own["horizon"].astype(int), own["skill_pinball"].astype(float), strict=True))
        bars = track_record_charts.skill_bars(by_horizon, limit=limit)
        rows.append({**_loss_row(row, unit, finer=0), "bars": bars})
    return {"skills": rows, "losses": [_loss_row(row, unit, finer=1) for row in found.to_dict("records")]}


def _loss_row(row: dict[Any, Any], unit: units.Unit, *, finer: int) -> dict[str, Any]:
    losses = ("mae", "their_mae", "pinball", "their_pinball")
    return {
        "forecaster": wording.forecaster_label(row["forecaster"]),
        "horizon": int(row["horizon"]) or "all",
        "n": row["n"],
        **{name: unit.number(row[name], finer=finer) for name in losses},
        **{name: units.percent(row[name], signed=True, decimals=finer) for name in ("skill_mae", "skill_pinball")},
        "p_value": units.p_value(row["p_value"]),
    }


def _coverage_tables(record: TrackRecord) -> list[dict[str, Any]]:
    found = coverages(record)
    return [
        {
            "level": units.percent(float(level)),  # type: ignore[arg-type]  # groupby on one column gives its values
            "rows": [
                {
                    "horizon": row["horizon"],
                    "n": row["n"],
                    "share": units.percent(row["share"]),
                    "band": f"{100 * row['low']:.0f}\N{EN DASH}{units.percent(row['high'])}",
                    "verdict": _verdict(row),
                    "strip": track_record_charts.coverage_strip(
                        row["share"], row["low"], row["high"], level=row["level"]
                    ),
                }
                for row in group.to_dict("records")
            ],
        }
        for level, group in found.groupby("level")
    ]


def _verdict(row: dict[Any, Any]) -> str:
    if row["share"] < row["low"]:
        return "too narrow"
    if row["share"] > row["high"]:
        return "too wide"
    # With a handful of forecasts nearly every share lies in the band, which is no evidence.
    return "fits" if row["n"] >= ENOUGH_LIVE else "too few"
