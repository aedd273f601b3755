import json

import pandas as pd

from forecasting.report.json_text import rounded
from forecasting.report.tables import (
    BACKTEST_FIGURES,
    backtest_table,
    decision_table,
    finding_table,
    forecast_table,
    night_document,
    score_table,
)
from tests.report.nights import forecasts, report_data, score, scored
from tests.report.test_facts import DECISION


def test_the_forecast_table_holds_every_quantile_of_every_session_as_plain_values():
    data = report_data(forecasts=forecasts(outside=""))
    rows = forecast_table(data)
    assert [row["horizon"] for row in rows] == [1, 2, 3, 4, 5]
    assert list(rows[0]) == [
        *("target_session", "horizon", "q05", "q10", "q25", "q50", "q75", "q90", "q95"),
        *("last_value", "status", "reason", "outside"),
    ]
    assert rows[0]["q50"] == data.rows["q50"].iloc[0]
    assert all(isinstance(value, int | float | str) for row in rows for value in row.values())


def test_the_score_table_is_a_mean_over_the_last_score_of_each_forecast():
    record = scored(
        score(ago=2, actual=10.0, median=12.0, stage="first_print"),
        score(ago=2, actual=11.0, median=12.0, stage="settled"),  # the same forecast, once more
        score(ago=3, actual=10.0, median=7.0),
    )
    rows = score_table(report_data(scored=record))
    assert [(row["forecaster"], row["n"], row["mae"]) for row in rows] == [("lstm", 2, 2.0), ("published", 2, 2.0)]


def test_the_score_table_has_a_row_for_each_forecaster_and_kind_whatever_was_published():
    rows = [
        score(ago=1, median=11.0, role="silenced"),
        score(ago=1, median=12.0, name="ridge"),
        score(ago=2, median=13.0),
        score(ago=2, median=18.0, name="ridge", role="baseline"),
        score(ago=2, median=19.0, role="challenger", model_id="n"),
        score(ago=3, median=10.0, kind="replay"),
    ]
    found = score_table(report_data(scored=scored(*rows)))
    assert [(row["forecaster"], row["kind"], row["n"], row["mae"]) for row in found] == [
        ("challenger", "live", 1, 9.0),
        ("lstm", "live", 2, 2.0),
        ("lstm", "replay", 1, 0.0),
        ("published", "live", 2, 2.5),
        ("published", "replay", 1, 0.0),
        ("ridge", "live", 2, 5.0),
    ]


def test_tables_without_a_row_say_why():
    data = report_data(scored=scored(), decision=None)
    assert score_table(data) == [{"scores": "none yet: the first forecast's session has not closed"}]
    assert decision_table(data) == [{"promotion": "no challenger was fitted on this night"}]
    assert finding_table(report_data(findings=data.findings.iloc[:0])) == [
        {"findings": "none: every bar passed every check"}
    ]


def test_the_decision_table_keeps_numbers_as_numbers_and_the_unknown_as_an_empty_text():
    (row,) = decision_table(report_data(decision=DECISION | {"last_origin": None}))
    assert (row["winner"], row["champion_pinball"]) == (DECISION["winner"], 0.6e6)
    assert (row["first_origin"], row["last_origin"]) == ("2024-01-02", "")
    assert list(row)[-1] == "reason"


def test_the_document_of_a_night_names_model_and_run_and_holds_its_forecasts():
    data = report_data(forecasts=forecasts(outside=""))
    document = night_document(data)
    assert (document["symbol"], document["target"], document["origin_session"]) == ("SBUX", "volume", data.origin)
    assert (document["model_id"], document["run_id"]) == (data.model["id"], data.run["id"])
    assert pd.DataFrame(document["forecasts"])["q50"].tolist() == data.rows["q50"].tolist()
    assert {row["horizon"] for row in document["forecasts"]} == {1, 2, 3, 4, 5}


def test_the_document_of_a_night_has_the_track_record_against_each_forecaster():
    rows = [
        score(median=14.0),
        score(median=12.0, name="ridge", role="baseline"),
        score(median=10.0, name="har", role="baseline"),
    ]
    document = rounded(night_document(report_data(forecasts=forecasts(outside=""), scored=scored(*rows))))
    found = document["track_record"]
    assert {name: found[name] for name in ("origins", "kinds", "fallbacks")} == {
        "origins": 1,
        "kinds": {"live": 1},
        "fallbacks": 0,
    }
    pooled = [row for row in found["skills"] if row["horizon"] == 0]
    assert [(row["forecaster"], row["n"], row["their_mae"], row["skill_mae"]) for row in pooled] == [
        ("har", 1, 0.0, None),
        ("ridge", 1, 2.0, -1.0),
        ("lstm", 1, 4.0, 0.0),
    ]
    assert "NaN" not in json.dumps(found)


def test_the_table_of_a_backtest_has_a_row_over_all_and_one_a_horizon():
    figures = dict.fromkeys(BACKTEST_FIGURES, 1.0)
    document = {"overall": figures | {"baselines": {}}, "horizons": {"1": figures | {"mae": 2.0}}}
    rows = backtest_table(document)
    assert [(row["horizon"], row["mae"]) for row in rows] == [("all", 1.0), ("1", 2.0)]
    assert list(rows[0]) == ["forecasts", "horizon", *BACKTEST_FIGURES]
    both = backtest_table(document | {"as_published": document})
    assert [row["forecasts"] for row in both] == ["model alone"] * 2 + ["as published"] * 2
