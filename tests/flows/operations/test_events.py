from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows import clock
from flows.nightly import nightly
from flows.operations import events
from flows.terminal.start import start_night
from forecasting.errors import UsageError
from forecasting.pipeline.night import make_night
from forecasting.pipeline.notable import alert
from forecasting.settings import read_settings
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.nights import night

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What was emitted, in order: name and payload."""
    events_so_far: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(events, "emit_event", lambda event, **given: events_so_far.append((event, given["payload"])))
    return events_so_far


def test_an_ordinary_night_emits_nothing(night_folder: Path, emitted: list[Any]) -> None:
    night(LAST)
    assert emitted == []


def test_nothing_is_emitted_outside_a_flow_run(emitted: list[Any]) -> None:
    events.emit([alert("drift", make_night("TEST", LAST, read_settings(), now=clock.now), "a word")])
    assert emitted == []


def test_a_failed_night_is_emitted_with_its_error(night_folder: Path, emitted: list[Any]) -> None:
    with pytest.raises(UsageError):
        nightly(as_of=date(2024, 3, 9))
    ((name, payload),) = emitted
    assert (name, payload["symbol"], payload["target"]) == ("night.failed", "TEST", "volume")
    assert payload["words"].startswith("nightly-TEST-volume-2024-03-09 failed. ")
    assert "found 2024-03-09, a Saturday" in payload["words"]


@pytest.mark.usefixtures("done_on_the_seventh")
def test_a_fallback_is_emitted_with_its_reason(night_folder: Path, emitted: list[Any]) -> None:
    for weights in (night_folder / "artifacts").rglob("*.safetensors"):
        weights.write_bytes(b"damaged")
    start_night(as_of=LAST, mode="skip", switch_source=False)
    fallback = [payload for name, payload in emitted if name == "forecast.fallback"]
    assert [payload["session"] for payload in fallback] == [str(LAST)]
    assert "cannot be used" in fallback[0]["words"]


def restate(csv_of_bars: Path) -> None:
    """Change a volume that is stored."""
    bars = random_bars(days=650, seed=3, last=LAST)
    bars.loc[pd.Timestamp("2024-02-20"), "volume"] *= 1.3
    write_yahoo_csv(bars.round({"volume": 0}), csv_of_bars)


@pytest.mark.usefixtures("done_on_the_seventh")
def test_restated_bars_are_emitted(csv_of_bars: Path, emitted: list[Any]) -> None:
    restate(csv_of_bars)
    night(LAST)
    revised = [payload for name, payload in emitted if name == "data.revised"]
    assert [payload["session"] for payload in revised] == [str(LAST)]
    assert revised[0]["words"].startswith("revised: ")


@pytest.mark.usefixtures("done_on_the_sixth")
def test_a_fit_from_scratch_that_takes_over_is_emitted_with_its_reason_and_a_refresh_is_not(
    night_folder: Path, emitted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_SCRATCH_EVERY", "2")
    for session in (date(2024, 3, 7), LAST):
        night(session)
    promoted = [payload for name, payload in emitted if name == "promotion"]
    assert [payload["session"] for payload in promoted] == [str(LAST)]
    assert "a fit from scratch (2 sessions since the last fit from scratch)" in promoted[0]["words"]


def test_a_refused_fit_is_emitted(night_folder: Path, emitted: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from forecasting.train import gate

    monkeypatch.setattr(gate, "not_finite", lambda quantiles: "a quantile of a member is not finite")
    night(LAST)
    (refused,) = [payload for name, payload in emitted if name == "fit.refused"]
    assert refused["words"].endswith("is not published: a quantile of a member is not finite")
    assert [name for name, _ in emitted if name == "forecast.fallback"]
