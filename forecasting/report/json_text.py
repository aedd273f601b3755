"""A document as JSON text that people and programs can read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from forecasting.plain_text import ordinary_spaces

DIGITS = 7
"""Significant digits of a number: a share in ten million, where a forecast is good for two or three."""


def json_text(document: object) -> str:
    """The document as indented JSON: numbers rounded to DIGITS, days and instants as ISO text, null for NaN."""
    return json.dumps(rounded(document), indent=2, default=_text, allow_nan=False, ensure_ascii=False)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)  # a datetime is a date too


def rounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """The value, every number in it rounded to DIGITS, and every text with ordinary spaces; None for NaN."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return ordinary_spaces(value)
    if isinstance(value, Mapping):
        return {str(name): rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return value
