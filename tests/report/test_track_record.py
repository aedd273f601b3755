from datetime import timedelta

import pandas as pd
import pytest

from forecasting.evaluate.significance import diebold_mariano
from forecasting.report.track_record import (
    ENOUGH_LIVE,
    best_ahead,
    binomial_band,
    coverages,
    track_record,
)
from tests.report.nights import ISSUED, long_record, score, scored


def test_a_live_forecast_counts_before_a_late_or_replayed_one_of_the_same_night():
    rows = [score(kind="replay", median=1.0), score(kind="live", median=2.0), score(kind="late", median=3.0)]
    assert track_record(scored(*rows)).published["q50"].tolist() == [2.0]


def test_the_newest_forecast_counts_and_of_one_instant_the_smallest_id():
    early = score(median=1.0, issued_at=ISSUED - timedelta(hours=1))
    first, other = (score(median=2.0 + place, model_id=id) for place, id in enumerate("mn"))
    for rows in ([early, first, other], [other, first, early]):
        assert track_record(scored(*rows)).published["q50"].tolist() == [2.0]


def test_a_published_baseline_counts_as_itself_too_and_the_network_when_it_is_silenced():
    rows = [
        score(ago=1, median=14.0, role="silenced"),
        score(ago=1, median=12.0, name="ridge"),
        score(ago=1, median=13.0, name="har", role="baseline"),
        score(ago=2, median=11.0),
        score(ago=2, median=16.0, name="ridge", role="baseline"),
    ]
    record = track_record(scored(*rows))
    assert record.published["q50"].tolist() == [11.0, 12.0]
    assert record.network["q50"].tolist() == [11.0, 14.0]
    assert record.baselines[["name", "q50"]].to_numpy().tolist() == [["ridge", 16.0], ["har", 13.0], ["ridge", 12.0]]
    assert (record.origins, record.fallbacks) == (2, 1)
    pooled = record.comparisons.query("horizon == 0")
    assert pooled[["forecaster", "n", "mae", "their_mae", "skill_mae"]].to_numpy().tolist() == [
        ["har", 1, 2.0, 3.0, 1 - 2 / 3],
        ["ridge", 2, 1.5, 4.0, 1 - 1.5 / 4],
        ["lstm", 2, 1.5, 2.5, 1 - 1.5 / 2.5],
    ]


def test_without_a_fallback_the_network_is_what_is_published_and_no_rival():
    record = track_record(long_record())
    assert record.fallbacks == 0
    assert "lstm" not in set(record.comparisons["forecaster"])
    assert set(record.network_skills["skill_pinball"]) == {0.0}


def test_challengers_are_not_part_of_the_record():
    record = track_record(scored(score(role="challenger")))
    assert (record.origins, record.kinds) == (0, {})


def test_replays_count_until_there_are_enough_live_forecasts():
    live = [score(ago=ago) for ago in range(1, ENOUGH_LIVE + 1)]
    replayed = [score(ago=ago, kind="replay") for ago in range(ENOUGH_LIVE + 1, 31)]
    assert track_record(scored(*live[1:], *replayed)).kinds == {"live": ENOUGH_LIVE - 1, "replay": 30 - ENOUGH_LIVE}
    assert track_record(scored(*live, *replayed)).kinds == {"live": ENOUGH_LIVE}


def test_skill_is_counted_on_the_forecasts_that_both_made():
    ours = [score(ago=1, median=11.0), score(ago=2, median=100.0)]  # the second has no baseline and must not count
    theirs = [
        score(ago=1, median=12.0, name="ridge", role="baseline"),
        score(ago=3, median=0.0, name="ridge", role="baseline"),
    ]
    found = track_record(scored(*ours, *theirs)).skills
    assert found["p_value"].isna().all()  # of one pair there is none
    assert found.drop(columns="p_value").to_dict("records") == [
        {
            "forecaster": "ridge",
            "horizon": horizon,
            "n": 1,
            "mae": 1.0,
            "pinball": 0.5,
            "their_mae": 2.0,
            "their_pinball": 1.0,
            "skill_mae": 0.5,
            "skill_pinball": 0.5,
        }
        for horizon in (0, 1)
    ]


