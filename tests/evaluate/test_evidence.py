from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.evaluate.evidence import LOSS_COLUMNS, newest_origins

DAYS = [date(2024, 3, day) for day in (4, 5, 6, 7)]


@pytest.mark.parametrize(
    ("count", "kept"), [(1, [0, 4]), (3, [0, 1, 3, 4]), (4, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])]
)
def test_all_rows_of_the_newest_origins_are_kept_in_their_order(count: int, kept: list[int]) -> None:
    rows = pd.DataFrame({"origin_session": [DAYS[3], DAYS[1], DAYS[0], DAYS[2], DAYS[3]]})
    assert newest_origins(rows, count).index.tolist() == kept


def test_of_no_rows_none_are_kept() -> None:
    assert newest_origins(pd.DataFrame({name: [] for name in LOSS_COLUMNS}), 10).empty
