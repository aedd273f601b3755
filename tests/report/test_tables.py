import csv
import io
import json
import re
from datetime import date
from pathlib import Path

import pandas as pd

from forecasting.report.json_text import json_text, rounded
from forecasting.report.tables import (
    backtest_table,
    backtest_unit,
    finding_table,
    forecast_csv,
    forecast_table,
    night_document,
    score_table,
    unusual,
)
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.report.nights import ISSUED, ORIGIN, forecasts, report_data, score, scored

SMALL = pd.DataFrame({"value": [10.0], "settled": True}, index=[pd.Timestamp(ORIGIN)])
"""A history whose usual value is ten shares."""


def test_the_forecast_table_has_the_median_first_in_few_digits_and_every_interval():
    quantiles = dict(zip(QUANTILE_COLUMNS, (5e6, 6e6, 7e6, 8.4512e6, 9e6, 12e6, 13e6), strict=True))
    rows = forecast_table(report_data(forecasts=forecasts(**quantiles)))
    assert [row["session"] for row in rows] == ["Mon 11 Mar", "Tue 12 Mar", "Wed 13 Mar", "Thu 14 Mar", "Fri 15 Mar"]
    first = [text.replace("\N{EN DASH}", "-") for text in rows[2].values()]
    assert list(rows[2]) == ["session", "median", "80 %", "vs usual", "note", "90 %", "50 %"]
    assert [*first[:3], *first[4:]] == ["Wed 13 Mar", "8.45", "6.00-12.00", "earnings", "5.00-13.00", "7.00-9.00"]


def test_the_forecast_table_names_a_fallback():
    rows = forecast_table(report_data(forecasts=forecasts(status="fallback", kind="replay")))
    assert [row["note"] for row in rows[:3]] == ["fallback", "fallback", "fallback, earnings"]


def test_a_row_of_a_live_forecast_of_the_network_is_not_unusual():
    assert unusual({"kind": "live", "status": "ok"}) == []
    assert unusual({"kind": "replay", "status": "fallback"}) == ["replay", "fallback"]


def test_the_score_table_is_a_mean_over_the_scores_of_all_forecasts():
    record = scored(
        score(ago=2, actual=11.0, median=12.0),
        score(ago=3, actual=10.0, median=7.0),
    )
    rows = score_table(report_data(scored=record, history=SMALL))
    assert [(row["forecaster"], row["n"], row["error"], row["pinball"]) for row in rows] == [
        ("the network alone", 2, "2.0", "1.00"),
        ("published", 2, "2.0", "1.00"),
    ]
    assert rows[0]["in 80 %"] == "100\N{NO-BREAK SPACE}%"


def test_the_score_table_has_a_row_for_each_forecaster_and_kind_the_best_first():
    rows = [
        score(ago=1, median=11.0, role="silenced"),
        score(ago=1, median=13.0, name="ridge"),
        score(ago=2, median=13.0),
        score(ago=2, median=17.0, name="ridge", role="baseline"),
        score(ago=2, median=19.0, role="challenger", model_id="n"),
        score(ago=3, median=10.0, kind="replay"),
    ]
    found = score_table(report_data(scored=scored(*rows), history=SMALL))
    assert [(row["forecaster"], row["kind"], row["n"], row["error"]) for row in found] == [
        ("the network alone", "live", 2, "2.0"),
        ("published", "live", 2, "3.0"),
        ("ridge", "live", 2, "5.0"),
        ("challenger", "live", 1, "9.0"),
        ("the network alone", "replay", 1, "0.0"),
        ("published", "replay", 1, "0.0"),
    ]


def test_tables_without_a_row_say_why():
    data = report_data(scored=scored())
    assert score_table(data) == [{"scores": "none yet: the first forecast's session has not closed"}]
    assert finding_table(report_data(findings=data.findings.iloc[:0])) == [
        {"findings": "none: every bar passed every check"}
    ]


def test_the_finding_table_has_the_newest_first():
    finding = {"rule": "volume_jump", "severity": "flag", "value": 3.1, "detail": "", "since": ISSUED}
    found = pd.DataFrame([finding | {"session": date(2024, 3, 7)}, finding | {"session": ORIGIN}])
    rows = finding_table(report_data(findings=found))
    assert [(row["session"], row["rule"], row["since"]) for row in rows] == [
        ("2024-03-08", "volume jump", "tonight"),
        ("2024-03-07", "volume jump", "tonight"),
    ]


