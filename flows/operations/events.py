"""What a run says while it lasts and when it fails: the name of its state, and messages to people."""

from typing import Any

from prefect import Flow, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Running
from prefect.utilities.urls import url_for

from flows.operations.server import tolerate_outage
from forecasting.pipeline import notify
from forecasting.pipeline.notify import Alert
from forecasting.pipeline.parameters import subject_of
from forecasting.plain_text import plain_text
from forecasting.settings import read_settings

LATE = "Late"
"""Name of the running state, in the list of runs, in which a night waits for a bar or a response."""


def run_link() -> str:
    """The page of this flow run in Prefect's UI; empty outside one."""
    context = FlowRunContext.get()
    url = url_for(context.flow_run) if context is not None and context.flow_run is not None else None
    # The address that Prefect gives is that of the first version of its UI, which a browser would show (3.9.1).
    return (url or "").replace("/runs/", "/v2/runs/", 1)


def send_failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of a flow that failed: sends its run's name and the error's message."""
    words = (state.message or "It left no message.").removeprefix("Flow run encountered an exception: ")
    symbol, target = subject_of(flow_run.parameters)
    alert = Alert("night.failed", symbol, target, None, f"{flow_run.name} failed. {words}")
    notify.send(read_settings(), [alert], link=run_link())


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
