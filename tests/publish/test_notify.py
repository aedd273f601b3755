"""Messages to people, at a web server and a mail server on loopback."""

import json
import logging
import os
import re
from datetime import date

import pandas as pd
import pytest
from pydantic import SecretStr

from flows import clock
from forecasting.conditions import Check
from forecasting.errors import HistoryError, UsageError
from forecasting.night import health
from forecasting.publish import messages
from forecasting.publish.messages import (
    check_addresses,
    newest_digest,
    send,
)
from forecasting.publish.runs import run_missed
from forecasting.report.units import full_day
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, write
from forecasting.store.schema import metadata
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.flows.sinks import http_sink, smtp_sink
from tests.flows.test_cli import run
from tests.nights import after, night, select
from tests.store.rows import all_rows, event_frame, run_row

pytestmark = [
    pytest.mark.usefixtures("plain_flows"),
    # Of apprise, before Python 3.13
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

HOSTILE = "<b>x</b> <!channel> <@U1> @everyone [a](http://evil.example) `c` & \x1b[31m"
SHOWN = "‹b>x‹/b> ‹!channel> ‹＠U1> ＠everyone (a)(http://evil.example) 'c' & �(31m"  # noqa: RUF001 - as sent


def settings_of(*addresses):
    return Settings(notify=SecretStr(" ".join(addresses)))


def sent(posted):
    """Title and text of the one message."""
    (body,) = map(json.loads, posted)
    return body["title"].removeprefix("forecasting: "), body["message"]


def test_a_message_reaches_every_address_with_texts_of_others_as_text_cut_to_what_a_service_takes(
    monkeypatch,
):
    from apprise.plugins.custom_json import NotifyJSON

    with http_sink() as (url, posted), smtp_sink() as (server, mails):
        addresses = (
            url.replace("http", "json"),
            f"{server}?from=a@example.org&to=b@example.org,c@example.org",
        )
        send(
            settings_of(*addresses),
            "drift, SBUX",
            f"SBUX: {HOSTILE}\nq5 < 1; q9<0.3>2",
            link="http://127.0.0.1/run",
        )
        assert sent(posted) == (
            "drift, SBUX",
            f"SBUX: {SHOWN}\nq5 < 1; q9<0.3>2\nhttp://127.0.0.1/run",
        )
        assert len(mails) == 2  # a recipient each
        for mail in mails:
            assert not [sign for sign in ("<b>", "<!channel", "@everyone", "[a](") if sign in mail]
            assert "http://127.0.0.1/run" in mail
        monkeypatch.setattr(NotifyJSON, "body_maxlen", 30)
        text = "All well.\nSBUX: 12.0 M\nMSFT: 9.0 M"
        send(settings_of(*addresses), "all well", text, link="link", page="<p>page</p>")
    assert sent(posted[1:]) == ("all well", "All well.\nSBUX: 12.0 M\n…\nlink")
    assert "<p>page</p>" in mails[-1]


def test_what_cannot_be_sent_is_a_warning_without_the_address_and_the_next_one_is_sent(caplog):
    caplog.set_level(logging.DEBUG)
    with http_sink() as (url, posted):
        gone = f"{url.replace('http', 'json')}/secret?-token=secret"
        failed = send(
            settings_of("nowhere-secret", gone, url.replace("http", "json")), "drift", "AAA"
        )
    assert (len(posted), failed) == (1, 0.5)
    assert "not sent by JSON, 1 of 2" in caplog.text
    assert "secret" not in caplog.text


def test_an_address_that_apprise_cannot_use_is_refused_by_place_and_scheme_without_repeating_it():
    several = "json://127.0.0.1, mailto://a:secret@b.org?to=c@b.org,d@b.org mailtos://secret"
    for address, found in (
        ("", "none"),
        ("secret", "1, .* number 1 without"),
        (several, "3, .* number 3 mailtos://"),
    ):
        with pytest.raises(UsageError, match=f"FORECASTING_NOTIFY.*found {found}") as refused:
            check_addresses(settings_of(address))
        assert "secret" not in str(refused.value)


def test_a_check_that_finds_no_forecast_is_sent_before_it_fails(sqlite_url, posted, monkeypatch):
    monkeypatch.setattr(health, "CHECK_S", 600.0)
    monkeypatch.setenv("FORECASTING_DATABASE_URL", sqlite_url)
    # the later on Monday
    before = "XNYS opens at"
    later = "XNYS opened at .*: only the next night"
    for hours, words in (
        (65, later),
        (13, rf"--symbol SBUX --target volume.*{before} Mon 11 Mar 2024 13:30 .* See .* Then "),
    ):
        monkeypatch.setattr(clock, "now", after(LAST, hours))
        code, _, err = run("check", *["--notify"] * (hours == 13))
        assert (code, bool(re.search(words, err))) == (4, True), err
    assert sent(posted) == ("forecast.missing, SBUX volume", err.strip().replace("`", "'"))


def test_a_check_that_cannot_be_made_is_sent_unless_a_setting_is_not_valid(posted, monkeypatch):
    with monkeypatch.context() as lost:
        lost.setenv("FORECASTING_DATA_DIR", "/nowhere")
        _, _, err = run("check", "--notify")
    assert sent(posted) == ("check.failed", err.strip().replace("`", "'"))
    posted.clear()
    for words in (
        ("--symbols-file", "/nowhere"),
        ("--target", "vol"),
        ("--target", ""),
    ):
        code, _, err = run("check", "--notify", *words)  # of options that are refused
        title, text = sent(posted)
        assert (code, title, text in err) == (2, "check.failed", True)
        posted.clear()
    monkeypatch.setenv("FORECASTING_RUNNER", "bad")
    code, _, err = run("check", "--notify")
    assert (code, "found 'bad'" in err, posted) == (2, True, [])


@pytest.fixture
def missing(night_folder, csv_of_bars, posted, monkeypatch):
    """Five symbols on the morning after LAST, of which TEST alone has its forecast."""
    monkeypatch.setattr(clock, "now", after(LAST))
    night(LAST)
    posted.clear()
    names = ["TEST", "LATE", "DOWN", "CUT", "NEW"]
    write_yahoo_csv(random_bars(days=650, seed=9, last=LAST), csv_of_bars)  # not those of TEST
    monkeypatch.setenv("FORECASTING_SYMBOLS", ",".join(names))
    rest = {
        "LATE": {"as_of": str(LAST), "status": "late", "note": "No bar" * 300},
        "CUT": {"as_of": str(LAST), "status": "running"},
        "NEW": {"as_of": "2024-03-05", "status": "failed", "error": "Gone."},
    }
    down = {"symbol": "DOWN", "verdict": "unavailable", "detail": "No response."}
    with connect.transaction(read_settings().url) as connection:
        for symbol, row in rest.items():
            write.add(connection, "runs", run_row(symbol, row.pop("as_of"), symbol=symbol, **row))
        stored = all_rows(connection, metadata.tables["fetches"])[0]
        write.add(connection, "fetches", stored | {"id": "n", "run_id": None} | down)


@pytest.mark.usefixtures("missing")
def test_a_check_names_what_is_missing_and_why(posted):
    code, _, err = run("check", "--notify")
    title, text = sent(posted)
    assert (code, title) == (4, "forecast.missing, LATE+3-others volume")
    assert err.startswith(text.replace("'", "`") + "\n")
    expected = (
        r"4 of 5 live forecasts are missing\.",
        r"- LATE volume: stale\. No bar.*",
        r"- DOWN volume: failed\. unavailable: No response\.",
        rf"- CUT volume: cut off\. The night of {full_day(LAST)} began at Fri 8 Mar 2024 22:00 UTC .*",
        r"- NEW volume: no night yet\. 'forecasting run --symbol NEW --target volume' makes it, .*",
        r"XNYS opens at [^.]*:30 UTC: .* Then 'forecasting run'\.",
        f"Fresh: TEST volume from the session {LAST}.",
    )
    for line, wanted in zip(text.splitlines(), expected, strict=True):
        assert re.fullmatch(wanted, line), text


@pytest.mark.usefixtures("missing")
def test_a_check_writes_the_figures_of_each_series_for_prometheus(tmp_path):
    out = tmp_path / "forecasting.prom"
    out.write_text("of yesterday")
    assert run("check", "--metrics", str(out))[0] == 4
    lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    figures = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
    of_test = '{symbol="TEST",target="volume"}'
    missing = {
        f'forecasting_live_missing{{symbol="{symbol}",target="volume"}}': float(symbol != "TEST")
        for symbol in ("TEST", "LATE", "DOWN", "CUT", "NEW")
    }
    assert missing.items() <= figures.items()
    assert len(figures) == len(missing) + 3  # those of the one live night
    issued, rows = select("max(issued_at), count(*)", "forecasts")[0]
    age = (clock.now() - pd.Timestamp(issued, tz="UTC")).total_seconds()
    assert figures[f"forecasting_live_night_age_seconds{of_test}"] == age
    assert figures[f"forecasting_live_night_rows{of_test}"] == rows
    assert figures[f"forecasting_live_night_duration_seconds{of_test}"] > 0.0
    assert list(tmp_path.glob(".forecasting-*")) == []
    code, _, err = run("check", "--metrics", str(tmp_path / "none" / "x.prom"))
    assert (code, "there is no folder" in err) == (2, True)


def test_an_ordinary_run_sends_one_message_that_all_is_well(night_folder, posted, monkeypatch):
    monkeypatch.setattr(clock, "now", after(LAST))
    address = os.environ["FORECASTING_NOTIFY"]
    gone = "json://127.0.0.1:9"
    for addresses, count in ((gone, 0), (gone, 0), (f"{gone} {address}", 1), (address, 1)):
        monkeypatch.setenv("FORECASTING_NOTIFY", addresses)
        night(LAST)  # but for the first, nothing is to do
        assert len(posted) == count
    title, text = sent(posted)
    assert title == "1 volume forecast of Mon 11 Mar, all well"
    assert text.startswith("All well.\n\n## Mon 11 Mar, the most unusual first\n\n- TEST volume: ")


@pytest.mark.usefixtures("done_on_the_seventh")
def test_an_alert_that_cannot_hold_is_named_in_digest_and_doctor(night_folder, monkeypatch):
    monkeypatch.setenv(
        "FORECASTING_ALERTS",
        "APPL q90 > 2; TEST median < 1;> 20M; median > 1e0;range width > 1;x;y;z",
    )
    words = "found APPL, range. Correct them"
    *_, refused, problem = newest_digest(read_settings(), now=clock.now).problems
    assert (
        "as `SBUX q90 > 20e6`; found '> 20M', 'x', 'y', 'z'. Correct it; the others are judged."
        in refused
    )
    assert words in problem
    found = {row.check: row for row in health.checked(messages.message_checks(read_settings()))}
    assert found["alerts"] == Check("alerts", "wrong", f"{refused} {problem}")


def test_a_night_that_fails_without_prefect_is_sent(night_folder, posted):
    with pytest.raises(HistoryError) as failed:
        run_missed(read_settings(), as_of=date(2021, 10, 1), mode="auto", now=clock.now)
    title, text = sent(posted)
    assert title == "1 failed, no volume forecast"
    assert f"- TEST volume: failed. {failed.value}" in text


def test_an_invalid_alert_is_a_thing_to_know(night_folder, posted, monkeypatch):
    monkeypatch.setattr(clock, "now", after(date(2024, 3, 6)))
    night(date(2024, 3, 6))
    monkeypatch.setattr(clock, "now", after(LAST))
    monkeypatch.setenv("FORECASTING_ALERTS", "median > 20M")
    night(mode="skip")
    title, text = sent(posted[1:])
    assert title == "1 volume forecast of Mon 11 Mar, 1 of 1 hit on Thu 7 Mar, 1 thing to know"
    assert "found 'median > 20M'" in text


def test_a_check_names_the_symbols_whose_reports_are_expected_alone_until_dates_are_announced(
    night_folder, monkeypatch
):
    monkeypatch.setattr(clock, "now", after(LAST))
    night(LAST)
    with connect.transaction(read_settings().url) as connection:
        add_event(connection, "2024-01-30", "seen", day=1)
        add_event(connection, "2024-02-06", "volume", day=2, source="rhythm")
        add_event(connection, "2024-04-30", "expected", day=3, source="rhythm")
    note = "Note on TEST: earnings dates. The next report is expected from past ones alone: "
    assert run("check")[1].count(note) == 1
    with connect.transaction(read_settings().url) as connection:
        add_event(connection, "2024-04-30", "seen", day=4)
    assert "Note" not in run("check")[1]


def add_event(connection, session, rule, *, day, **changed):
    event = event_frame(session, rule, **changed)
    seen = pd.Timestamp(f"2024-03-0{day}", tz="UTC")
    write.add_frame(connection, "events", event, symbol="TEST", first_seen_at=seen)
