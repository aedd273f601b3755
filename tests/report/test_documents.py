import json
import math
import re
from datetime import date

import pytest

from forecasting.evaluate.significance import Skill
from forecasting.publish import export
from forecasting.report import documents
from forecasting.settings import Settings
from forecasting.store.connect import transaction
from tests.guides import section
from tests.report.nights import ORIGIN, report_data, score, scored
from tests.store.mixed_nights import mixed_scores
from tests.store.rows import SYMBOL, add_scores


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


def test_utilsforecast_evaluates_the_nixtla_form_as_numpy_does(sqlite_url):
    """Its error and coverage of sixty nights of every sort, where all have a forecast."""
    from utilsforecast.evaluation import evaluate  # imports dask, which no other test needs
    from utilsforecast.losses import coverage, mae

    with transaction(sqlite_url) as connection:
        add_scores(connection, mixed_scores(connection, seed=1, days=60))
    settings = Settings(database_url=sqlite_url, symbols=(SYMBOL,))
    found = export.frame("nixtla", settings).dropna()
    assert len(found) > 60
    figures = evaluate(found.drop(columns="cutoff"), [mae, coverage], level=[80])
    figures = figures.set_index("metric").drop(columns="unique_id")
    assert list(figures) == list(MODELS)
    y = found["y"]
    for name in MODELS:
        inside = y.between(found[f"{name}-lo-80"], found[f"{name}-hi-80"])
        expected = [(found[name] - y).abs().mean(), inside.mean()]
        assert figures.loc[["mae", "coverage_level80"], name].tolist() == pytest.approx(expected)
