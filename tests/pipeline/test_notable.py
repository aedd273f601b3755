"""Alerts of many symbols together; those of a night are in tests/flows/operations/test_events.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from pydantic import SecretStr

from flows import clock
from forecasting.pipeline.night import make_night
from forecasting.pipeline.notable import Alert, alert, notable_outcomes, together
from forecasting.settings import Settings
from tests.builders import LAST


def of_symbols(*symbols: str) -> list[Alert]:
    return [
        alert("promotion", make_night(symbol, LAST, Settings(), now=clock.now), f"a fit of {symbol}.")
        for symbol in symbols
    ]


def test_up_to_three_symbols_have_an_alert_each():
    alerts = of_symbols("AAA", "BBB", "CCC")
    assert together(alerts) == alerts


def test_more_than_three_symbols_share_one_alert_that_quotes_the_first_three():
    (one,) = together(of_symbols("AAA", "BBB", "CCC", "DDD"))
    words = "4 symbols, among them AAA: a fit of AAA. BBB: a fit of BBB. CCC: a fit of CCC."
    assert one == Alert("promotion", "AAA+3-others", "volume", LAST, words)


def test_events_and_targets_are_not_mixed():
    promoted = of_symbols("AAA", "BBB", "CCC", "DDD")
    drifting = [replace(one, event="drift") for one in promoted]
    ranges = [replace(one, target="range") for one in promoted[:2]]
    found = [(one.event, one.target, one.symbol) for one in together([*promoted, *drifting, *ranges])]
    assert found == [
        ("promotion", "volume", "AAA+3-others"),
        ("drift", "volume", "AAA+3-others"),
        ("promotion", "range", "AAA"),
        ("promotion", "range", "BBB"),
    ]


def test_many_nights_of_few_symbols_keep_an_alert_each():
    days = [replace(one, session=day) for one in of_symbols("AAA", "BBB") for day in (date(2024, 3, 7), LAST)]
    assert together(days) == days


def test_a_run_without_nights_reads_nothing():
    assert notable_outcomes(Settings(database_url=SecretStr("sqlite:////nowhere/at/all.db")), []) == []
