import numpy as np
import pandas as pd
import pytest
from article import INPUTS, ROWS, run_article

from tests.builders import random_bars, scaled

TITLE = "Made-up bars <for tests>"
NAMES = ["As printed", "Scalers apart", "Next session", "Last value"]


def run(bars, **changes):
    return run_article(bars, **{"title": TITLE, "seeds": (0, 1), "epochs": 3, **changes})


def by_name(result):
    return {variant.name: variant for variant in result.variants}


@pytest.fixture(scope="module")
def bars():
    return random_bars(days=300)


@pytest.fixture(scope="module")
def result(bars):
    return run(bars, ours=bars["volume"].rolling(22).median().shift(1))


def test_the_test_rows_influence_training_as_printed_and_not_with_scalers_apart(bars):
    later = scaled(
        scaled(bars, 3.0, slice(-53, None), "volume"), 1.5, slice(-53, None), list(INPUTS)
    )
    before = by_name(run(bars))
    after = by_name(run(later))
    trained = bars.index[-ROWS:-53]
    moved = {}
    for name in NAMES[:3]:
        rows = trained.intersection(before[name].forecast.index)
        moved[name] = not np.allclose(
            before[name].forecast[rows], after[name].forecast[rows], rtol=1e-9
        )
    assert moved == {"As printed": True, "Scalers apart": False, "Next session": False}


def test_a_forecast_of_the_next_session_does_not_depend_on_its_own_prices(bars, result):
    before = by_name(result)
    after = by_name(run(scaled(bars, 2.0, [-1], list(INPUTS))))
    pd.testing.assert_series_equal(before["Next session"].forecast, after["Next session"].forecast)
    assert before["Scalers apart"].forecast.iloc[-1] != after["Scalers apart"].forecast.iloc[-1]
