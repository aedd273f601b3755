from __future__ import annotations

import json
import logging
import traceback

import pytest
from prefect.blocks.abstract import NotificationError

from flows.operations.alarms import apprise_block
from forecasting.pipeline.alarm_addresses import text_webhook
from tests.flows.sinks import http_sink

# Apprise's import of a plugin for Twitter, under Python 3.11 and 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.mark.parametrize("path", ["/services/T0/B0/Secret-1", "/spaces/A/messages?Key=a-B&token=x%2By%3D"])
def test_a_webhook_receives_the_text_alone_at_its_address(path: str) -> None:
    text = 'A night failed: expected "<volume>", found \\n & ü.\nhttp://127.0.0.1:4200/v2/runs/flow-run/1'
    with http_sink(path) as (url, posted):
        apprise_block(text_webhook(url)).notify(text, subject="A night failed")
    assert [json.loads(body) for body in posted] == [{"text": text}]


def test_the_error_of_a_webhook_that_refuses_a_message_leaves_its_address_out(caplog: pytest.LogCaptureFixture) -> None:
    with http_sink() as (url, posted), caplog.at_level(logging.INFO):
        block = apprise_block(text_webhook(f"{url}/secret?token=secret"))
        with block.raise_on_failure(), pytest.raises(NotificationError) as refused:
            block.notify("A night failed.")
    told = "".join(traceback.format_exception(refused.value)) + refused.value.log + caplog.text
    assert "error=404" in refused.value.log
    assert "secret" not in told
    assert not posted
