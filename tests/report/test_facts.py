from datetime import date, timedelta

import pandas as pd

from forecasting.report.facts import fact_groups, finding_rows, stage_rows
from tests.report.nights import ISSUED, forecasts, report_data

DECISION = {
    "champion": "1b2c3d4e5f607182",
    "challenger": "3f9c2ab1a77d0e11",
    "winner": "3f9c2ab1a77d0e11",
    "best_baseline": "",
    "champion_pinball": 0.6e6,
    "challenger_pinball": 0.5e6,
    "baseline_pinball": None,
    "p_value": None,
    "origins": 40,
    "compared": "hindcasts",
    "first_origin": date(2024, 1, 2),
    "last_origin": date(2024, 2, 28),
    "reason": "A refresh of the champion that passed the gate takes over.",
}


def facts_of(**changed: object) -> dict[str, str]:
    return {name: value for _, pairs in fact_groups(report_data(**changed)) for name, value in pairs}


def test_the_model_facts_hold_fit_age_seed_and_weights():
    facts = facts_of()
    assert facts["Fitted"] == "warm, 6 epochs, from 1b2c3d4e5f607182"
    assert (facts["Age"], facts["Seed"], facts["Weights hash"]) == ("2 sessions", "7", "b5d4045c3f466fa9")


def test_a_fit_from_scratch_names_the_weights_it_started_from():
    def fitted(base: str) -> str:
        return facts_of(model={"method": "scratch", "parent_id": None, "base": base})["Fitted"]

    assert fitted("volume-2024-03-08") == "scratch, 6 epochs, from pretrained weights volume-2024-03-08"
    assert fitted("drawn") == "scratch, 6 epochs, from random weights"
    assert fitted("") == "scratch, 6 epochs"  # a network fitted before the ledger had the column


def test_a_model_trained_up_to_the_origin_has_no_age():
    assert facts_of(model={"trained_to": date(2024, 3, 8)})["Age"] == "trained up to tonight"


def test_a_baseline_has_neither_age_nor_weights():
    facts = facts_of(
        model={
            "name": "ridge",
            "method": "baseline",
            "parent_id": None,
            "trained_to": None,
            "artifact_hash": None,
            "epochs": 0,
        },
        forecasts=forecasts(status="fallback"),
    )
    assert (facts["Model"], facts["Fitted"]) == ("ridge 1 (fallback)", "baseline")
    assert (facts["Age"], facts["Weights hash"]) == ("\N{EN DASH}", "\N{EN DASH}")


def test_a_decision_shows_its_reason_and_what_was_compared():
    facts = facts_of(decision=DECISION)
    assert facts["Promotion"] == "A refresh of the champion that passed the gate takes over."
    assert facts["Compared on"] == "both models run over 40 closed origins, 2024-01-02 to 2024-02-28"
    assert facts["Pinball loss"] == "champion 0.600, challenger 0.500 (M shares)"
    assert facts_of(decision=DECISION | {"first_origin": None})["Compared on"] == "40 origins"
    assert facts_of(decision=DECISION | {"origins": 0})["Compared on"] == "\N{EN DASH}"
    assert facts_of()["Promotion"] == "none was decided tonight"


def test_the_data_facts_hold_fetch_verdict_and_newest_value():
    facts = facts_of()
    assert (facts["Fetched"], facts["Bars"]) == ("2024-03-09 10:31 UTC", "2,562, 2014-01-02 to 2024-03-08")
    assert (facts["Verdict"], facts["Newest value"]) == ("extended: 1 new bar", "2024-03-08, settled")


def test_stages_share_the_seconds_that_were_timed():
    rows = stage_rows(report_data())
    assert [(stage, share) for stage, _, share in rows] == [
        ("ingest", 0.25),
        ("preprocess", 0.0),
        ("train", 0.75),
        ("predict", 0.0),
        ("evaluate", 0.0),
    ]
    assert rows[1][1] == "\N{EN DASH}"


def test_a_night_without_timings_has_no_stages():
    assert stage_rows(report_data(run={"seconds_ingest": None, "seconds_train": None})) == []


def test_findings_are_listed_oldest_first():
    frame = pd.DataFrame(
        {
            "session": [date(2024, 3, 8), date(2024, 2, 1)],
            "rule": ["volume_jump", "low_above_open"],
            "severity": ["flag", "reject"],
            "value": [3.1, None],
            "detail": ["", "low 51 > open 50"],
            "since": [ISSUED, ISSUED - timedelta(days=36)],
        }
    )
    rows = finding_rows(report_data(findings=frame))
    assert [(row["session"], row["rule"], row["value"], row["since"]) for row in rows] == [
        ("2024-02-01", "low above open", "\N{EN DASH}", f"{ISSUED - timedelta(days=36):%Y-%m-%d}"),
        ("2024-03-08", "volume jump", "3.1", "tonight"),
    ]


def test_the_models_ancestors_and_forecasts_are_named():
    lineage = {"parents": ["p1", "p2", "p3", "p4"], "forecasts": 10, "fitted_on_the_night_of": "2024-03-07"}
    found = facts_of(lineage=lineage | {"first_origin": "2024-03-07", "last_origin": "2024-03-08"})
    assert found["Refreshed from"] == "p1, p2, p3 and 1 before"
    assert found["Fitted on the night"] == "2024-03-07"
    assert found["Its forecasts"] == "10, origins 2024-03-07 to 2024-03-08"
    assert "Refreshed from" not in facts_of()
