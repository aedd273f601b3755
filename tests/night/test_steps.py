"""Forecasts near a jump, across a split, and beside the nights most like tonight."""

import json

import numpy as np
import pytest

from forecasting.publish.runs import run_missed
from forecasting.report.terminal import night_parts
from forecasting.report.words import notices
from forecasting.sessions import closes_at, shift
from forecasting.settings import read_settings
from forecasting.vocabulary import QUANTILE_COLUMNS, QUANTILES
from tests.builders import LAST, PRICES, random_bars, scaled, write_yahoo_csv
from tests.nights import after, newest_reports, select

pytestmark = pytest.mark.usefixtures("night_folder")


@pytest.mark.parametrize(("since", "is_near"), [(-4, True), (-24, False)])
def test_a_night_near_a_jump_whose_hold_has_ended_says_so(tmp_path, since, is_near):
    """Prices are halved while as many shares trade: no split, and taken after three sessions."""
    settings = read_settings()
    bars = random_bars(days=560, seed=4, last=LAST)
    bars.iloc[since:, :5] /= 2.0
    for night in (bars.index[since - 1].date(), LAST):
        write_yahoo_csv(bars.loc[: str(night)], tmp_path / "TEST.csv")
        run_missed(settings, as_of=night, mode="auto", now=after(night))
    (data,) = newest_reports(settings)
    assert ("Break in the bars" in notices(data.conditions)) is is_near
    assert ("Break in the bars" in str(night_parts(data, now=closes_at(LAST)))) is is_near
    assert {str(bars.index[since].date()) in reason for reason in data.rows["reason"]} == {is_near}


def nights_to_a_split(tmp_path, nights, at_the_split=lambda bars: None):
    """Run the nights; the bars of the last, LAST, are after a split 2:1."""
    bars = random_bars(days=560, seed=4, last=LAST).assign(
        **{"Dividends": 0.0, "Stock Splits": 0.0}
    )
    for night in nights:
        if night == LAST:
            bars = scaled(bars, [0.5] * 5 + [2.0], columns=[*PRICES, "volume"])
            bars.loc[str(LAST), "Stock Splits"] = 2.0
            at_the_split(bars)
        write_yahoo_csv(bars.loc[: str(night)], tmp_path / "TEST.csv")
        run_missed(read_settings(), as_of=night, mode="auto", now=after(night))
    return bars


def test_a_forecast_made_before_a_split_calibrates_on_its_own_share_basis(tmp_path):
    """The first new bar is the median of its old forecast, so every factor falls by its nominal
    share."""

    def as_forecast(bars):
        ((median,),) = select("q50", "forecasts WHERE role = 'published' AND horizon = 1")
        bars.loc[str(LAST), "volume"] = round(2.0 * median)

    nights_to_a_split(tmp_path, [shift(LAST, -1), LAST], as_forecast)
    newest = f"role = 'published' AND origin_session = '{LAST}' AND horizon = 5"
    ((calibration,),) = select("calibration", f"forecasts WHERE {newest}")
    factors = json.loads(calibration)["factors"]
    # Of each pair; one of the five horizons has closed
    outside = np.array([0.1, 0.2, 0.5, 0.0, 0.5, 0.2, 0.1])
    by_hand = np.where(outside > 0.0, np.exp(-0.015 / 5.0 * outside), 1.0)
    np.testing.assert_allclose(factors, by_hand, rtol=1e-12)


def test_totals_widen_by_those_that_closed_and_are_scored_on_the_share_basis_of_their_day(tmp_path):
    nights = [shift(LAST, place) for place in (-3, -2, -1, 0)]
    bars = nights_to_a_split(tmp_path, nights)
    traded = bars["volume"].loc[map(str, nights)] / 2.0
    totals = {
        (str(origin), length): (factor, quantiles)
        for origin, length, factor, *quantiles in select(
            f"origin_session, horizon, factor, {', '.join(QUANTILE_COLUMNS)}",
            "total_forecasts WHERE role = 'published'",
        )
    }
    factor = 1.0
    sums = {}
    for at, night in enumerate(nights):
        moved = 0.0
        for length in range(2, at + 1):
            key = (str(nights[at - length]), length)
            sums[key] = traded.iloc[at - length + 1 : at + 1].sum()
            for level, quantile in zip(QUANTILES, totals[key][1], strict=True):
                if level != 0.5:
                    beyond = (sums[key] - quantile) * (level - 0.5) > 0.0
                    moved += beyond - min(level, 1.0 - level)
        factor *= np.exp(0.015 / 5.0 * moved / 3.0)
        assert totals[str(night), 5][0] == pytest.approx(factor, rel=1e-12)
    assert len(sums) == 3
    scored = select("origin_session, horizon, actual", "total_scores WHERE role = 'published'")
    assert {(str(origin), length): actual for origin, length, actual in scored} == sums
