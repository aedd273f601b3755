from xml.etree import ElementTree

import pytest

from forecasting.report.track_record import track_record
from forecasting.report.track_record_charts import coverage_strip, past_chart, skill_bars
from tests.report.nights import report_data, score, scored

SVG = "{http://www.w3.org/2000/svg}"


def count(drawn: str, css: str) -> int:
    return sum(1 for part in ElementTree.fromstring(drawn).iter() if part.get("class") == css)


def test_hits_and_misses_differ_in_shape():
    inside, between, outside = score(ago=3, actual=10.0), score(ago=2, actual=16.0), score(ago=1, actual=30.0)
    drawn = past_chart(report_data(), track_record(scored(inside, between, outside)), "wide")
    assert (count(drawn, "dot"), count(drawn, "diamond"), count(drawn, "cross")) == (1, 1, 2)  # a cross has two strokes


def test_only_forecasts_one_session_ahead_are_drawn():
    drawn = past_chart(report_data(), track_record(scored(score(horizon=1), score(horizon=2))), "wide")
    assert count(drawn, "slot") == 1


@pytest.mark.parametrize(("layout", "most"), [("wide", 60), ("narrow", 30)])
def test_the_newest_forecasts_are_drawn_when_there_are_many(layout: str, most: int):
    drawn = past_chart(report_data(), track_record(scored(*(score(ago=ago) for ago in range(1, 71)))), layout)
    assert count(drawn, "slot") == most
    assert "Friday 8 March 2024" in drawn


def test_a_share_outside_its_band_has_another_shape():
    assert count(coverage_strip(0.8, 0.7, 0.9, level=0.8), "dot") == 1
    assert count(coverage_strip(0.6, 0.7, 0.9, level=0.8), "diamond") == 1


def test_a_loss_is_drawn_as_long_as_the_same_gain():
    drawn = ElementTree.fromstring(skill_bars({1: 0.1, 2: -0.1}, limit=0.2))
    heights = {part.get("class"): part.get("height") for part in drawn.iter(f"{SVG}rect")}
    assert heights == {"gain": "12.0", "loss": "12.0"}
    assert [part.text for part in drawn.iter(f"{SVG}text")] == ["+10%", "\N{MINUS SIGN}10%"]
    assert drawn.get("aria-label") == "1 ahead +10\N{NO-BREAK SPACE}%, 2 ahead \N{MINUS SIGN}10\N{NO-BREAK SPACE}%"


def test_an_unknown_skill_draws_a_dash():
    assert "\N{EN DASH}" in skill_bars({1: float("nan")}, limit=0.2)
