from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.backtests.walk_forward import (
    LINEAR,
    NETWORK,
    BacktestResult,
    BacktestSpec,
    backtest,
)
from forecasting.errors import HistoryError, UsageError
from forecasting.evaluate.scores import DollarVolumes, dollar_volume_r2
from forecasting.losses import pinball
from forecasting.predict.combine import issue, network_quantiles, read_past
from forecasting.preprocess.windows import MarketSeries, actual_of, make_windows
from forecasting.settings import Settings
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.fit import fit
from forecasting.train.linear import linear_forecast
from forecasting.train.pretrained import pretrained_for
from forecasting.train.trees import tree_medians
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES
from tests.builders import no_events, random_bars, scaled

BARS = random_bars(days=560, seed=8)
SETTINGS = Settings(train_sessions=300, members=1, seed=1)


def spec(first: int, last: int, *, refit_every: int, settings: Settings = SETTINGS) -> BacktestSpec:
    """Origins by their place from the end of BARS."""
    days = (BARS.index[at].date() for at in (first, last))
    return BacktestSpec("AAA", *days, refit_every=refit_every, settings=settings)


def past_forecasts(ledger: list[dict[str, object]], origin: date) -> pd.DataFrame:
    columns = ["origin_session", "horizon", "target_session", "actual", "calibration"]
    return pd.DataFrame([row for row in ledger if row["target_session"] <= origin], columns=columns)  # type: ignore[operator]


@pytest.mark.parametrize("target", ["volume", "close"])
def test_refitting_every_session_equals_a_loop_of_single_nights_to_the_bit(target):
    settings = SETTINGS.model_copy(update={"target": target})
    # A report each quarter, the next one seven sessions after the first origin
    at = -3 - 63 * np.arange(6)
    reports = pd.DataFrame(
        {"session": BARS.index[at], "kind": "earnings", "known_from": BARS.index[at - 21]}
    )
    result = backtest(BARS, reports, spec=spec(-10, -8, refit_every=1, settings=settings))
    actual = actual_of(target, BARS)
    ledger: list[dict[str, object]] = []
    for at, origin in enumerate(result.origins.tolist()):
        windows = make_windows(BARS.loc[: str(origin)], reports, origin=origin, settings=settings)
        fitted = fit(windows, settings=settings, pretrained=pretrained_for(windows))
        network = network_quantiles(fitted, windows)
        linear = linear_forecast(windows).quantiles
        past = read_past(past_forecasts(ledger, origin))
        scale = windows.scale()
        models = scale.to_model(network), scale.to_model(linear)
        issued = issue(*models, tree_medians(windows), past, scale=scale, target=target)
        raw = {NETWORK: network, LINEAR: linear}
        raw |= {name: baseline_quantiles(name, windows) for name in baseline_names(target)}
        for name, quantiles in raw.items():
            np.testing.assert_array_equal(result.raw[name][at], quantiles, err_msg=name)
        np.testing.assert_array_equal(result.issued[at], issued.quantiles)
        for place, horizon in enumerate(HORIZONS):
            session = windows.target_sessions[-1][place].item()
            row = {
                "origin_session": np.datetime64(origin),
                "horizon": horizon,
                "target_session": session,
            }
            ledger.append(
                row
                | {
                    "actual": actual[pd.Timestamp(session)],
                    "calibration": issued.calibration[place],
                }
            )


def test_between_refits_a_night_forecasts_with_the_network_of_the_last_refit():
    result = backtest(BARS, no_events(), spec=spec(-12, -8, refit_every=5))
    first, last = (date.item() for date in result.origins[[0, -1]])

    def windows_at(origin: date):
        return make_windows(BARS, no_events(), origin=origin, settings=SETTINGS)

    base = pretrained_for(windows_at(first))
    checkpoint = fit(windows_at(first), settings=SETTINGS, pretrained=base)
    assert (result.refits, len(result.origins)) == (1, 5)
    np.testing.assert_array_equal(
        result.raw[NETWORK][-1], network_quantiles(checkpoint, windows_at(last))
    )


@pytest.fixture(scope="module")
def of_three_refits() -> BacktestResult:
    return backtest(BARS, no_events(), spec=spec(-20, -10, refit_every=4))


VIX = pd.Series(np.linspace(12.0, 30.0, len(BARS)), index=BARS.index)


