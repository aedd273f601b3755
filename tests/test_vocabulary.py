from __future__ import annotations

from typing import get_args

import pytest

from forecasting.store import schema
from forecasting.vocabulary import KINDS, QUANTILE_COLUMNS, QUANTILES, Kind


def test_each_quantile_level_has_the_column_of_its_name() -> None:
    assert [f"q{round(100 * level):02d}" for level in QUANTILES] == list(QUANTILE_COLUMNS)
    assert [column.name for column in schema.forecasts.c if column.name.startswith("q")] == list(QUANTILE_COLUMNS)


def test_quantile_levels_ascend_and_are_symmetric() -> None:
    """Calibration pairs level k with level Q - 1 - k as the ends of one interval."""
    assert list(QUANTILES) == sorted(set(QUANTILES))
    assert [1.0 - level for level in reversed(QUANTILES)] == pytest.approx(list(QUANTILES))


def test_every_kind_has_a_place_in_the_order_of_preference() -> None:
    assert sorted(KINDS) == sorted(get_args(Kind))
