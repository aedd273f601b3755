from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from prefect import State

from flows import clock
from flows.operations.states import last_state
from forecasting.errors import ForecastingError, HistoryError, NoBarError, SymbolsFailedError, UsageError
from forecasting.pipeline.night import Night
from forecasting.settings import Settings

SETTINGS = Settings(symbols=("AAA", "BAD"))
NOTE = "The bar is missing."


def a_night(symbol: str = "AAA", *, error: ForecastingError | None = None, without_bar: str = "") -> Night:
    night = Night(
        symbol, date(2024, 3, 8), SETTINGS.for_symbol(symbol), clock.now, error=error, without_bar=without_bar
    )
    return replace(night, is_done=error is None and not without_bar)


NO_ROWS, NO_SESSION, NO_BAR = HistoryError("no rows"), UsageError("no such session"), NoBarError("Another.")


@pytest.mark.parametrize(
    ("nights", "settings", "name", "message"),
    [
        ([a_night()], SETTINGS, "Completed", "2 symbols: 2 done."),
        ([a_night(), a_night("BAD", error=NO_ROWS)], SETTINGS, "PartlyFailed", "1 of 2 symbols failed. BAD: no rows"),
        ([a_night(error=NO_ROWS), a_night("BAD", error=NO_SESSION)], SETTINGS, "Failed", "2 of 2 symbols failed."),
        ([a_night(error=NO_SESSION)], SETTINGS.for_symbol("AAA"), "Failed", "no such session"),
        (
            [a_night(without_bar=NOTE), a_night(error=NoBarError("Another."))],
            SETTINGS,
            "WithoutBar",
            f"{NOTE} Another.",
        ),
        ([], SETTINGS, "Skipped", "Nothing new."),
    ],
)
def test_the_last_state_of_a_run_says_what_became_of_its_nights(
    nights: list[Night], settings: Settings, name: str, message: str
) -> None:
    state: State = last_state(nights, settings, done="2 symbols: 2 done.", nothing=lambda: "Nothing new.")
    assert state.name == name
    assert str(state.message).startswith(message)
    assert state.is_failed() == name.endswith("Failed")


def test_its_data_are_the_ids_of_the_nights_done_or_the_error() -> None:
    done = a_night()
    assert last_state([done], SETTINGS, done="", nothing=str).data == [done.id]
    failed = last_state([done, a_night("BAD", error=NO_ROWS)], SETTINGS, done="", nothing=str)
    assert isinstance(failed.data, SymbolsFailedError)
    alone = last_state([a_night(error=NO_SESSION)], SETTINGS.for_symbol("AAA"), done="", nothing=str)
    assert alone.data is NO_SESSION
