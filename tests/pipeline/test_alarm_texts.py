from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

from jinja2 import Environment

from forecasting.pipeline.alarm_texts import NIGHT_BODY, RUN_BODY

DUE = datetime(2026, 11, 25, 10, 30, tzinfo=UTC)
RUN = SimpleNamespace(
    name="nightly-SBUX-volume-2024-03-08",
    expected_start_time=DUE,
    state=SimpleNamespace(name="Crashed", message="It ended."),
)


def rendered(text: str, **given: object) -> list[str]:
    """The lines of a template, with the address that Prefect's filter gives for any run."""
    environment = Environment(autoescape=False)
    environment.filters["ui_url"] = lambda run: "http://127.0.0.1:4200/runs/flow-run/fefa"
    return (
        environment.from_string(text)
        .render(flow_run=RUN, deployment=SimpleNamespace(name="nightly"), **given)
        .split("\n")
    )


def test_an_alarm_of_a_night_ends_with_the_address_of_its_run_in_version_2_of_the_ui() -> None:
    payload = {"symbol": "SBUX", "target": "volume", "session": "2024-03-08", "words": "Its bar is missing."}
    assert rendered(NIGHT_BODY, event=SimpleNamespace(payload=payload)) == [
        "SBUX volume, session 2024-03-08: Its bar is missing.",
        "http://127.0.0.1:4200/v2/runs/flow-run/fefa",
    ]
    assert rendered(NIGHT_BODY, event=SimpleNamespace(payload=payload | {"session": ""}))[0] == (
        "SBUX volume: Its bar is missing."
    )


def test_an_alarm_of_a_late_run_says_when_it_was_due_and_one_of_a_crashed_run_why() -> None:
    late, link = rendered(RUN_BODY, event=SimpleNamespace(event="prefect.flow-run.Late"))
    assert late.startswith("A run of nightly was due at 2026-11-25 10:30 UTC and no worker has started it.")
    crashed, same = rendered(RUN_BODY, event=SimpleNamespace(event="prefect.flow-run.Crashed"))
    assert crashed == "nightly-SBUX-volume-2024-03-08 of nightly is Crashed: It ended."
    assert link == same == "http://127.0.0.1:4200/v2/runs/flow-run/fefa"
