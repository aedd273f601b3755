from __future__ import annotations

from dataclasses import replace

import pytest

from forecasting.train.mode import MAX_CHAIN_EPOCHS, ChainFacts, choose_mode

USABLE = ChainFacts(usable=True, error="", sessions_since_scratch=12, chain_epochs=3)
DAMAGED = replace(USABLE, usable=False, error="the weights are damaged")


@pytest.mark.parametrize(
    ("requested", "champion", "method", "reason"),
    [
        ("skip", USABLE, "skip", "no fit"),
        ("skip", None, "skip", "no fit"),
        ("auto", None, "scratch", "no champion"),
        ("warm", None, "scratch", "no champion"),
        ("auto", DAMAGED, "scratch", "the weights are damaged"),
        ("scratch", USABLE, "scratch", "asked for"),
        ("warm", replace(USABLE, sessions_since_scratch=99), "warm", "asked for"),
        ("auto", replace(USABLE, drift="coverage is below its limit"), "scratch", "coverage is below its limit"),
        ("auto", replace(USABLE, sessions_since_scratch=21), "scratch", "21 sessions"),
        ("auto", replace(USABLE, chain_epochs=MAX_CHAIN_EPOCHS), "scratch", f"{MAX_CHAIN_EPOCHS} epochs"),
        ("auto", replace(USABLE, sessions_since_scratch=20, chain_epochs=MAX_CHAIN_EPOCHS - 1), "warm", "20 sessions"),
        ("auto", replace(USABLE, sessions_since_scratch=1), "warm", "1 session since"),
        ("auto", replace(USABLE, has_events=True), "scratch", "earnings dates have arrived"),
        ("auto", replace(USABLE, had_events=True), "scratch", "earnings dates have vanished"),
        ("auto", replace(USABLE, had_events=True, has_events=True), "warm", "12 sessions"),
        ("warm", replace(USABLE, has_events=True), "warm", "asked for"),
        ("auto", replace(USABLE, has_market=True), "scratch", "the market series has arrived"),
        ("auto", replace(USABLE, had_market=True), "scratch", "the market series has vanished"),
        ("auto", replace(USABLE, had_market=True, has_market=True), "warm", "12 sessions"),
    ],
)
def test_each_fact_leads_to_its_method_with_the_reason(requested, champion, method, reason):
    choice = choose_mode(requested, champion, scratch_every=21)
    assert choice.method == method
    assert reason in choice.reason


def test_drift_is_the_reason_before_age():
    both = replace(USABLE, drift="skill is below its limit", sessions_since_scratch=99)
    assert choose_mode("auto", both, scratch_every=21).reason == "skill is below its limit"