@pytest.mark.parametrize("market", [None, VIX])
def test_no_forecast_changes_when_bars_or_market_closes_after_its_origin_do(
    market, of_three_refits
):
    later = (
        None
        if market is None
        else MarketSeries(market.where(BARS.index <= BARS.index[-10], market * 2.0))
    )
    requested = spec(-20, -10, refit_every=4)
    altered = scaled(BARS, 2.0, slice(-9, None))
    before = of_three_refits
    if market is not None:
        before = backtest(BARS, no_events(), spec=requested, market=MarketSeries(market))
    after = backtest(altered, no_events(), spec=requested, market=later)
    np.testing.assert_array_equal(before.issued, after.issued)
    for name, quantiles in before.raw.items():
        np.testing.assert_array_equal(quantiles, after.raw[name], err_msg=name)


@pytest.mark.slow
def test_parallel_processes_give_the_same_bits():
    requested = spec(-20, -10, refit_every=6, settings=SETTINGS)
    alone, shared = (
        backtest(BARS, no_events(), spec=replace(requested, workers=workers)) for workers in (1, 2)
    )
    np.testing.assert_array_equal(alone.issued, shared.issued)


def test_a_stopped_backtest_resumes_from_its_cached_refits(tmp_path, of_three_refits):
    requested = replace(spec(-20, -10, refit_every=4), folder=tmp_path / "refits")
    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest(BARS, no_events(), spec=requested, progress=stop)
    again = backtest(
        BARS, no_events(), spec=requested, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(4, 11), (8, 11), (11, 11)]
    np.testing.assert_array_equal(again.issued, of_three_refits.issued)


def test_cached_refits_of_other_bars_or_another_market_series_are_not_used(tmp_path):
    requested = replace(spec(-20, -10, refit_every=11), folder=tmp_path)
    busier = BARS.assign(volume=BARS["volume"] * 2.0)
    for bars, market in (
        (BARS, None),
        (BARS, VIX),
        (busier, None),
        (BARS, VIX * 1.01),
        (BARS, VIX),
    ):
        series = None if market is None else MarketSeries(market)
        found = backtest(bars, no_events(), spec=requested, market=series)
        if bars is busier:
            uncached = backtest(bars, no_events(), spec=replace(requested, folder=None))
            np.testing.assert_array_equal(found.issued, uncached.issued)
    assert len(list(tmp_path.iterdir())) == 4


def test_metric_rows_hold_the_figures_of_the_document():
    result = backtest(BARS, no_events(), spec=spec(-40, -5, refit_every=36))
    rows = {(row["horizon"], row["metric"]): row for row in result.metric_rows()}
    figures = result.figures(2)
    window = {
        "window_from": BARS.index[-40].date(),
        "window_to": BARS.index[-5].date(),
        "scope": "backtest",
        "n": 36,
    }
    figure = {
        "value": figures.skill_vs_best,
        "baseline": figures.best_baseline,
        "p_value": figures.dm_p_value,
    }
    about = {"symbol": "AAA", "target": "volume", "horizon": 2, "metric": "skill_vs_best"}
    assert rows[(2, "skill_vs_best")] == about | window | figure
    assert rows[(0, "mae")]["value"] == result.figures().mae
    alone = (
        "mae",
        "mae_naive",
        "skill_vs_naive",
        "pinball",
        "coverage_80",
        "coverage_90",
        "r2_dollar_volume",
    )
    expected = dict.fromkeys(alone, "") | {"skill_vs_best": figures.best_baseline}
    expected["pinball_vs_best"] = figures.best_in_pinball
    expected |= {
        f"{prefix}_{name}": name for prefix in ("mae", "r2") for name in baseline_names("volume")
    }
    assert {
        metric: row["baseline"] for (horizon, metric), row in rows.items() if horizon == 2
    } == expected


@pytest.mark.parametrize("as_published", [False, True])
def test_a_session_without_a_bar_is_no_origin(as_published):
    """As live: a night waits for its bar, and one that never comes leaves no forecast."""
    missing = BARS.index[-13]
    asked = replace(spec(-16, -8, refit_every=20), as_published=as_published)
    result = backtest(BARS.drop(missing), no_events(), spec=asked)
    assert result.origins.tolist() == [day.date() for day in BARS.index[-16:-7] if day != missing]
    assert np.isnan(result.actual).sum() == 3  # of the three origins before it
    assert (
        result.nights is None
        or sum(result.nights.counts()[name] for name in ("network", "fallback")) == 8
    )


@pytest.mark.parametrize(
    ("asked", "error", "fact"),
    [
        (spec(-300, -290, refit_every=5), HistoryError, "before which are sessions enough, to 20"),
        (
            replace(spec(-9, -5, refit_every=5), last=date(2030, 2, 1), first=date(2030, 1, 2)),
            HistoryError,
            "2030-02",
        ),
        (
            spec(-1, -6, refit_every=5),
            UsageError,
            "begins before it ends; found 2024-03-08 to 2024-03-01",
        ),
    ],
)
def test_a_span_that_cannot_be_replayed_is_refused(asked, error, fact):
    with pytest.raises(error, match=fact):
        backtest(BARS, no_events(), spec=asked)


