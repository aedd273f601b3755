import pytest

from forecasting.targets import TARGETS


@pytest.mark.parametrize(
    ("target", "expected"),
    # 3 million shares before a split of 2 new for 1 are 6 million after it, a price of 3 is 1.5
    [("volume", (6.0, 1.5)), ("close", (1.5, 6.0)), ("range", (3.0, 3.0))],
)
def test_a_split_moves_a_value_to_the_present_basis_and_back(target, expected):
    rules = TARGETS[target]
    assert (rules.to_present(3.0, 2.0), rules.to_issued(3.0, 2.0)) == expected
    assert rules.to_issued(rules.to_present(0.7, 4.0), 4.0) == 0.7
