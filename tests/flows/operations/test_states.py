from __future__ import annotations

import pytest
from prefect import State

from flows.operations.states import last_state
from forecasting.errors import ForecastingError, HistoryError, SymbolsFailedError, UsageError
from forecasting.pipeline.run_outcomes import Outcomes

Failures = list[tuple[str, ForecastingError]]


def state_of(outcomes: Outcomes, failed: Failures | None = None, *, of: int = 2) -> State:
    return last_state(outcomes, failed or [], of=of, done="2 symbols: 2 done.", nothing=lambda: "Nothing new.")


def test_a_run_whose_nights_are_done_has_their_ids_and_what_it_brought() -> None:
    state = state_of(Outcomes(done=["a", "b"]))
    assert (state.name, state.message, state.data) == ("Completed", "2 symbols: 2 done.", ["a", "b"])


def test_a_run_with_some_failed_symbols_is_partly_failed_and_names_them_without_a_class() -> None:
    state = state_of(Outcomes(done=["a"]), [("BAD", HistoryError("no rows"))])
    assert (state.name, state.is_failed(), state.message) == (
        "PartlyFailed",
        True,
        "1 of 2 symbols failed. BAD: no rows",
    )
    assert isinstance(state.data, SymbolsFailedError)


def test_a_run_in_which_all_failed_is_failed_with_the_error_itself_where_it_is_one() -> None:
    both = Outcomes(failed=[("B", HistoryError("two"))])
    assert state_of(both, [("A", HistoryError("one"))]).name == "Failed"
    error = UsageError("no such session")
    state = state_of(Outcomes(), [("A", error)], of=1)
    assert (state.name, state.message, state.data) == ("Failed", "no such session", error)


@pytest.mark.parametrize(
    ("outcomes", "name", "message"),
    [
        (Outcomes(without_bar=["The bar is missing.", "Another."]), "WithoutBar", "The bar is missing. Another."),
        (Outcomes(), "Skipped", "Nothing new."),
    ],
)
def test_a_run_with_nothing_to_do_says_why(outcomes: Outcomes, name: str, message: str) -> None:
    state = state_of(outcomes)
    assert (state.name, state.is_completed(), state.message) == (name, True, message)
