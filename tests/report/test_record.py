from datetime import date

import pandas as pd
import pytest

from forecasting.evaluate.significance import diebold_mariano
from forecasting.report.record import (
    binomial_band,
    coverages,
    track_record,
)
from tests.report.nights import ORIGIN, long_record, report_data, score, scored


def test_coverage_counts_hits_by_horizon():
    # in, between, out
    rows = [score(ago=ago, actual=actual) for ago, actual in enumerate((10.0, 16.0, 30.0), 1)]
    found = coverages(track_record(scored(*rows)))
    assert found[["level", "horizon", "n"]].to_numpy().tolist() == [[0.8, 1, 3], [0.9, 1, 3]]
    assert found["share"].tolist() == pytest.approx([1 / 3, 2 / 3])


def test_the_binomial_band_contains_95_of_100_shares():
    for (n, level), band in {
        (1, 0.8): (0.0, 1.0),
        (10, 0.8): (0.5, 1.0),
        (250, 0.9): (0.86, 0.936),
    }.items():
        assert binomial_band(n, level) == pytest.approx(band)


def test_skills_are_those_counted_by_hand_on_the_sessions_that_both_have():
    """A ridge is published on the second night, late, and has no forecast of the third."""
    record = track_record(
        scored(
            score(ago=1, median=12.0, pinball=0.5),
            score(ago=1, median=9.0, name="ridge", role="baseline"),
            score(ago=2, median=6.0, name="ridge", kind="late"),
            score(ago=2, median=9.0, name="lstm", role="network", kind="late"),
            score(ago=3, median=99.0),
            score(ago=1, horizon=2, median=13.0),
            score(ago=1, horizon=2, median=11.0, name="ridge", role="baseline"),
        )
    )
    assert (record.origins, record.fallbacks, record.kinds) == (3, 1, {"late": 1, "live": 3})
    found = record.skills.drop(columns="p_value").set_index(["forecaster", "horizon"])
    assert found["n"]["lstm"].to_dict() == {0: 4, 1: 3, 2: 1}
    expected = {  # n, our losses, theirs, skills
        0: (3, 3.0, 4 / 3, 2.0, 1.0, -0.5, -1 / 3),
        1: (2, 3.0, 1.25, 2.5, 1.25, -0.2, 0.0),
        2: (1, 3.0, 1.5, 1.0, 0.5, -2.0, -2.0),
    }
    for horizon, figures in expected.items():
        assert tuple(found.loc["ridge", horizon]) == pytest.approx(figures)


def test_the_p_value_is_of_the_paired_test_of_the_losses_by_origin():
    record = track_record(long_record(origins=50))
    found = record.skills.set_index(["forecaster", "horizon"])["p_value"]
    theirs = record.baselines.query("forecaster == 'last_value' and horizon == 2").sort_values(
        "origin_session"
    )
    expected = diebold_mariano(record.ahead(2)["pinball"], theirs["pinball"], horizon=2)[1]
    assert found["last_value", 2] == pytest.approx(expected)
    ours = record.published
    last = record.baselines.query("forecaster == 'last_value'")
    of_origin = [frame.groupby("origin_session")["pinball"].mean() for frame in (ours, last)]
    assert found["last_value", 0] == pytest.approx(diebold_mariano(*of_origin, horizon=5)[1])
    fewer = track_record(long_record(origins=45)).skills.query("forecaster == 'last_value'")
    assert fewer["horizon"][fewer["p_value"].isna()].tolist() == [0, 5]
    assert 0 < found["last_value", 0] < 1


def test_the_last_value_is_the_newest_known_one_and_may_be_a_first_print():
    days = [date(2024, 3, 6), date(2024, 3, 7), ORIGIN]
    values = {"value": [5.0, 6.0, float("nan")], "settled": [True, False, True]}
    data = report_data(history=pd.DataFrame(values, index=days))
    assert (data.known.iloc[-1], data.is_provisional) == (6.0, True)
    assert data.known.index[-1] == date(2024, 3, 7)
