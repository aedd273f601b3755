from __future__ import annotations

import json
import math
from datetime import date

from forecasting.report.json_text import json_text


def test_numbers_have_seven_digits_and_nothing_is_nan() -> None:
    document = {"a": [1 / 3, 12345678.9, math.nan, math.inf], "n": 123456789, "yes": True, "none": None}
    assert json.loads(json_text(document)) == {
        "a": [0.3333333, 12345680.0, None, None],
        "n": 123456789,
        "yes": True,
        "none": None,
    }


def test_days_are_iso_text_and_spaces_ordinary_ones() -> None:
    assert json.loads(json_text(({"day": date(2024, 3, 8), "text": "80\N{NO-BREAK SPACE}%"},))) == [
        {"day": "2024-03-08", "text": "80 %"}
    ]
