"""Forecasts in hubverse's and Nixtla's forms, on nights of every sort and by hand."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from forecasting.pipeline import ledger_frames
from forecasting.pipeline.ledger_frames import HISTORY_COLUMNS, typed
from forecasting.report.long_forms import HUBVERSE_COLUMNS, TASK_IDS, hubverse, nixtla
from forecasting.settings import Settings
from forecasting.store import write
from forecasting.store.connect import transaction
from forecasting.vocabulary import QUANTILE_COLUMNS, QUANTILES
from tests.store.mixed_nights import mixed_scores
from tests.store.rows import SYMBOL, TARGET

MODELS = ("LSTM", "published", "har", "ridge")


def history_rows(*rows: dict[str, object]) -> pd.DataFrame:
    """Rows of the history: median 100 and ten between neighbours, actual 90, unless stated otherwise."""
    filled = []
    for row in rows:
        quantiles = {name: 70.0 + 10.0 * place for place, name in enumerate(QUANTILE_COLUMNS)}
        usual = {"origin_session": "2024-03-01", "target_session": "2024-03-04", "horizon": 1, "kind": "live"}
        usual |= {"role": "champion", "model": "lstm", "actual": 90.0, "issued_at": "2024-03-01T22:00Z"}
        filled.append(dict.fromkeys(HISTORY_COLUMNS) | {"symbol": SYMBOL, "target": TARGET} | quantiles | usual | row)
    frame = pd.DataFrame(filled)
    for name in ("issued_at", "data_as_of"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return typed(frame, HISTORY_COLUMNS)


@pytest.fixture
def mixed_history(sqlite_url: str) -> pd.DataFrame:
    """Sixty nights of every sort, all scored."""
    scores = mixed_scores(sqlite_url, seed=1, days=60)
    with transaction(sqlite_url) as connection:
        write.add_scores(connection, scores)
    return ledger_frames.history(Settings(database_url=sqlite_url, symbols=(SYMBOL,)))


def test_hubverse_has_the_columns_and_types_that_hubs_require(mixed_history: pd.DataFrame) -> None:
    found = hubverse(mixed_history)
    assert tuple(found.columns) == HUBVERSE_COLUMNS
    assert {"model_id", "output_type", "output_type_id", "value"} == set(found.columns) - set(TASK_IDS)
    assert found.notna().all().all()
    for name in ("origin_date", "target_end_date"):  # a hub's schema: strings of format date, so no time of day
        assert (found[name] == found[name].dt.normalize()).all()
    assert found["horizon"].dtype == "int64"
    assert found["output_type_id"].dtype == found["value"].dtype == "float64"
    assert found["output_type_id"].between(0, 1).all()
    assert set(found["output_type"]) == {"quantile"}
    assert set(found["target"]) == {TARGET}
    assert all(re.fullmatch(r"[A-Za-z0-9_]+-[A-Za-z0-9_]+", id) for id in found["model_id"].unique())


def test_hubverse_has_each_quantile_of_a_task_once_and_ascending(mixed_history: pd.DataFrame) -> None:
    found = hubverse(mixed_history)
    assert not found.duplicated(["model_id", *TASK_IDS, "output_type_id"]).any()
    for _, task in found.groupby(["model_id", *TASK_IDS]):
        assert task["output_type_id"].tolist() == list(QUANTILES)
        assert task["value"].is_monotonic_increasing


def test_a_published_baseline_counts_in_its_own_line_and_in_the_published_one() -> None:
    history = history_rows(
        {"role": "silenced", "q50": 101.0},
        {"role": "champion", "model": "ridge", "q50": 102.0},
        {"role": "baseline", "model": "har", "q50": 103.0},
        {"role": "challenger", "q50": 104.0},
    )
    medians = hubverse(history).query("output_type_id == 0.5").set_index("model_id")["value"]
    assert medians.to_dict() == {
        "forecasting-lstm": 101.0,
        "forecasting-ridge": 102.0,
        "forecasting-published": 102.0,
        "forecasting-har": 103.0,
    }


def test_one_kind_of_an_origin_counts_and_of_it_the_last_issued() -> None:
    history = history_rows(
        {"kind": "late", "q50": 104.0},
        {"kind": "live", "q50": 101.0},
        {"kind": "live", "q50": 102.0, "issued_at": "2024-03-01T23:00Z"},
        {"kind": "replay", "q50": 103.0, "issued_at": "2024-04-01T23:00Z"},
    )
    assert set(nixtla(history)["LSTM"]) == {102.0}


def test_replays_are_left_out_once_there_is_a_live_forecast() -> None:
    replay = {"origin_session": "2024-02-29", "target_session": "2024-03-01", "kind": "replay"}
    assert nixtla(history_rows(replay))["cutoff"].tolist() == [pd.Timestamp("2024-02-29")]
    assert nixtla(history_rows(replay, {}))["cutoff"].tolist() == [pd.Timestamp("2024-03-01")]


def test_nixtla_by_hand() -> None:
    history = history_rows({}, {"role": "baseline", "model": "ridge", "q50": 95.0}, {"horizon": 2, "actual": None})
    (row,) = nixtla(history).to_dict("records")
    own = {"-lo-50": 90.0, "-hi-50": 110.0, "-lo-80": 80.0, "-hi-80": 120.0, "-lo-90": 70.0, "-hi-90": 130.0}
    assert row == {
        "unique_id": SYMBOL,
        "ds": pd.Timestamp("2024-03-04"),
        "cutoff": pd.Timestamp("2024-03-01"),
        "y": 90.0,
        "LSTM": 100.0,
        **{f"LSTM{name}": value for name, value in own.items()},
        "published": 100.0,
        **{f"published{name}": value for name, value in own.items()},
        "ridge": 95.0,
        **{f"ridge{name}": value for name, value in own.items()},
    }


def test_utilsforecast_evaluates_the_nixtla_form_as_numpy_does(mixed_history: pd.DataFrame) -> None:
    """Its error, coverage and quantile loss against the same by numpy, on the rows on which all have a forecast."""
    from utilsforecast.evaluation import evaluate  # imports dask, which no other test needs
    from utilsforecast.losses import coverage, mae, mqloss

    found = nixtla(mixed_history).dropna()
    assert len(found) > 60
    result = evaluate(found, [mae, coverage, mqloss], models=list(MODELS), level=[50, 80, 90], agg_fn="mean")
    figures = evaluate(found.drop(columns="cutoff"), [mae, coverage, mqloss], level=[50, 80, 90]).set_index("metric")
    assert [name for name in figures if name != "unique_id"] == list(MODELS)
    assert set(result["metric"]) == set(figures.index)
    y = found["y"].to_numpy()
    for name in MODELS:
        assert figures.loc["mae", name] == pytest.approx(np.abs(found[name] - y).mean())
        inside = (found[f"{name}-lo-80"] <= y) & (y <= found[f"{name}-hi-80"])
        assert figures.loc["coverage_level80", name] == pytest.approx(inside.mean())
        columns = [f"{name}-lo-{level}" for level in (90, 80, 50)] + [f"{name}-hi-{level}" for level in (50, 80, 90)]
        levels = [level for level in QUANTILES if level != 0.5]
        losses = [
            np.maximum(level * (y - found[column]), (level - 1) * (y - found[column]))
            for level, column in zip(levels, columns, strict=True)
        ]
        assert figures.loc["mqloss", name] == pytest.approx(np.mean(losses))


def test_a_history_without_a_row_gives_both_forms_without_a_row() -> None:
    empty = history_rows({}).iloc[:0]
    assert tuple(hubverse(empty).columns) == HUBVERSE_COLUMNS
    assert list(nixtla(empty).columns) == ["unique_id", "ds", "cutoff", "y"]
