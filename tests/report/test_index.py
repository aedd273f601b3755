import re

import pytest

from forecasting.evaluate.significance import Skill
from forecasting.report.page import render_index
from tests.report.nights import index_line

SKILL = Skill("ridge", 250, 0.12, 0.01)


def cells(page):
    """The text of every cell of the bodies, row by row, a target's name first."""
    body = page.split("</thead>", 1)[1]
    return [
        [
            " ".join(re.sub(r"<[^>]+>", "", cell).split())
            for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)
        ]
        for row in re.findall(r"<tr.*?</tr>", body, re.S)
    ]


def test_a_row_has_median_interval_change_why_last_result_and_status():
    parts = [("usual", 10e6), ("expiry", 2.0), ("report", 1.01), ("recent", 1.1)]
    line = index_line(
        special_day="triple witching, earnings after the close before", skill=SKILL, parts=parts
    )
    _, row = cells(render_index([line]))
    forecast = ["Mon 11 Mar", "12.0 M", "8.0\N{EN DASH}16.0 M", "+20%", ""]
    why = "earnings; triple witching x2.00; recent x1.10"
    result = "hit Fri 8 Mar: +10%"
    assert row == [
        "SBUX Starbucks Corporation",
        *forecast,
        why,
        result,
        "+12% n 250",
        "Fri 8 Mar",
        "ok",
    ]


def test_the_most_unusual_of_each_target_comes_first_by_distance_in_usual_intervals_volume_first():
    calm = {"values": [10e6] * 10 + [9e6] * 5 + [11e6] * 5}
    wild = {"values": [10e6] * 10 + [2e6] * 5 + [30e6] * 5}
    lines = [
        index_line("WILD", q50=15e6, **wild),
        index_line("CALM", q50=12e6, **calm),
        index_line("MSFT", "range", q50=0.015, usual=0.015, values=[0.01, 0.02] * 10),
        index_line("SBUX", "range", q50=0.024, usual=0.015, values=[0.01, 0.02] * 10),
    ]
    page = render_index(lines)
    assert [row[0].split()[0] for row in cells(page)] == [
        "Volume",
        "CALM",
        "WILD",
        "Range",
        "SBUX",
        "MSFT",
    ]
    # The middle 80% of ten, five and five values is 2 to 30 M
    assert lines[0].unusualness == pytest.approx((15e6 - 10e6) / 28e6)


def test_a_symbol_without_a_known_value_page_or_name_has_a_row_without_change_link_and_name():
    page = render_index(
        [
            index_line(
                values=[float("nan")], usual=None, page="", title="SBUX, daily, from Yahoo Finance"
            )
        ]
    )
    assert cells(page)[1][0] == "SBUX"
    assert cells(page)[1][4] == "\N{EN DASH}"
    assert "href=" not in page.split("<tbody", 1)[1]
