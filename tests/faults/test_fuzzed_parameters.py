"""Flow parameters that nobody would mean, as a form of Prefect's UI sends them: a night or one short paragraph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prefect.exceptions import ParameterTypeError

from flows import clock, nightly
from forecasting.errors import ForecastingError, UnexpectedError
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.faults.test_fuzzed_commands import DATES, LONGEST, NOW, SYMBOLS, TARGETS, TEXTS
from tests.plain_flows import without_prefect

VALIDATED = nightly.nightly
"""The flow itself: Prefect checks the types of parameters by it before a run begins."""

PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "symbols": st.lists(SYMBOLS, max_size=3) | TEXTS,
        "target": TARGETS,
        "source": st.sampled_from(["yahooo", "sample:x", "csv:/proc/self/environ", "csv:../../x", "csv:", "."]) | TEXTS,
        "events": st.sampled_from(["csv:/etc/shadow", "csv:.", "csv:x.csv", "sample"]) | TEXTS,
        "as_of": DATES | st.just(str(LAST)),
        "mode": st.sampled_from(["auto", "warm", "skip", "fast"]),
        "switch_source": st.booleans() | TEXTS,
    },
)


# Threads that Prefect has left in this process draw random numbers; Hypothesis takes them for the strategies'.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),  # for the message of the one above
    pytest.mark.usefixtures("small"),
]


@pytest.fixture
def small(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small night of a file, at a fixed time."""
    write_yahoo_csv(random_bars(days=560, seed=3, last=LAST), tmp_path / "TEST.csv")
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300)
    monkeypatch.setattr(clock, "now", lambda: NOW)
    without_prefect(monkeypatch.setattr)


def check_parameters(examples: int) -> None:
    @settings(
        max_examples=examples, deadline=60_000, derandomize=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(PARAMETERS)
    def each(parameters: dict[str, Any]) -> None:
        try:
            nightly.nightly(**VALIDATED.validate_parameters(parameters))
        except ParameterTypeError:  # Prefect refuses the run
            return
        except UnexpectedError as error:
            raise AssertionError(parameters) from error
        except ForecastingError as error:
            assert 0 < len(str(error)) <= LONGEST

    each()


@pytest.mark.slow
def test_no_flow_parameter_ends_in_an_error_that_is_not_ours() -> None:
    check_parameters(60)


@pytest.mark.campaign
def test_of_two_thousand_sets_of_flow_parameters_none_does() -> None:
    check_parameters(2000)
