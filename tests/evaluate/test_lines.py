import pandas as pd
import pytest

from forecasting.evaluate.lines import by_line, lines_of
from forecasting.vocabulary import PUBLISHED_LINE


@pytest.mark.parametrize(
    ("role", "model", "lines"),
    [
        ("champion", "lstm", (PUBLISHED_LINE, "lstm")),
        ("champion", "ridge", (PUBLISHED_LINE, "ridge")),
        ("baseline", "ridge", ("ridge",)),
        ("silenced", "lstm", ("lstm",)),
        ("challenger", "lstm", ("challenger",)),
    ],
)
def test_a_published_forecast_is_in_two_lines_and_any_other_in_one(role: str, model: str, lines: tuple[str, ...]):
    assert lines_of(role, model) == lines


def test_a_row_is_there_once_for_each_of_its_lines():
    columns = {"role": ["champion", "baseline"], "name": ["ridge", "har"], "pinball": [1.0, 2.0]}
    rows = pd.DataFrame(columns, index=[7, 9])
    found = by_line(rows, model="name")
    assert found[["line", "pinball"]].to_numpy().tolist() == [[PUBLISHED_LINE, 1.0], ["ridge", 1.0], ["har", 2.0]]
    assert found.index.tolist() == [0, 1, 2]
    assert [*found] == [*columns, "line"]
    assert found["line"].dtype == object
