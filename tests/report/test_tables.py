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
    forecast_csv,
    night_document,
    unusual,
)
from tests.report.nights import ORIGIN, forecasts, report_data, score, scored

SMALL = pd.DataFrame({"value": [10.0], "settled": True}, index=[pd.Timestamp(ORIGIN)])
"""A history whose usual value is ten shares."""


def test_a_row_of_a_live_forecast_of_the_network_is_not_unusual():
    assert unusual({"kind": "live", "status": "ok"}) == []
    assert unusual({"kind": "replay", "status": "fallback"}) == ["replay", "fallback"]


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
