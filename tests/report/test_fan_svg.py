from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd

from forecasting.report.fan_svg import HEIGHT, SHOWN_SESSIONS, WIDTH, fan_markdown, fan_svg
from tests.report.nights import forecasts, report_data

SVG = "{http://www.w3.org/2000/svg}"


def paths(drawing: str, css: str) -> list[list[tuple[float, float]]]:
    """The corners of every path of a class."""
    found = [part.attrib["d"] for part in ET.fromstring(drawing).iter(f"{SVG}path") if part.attrib["class"] == css]
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", steps.removesuffix("Z"))] for steps in found
    ]


def labels(drawing: str) -> list[str]:
    return [str(part.text) for part in ET.fromstring(drawing).iter(f"{SVG}text")]


def test_the_fan_opens_at_the_newest_known_value_and_stays_inside_the_drawing() -> None:
    drawing = fan_svg(report_data())
    ((*_, newest),) = paths(drawing, "known")
    ((start, *medians),) = paths(drawing, "median")
    assert start == newest
    assert len(medians) == 5
    corners = [
        corner for css in ("outer", "inner", "known", "median") for part in paths(drawing, css) for corner in part
    ]
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in corners)


def test_the_wider_interval_holds_the_narrower_and_that_one_the_median() -> None:
    drawing = fan_svg(report_data())
    (outer,), (inner,), (median,) = (paths(drawing, css) for css in ("outer", "inner", "median"))
    for place in range(1, 6):
        heights = [part[place][1] for part in (outer, inner, median)]
        assert heights == sorted(heights, reverse=True)  # lower values lie further down
        across = {part[place][0] for part in (outer, inner, median)}
        assert len(across) == 1


def test_a_higher_value_is_drawn_further_up() -> None:
    drawing = fan_svg(report_data(forecasts=forecasts(q50=[8e6, 8e6, 8e6, 8e6, 9e6])))
    ((_, *medians),) = paths(drawing, "median")
    assert medians[-1][1] < medians[0][1]


def test_an_unknown_value_leaves_a_gap() -> None:
    data = report_data()
    history = data.history.copy()
    history.iloc[-10, history.columns.get_loc("value")] = np.nan
    parts = paths(fan_svg(report_data(history=history)), "known")
    assert [len(part) for part in parts] == [30, 9]


def test_without_a_known_value_the_fan_has_no_opening() -> None:
    history = report_data().history.copy()
    history.loc[history.index[-SHOWN_SESSIONS:], "value"] = np.nan
    data = report_data(history=history)
    drawing = fan_svg(data)
    assert paths(drawing, "known") == []
    assert [len(part) for css in ("outer", "inner", "median") for part in paths(drawing, css)] == [10, 10, 5]
    assert {"Fri 8 Mar", "Fri 15 Mar"} < set(labels(drawing))
    assert fan_markdown(data).startswith("![")


def test_the_drawing_names_its_first_known_and_last_session_and_tomorrow_s_median() -> None:
    shown = labels(fan_svg(report_data(forecasts=forecasts(q50=8.451e6))))
    assert "Fri 8 Mar" in shown
    assert "Fri 15 Mar" in shown
    assert any(label.startswith("Mon 11 Mar: ") and label.endswith("shares") for label in shown)


def test_a_night_of_few_bars_is_drawn() -> None:
    data = report_data()
    drawing = fan_svg(report_data(history=pd.DataFrame(data.history.iloc[-3:])))
    ((*known,),) = paths(drawing, "known")
    assert len(known) == 3


def test_the_markdown_is_one_inline_image_with_a_text_alternative() -> None:
    text = fan_markdown(report_data())
    alternative, _, address = text.removeprefix("![").partition("](")
    assert "80 % and 90 % interval" in alternative
    kind, _, body = address.removesuffix(")").partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(body).decode() == fan_svg(report_data())
    assert len(text) < 12_000
