from __future__ import annotations

from datetime import date, timedelta
from typing import get_args

import pytest

from forecasting.predict.combine import kind_of
from forecasting.report.artifacts import artifact_key
from forecasting.report.run_guides import BACKTEST, CATCH_UP, NIGHTLY
from forecasting.sessions import opens_at
from forecasting.vocabulary import Target

STATES = ("Completed", "Skipped", "Late", "WithoutBar", "PartlyFailed", "Failed", "Cancelled", "Crashed")


@pytest.mark.parametrize("state", STATES)
def test_the_guide_of_a_night_has_a_row_for_each_state(state: str) -> None:
    rows = [line.strip("|").split("|") for line in NIGHTLY.splitlines() if line.startswith("|")][2:]
    named = [cells for cells in rows if state in cells[0].replace(",", " ").split()]
    assert named
    assert all(len(cells) == 3 and all(cell.strip() for cell in cells) for cells in named)


def test_the_guide_of_a_night_links_to_the_page_of_each_target() -> None:
    for target in get_args(Target):
        assert f"[{target}](../../artifacts/key/{artifact_key('outcomes', target)})" in NIGHTLY


def test_the_guides_of_the_forms_name_the_parameters_that_they_need() -> None:
    for guide in (CATCH_UP, BACKTEST):
        assert "with `first` and `last`" in guide


def test_the_guide_of_a_catch_up_says_from_when_on_a_forecast_is_not_live() -> None:
    """Its newest session may be last night's: such a forecast is live, as one of the flow `nightly`."""
    opens = opens_at(date(2024, 3, 8), "XNYS")
    kinds = [kind_of(opens + timedelta(minutes=minutes), date(2024, 3, 7), "XNYS") for minutes in (-1, 0)]
    assert kinds == ["live", "late"]
    assert "made after its first session has opened is marked late or replay" in " ".join(CATCH_UP.split())
