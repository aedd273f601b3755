from datetime import date

import pandas as pd
import pytest

from forecasting.report.record import (
    binomial_band,
    coverages,
    track_record,
)
from tests.report.nights import ORIGIN, report_data, score, scored


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


def test_origins_kinds_and_published_baselines_are_counted():
    """A ridge is published on the second night, late."""
    record = track_record(
        scored(
            score(ago=1),
            score(ago=2, name="ridge", kind="late"),
            score(ago=3),
            score(ago=1, horizon=2),
        )
    )
    assert (record.origins, record.fallbacks, record.kinds) == (3, 1, {"late": 1, "live": 3})


def test_the_last_value_is_the_newest_known_one_and_may_be_a_first_print():
    days = [date(2024, 3, 6), date(2024, 3, 7), ORIGIN]
    values = {"value": [5.0, 6.0, float("nan")], "settled": [True, False, True]}
    data = report_data(history=pd.DataFrame(values, index=days))
    assert (data.known.iloc[-1], data.is_provisional) == (6.0, True)
    assert data.known.index[-1] == date(2024, 3, 7)
