"""What a witness states otherwise: single sessions, shared ratios, and what is not reported twice."""

import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.witness import RULES, SESSIONS, VOLUME_LIMIT, disagreements
from tests.builders import random_bars, scaled

BARS = random_bars(40, seed=1)
DAYS = [day.date() for day in BARS.index]


def times(column, factors):
    """The witness's bars: the stored ones with a column multiplied at some places."""
    return scaled(BARS, np.array([[factor] for factor in factors.values()]), list(factors), column)


def found(other, before=None):
    known = [(one.session, one.rule, one.value) for one in before or []]
    return disagreements(BARS, other, witness="house", stored=known)


def facts(findings):
    assert {one.severity for one in findings} <= {"flag"}
    assert {one.rule for one in findings} <= set(RULES)
    return [(one.session, one.rule, round(one.value or 0.0, 4)) for one in findings]


NOISE = {"volume": (0.85, 1.2), "close": (0.992, 1.008)}


def test_bars_that_differ_as_two_vendors_do_agree():
    rng = np.random.default_rng(0)
    volume, close = (BARS[name] * rng.uniform(*span, 40) for name, span in NOISE.items())
    assert found(BARS.assign(volume=volume, close=close)) == []


@pytest.mark.parametrize(
    ("column", "factor", "within"),
    [
        *(("volume", factor, VOLUME_LIMIT - 0.01) for factor in (1.26, 1 / 1.26, 1000.0, 1e-3)),
        *(("close", factor, 1.009) for factor in (1.011, 1 / 1.011)),
    ],
)
def test_a_number_past_its_limit_is_a_finding_on_its_session_either_way(column, factor, within):
    assert facts(found(times(column, {-3: factor}))) == [
        (DAYS[-3], f"witness_{column}", round(factor, 4))
    ]
    assert found(times(column, {-3: within})) == found(times(column, {-SESSIONS - 1: factor})) == []
    # In all directions: no ratio is shared
    assert len(found(times(column, {-3: 1.6, -2: 0.6, -5: 1.5, -9: 0.5}))) == 4


def test_what_one_of_the_two_does_not_know_is_not_compared():
    other = times("volume", {-1: 9.0}).iloc[:-1]  # late by a session
    assert found(other) == []
    for unknown in (np.nan, 0.0, -5.0, np.inf, 1e300, 1e-300):
        assert (
            found(pd.concat([BARS.iloc[:-1], BARS.iloc[-1:].assign(close=unknown, volume=unknown)]))
            == []
        )
    assert found(BARS.iloc[:0]) == []


def test_the_volume_of_one_exchange_is_one_finding_that_says_so():
    (one,) = found(
        BARS.assign(volume=BARS["volume"] * np.random.default_rng(3).uniform(0.018, 0.035, 40))
    )
    assert (one.session, one.rule) == (DAYS[-1], "witness_volume_factor")
    assert 0.02 < (one.value or 0.0) < 0.033
    assert f"on 20 of 20 sessions since {DAYS[-20]}" in one.detail
    assert "one exchange's volume against that of all" in one.detail


def test_a_session_out_of_line_with_a_shared_ratio_is_a_finding_of_its_own():
    other = times("volume", dict.fromkeys(range(-20, 0), 0.02) | {-4: 20.0})
    assert facts(found(other)) == [
        (DAYS[-4], "witness_volume", 20.0),
        (DAYS[-1], "witness_volume_factor", 0.02),
    ]


@pytest.mark.parametrize(
    ("rows", "close", "volume"), [(slice(None, -5), 0.5, 2.0), (slice(None), 0.79, 1.0)]
)
def test_a_split_that_one_has_not_applied_and_another_currency_are_one_finding_and_volumes_agree(
    rows, close, volume
):
    other = scaled(BARS, [close, volume], rows, ["close", "volume"])
    assert facts(found(other)) == [(DAYS[rows][-1], "witness_close_factor", close)]


def test_another_series_is_one_finding_on_closes_and_one_on_volumes_whatever_the_ratios():
    other = random_bars(40, seed=9, level=3e6)
    first = found(other)
    assert [one.rule for one in first] == ["witness_close_factor", "witness_volume_factor"]
    assert first[0].value is None  # the closes of the two cross
    assert "another share basis, currency or series" in first[0].detail
    assert found(other, first) == []


def test_a_ratio_that_goes_on_is_reported_once_however_many_nights_it_lasts():
    stored_ones = []
    for night in range(20, 41):
        stored = BARS.iloc[:night]
        other = scaled(stored, 0.001, slice(21, None), "volume")  # from the 22nd session on
        known = [(one.session, one.rule, one.value) for one in stored_ones]
        stored_ones += disagreements(stored, other, witness="house", stored=known)
    assert facts(stored_ones) == [
        (DAYS[21], "witness_volume", 0.001),
        (DAYS[22], "witness_volume", 0.001),
        (DAYS[23], "witness_volume_factor", 0.001),
    ]


def test_another_ratio_than_the_stored_one_is_reported_on_a_later_session():
    stored_ones = [Finding(DAYS[-2], "witness_close_factor", "flag", 3.0, "")]
    half = times("close", dict.fromkeys(range(-20, 0), 0.5))
    assert facts(found(half, stored_ones)) == [(DAYS[-1], "witness_close_factor", 0.5)]
    assert found(times("close", dict.fromkeys(range(-20, 0), 2.5)), stored_ones) == []
