"""The lines that a forecast counts in: the published one, its forecaster's own, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecasting.vocabulary import CHALLENGER, CHAMPION, PUBLISHED_LINE

if TYPE_CHECKING:
    import pandas as pd


def lines_of(role: str, model: str) -> tuple[str, ...]:
    """The lines of a forecast with this role, by a model of this name.

    The published line holds what was published each night, whichever model made it. A baseline's line, and the
    network's (`lstm`), hold its own forecast of every night, published or not: on a night on which a baseline is
    published, the baseline's line and the published line have the same loss. All challengers share one line.
    """
    if role == CHALLENGER:
        return (CHALLENGER,)
    return (PUBLISHED_LINE, model) if role == CHAMPION else (model,)


def by_line(rows: pd.DataFrame, *, model: str) -> pd.DataFrame:
    """The rows with column `line`, once for each line that a row counts in; the index is new.

    Args:
        rows: One a forecast, with column role.
        model: Name of the column that holds the model's name.
    """
    import numpy as np
    import pandas as pd

    lines = [lines_of(str(role), str(name)) for role, name in zip(rows["role"], rows[model], strict=True)]
    once_each = rows.iloc[np.repeat(np.arange(len(rows)), [len(some) for some in lines])].reset_index(drop=True)
    return once_each.assign(line=pd.Series([line for some in lines for line in some], dtype=object))
