from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from flows.nightly import nightly
from forecasting.errors import UsageError
from tests.flows.sinks import http_sink


@pytest.mark.usefixtures("prefect_server")
def test_a_failed_night_is_sent_with_its_error_and_the_page_of_its_run(
    night_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_sink() as (url, posted):
        monkeypatch.setenv("FORECASTING_NOTIFY", url.replace("http", "json"))
        with pytest.raises(UsageError):
            nightly(as_of=date(2024, 3, 9))
    (message,) = map(json.loads, posted)
    assert message["title"] == "forecasting: night.failed, TEST volume"
    assert message["message"].startswith("TEST volume: nightly-TEST-volume-2024-03-09 failed. ")
    assert "found 2024-03-09, a Saturday" in message["message"]
    assert "/v2/runs/flow-run/" in message["message"].splitlines()[-1]
