import numpy as np
import pandas as pd
import pytest

from forecasting.evaluate.promotion import compare, decide
from forecasting.evaluate.significance import diebold_mariano
from forecasting.vocabulary import MIN_ORIGINS
from tests.builders import random_bars


def losses_of(means, *, origins=60, horizons=5, seed=0, noise=0.05):
    """Pinball losses with a shared daily shock and each forecaster's own noise, scaled to its exact mean."""
    rng = np.random.default_rng(seed)
    shock = rng.gamma(9.0, 1 / 9, (origins, 1)) * np.ones((1, horizons))
    sessions = random_bars(days=origins).index
    rows = []
    for forecaster, mean in means.items():
        table = shock + rng.normal(0, noise, shock.shape)
        table = table / table.mean() * mean
        rows.append(
            pd.DataFrame(
                {
                    "origin_session": np.repeat(sessions, horizons),
                    "horizon": np.tile(np.arange(1, horizons + 1), origins),
                    "forecaster": forecaster,
                    "pinball": table.ravel(),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def decided(means, *, age=10, **shape):
    return decide(losses_of(means, **shape), champion_age=age, max_age=63)


def test_a_better_challenger_takes_over_and_the_reason_holds_every_figure():
    losses = losses_of({"champion": 1.0, "challenger": 0.9, "ridge": 1.1, "last_value": 1.5})
    decision = decide(losses, champion_age=10, max_age=63)
    by_origin = losses.pivot_table(index="origin_session", columns="forecaster", values="pinball")
    test = diebold_mariano(by_origin["challenger"], by_origin["champion"], horizon=5)
    first, last = by_origin.index[0].date(), by_origin.index[-1].date()
    assert decision.winner == "challenger"
    assert decision.p_value == test.p_value
    assert (decision.origins, decision.best_baseline) == (60, "ridge")
    assert decision.champion_pinball == pytest.approx(1.0)
    assert decision.challenger_pinball == pytest.approx(0.9)
    assert decision.baseline_pinball == pytest.approx(1.1)
    assert decision.reason == (
        "the challenger is better by 10.0%; the champion is 10 sessions old (limit 63). "
        f"Mean pinball on 60 origins, {first} to {last}: champion 1, challenger 0.9, ridge 1.1. "
        f"Diebold-Mariano {test.statistic:+.2f}, p below 0.001, lag 4."
    )


def test_a_champion_without_what_the_challenger_was_fitted_with_goes_whatever_the_scores_say():
    losses = losses_of({"champion": 1.0, "challenger": 1.3, "ridge": 1.1})
    decision = decide(losses, champion_age=10, max_age=63, champion_outdated="earnings dates have arrived")
    assert decision.winner == "challenger"
    assert decision.reason.startswith("earnings dates have arrived, so the challenger takes over. Mean pinball on 60")


def test_losses_in_shares_are_written_out_and_an_undecided_p_in_full():
    decision = decided({"champion": 2_100_000.0, "challenger": 2_099_000.0, "ridge": 2_200_000.0}, noise=0.5)
    assert "champion 2,100,000, challenger 2,099,000, ridge 2,200,000." in decision.reason
    assert f"p {decision.p_value:.3f}, lag 4." in decision.reason


def test_a_tie_on_either_side_goes_to_the_challenger():
    for mean in (0.997, 1.0, 1.003):
        decision = decided({"champion": 1.0, "challenger": mean}, noise=0.3)
        assert decision.winner == "challenger"
        assert decision.reason.startswith("a tie (")


def test_a_challenger_worse_by_more_than_a_tie_loses_even_when_not_significant():
    decision = decided({"champion": 1.0, "challenger": 1.02}, noise=0.5)
    assert decision.p_value > 0.05
    assert decision.winner == "champion"
    assert decision.reason.startswith("the challenger is worse by 2.0%")


def test_a_challenger_significantly_worse_loses_even_within_a_tie():
    decision = decided({"champion": 1.0, "challenger": 1.004}, noise=0.005)
    assert decision.p_value < 0.05
    assert decision.winner == "champion"


def test_too_few_origins_leave_the_champion_and_the_reason_counts_them():
    decision = decided({"champion": 1.0, "challenger": 0.5}, origins=MIN_ORIGINS - 1)
    assert (decision.winner, decision.p_value, decision.origins) == ("champion", None, 19)
    assert decision.reason.startswith("the champion stays; 19 common origins, at least 20 are needed to compare")


def test_the_reason_uses_the_singular_for_one_origin_and_one_session():
    reason = decided({"champion": 1.0, "challenger": 2.0}, origins=1, age=1).reason
    assert "1 common origin, at least" in reason
    assert "1 session old" in reason
    assert "on 1 origin," in reason


def test_with_too_few_origins_a_champion_past_its_age_limit_is_replaced():
    assert decided({"champion": 1.0, "challenger": 2.0}, origins=5, age=63).winner == "champion"
    decision = decided({"champion": 1.0, "challenger": 2.0}, origins=5, age=64)
    assert decision.winner == "challenger"
    assert "64 sessions old (limit 63), so the challenger takes over" in decision.reason


def test_exactly_the_minimum_of_origins_is_compared():
    assert decided({"champion": 1.0, "challenger": 0.9}, origins=MIN_ORIGINS).p_value is not None


def test_without_a_champion_the_challenger_wins_even_without_scores():
    nothing = pd.DataFrame({"origin_session": [], "horizon": [], "forecaster": [], "pinball": []})
    decision = decide(nothing, champion_age=None, max_age=63)
    assert decision.winner == "challenger"
    assert decision.reason == "there is no champion, so the challenger takes over."
    assert (decision.origins, decision.champion_pinball, decision.best_baseline) == (0, None, "")


def test_no_scores_at_all_leave_the_champion():
    nothing = pd.DataFrame({"origin_session": [], "horizon": [], "forecaster": [], "pinball": []})
    assert decide(nothing, champion_age=0, max_age=63).winner == "champion"


def test_a_worse_challenger_replaces_a_champion_past_its_age_limit_unless_worse_than_the_best_baseline():
    ahead = decided({"champion": 1.0, "challenger": 1.05, "ridge": 1.2}, age=100)
    assert ahead.winner == "challenger"
    assert "worse by 5.0%, but takes over because of the champion's age" in ahead.reason
    behind = decided({"champion": 1.0, "challenger": 1.3, "ridge": 1.2}, age=100)
    assert behind.winner == "champion"
    assert "worse than ridge, which is published instead" in behind.reason


def test_without_any_baseline_champion_and_challenger_are_still_compared():
    decision = decided({"champion": 1.0, "challenger": 0.9})
    assert (decision.winner, decision.best_baseline, decision.baseline_pinball) == ("challenger", "", None)


def test_a_baseline_missing_on_a_common_origin_is_left_out_and_named():
    losses = losses_of({"champion": 1.0, "challenger": 0.9, "ridge": 0.1, "har": 1.2})
    losses = losses.drop(losses[losses["forecaster"] == "ridge"].index[-1])
    decision = decide(losses, champion_age=1, max_age=63)
    assert decision.best_baseline == "har"
    assert decision.reason.endswith("Not on all of these origins: ridge.")


def test_only_origins_and_horizons_of_both_forecasters_count():
    losses = losses_of({"champion": 1.0, "challenger": 0.9}, origins=40)
    newest = losses["origin_session"].max()
    easy = (losses["forecaster"] == "challenger") & (losses["origin_session"] == newest)
    losses.loc[easy & (losses["horizon"] > 1), "pinball"] = np.nan  # not closed yet
    losses = losses[
        ~((losses["forecaster"] == "champion") & (losses["origin_session"] == losses["origin_session"].min()))
    ]
    decision = decide(losses, champion_age=1, max_age=63)
    assert decision.origins == 39
    common = losses.pivot(index=["origin_session", "horizon"], columns="forecaster", values="pinball").dropna()
    means = common.groupby("origin_session").mean().mean()
    assert decision.champion_pinball == pytest.approx(means["champion"])
    assert decision.challenger_pinball == pytest.approx(means["challenger"])


def test_the_order_of_the_rows_changes_nothing():
    losses = losses_of({"champion": 1.0, "challenger": 0.9, "ridge": 1.0})
    shuffled = losses.sample(frac=1.0, random_state=1)
    assert decide(shuffled, champion_age=1, max_age=63) == decide(losses, champion_age=1, max_age=63)


def test_two_losses_of_one_forecaster_for_one_forecast_are_refused():
    losses = losses_of({"champion": 1.0, "challenger": 0.9})
    with pytest.raises(ValueError, match="duplicate"):
        decide(pd.concat([losses, losses.head(1)]), champion_age=1, max_age=63)


def test_a_comparison_of_the_champion_alone_uses_the_newest_origins():
    losses = losses_of({"champion": 1.0, "ridge": 1.1, "har": 1.3}, origins=80)
    comparison = compare(losses, forecasters=("champion",), newest=60)
    recent = losses[losses["origin_session"].isin(losses["origin_session"].unique()[-60:])]
    assert (comparison.origins, comparison.best_baseline, comparison.test) == (60, "ridge", None)
    assert comparison.pinballs["champion"] == pytest.approx(
        recent.loc[recent["forecaster"] == "champion", "pinball"].mean()
    )
