"""How a night fits its network."""

from types import SimpleNamespace

import pytest

from forecasting.night.steps.train import (
    ParentFacts,
    changed_inputs,
    choose_mode,
)

GONE = {"changed": "the market has vanished"}


@pytest.mark.parametrize(
    ("requested", "parent", "method", "kind", "reason"),
    [
        ("skip", {}, "skip", "asked", "No fit"),
        ("skip", None, "skip", "asked", "No fit"),
        ("auto", None, "scratch", "first", "no fit before"),
        ("warm", None, "scratch", "first", "no fit before"),
        ("auto", {"damage": "the file is gone"}, "scratch", "unreadable", "the file is gone"),
        ("scratch", {}, "scratch", "asked", "asked for"),
        ("warm", {"sessions_since_scratch": 99}, "warm", "asked", "asked for"),
        ("warm", GONE, "warm", "asked", "asked for"),
        ("auto", GONE, "scratch", "changed", "market has vanished"),
        ("auto", {"drift": "coverage is low"}, "scratch", "drift", "coverage is low"),
        ("auto", {"sessions_since_scratch": 21}, "scratch", "age", "21 sessions"),
        ("auto", {"sessions_since_scratch": 20}, "warm", "routine", "20 sessions"),
        ("auto", {"sessions_since_scratch": 1}, "warm", "routine", "1 session since"),
    ],
)
def test_each_fact_leads_to_its_method_with_the_reason(requested, parent, method, kind, reason):
    usual = {"sessions_since_scratch": 12}
    facts = None if parent is None else ParentFacts(**usual | parent)
    choice = choose_mode(requested, facts)
    assert (choice.method, choice.kind) == (method, kind)
    assert reason in choice.reason


@pytest.mark.parametrize(
    ("had", "has", "found"),
    [
        ((True, False), (True, False), ""),
        ((False, True), (True, True), "earnings dates have arrived since"),
        ((True, True), (False, False), "earnings dates have vanished since"),
        ((True, False), (True, True), "the market series has arrived since"),
        ((False, True), (False, False), "the market series has vanished since"),
    ],
)
def test_inputs_that_arrived_or_vanished_since_the_chain_began_are_named(had, has, found):
    card, windows = (
        SimpleNamespace(has_events=events, has_market=market) for events, market in (had, has)
    )
    text = changed_inputs(card, windows)
    assert (found in text, bool(found)) == (True, bool(text))
