import numpy as np
import pandas as pd
import pytest

from forecasting.evaluate.deficit import best_baseline, deficit_of, fallback_baseline
from forecasting.evaluate.significance import diebold_mariano
from forecasting.predict.fallback import MIN_ORIGINS, WINDOW_ORIGINS, Deficit
from forecasting.vocabulary import HORIZONS


def losses(means: dict[str, float], origins: int, seed: int = 0) -> pd.DataFrame:
    """Losses of each forecaster around its mean at every origin and horizon, by a seed."""
    rng = np.random.default_rng(seed)
    sessions = pd.bdate_range("2023-01-02", periods=origins)
    return pd.DataFrame(
        [
            {"origin_session": session, "horizon": horizon, "forecaster": name, "pinball": mean + rng.normal(0, 0.02)}
            for session in sessions
            for horizon in HORIZONS
            for name, mean in means.items()
        ]
    )


def test_the_network_is_compared_with_the_baseline_of_least_loss_over_the_newest_origins():
    table = losses({"champion": 1.1, "har": 1.0, "ridge": 1.05}, origins=WINDOW_ORIGINS + 30)
    newest = table[table["origin_session"] >= table["origin_session"].unique()[-WINDOW_ORIGINS]]
    by_origin = newest.groupby(["forecaster", "origin_session"])["pinball"].mean()
    deficit = deficit_of(table)
    assert deficit is not None
    assert (deficit.baseline, deficit.origins) == ("har", WINDOW_ORIGINS)
    assert deficit.network_pinball == pytest.approx(by_origin["champion"].mean())
    assert deficit.baseline_pinball == pytest.approx(by_origin["har"].mean())
    test = diebold_mariano(by_origin["champion"].to_numpy(), by_origin["har"].to_numpy(), horizon=HORIZONS[-1])
    assert deficit.statistic == pytest.approx(test.statistic)
    assert deficit.statistic > 0


def test_an_origin_counts_once_every_horizon_is_scored_for_all():
    table = losses({"champion": 1.0, "har": 1.0}, origins=MIN_ORIGINS)
    newest = table["origin_session"] == table["origin_session"].max()
    assert deficit_of(table) is not None
    assert deficit_of(table[~(newest & (table["horizon"] == 5) & (table["forecaster"] == "har"))]) is None


def test_without_the_network_or_a_baseline_there_is_nothing_to_compare():
    assert deficit_of(losses({"har": 1.0, "ridge": 0.9}, origins=100)) is None
    assert deficit_of(losses({"champion": 1.0}, origins=100)) is None


def test_the_best_baseline_needs_no_champion_and_few_origins():
    assert best_baseline(losses({"har": 1.0, "ridge": 0.9}, origins=3)) == "ridge"
    assert best_baseline(losses({"champion": 0.1}, origins=3)) == ""
    assert (
        best_baseline(losses({}, origins=0).reindex(columns=["origin_session", "horizon", "forecaster", "pinball"]))
        == ""
    )


def test_two_losses_of_one_forecaster_for_one_forecast_are_refused():
    table = losses({"champion": 1.0, "har": 1.0}, origins=70)
    with pytest.raises(ValueError, match="duplicate"):
        deficit_of(pd.concat([table, table.head(1)]))


def test_the_baseline_to_publish_is_the_best_that_has_a_forecast_tonight():
    table = losses({"champion": 1.0, "last_value": 0.8, "har": 0.9, "ridge": 1.1}, origins=70)
    deficit = deficit_of(table)
    assert fallback_baseline(table, deficit, ["last_value", "har", "ridge"]) == "last_value"
    assert fallback_baseline(table, None, ["last_value", "har", "ridge"]) == "last_value"
    assert fallback_baseline(table, deficit, ["har", "ridge"]) == "ridge"
    assert fallback_baseline(table.head(0), None, ["last_value", "har", "ridge"]) == "ridge"


def test_the_baseline_to_publish_is_the_best_of_the_compared_origins_and_not_of_all():
    table = losses({"champion": 1.0, "har": 0.8, "ridge": 0.9}, origins=70)
    of_the_newest = Deficit("ridge", MIN_ORIGINS, 1.0, 0.7, 3.0)
    assert fallback_baseline(table, of_the_newest, ["ridge", "har"]) == "ridge"
