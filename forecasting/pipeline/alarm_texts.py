"""The texts of alarms, as Prefect's templates (Jinja): of a night's own event, and of a run that is late or crashed.

And the warning about an address that was typed where others can read it.
"""

# The address that Prefect gives is that of the first version of its UI, which a browser would show (3.9.1).
_LINK = "{{ flow_run|ui_url|replace('/runs/', '/v2/runs/', 1) }}"

NIGHT_SUBJECT = "forecasting: {{ event.event }}, {{ event.payload.symbol }} {{ event.payload.target }}"

NIGHT_BODY = (
    "{{ event.payload.symbol }} {{ event.payload.target }}"
    "{% if event.payload.session %}, session {{ event.payload.session }}{% endif %}: {{ event.payload.words }}\n"
    + _LINK
)

RUN_SUBJECT = "forecasting: {{ deployment.name }}, a run is {{ flow_run.state.name }}"

# A run that has not started has neither a message nor the name that a night sets.
RUN_BODY = (
    "{% if event.event == 'prefect.flow-run.Late' %}"
    "A run of {{ deployment.name }} was due at {{ flow_run.expected_start_time.strftime('%Y-%m-%d %H:%M') }} UTC and "
    "no worker has started it. Start the worker, which then runs it."
    "{% else %}"
    "{{ flow_run.name }} of {{ deployment.name }} is {{ flow_run.state.name }}: {{ flow_run.state.message }}"
    "{% endif %}\n" + _LINK
)


def secret_warning(option: str) -> str:
    """The line about an address on the command line, which may hold a secret; it does not repeat that."""
    return (
        f"Warning: --{option} may contain a secret, which every user of this machine can read in `ps` while this runs. "
        f"FORECASTING_ALARM_{option.upper()} keeps it out of there.\n"
    )
