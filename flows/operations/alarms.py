"""Ready alarms: Prefect automations that turn the events of `flows.operations.events` into a webhook call or an e-mail.

Setting them up again replaces what an earlier call made under the same names, so an address is changed by one command.
"""

import re

from prefect import get_client
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import AutomationCore, EventTrigger, Posture, ResourceSpecification, SendNotification

from flows.operations.events import EVENTS
from flows.operations.server import check_server
from forecasting.errors import UsageError

NIGHT_SUBJECT = "forecasting: {{ event.event }}, {{ event.payload.symbol }} {{ event.payload.target }}"

NIGHT_BODY = (
    "{{ event.payload.symbol }} {{ event.payload.target }}"
    "{% if event.payload.session %}, session {{ event.payload.session }}{% endif %}: {{ event.payload.words }}\n"
    "{{ flow_run|ui_url }}"
)

RUN_SUBJECT = "forecasting: {{ deployment.name }}, a run is {{ flow_run.state.name }}"

# A run that nobody has begun has neither a message nor the name that a night gives itself.
RUN_BODY = (
    "{% if event.event == 'prefect.flow-run.Late' %}"
    "A run of {{ deployment.name }} was due at {{ flow_run.expected_start_time.strftime('%Y-%m-%d %H:%M') }} UTC and "
    "no worker has begun it. If none runs, start it; one that is busy takes this run next."
    "{% else %}"
    "{{ flow_run.name }} of {{ deployment.name }} is {{ flow_run.state.name }}: {{ flow_run.state.message }}"
    "{% endif %}\n"
    "{{ flow_run|ui_url }}"
)

RUN_EVENTS = {"prefect.flow-run.Crashed", "prefect.flow-run.Late"}
"""What only Prefect can see: a run whose process died, and a run that no worker has picked up."""


def set_alarms(*, webhook: str | None, email: str | None) -> list[str]:
    """Create or replace the automations for each address given; a sentence about each.

    Args:
        webhook: An http(s) URL that is sent JSON with one field `text`, as Slack, Mattermost and most others take it.
        email: An SMTP address as Apprise writes it, `mailtos://USER:PASSWORD@HOST:PORT?from=A@B&to=C@D`.

    Raises:
        UsageError: Neither was given, or one cannot be meant. The address is never repeated: it may hold a secret.
    """
    blocks: dict[str, Block] = {}
    if webhook is not None:
        blocks["webhook"] = webhook_block(webhook)
    if email is not None:
        blocks["email"] = email_block(email)
    if not blocks:
        raise UsageError("An alarm needs somebody to call: give --webhook URL, --email URL, or both.")
    check_server()
    with get_client(sync_client=True) as client:
        return [
            put(client, automation)
            for kind, block in blocks.items()
            for automation in automations(kind, block.save(f"forecasting-{kind}", overwrite=True))
        ]


def webhook_block(url: str) -> CustomWebhookNotificationBlock:
    """The block that posts to `url`, which is kept encrypted.

    Raises:
        UsageError: Not an http(s) URL.
    """
    if not re.match(r"https?://[^\s/]+", url):
        raise UsageError("--webhook is a URL that begins with http:// or https://; what was given does not.")
    return CustomWebhookNotificationBlock(
        name="forecasting",
        url="{{address}}",
        secrets={"address": url},
        json_data={"text": "{{subject}}\n{{body}}"},
    )


def email_block(url: str) -> SlackWebhook:
    """The block that mails through `url`, which is kept encrypted.

    Raises:
        UsageError: Not a mail URL.
    """
    if not re.match(r"mailtos?://[^\s/]+", url):
        raise UsageError(
            "--email is a mail server as mailtos://USER:PASSWORD@HOST:PORT?from=A@B&to=C@D (mailto:// without TLS); "
            "what was given does not begin like that."
        )
    # Prefect has no block for plain SMTP; this one hands every URL that is not Slack's to Apprise, which mails.
    return SlackWebhook(url=url)


def automations(kind: str, block_id: object) -> list[AutomationCore]:
    """The two automations of one address: the night's own events, and runs that Prefect sees die or wait."""
    night = EventTrigger(
        expect=set(EVENTS),
        match=ResourceSpecification({"prefect.resource.id": "forecasting.*"}),
        posture=Posture.Reactive,
    )
    tagged = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.forecasting"})
    # Our own Late is a running state: the night's event tells of it already.
    died = ResourceSpecification(
        {"prefect.resource.id": "prefect.flow-run.*", "prefect.state-type": ["CRASHED", "SCHEDULED"]}
    )
    run = EventTrigger(expect=set(RUN_EVENTS), match=died, match_related=tagged, posture=Posture.Reactive)
    return [
        AutomationCore(
            name=f"forecasting {what} by {kind}",
            description="Made by `forecasting alarms`; that command replaces it.",
            trigger=trigger,
            actions=[SendNotification(block_document_id=block_id, subject=subject, body=body)],
        )
        for what, trigger, subject, body in (
            ("nights", night, NIGHT_SUBJECT, NIGHT_BODY),
            ("runs", run, RUN_SUBJECT, RUN_BODY),
        )
    ]


def put(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Create the automation, or replace the one of its name; a sentence that says which."""
    found = client.read_automations_by_name(automation.name)
    if not found:
        client.create_automation(automation)
        return f"Made the automation {automation.name!r}."
    client.update_automation(found[0].id, automation)
    return f"Replaced the automation {automation.name!r}."
