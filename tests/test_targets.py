import math

import pytest

from forecasting.targets import TARGETS


@pytest.mark.parametrize(
    ("target", "expected"),
    # 3 million shares before a split of 2 new for 1 are 6 million after it
    [("volume", (6.0, 1.5)), ("range", (3.0, 3.0))],
)
def test_a_split_moves_a_value_to_the_present_basis_and_back(target, expected):
    rules = TARGETS[target]
    assert (rules.to_present(3.0, 2.0), rules.to_issued(3.0, 2.0)) == expected
    assert rules.to_issued(rules.to_present(0.7, 4.0), 4.0) == 0.7


@pytest.mark.parametrize("rules", TARGETS.values(), ids=TARGETS)
def test_the_numbers_of_a_target_are_possible(rules):
    assert rules.reference in rules.baselines
    assert 0.0 <= rules.network_weight <= 1.0 <= rules.first_factor <= 1.1
    assert math.frexp(rules.grain)[0] == 0.5  # a power of two: sums of its multiples are exact
