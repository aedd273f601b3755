from datetime import date

import pandas as pd
import pytest

from forecasting.report.days import as_day


@pytest.mark.parametrize("value", [date(2024, 3, 8), pd.Timestamp("2024-03-08"), "2024-03-08"])
def test_a_day_is_read_from_dates_timestamps_and_text(value: object):
    assert as_day(value) == date(2024, 3, 8)
