import json
import math
import re
from datetime import date

import pandas as pd
import pytest

from flows import clock
from forecasting.errors import UsageError
from forecasting.evaluate.significance import Skill
from forecasting.publish import export
from forecasting.report import documents
from forecasting.settings import Settings
from forecasting.store import write
from forecasting.store.connect import transaction
from forecasting.vocabulary import QUANTILE_COLUMNS, QUANTILES
from tests.guides import blocks, section
from tests.report.nights import ORIGIN, report_data, score, scored
from tests.store.mixed_nights import mixed_scores
from tests.store.rows import SYMBOL, TARGET


def test_every_key_of_the_document_of_a_night_is_documented():
    guide = section("analyst.md", "### JSON")
    rows = re.findall(r"^\| (`.*?) \|", guide, re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted(documents.night_document(report_data()))


def test_the_document_of_a_night_has_the_last_result_and_the_skill():
    nights = [score(ago=ago, median=11.0 if ago > 1 else 20.0) for ago in range(1, 31)]
    skill = Skill("ridge", 9, 0.5, None)
    document = documents.night_document(report_data(scored=scored(*nights), skill=skill))
    quantiles = {"q10": 14.0, "q50": 20.0, "q90": 30.0}
    assert document["last_result"] == quantiles | {
        "target_session": ORIGIN,
        "actual": 10.0,
        "inside_80": False,
    }
    assert document["skill"] == {"reference": "ridge", "n": 9, "share": 0.5, "p_value": None}
    first = documents.night_document(report_data(scored=scored()))
    assert (first["last_result"], first["skill"]) == (None, None)
    assert (
        json.loads(documents.json_text(document))["last_result"]["target_session"] == "2024-03-08"
    )


def test_numbers_have_seven_digits_and_nothing_is_nan():
    unchanged = {"n": 123456789, "yes": True, "none": None}
    document = {
        "a": [1 / 3, 12345678.9, math.nan, math.inf],
        "day": date(2024, 3, 8),
        "text": "80\N{NO-BREAK SPACE}M",
    }
    shown = {"a": [0.3333333, 12345680.0, None, None], "day": "2024-03-08", "text": "80 M"}
    assert json.loads(documents.json_text(document | unchanged)) == shown | unchanged


MODELS = ("LSTM", "published", "har", "ridge")


def history_rows(*rows):
    """Rows of the history: median 100 and ten between neighbours, actual 90, unless stated
    otherwise."""
    filled = []
    for row in rows:
        quantiles = {name: 70.0 + 10.0 * place for place, name in enumerate(QUANTILE_COLUMNS)}
        usual = {
            "origin_session": "2024-03-01",
            "target_session": "2024-03-04",
            "horizon": 1,
            "kind": "live",
        }
        usual |= {
            "role": "champion",
            "model": "lstm",
            "actual": 90.0,
            "issued_at": "2024-03-01T22:00Z",
        }
        filled.append(
            {"data_as_of": None, "symbol": SYMBOL, "target": TARGET} | quantiles | usual | row
        )
    frame = pd.DataFrame(filled)
    for name in ("issued_at", "data_as_of"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    for name in ("origin_session", "target_session"):
        frame[name] = pd.to_datetime(frame[name])
    return export.typed(frame)


def test_a_published_baseline_counts_in_its_own_line_and_in_the_published_one():
    history = history_rows(
        {"role": "silenced", "q50": 101.0},
        {"role": "champion", "model": "ridge", "q50": 102.0},
        {"role": "baseline", "model": "har", "q50": 103.0},
        {"role": "challenger", "q50": 104.0},
    )
    medians = (
        documents.hubverse(history).query("output_type_id == 0.5").set_index("model_id")["value"]
    )
    expected = {"lstm": 101.0, "ridge": 102.0, "published": 102.0, "har": 103.0}
    assert medians.to_dict() == {f"forecasting-{name}": median for name, median in expected.items()}


def test_one_kind_of_an_origin_counts_and_of_it_the_last_issued():
    history = history_rows(
        {"kind": "late", "q50": 104.0},
        {"kind": "live", "q50": 101.0},
        {"kind": "live", "q50": 102.0, "issued_at": "2024-03-01T23:00Z"},
        {"kind": "replay", "q50": 103.0, "issued_at": "2024-04-01T23:00Z"},
    )
    assert set(documents.nixtla(history)["LSTM"]) == {102.0}


def test_replays_are_left_out_once_a_live_forecast_is_scored():
    replay = {"origin_session": "2024-02-29", "target_session": "2024-03-01", "kind": "replay"}
    assert documents.nixtla(history_rows(replay, {"actual": None}))["cutoff"].tolist() == [
        pd.Timestamp("2024-02-29")
    ]
    assert documents.hubverse(history_rows(replay, {"actual": None}))["origin_date"].nunique() == 2
    assert documents.nixtla(history_rows(replay, {}))["cutoff"].tolist() == [
        pd.Timestamp("2024-03-01")
    ]


def test_nixtla_by_hand():
    later = {"horizon": 2, "target_session": "2024-03-05", "actual": None}
    history = history_rows({}, {"role": "baseline", "model": "ridge", "q50": 95.0}, later)
    with pytest.raises(UsageError, match="one target, found close, volume"):
        documents.nixtla(pd.concat([history, history.assign(target="close")]))
    (row,) = documents.nixtla(history).to_dict("records")
    own = {
        "-lo-50": 90.0,
        "-hi-50": 110.0,
        "-lo-80": 80.0,
        "-hi-80": 120.0,
        "-lo-90": 70.0,
        "-hi-90": 130.0,
    }
    medians = {"LSTM": 100.0, "published": 100.0, "ridge": 95.0}
    keys = {
        "unique_id": SYMBOL,
        "ds": pd.Timestamp("2024-03-04"),
        "cutoff": pd.Timestamp("2024-03-01"),
        "y": 90.0,
    }
    assert row == keys | medians | {
        f"{model}{name}": value for model in medians for name, value in own.items()
    }


def test_utilsforecast_evaluates_the_nixtla_form_as_numpy_does(sqlite_url):
    """Its error and coverage of sixty nights of every sort, where all have a forecast."""
    from utilsforecast.evaluation import evaluate  # imports dask, which no other test needs
    from utilsforecast.losses import coverage, mae

    with transaction(sqlite_url) as connection:
        write.add_scores(connection, mixed_scores(connection, seed=1, days=60))
    settings = Settings(database_url=sqlite_url, symbols=(SYMBOL,))
    found = documents.nixtla(export.frame("history", settings)).dropna()
    assert len(found) > 60
    figures = evaluate(found.drop(columns="cutoff"), [mae, coverage], level=[80])
    figures = figures.set_index("metric").drop(columns="unique_id")
    assert list(figures) == list(MODELS)
    y = found["y"]
    for name in MODELS:
        inside = y.between(found[f"{name}-lo-80"], found[f"{name}-hi-80"])
        expected = [(found[name] - y).abs().mean(), inside.mean()]
        assert figures.loc[["mae", "coverage_level80"], name].tolist() == pytest.approx(expected)


def test_the_document_of_a_night_has_its_costs_or_none():
    rows = scored(score(median=10.0), score(median=20.0, name="ridge", role="baseline", q25=10.0))
    data = report_data(scored=rows, cost_ratio=3.0)
    found = documents.rounded(documents.night_document(data))["cost"]
    assert [found[name] for name in ("ratio", "optimal_level", "level")] == [3.0, 0.25, 0.25]
    assert [row["quantile"] for row in found["forecasts"]] == documents.rounded(
        data.rows["q25"].tolist()
    )
    published, ridge = found["realised"]
    # Its median is exact
    assert (published["n"], published["cost"], published["saving"]) == (1, 1.5, None)
    assert (ridge["cost"], ridge["published_saving"]) == (0.0, None)
    assert "NaN" not in json.dumps(found["realised"])
    assert documents.night_document(report_data())["cost"] is None


def test_a_history_without_a_row_gives_both_forms_without_a_row_and_one_without_a_score_the_same_columns():
    empty = history_rows({}).iloc[:0]
    one = {"role": "baseline", "model": "ridge"}
    assert tuple(documents.hubverse(empty).columns) == documents.HUBVERSE_COLUMNS
    assert list(documents.nixtla(empty).columns) == ["unique_id", "ds", "cutoff", "y"]
    unscored, scored = (
        documents.nixtla(history_rows({"actual": y}, one | {"actual": y})) for y in (None, 90.0)
    )
    pd.testing.assert_frame_equal(unscored, scored.iloc[:0], check_index_type=False)


def test_the_files_that_the_guide_makes_of_the_export_pass_the_checks_of_a_hub(
    sqlite_url, tmp_path, monkeypatch
):
    """Those of model output that hubverse's R package hubValidations lists for quantiles."""
    with transaction(sqlite_url) as connection:
        mixed_scores(connection, seed=1, days=30)
    settings = Settings(database_url=sqlite_url, symbols=(SYMBOL,))
    export.export(settings, "hubverse", tmp_path / "model-output.parquet", now=clock.now)
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(section("analyst.md", "## Files for other programs"), "python")
    exec(compile(code, "docs/analyst.md", "exec"), {})
    files = sorted((tmp_path / "model-output").rglob("*.csv"))
    assert len(files) > 30
    for path in files:
        rows = pd.read_csv(path)
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}-[A-Za-z0-9_]+-[A-Za-z0-9_]+\.csv", path.name)
        assert path.parent.name == path.stem[11:]
        assert set(rows) == {*documents.TASK_IDS, "output_type", "output_type_id", "value"}
        kinds = [rows[name].dtype.kind for name in ("horizon", "value")]
        same = {"origin_date": path.name[:10], "target": TARGET, "location": SYMBOL}
        for name, value in (same | {"output_type": "quantile"}).items():
            assert set(rows[name]) == {value}
        assert (kinds, rows["value"].between(0.0, 1e300).all()) == (["i", "f"], True)
        for _, task in rows.sort_values("output_type_id").groupby(["horizon", "target_end_date"]):
            assert task["output_type_id"].tolist() == list(QUANTILES)
            assert task["value"].is_monotonic_increasing