def test_whether_a_fit_uses_the_market_does_not_depend_on_closes_after_its_origin():
    # Filled forward to the session -14
    ends = MarketSeries(VIX.where(BARS.index <= BARS.index[-19]))
    requested = spec(-20, -10, refit_every=11)
    whole, ended = (
        backtest(BARS, no_events(), spec=requested, market=one).raw
        for one in (MarketSeries(VIX), ends)
    )
    for name, quantiles in whole.items():
        np.testing.assert_array_equal(quantiles[:2], ended[name][:2], err_msg=name)


H = len(HORIZONS)
Q = len(QUANTILES)
ACTUAL = np.random.default_rng(0).normal(10.0, 1.0, (80, H))
AROUND = np.linspace(-1.5, 1.5, Q)


def forecasts(error: float) -> np.ndarray:
    """Quantiles whose median is off by `error`."""
    return ACTUAL[..., None] + error + AROUND


def result_of(target, issued, baselines, *, dollars=None):
    of = spec(-12, -8, refit_every=5, settings=SETTINGS.model_copy(update={"target": target}))
    return BacktestResult(
        of, np.datetime64("2024-01-01") + np.arange(80), 1, 0.0, ACTUAL, issued, baselines, dollars
    )


def test_skill_is_positive_when_the_issued_forecasts_are_better():
    # Of less absolute error and more pinball loss than har
    wide = ACTUAL[..., None] - 2.0 + 9.0 * AROUND
    baselines = {"last_value": forecasts(4.0), "ridge": wide, "har": forecasts(-2.5)}
    noise = np.random.default_rng(1).normal(0.0, 0.1, (80, H, 1))
    ours = result_of("volume", forecasts(1.0) + noise, baselines).figures()
    assert (ours.best_baseline, ours.best_in_pinball) == ("ridge", "har")
    assert (ours.mae_naive, ours.baselines["ridge"]) == pytest.approx((4.0, 2.0))
    assert (ours.skill_vs_naive, ours.skill_vs_best) == (
        pytest.approx(0.75, abs=0.02),
        pytest.approx(0.5, abs=0.02),
    )
    assert ours.pinball_vs_best == pytest.approx(
        1.0 - ours.pinball / pinball(ACTUAL, baselines["har"]).mean()
    )
    assert max(ours.dm_p_value, ours.pinball_p_value) < 0.001


def test_close_ranks_baselines_by_pinball_and_others_by_error():
    baselines = {"wide": ACTUAL[..., None] + 0.5 + 9.0 * AROUND, "narrow": forecasts(0.6)}
    assert result_of("close", forecasts(0.0), baselines).figures().best_baseline == "narrow"
    assert result_of("volume", forecasts(0.0), baselines).figures().best_baseline == "wide"


def test_the_confidence_set_holds_only_forecasters_that_do_not_differ_significantly_from_the_best():
    noise = np.random.default_rng(2).normal(0.0, 0.3, (2, 80, H, 1))
    baselines = {"last_value": forecasts(4.0), "twin": forecasts(1.0) + noise[0]}
    found = result_of("volume", forecasts(1.0) + noise[1], baselines).document()["confidence_set"]
    assert (set(found["included"]), found["p_values"]["last_value"] < 0.1) == (
        {"ours", "twin"},
        True,
    )


DOLLARS = DollarVolumes(
    close=np.full(80, 20.0), mean=np.full(80, np.log(180.0)), actual=np.log(20.0 * ACTUAL)
)


def test_r2_of_dollar_volume_is_of_the_medians_of_each_forecaster():
    issued = forecasts(0.5)
    baselines = {"last_value": forecasts(2.0)}
    result = result_of("volume", issued, baselines, dollars=DOLLARS)
    ours = result.figures()
    assert ours.r2_dollar_volume == dollar_volume_r2(DOLLARS, issued[..., MEDIAN]) > 0.0
    assert ours.r2_baselines == {
        "last_value": dollar_volume_r2(DOLLARS, baselines["last_value"][..., MEDIAN])
    }
    third = DollarVolumes(DOLLARS.close, DOLLARS.mean, DOLLARS.actual[:, 2:3])
    assert result.figures(3).r2_dollar_volume == dollar_volume_r2(third, issued[:, 2:3, MEDIAN])
