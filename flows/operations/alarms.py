"""Ready alarms: Prefect automations that turn the events of `flows.operations.events` into a webhook call or e-mail."""

from prefect import get_client
from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import AutomationCore, EventTrigger, Posture, ResourceSpecification, SendNotification

from flows.operations.events import EVENTS
from flows.operations.server import check_server
from forecasting.errors import UsageError
from forecasting.pipeline.alarm_addresses import mail_server, silent_apprise, text_webhook, unreachable, web_server
from forecasting.pipeline.alarm_texts import NIGHT_BODY, NIGHT_SUBJECT, RUN_BODY, RUN_SUBJECT

RUN_EVENTS = {"prefect.flow-run.Crashed", "prefect.flow-run.Late"}
"""Events that only Prefect emits: a run whose process ended, and a run that no worker has picked up."""


def set_alarms(*, webhook: str | None, email: str | None) -> list[str]:
    """Create or replace the automations for each address given; a sentence about each.

    An address whose server cannot be reached gets a warning, and is kept: Prefect's server may run on another machine.

    Args:
        webhook: An http(s) URL that receives JSON with one field `text`, as Slack, Mattermost and most others accept.
        email: An SMTP address in Apprise's notation, `mailtos://USER:PASSWORD@HOST:PORT?from=A@B&to=C@D`.

    Raises:
        UsageError: Neither was given, or one is invalid. The message leaves the address out: it may hold a secret.
    """
    blocks, warnings = dict[str, Block](), list[str | None]()
    if webhook is not None:
        warnings.append(unreachable("webhook", *web_server(webhook)))
        blocks["webhook"] = apprise_block(text_webhook(webhook))
    if email is not None:
        warnings.append(unreachable("email", *mail_server(email)))
        blocks["email"] = apprise_block(email)
    if not blocks:
        raise UsageError("Expected --webhook URL, --email URL or both; found neither.")
    check_server()
    with get_client(sync_client=True) as client:
        done = [
            put(client, automation)
            for kind, block in blocks.items()
            for automation in automations(kind, block.save(f"forecasting-{kind}", overwrite=True))
        ]
    return done + [warning for warning in warnings if warning is not None]


def apprise_block(address: str) -> SlackWebhook:
    """The block that sends to an address in Apprise's notation, which is kept encrypted."""
    # It passes every URL that is not Slack's to Apprise. Prefect has no block for plain SMTP; its block for webhooks
    # quotes the address in an error, which the server logs.
    with silent_apprise():
        return SlackWebhook(url=address)


def automations(kind: str, block_id: object) -> list[AutomationCore]:
    """The two automations of one address: of the night's own events, and of Prefect's for crashed and late runs."""
    ours = ResourceSpecification({"prefect.resource.id": "forecasting.*"})
    night = EventTrigger(expect=set(EVENTS), match=ours, posture=Posture.Reactive)
    tagged = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.forecasting"})
    # Our own Late is a running state: the night's own event reports it already.
    crashed_or_late = ResourceSpecification(
        {"prefect.resource.id": "prefect.flow-run.*", "prefect.state-type": ["CRASHED", "SCHEDULED"]}
    )
    run = EventTrigger(expect=set(RUN_EVENTS), match=crashed_or_late, match_related=tagged, posture=Posture.Reactive)
    return [
        AutomationCore(
            name=f"forecasting {what} by {kind}",
            description="Made by `forecasting alarms`; that command replaces it.",
            trigger=trigger,
            actions=[SendNotification(block_document_id=block_id, subject=subject, body=body)],
        )
        for what, trigger, subject, text in (
            ("nights", night, NIGHT_SUBJECT, NIGHT_BODY),
            ("runs", run, RUN_SUBJECT, RUN_BODY),
        )
        for body in [f"{subject}\n{text}" if kind == "webhook" else text]  # a webhook receives no subject
    ]


def put(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Create the automation, or replace the one of its name; a sentence about it."""
    found = client.read_automations_by_name(automation.name)
    if not found:
        client.create_automation(automation)
        return f"Created the automation {automation.name!r}."
    client.update_automation(found[0].id, automation)
    return f"Replaced the automation {automation.name!r}."
