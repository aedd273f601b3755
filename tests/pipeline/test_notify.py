"""Messages to people, at a web server and a mail server on loopback."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr

from flows import clock
from flows.start import start_night
from forecasting.errors import HistoryError, NoLiveForecastError, UsageError
from forecasting.pipeline import health
from forecasting.pipeline.notify import Alert, check_addresses, send, together
from forecasting.pipeline.run import run_missed
from forecasting.settings import Settings, read_settings
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.flows.sinks import http_sink, smtp_sink
from tests.nights import night

pytestmark = [
    pytest.mark.usefixtures("plain_flows"),
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),  # of apprise, before Python 3.13
]

HOSTILE = "<b>x</b> <!channel> <@U1> @everyone [a](http://evil.example) `c` & \x1b[31m\nsecond line"
SHOWN = "‹b›x‹/b› ‹!channel› ‹＠U1› ＠everyone (a)(http://evil.example) 'c' & �(31m second line"  # noqa: RUF001 - as sent


def of_symbols(*symbols: str) -> list[Alert]:
    return [Alert("promotion", symbol, "volume", LAST, f"a fit of {symbol}.") for symbol in symbols]


def settings_of(*addresses: str) -> Settings:
    return Settings(notify=SecretStr(" ".join(addresses)))


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the address in FORECASTING_NOTIFY receives, as JSON."""
    with http_sink() as (url, bodies):
        monkeypatch.setenv("FORECASTING_NOTIFY", url.replace("http", "json"))
        yield bodies


def sent(posted: list[str], kind: str) -> list[str]:
    """The messages of a kind."""
    found = [json.loads(body) for body in posted]
    return [body["message"] for body in found if body["title"].startswith(f"forecasting: {kind}, ")]


def test_a_message_reaches_every_address_with_texts_of_others_as_text() -> None:
    with http_sink() as (url, posted), smtp_sink() as (server, mails):
        addresses = (url.replace("http", "json"), f"{server}?from=a@example.org&to=b@example.org,c@example.org")
        send(settings_of(*addresses), [Alert("drift", "SBUX", "volume", LAST, HOSTILE)], link="http://127.0.0.1/run")
    (body,) = map(json.loads, posted)
    assert body["title"] == "forecasting: drift, SBUX volume"
    assert body["message"] == f"SBUX volume, session 2024-03-08: {SHOWN}\nhttp://127.0.0.1/run"
    assert len(mails) == 2  # a recipient each
    for mail in mails:
        assert not [sign for sign in ("<b>", "<!channel", "@everyone", "[a](") if sign in mail]
        assert "http://127.0.0.1/run" in mail


def test_what_cannot_be_sent_is_a_warning_without_the_address_and_the_next_one_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with http_sink() as (url, posted):
        gone = f"{url.replace('http', 'json')}/secret?-token=secret"
        send(settings_of("nowhere-secret", gone, url.replace("http", "json")), of_symbols("AAA"))
    assert len(posted) == 1
    assert "JSON" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("address", "found"), [("", "none"), ("secret", "one"), ("mailtos://secret", "one")])
def test_an_address_that_apprise_cannot_use_is_refused_without_repeating_it(address: str, found: str) -> None:
    with pytest.raises(UsageError, match=f"FORECASTING_NOTIFY.*found {found}") as refused:
        check_addresses(settings_of(address))
    assert "secret" not in str(refused.value)


def test_a_check_that_finds_no_forecast_is_sent_before_it_fails(
    sqlite_url: str, posted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_S", 600.0)
    settings = read_settings().model_copy(update={"database_url": SecretStr(sqlite_url)})
    with pytest.raises(NoLiveForecastError) as failed:
        health.check_and_send(settings, now=clock.now)
    assert sent(posted, "forecast.missing") == [f"SBUX volume: {failed.value}".replace("`", "'")]


def test_up_to_three_symbols_have_an_alert_each() -> None:
    alerts = of_symbols("AAA", "BBB", "CCC")
    assert together(alerts) == alerts


def test_more_than_three_symbols_share_one_alert_that_quotes_the_first_three() -> None:
    (one,) = together(of_symbols("AAA", "BBB", "CCC", "DDD"))
    words = "4 symbols, among them AAA: a fit of AAA. BBB: a fit of BBB. CCC: a fit of CCC."
    assert one == Alert("promotion", "AAA+3-others", "volume", LAST, words)


def test_an_ordinary_night_sends_nothing(night_folder: Path, posted: list[str]) -> None:
    night(LAST)
    assert posted == []


@pytest.mark.usefixtures("done_on_the_seventh")
def test_a_fallback_is_sent_with_its_reason(night_folder: Path, posted: list[str]) -> None:
    for weights in (night_folder / "artifacts").rglob("*.safetensors"):
        weights.write_bytes(b"damaged")
    start_night(as_of=LAST, mode="skip", switch_source=False)
    (message,) = sent(posted, "forecast.fallback")
    assert message.startswith(f"TEST volume, session {LAST}: ")
    assert "cannot be used" in message


@pytest.mark.usefixtures("done_on_the_seventh")
def test_restated_bars_are_sent(csv_of_bars: Path, posted: list[str]) -> None:
    bars = random_bars(days=650, seed=3, last=LAST)
    bars.loc[pd.Timestamp("2024-02-20"), "volume"] *= 1.3
    write_yahoo_csv(bars.round({"volume": 0}), csv_of_bars)
    night(LAST)
    assert [f"session {LAST}: revised: " in message for message in sent(posted, "data.revised")] == [True]


@pytest.mark.usefixtures("done_on_the_sixth")
def test_a_fit_from_scratch_that_takes_over_is_sent_with_its_reason_and_a_refresh_is_not(
    night_folder: Path, posted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECASTING_SCRATCH_EVERY", "2")
    for session in (date(2024, 3, 7), LAST):
        night(session)
    (message,) = sent(posted, "promotion")
    assert f"session {LAST}: " in message
    assert "a fit from scratch (2 sessions since the last fit from scratch)" in message


def test_a_refused_fit_is_sent(night_folder: Path, posted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from forecasting.train import gate

    monkeypatch.setattr(gate, "not_finite", lambda quantiles: "a quantile of a member is not finite")
    night(LAST)
    (message,) = sent(posted, "fit.refused")
    assert message.endswith("is not published: a quantile of a member is not finite")
    assert sent(posted, "forecast.fallback")


def test_a_night_that_fails_without_prefect_is_sent(night_folder: Path, posted: list[str]) -> None:
    with pytest.raises(HistoryError) as failed:
        run_missed(read_settings(), as_of=date(2022, 3, 8), mode="auto", now=clock.now)
    assert sent(posted, "night.failed") == [f"TEST volume: {failed.value}"]