def test_skill_is_negative_when_the_baseline_is_better():
    rows = [score(median=14.0), score(median=12.0, name="ridge", role="baseline")]
    assert track_record(scored(*rows)).skills["skill_mae"].tolist() == [-1.0, -1.0]


def test_skill_against_a_perfect_baseline_is_unknown():
    rows = [score(median=14.0), score(median=10.0, name="ridge", role="baseline")]
    assert track_record(scored(*rows)).skills["skill_mae"].isna().all()


def test_the_best_baseline_comes_first():
    assert track_record(long_record()).skills["forecaster"].drop_duplicates().tolist() == ["ridge", "last_value"]


@pytest.mark.parametrize(
    ("baselines", "best"),
    [
        ({}, {"mae": None, "pinball": None}),
        ({"far": [(9.0, 9.0), (1.0, 1.0)], "near": [(4.0, 3.0), (9.0, 9.0)]}, {"mae": "near", "pinball": "near"}),
        ({"sharp": [(4.0, 1.0)], "straight": [(3.0, 2.0)]}, {"mae": "straight", "pinball": "sharp"}),
        ({"one": [(4.0, 1.0)], "other": [(4.0, 1.0)]}, {"mae": "one", "pinball": "one"}),
        ({"exact": [(0.0, 0.0)], "near": [(1.0, 1.0)]}, {"mae": "exact", "pinball": "exact"}),
    ],
)
def test_the_best_baseline_is_that_of_the_loss_that_is_shown_one_session_ahead(baselines, best):
    """Each baseline's error and pinball loss, one and two sessions ahead."""
    rows = [score(horizon=1, pinball=1.0, error=2.0), score(horizon=2, pinball=1.0, error=2.0)]
    for name, losses in baselines.items():
        for horizon, (error, pinball) in enumerate(losses, start=1):
            rows.append(score(horizon=horizon, name=name, model_id=name, role="baseline", error=error, pinball=pinball))
    record = track_record(scored(*rows))
    for loss, name in best.items():
        assert (best_ahead(record, loss) or {"forecaster": None})["forecaster"] == name


def test_coverage_counts_hits_by_horizon():
    rows = [
        score(ago=1, actual=10.0),
        score(ago=2, actual=16.0),
        score(ago=3, actual=30.0),
    ]  # in, between 80 and 90, out
    found = coverages(track_record(scored(*rows)))
    assert found[["level", "horizon", "n"]].to_numpy().tolist() == [[0.8, 1, 3], [0.9, 1, 3]]
    assert found["share"].tolist() == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("n", "level", "band"), [(1, 0.8, (0.0, 1.0)), (10, 0.8, (0.5, 1.0)), (250, 0.9, (0.86, 0.936))]
)
def test_the_binomial_band_contains_95_of_100_shares(n: int, level: float, band: tuple[float, float]):
    assert binomial_band(n, level) == pytest.approx(band)


def test_a_record_without_scores_is_empty():
    record = track_record(scored())
    assert (record.origins, len(record.skills), len(coverages(record))) == (0, 0, 0)
    assert isinstance(record.ahead(1), pd.DataFrame)


def test_the_p_value_is_of_the_paired_test_of_the_losses_by_origin():
    record = track_record(long_record(origins=50))
    found = record.skills.set_index(["forecaster", "horizon"])["p_value"]
    theirs = record.baselines.query("name == 'last_value' and horizon == 2").sort_values("origin_session")
    expected = diebold_mariano(record.ahead(2)["pinball"], theirs["pinball"], horizon=2).p_value
    assert found["last_value", 2] == pytest.approx(expected)
    ours, last = record.published, record.baselines.query("name == 'last_value'")
    of_origin = [frame.groupby("origin_session")["pinball"].mean() for frame in (ours, last)]
    assert found["last_value", 0] == pytest.approx(diebold_mariano(*of_origin, horizon=5).p_value)
    fewer = track_record(long_record(origins=45)).skills.set_index(["forecaster", "horizon"])["p_value"]
    assert fewer["last_value"].isna().to_dict() == {0: True, 1: False, 2: False, 3: False, 4: False, 5: True}
    assert 0 < found["last_value", 0] < 1
