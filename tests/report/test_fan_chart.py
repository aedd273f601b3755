import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from forecasting.report.fan_chart import fan_chart
from tests.report.nights import report_data, values_of

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


@pytest.mark.parametrize("target", ["volume", "close", "range"])
def test_the_fan_is_well_formed_for_every_target(target: str):
    drawn = parsed(fan_chart(report_data(target), "wide"))
    assert drawn.tag == f"{SVG}svg"
    assert drawn.get("role") == "img"
    assert "SBUX is expected to" in (drawn.get("aria-label") or "")


@pytest.mark.parametrize(("layout", "past"), [("wide", 60), ("narrow", 32)])
def test_every_session_shows_its_values_under_the_pointer(layout: str, past: int):
    tips = [title.text or "" for title in parsed(fan_chart(report_data(), layout)).iter(f"{SVG}title")]
    assert len(tips) == past + 5
    assert tips[-3].splitlines()[0] == "Wednesday 13 March 2024"
    assert tips[-3].splitlines()[-1] == "earnings"
    assert [line.split("\N{NO-BREAK SPACE}")[0] for line in tips[-3].splitlines()[2:5]] == ["50", "80", "90"]


def test_bars_are_as_long_as_their_values():
    data = report_data()
    bars = [
        bar for bar in parsed(fan_chart(data, "wide")).iter(f"{SVG}rect") if (bar.get("class") or "").startswith("bar")
    ]
    heights = np.array([float(bar.get("height") or 0) for bar in bars])
    values = data.known.iloc[-60:].to_numpy()
    np.testing.assert_allclose(heights / heights.max(), values / values.max(), atol=0.002)


def test_wider_bands_contain_narrower_ones():
    drawn = parsed(fan_chart(report_data(), "wide"))
    spans = {
        band: [
            (float(r.get("y") or 0), float(r.get("height") or 0))
            for r in drawn.iter(f"{SVG}rect")
            if r.get("class") == band
        ]
        for band in ("band90", "band80", "band50")
    }
    for (y90, h90), (y80, h80), (y50, h50) in zip(spans["band90"], spans["band80"], spans["band50"], strict=True):
        assert y90 < y80 < y50
        assert y50 + h50 < y80 + h80 < y90 + h90


def test_a_price_fan_opens_from_the_last_close():
    drawn = fan_chart(report_data("close"), "wide")
    history = re.search(r'class="history" d="M.*?([\d.]+ [\d.]+)"', drawn)
    median = re.search(r'class="median" d="M[\d.]+ ([\d.]+)L', drawn)
    assert history is not None
    assert median is not None
    assert history[1].split()[1] == median[1]


def test_a_first_print_has_its_own_style_and_label():
    settled = [True] * 79 + [False]
    drawn = fan_chart(report_data(history=pd.DataFrame({"value": values_of("volume"), "settled": settled})), "wide")
    assert drawn.count('class="bar provisional"') == 1
    assert "(first print)" in drawn
    assert "provisional" not in fan_chart(report_data(), "wide")


def test_an_unknown_volume_is_not_drawn():
    values = values_of("volume")
    values.iloc[-10] = float("nan")
    drawn = fan_chart(report_data(history=pd.DataFrame({"value": values, "settled": True})), "wide")
    assert "nan" not in drawn.lower()
