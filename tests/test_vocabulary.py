from datetime import date
from hashlib import sha256
from typing import get_args

import pytest

from forecasting.store import schema
from forecasting.vocabulary import KINDS, QUANTILE_COLUMNS, QUANTILES, Kind, finding_id, short_id


def test_quantile_levels_have_columns_of_their_names_ascend_and_are_symmetric():
    """Calibration pairs level k with level Q - 1 - k as the ends of one interval."""
    assert [f"q{round(100 * level):02d}" for level in QUANTILES] == list(QUANTILE_COLUMNS)
    assert [column.name for column in schema.forecasts.c if column.name.startswith("q")] == list(
        QUANTILE_COLUMNS
    )
    assert list(QUANTILES) == sorted(set(QUANTILES))
    assert [1.0 - level for level in reversed(QUANTILES)] == pytest.approx(list(QUANTILES))
    assert sorted(KINDS) == sorted(get_args(Kind))


def test_an_id_never_changes_and_depends_on_each_part_alone():
    assert short_id("SBUX", "volume") == sha256(b"SBUX\x1fvolume").hexdigest()[:12]
    assert short_id("SBUX", "2024-04-02", "volume") == "a58c36235b72"
    assert (
        len({short_id("ab", "c"), short_id("a", "bc"), short_id("abc"), short_id("abc", "")}) == 4
    )
    finding = ("a1b2", date(2024, 4, 2), "volume_zero")
    assert finding_id(*finding) == "7049724dbfa476f9"
    others = [
        ("a1b3", *finding[1:]),
        ("a1b2", date(2024, 4, 3), "volume_zero"),
        (*finding[:2], "gap"),
    ]
    assert len({finding_id(*each) for each in (finding, *others)}) == 4
