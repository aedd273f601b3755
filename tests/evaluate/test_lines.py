import pytest

from forecasting.evaluate.lines import lines_of
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
