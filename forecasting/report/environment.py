"""The templates of the pages."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from forecasting.report import units

if TYPE_CHECKING:
    from jinja2 import Environment


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Jinja with the package's templates: every value is escaped, an undefined one raises."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("forecasting.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["long_day"] = units.long_day
    return made