def test_the_document_of_a_night_names_model_and_run_and_holds_its_forecasts():
    data = report_data(forecasts=forecasts(outside=""))
    document = night_document(data)
    assert (document["symbol"], document["target"], document["origin_session"]) == ("SBUX", "volume", data.origin)
    assert (document["model_id"], document["run_id"]) == (data.model["id"], data.run["id"])
    assert pd.DataFrame(document["forecasts"])["q50"].tolist() == data.rows["q50"].tolist()
    assert {row["horizon"] for row in document["forecasts"]} == {1, 2, 3, 4, 5}


def test_every_key_of_the_document_of_a_night_is_documented():
    terminal = (Path(__file__).parents[2] / "docs" / "terminal.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", terminal.split("| key | meaning |")[1].split("\n\n")[0], re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted(night_document(report_data(forecasts=forecasts(outside=""))))


def test_the_document_of_a_night_has_how_the_published_model_was_fitted_and_whether_the_bar_is_a_first_print():
    data = report_data(forecasts=forecasts(outside=""), run={"mode": "scratch"})
    document = night_document(data)
    assert (document["mode"], document["method"], document["trained_to"]) == ("scratch", "warm", date(2024, 3, 6))
    assert document["first_print"] is False
    new = data.history.assign(settled=data.history.index < pd.Timestamp(ORIGIN))
    assert night_document(report_data(forecasts=forecasts(outside=""), history=new))["first_print"] is True


def test_the_document_of_a_night_has_the_last_result_and_the_record_of_the_newest_nights():
    nights = [score(ago=ago, median=11.0 if ago > 1 else 20.0) for ago in range(1, 31)]
    theirs = [score(ago=ago, median=12.0, name="ridge", role="baseline") for ago in range(1, 31)]
    document = night_document(report_data(forecasts=forecasts(outside=""), scored=scored(*nights, *theirs)))
    assert document["last_result"] == {
        "target_session": ORIGIN,
        "q10": 14.0,
        "q50": 20.0,
        "q90": 30.0,
        "actual": 10.0,
        "inside_80": False,
    }
    short, long = rounded(document["record"])
    assert short == {
        "n": 20,
        "mae": 1.45,
        "coverage_80": 0.95,
        "best_baseline": "ridge",
        "their_mae": 2.0,
        "skill_mae": 0.275,
        "skill_pinball": 0.275,
    }
    assert (long["n"], long["mae"]) == (30, 1.3)
    first = night_document(report_data(forecasts=forecasts(outside=""), scored=scored()))
    assert (first["last_result"], first["record"]) == (None, [])
    assert json.loads(json_text(document))["last_result"]["target_session"] == "2024-03-08"


def test_json_csv_and_text_compare_a_close_with_the_last_one():
    closes = pd.Series([93.0, 94.0, 91.0], index=pd.to_datetime(["2024-03-06", "2024-03-07", ORIGIN]))
    history = pd.DataFrame({"value": closes, "settled": True})
    data = report_data("close", forecasts=forecasts("close", outside="", q50=91.91), history=history)
    assert night_document(data)["usual"] == 91.0
    assert [line["usual"] for line in csv.DictReader(io.StringIO(forecast_csv([data])))] == ["91.0"] * 5
    assert forecast_table(data)[0]["vs last"] == "+1.0\N{NO-BREAK SPACE}%"


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


def test_the_table_of_a_backtest_has_a_row_over_all_and_one_a_horizon_in_few_digits():
    figures = {
        "mae": 1234567.891,
        "best_baseline": "har",
        "skill_vs_best": 0.12345,
        "skill_vs_naive": float("nan"),
        "dm_p_value": 0.0123456,
        "pinball": 456789.1,
        "coverage_80": 0.81234,
        "coverage_90": 0.9,
    }
    document = {"symbol": "SBUX", "target": "volume", "overall": figures, "horizons": {"1": figures | {"mae": 2e6}}}
    rows = backtest_table(document)
    assert [(row["horizon"], row["error"]) for row in rows] == [("all", "1.23"), ("1", "2.00")]
    assert backtest_unit(document).name == "M shares"
    shown = [str(value).replace("\N{NO-BREAK SPACE}", " ") for value in rows[0].values()]
    assert shown[3:] == ["HAR", "+12.3 %", "0.0123", "\N{EN DASH}", "0.457", "81.2 %", "90.0 %"]
    few = document | {"overall": figures | {"dm_p_value": None}}
    assert backtest_table(few)[0]["p"] == "\N{EN DASH}"
    both = backtest_table(document | {"as_published": document})
    assert [row["forecasts"] for row in both] == ["model alone"] * 2 + ["as published"] * 2
