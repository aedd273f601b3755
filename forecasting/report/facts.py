"""A night's facts: model, decision, data and provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from forecasting.report.data import ReportData
from forecasting.report.days import as_day
from forecasting.report.units import instant, quantity, seconds, span_of_days, unit_of
from forecasting.sessions import after
from forecasting.vocabulary import RANDOM

STAGES = ("ingest", "preprocess", "train", "predict", "evaluate")
FINDINGS_SHOWN = 40
"""An index whose source has no volume has a finding for every session; the table findings holds all of them."""

_DASH = "\N{EN DASH}"
_RUN_STATUSES = {"running": "still running when this page was written"}
_STARTING_WEIGHTS = {RANDOM: "random weights"}


def fact_groups(data: ReportData) -> list[tuple[str, list[tuple[str, str]]]]:
    """Named groups of (name, value) pairs, in the order of the page."""
    return [
        ("Model", _model_facts(data)),
        ("Decision", _decision_facts(data)),
        ("Data", _data_facts(data)),
        ("Provenance", _provenance_facts(data)),
    ]


def stage_rows(data: ReportData) -> list[tuple[str, str, float]]:
    """Each stage with its time as text and its share of the total; empty when no stage has been timed."""
    spent = {stage: data.run.get(f"seconds_{stage}") for stage in STAGES}
    known = {stage: float(value) for stage, value in spent.items() if value is not None and math.isfinite(value)}
    total = sum(known.values())
    if not total:
        return []
    return [(stage, seconds(known.get(stage)), known.get(stage, 0.0) / total) for stage in STAGES]


def finding_rows(data: ReportData) -> list[dict[str, str]]:
    """The findings of the newest FINDINGS_SHOWN sessions, oldest first; `since` is `tonight` for new ones."""
    return [
        {
            "session": as_day(row["session"]).isoformat(),
            "rule": str(row["rule"]).replace("_", " "),
            "severity": str(row["severity"]),
            "value": f"{row['value']:,.6g}" if row["value"] is not None and row["value"] == row["value"] else _DASH,
            "detail": str(row["detail"]),
            "since": "tonight" if row["since"] >= data.fetch["fetched_at"] else f"{row['since']:%Y-%m-%d}",
        }
        for row in data.findings.sort_values("session").tail(FINDINGS_SHOWN).to_dict("records")
    ]


def _model_facts(data: ReportData) -> list[tuple[str, str]]:
    model = data.model
    statuses = sorted(set(data.rows["status"].astype(str)))
    model_name = f"{model['name']} {model['version']}".strip()
    if statuses != ["ok"]:
        model_name += f" ({', '.join(statuses)})"
    fit = f"{model['method']}, {quantity(model['epochs'], 'epoch')}" if model.get("epochs") else str(model["method"])
    if start := _start(model):
        fit += f", from {start}"
    return [
        ("Model", model_name),
        ("Fitted", fit),
        ("Trained on", span_of_days(model.get("trained_from"), model.get("trained_to"))),
        ("Age", _age(data)),
        ("Seed", str(model["seed"])),
    ]


def _start(model: Mapping[str, Any]) -> str:
    """The weights that a network's fit started from; empty for a baseline."""
    if model.get("parent_id"):
        return str(model["parent_id"])
    base = str(model.get("base") or "")
    return _STARTING_WEIGHTS.get(base, f"pretrained weights {base}") if base else ""


def _age(data: ReportData) -> str:
    if data.model.get("trained_to") is None:
        return _DASH
    sessions = len(after(as_day(data.model["trained_to"]), data.origin, data.exchange))
    return "trained up to tonight" if sessions <= 0 else f"{sessions} session{'s' if sessions > 1 else ''}"


def _decision_facts(data: ReportData) -> list[tuple[str, str]]:
    run, decision = data.run, data.decision
    mode = str(run.get("mode") or "undecided")
    facts = [("Training", f"{mode}: {run['mode_reason']}" if run.get("mode_reason") else mode)]
    if decision is None:
        return [*facts, ("Promotion", "none was decided tonight")]
    facts.append(("Promotion", str(decision["reason"])))
    facts.append(("Compared on", _compared(decision)))
    facts.append(("Pinball loss", _pinballs(data, decision)))
    return facts


def _compared(decision: Mapping[str, Any]) -> str:
    """Whose forecasts of which origins were compared; a dash where none were."""
    if not decision["origins"]:
        return _DASH
    if decision.get("first_origin") is None:  # a decision before migration 0006
        return f"{decision['origins']} origins"
    first, last = (as_day(decision[name]) for name in ("first_origin", "last_origin"))
    return f"both models run over {decision['origins']} closed origins, {first} to {last}"


def _pinballs(data: ReportData, decision: Mapping[str, Any]) -> str:
    unit = unit_of(data)
    found = [(name, decision.get(f"{name}_pinball")) for name in ("champion", "challenger")]
    losses = [f"{name} {unit.number(float(value), finer=1)}" for name, value in found if value is not None]
    return f"{', '.join(losses)} ({unit.name})" if losses else _DASH


def _data_facts(data: ReportData) -> list[tuple[str, str]]:
    fetch = data.fetch
    verdict = f"{fetch['verdict']}: {fetch['detail']}" if fetch.get("detail") else str(fetch["verdict"])
    newest = f"{data.known.index[-1]}, {'first print' if data.is_provisional else 'settled'}"
    return [
        ("Series", str(fetch["title"])),
        ("Source", str(fetch["source"])),
        ("Fetched", instant(fetch["fetched_at"])),
        (
            "Bars",
            f"{int(fetch['row_count']):,}, {span_of_days(fetch.get('first_received'), fetch.get('last_received'))}",
        ),
        ("Verdict", verdict),
        ("Newest value", newest),
    ]


def _lineage_facts(data: ReportData) -> list[tuple[str, str]]:
    """The model's ancestors, nearest first, and what it has forecast; nothing where its lineage is not given."""
    if data.lineage is None:
        return []
    parents, made = list(data.lineage["parents"]), int(data.lineage["forecasts"])
    shown = ", ".join(parents[:3]) + (f" and {len(parents) - 3} before" if len(parents) > 3 else "")
    fitted = data.lineage["fitted_on_the_night_of"]
    span = span_of_days(data.lineage["first_origin"], data.lineage["last_origin"])
    return [
        ("Refreshed from", shown or _DASH),
        ("Fitted on the night", str(fitted or _DASH)),
        ("Its forecasts", f"{made:,}, origins {span}"),
    ]


def _provenance_facts(data: ReportData) -> list[tuple[str, str]]:
    run, model = data.run, data.model
    return [
        ("Issued", instant(data.rows["issued_at"].iloc[0])),
        ("Run", f"{run['id']} ({run['trigger']}, {_RUN_STATUSES.get(run['status'], run['status'])})"),
        ("Prefect run", str(run.get("flow_run_id") or _DASH)),
        ("Model id", str(model["id"])),
        *_lineage_facts(data),
        ("Weights hash", str(model.get("artifact_hash") or _DASH)),
        ("Fetch id", str(fetch_id) if (fetch_id := data.fetch.get("id")) else _DASH),
        ("Code", str(run["code_version"])),
        ("Settings hash", str(run["settings_hash"])),
    ]
