"""Prefect events that a run emits for alerting; no-op outside a flow run. Automations turn them into calls."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from prefect import Flow, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.states import Running

from flows.operations.server import tolerate_outage
from forecasting.pipeline.notable import Alert, Notable, together
from forecasting.pipeline.parameters import subject_of
from forecasting.plain_text import plain_text

Event = Literal["night.failed", "night.late", Notable]

EVENTS: tuple[Event, ...] = get_args(Event)

LATE = "Late"
"""Name of the running state, in the list of runs, in which a night waits for a bar or a response."""


def emit(alerts: Sequence[Alert]) -> None:
    """Emit an event for each alert, one for all where they are many of a kind; no-op outside a flow run."""
    if FlowRunContext.get() is None:
        return
    for one in together(alerts):
        subject = {"symbol": one.symbol, "target": one.target, "session": one.session.isoformat()}
        resource = {"prefect.resource.id": f"forecasting.{one.symbol}.{one.target}"}
        resource["prefect.resource.name"] = f"{one.symbol} {one.target}"
        emit_event(one.event, resource=resource, payload=subject | {"words": plain_text(one.words)})


def emit_failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of a flow that failed: emits night.failed with the run's name and the error's message."""
    words = plain_text((state.message or "It left no message.").removeprefix("Flow run encountered an exception: "))
    emit_event(
        "night.failed",
        resource={"prefect.resource.id": f"forecasting.{flow.name}", "prefect.resource.name": flow_run.name},
        related=[{"prefect.resource.id": f"prefect.flow-run.{flow_run.id}", "prefect.resource.role": "flow-run"}],
        payload={"session": "", "words": f"{flow_run.name} failed. {words}"} | subject_of(flow_run.parameters),
    )


def name_state(name: str, message: str, *, only: str = "") -> None:
    """Rename the running state of this flow run, with a reason, but only from the name `only` if one is given."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    with tolerate_outage(f"the state {name}"), get_client(sync_client=True) as client:
        present = client.read_flow_run(context.flow_run.id).state
        if present is not None and present.is_running() and (not only or present.name == only):
            # Forced: the server treats a second Running as a repeated start and would refuse it.
            client.set_flow_run_state(context.flow_run.id, Running(name=name, message=plain_text(message)), force=True)
