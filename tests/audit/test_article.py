import numpy as np
import pandas as pd
import pytest

from forecasting.audit.article import INPUTS, ROWS, run_article
from forecasting.errors import HistoryError
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


@pytest.mark.slow
def test_the_newest_253_sessions_are_used_and_every_variant_is_scored_on_the_last_53(bars, result):
    volume = bars["volume"]
    pd.testing.assert_series_equal(result.volume, volume.iloc[-ROWS:])
    assert [variant.name for variant in result.variants] == [*NAMES, "Ours"]
    assert [variant.name for variant in run(bars).variants] == NAMES
    medians = volume.rolling(22).median().shift(1)
    variants = by_name(result)
    assert variants["Last value"].maes == (
        pytest.approx((volume - volume.shift(1)).abs().iloc[-53:].mean()),
    )
    assert variants["Ours"].maes == (pytest.approx((volume - medians).abs().iloc[-53:].mean()),)
    assert len(set(variants["As printed"].maes)) == 2


def test_the_same_seeds_give_the_same_bits_without_the_generator_of_the_process(bars):
    import torch

    reports = []
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = run(bars, progress=lambda done, total: reports.append((done, total)))
    assert torch.equal(torch.rand(3), expected)
    assert reports == [(done, 6) for done in range(1, 7)]
    for left, right in zip(first.variants, run(bars).variants, strict=True):
        assert left.maes == right.maes
        pd.testing.assert_series_equal(left.forecast, right.forecast)


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


def test_incomplete_sessions_are_left_out_too_few_are_refused_and_a_close_stands_in_for_an_adjusted_one(
    bars,
):
    holed = bars.copy()
    holed.iloc[-2, holed.columns.get_loc("volume")] = np.nan
    result = run(holed)
    assert len(result.volume) == ROWS
    assert bars.index[-2] not in result.volume.index
    with pytest.raises(HistoryError, match=r"Expected 253 sessions .* found 252"):
        run(bars.iloc[-252:])
    expected = by_name(run(bars.assign(adj_close=bars["close"])))["As printed"].maes
    for without in (bars.assign(adj_close=np.nan), bars.drop(columns="adj_close")):
        assert "no adjusted close" in run(without).note
        assert by_name(run(without))["As printed"].maes == expected
