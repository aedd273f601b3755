"""Costs of the nights of tests/report/nights.py, whose quantiles are SPREAD times the median."""

# ruff: noqa: RUF001 - what is printed is compared as it is

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO

import pandas as pd
import pytest

from forecasting.report.costs import cost_document, cost_quantiles, cost_sentence, level_name, realised_costs
from forecasting.report.json_text import rounded
from forecasting.report.night_text import line_listing, night_text
from forecasting.report.page import render_page
from forecasting.report.tables import forecast_csv, night_document
from forecasting.report.track_record import track_record
from tests.report.nights import forecasts, report_data, score, scored

NOW = datetime(2024, 3, 9, 12, tzinfo=UTC)

SHOWN = """\
Where an overestimate costs 3 times as much per unit as an underestimate, the 25
% quantile has the least expected cost.

session         25 % quantile  vs median
--------------  -------------  ---------
Mon 2024-03-11           6.08      −15 %
Tue 2024-03-12           6.14      −15 %
Wed 2024-03-13           6.20      −15 %
Thu 2024-03-14           6.26      −15 %
Fri 2024-03-15           6.32      −15 %

"""


@pytest.mark.parametrize(
    ("ratio", "name", "sentence"),
    [
        (1.0, "50 % quantile", "costs as much per unit as an underestimate, the 50 % quantile has the least"),
        (3.0, "25 % quantile", "costs 3 times as much per unit as an underestimate, the 25 % quantile has the least"),
        (2.0, "33.3 % quantile", "costs 2 times as much per unit"),
        (
            99.0,
            "5 % quantile",
            "the 1 % quantile has the least expected cost; the outermost that is issued is shown",
        ),
        (
            0.01,
            "95 % quantile",
            "the 99 % quantile has the least expected cost; the outermost that is issued is shown",
        ),
    ],
)
def test_the_sentence_names_the_level_and_says_where_it_is_not_issued(ratio: float, name: str, sentence: str) -> None:
    assert level_name(ratio) == name
    assert sentence in cost_sentence(ratio)


def test_a_quantile_between_two_levels_is_interpolated() -> None:
    rows = pd.DataFrame([{"q05": 1.0, "q10": 2.0, "q25": 4.0, "q50": 7.0, "q75": 9.0, "q90": 11.0, "q95": 12.0}])
    assert cost_quantiles(rows, 3.0).tolist() == [4.0]
    assert cost_quantiles(rows, 2.0).tolist() == [pytest.approx(4.0 + 3.0 * (1 / 3 - 0.25) / 0.25)]
    assert cost_quantiles(rows, 1000.0).tolist() == [1.0]


def test_costs_are_those_counted_by_hand_on_the_nights_that_both_have() -> None:
    """At 25 % a quantile is 0.85 times its median: ours 8.5 and 17, the ridge's 10.2, against an actual of 10."""
    rows = [
        score(ago=1, median=10.0),
        score(ago=2, median=20.0),
        score(ago=2, median=12.0, name="ridge", role="baseline"),
        score(ago=1, horizon=2, median=99.0),  # of two sessions ahead, which does not count
    ]
    ours, ridge = realised_costs(track_record(scored(*rows)), 3.0).to_dict("records")
    assert (ours["forecaster"], ours["n"]) == ("published", 2)
    assert (ours["cost"], ours["median_cost"]) == (pytest.approx((1.5 + 21.0) / 2), pytest.approx(15.0))
    assert (ours["saving"], ours["published_saving"]) == (pytest.approx(1 - 11.25 / 15), 0.0)
    assert (ridge["n"], ridge["cost"], ridge["median_cost"]) == (1, pytest.approx(0.6), pytest.approx(6.0))
    assert (ridge["published_cost"], ridge["published_saving"]) == (pytest.approx(21.0), pytest.approx(1 - 21 / 0.6))


def test_the_cheapest_baseline_comes_first_after_what_was_published() -> None:
    found = realised_costs(track_record(report_data().scored), 9.0)
    assert found["forecaster"].iloc[0] == "published"
    assert found["cost"].iloc[1:].is_monotonic_increasing
    assert set(found["forecaster"]) == {"published", "ridge", "last_value"}


def test_show_has_the_quantiles_and_their_record_only_with_a_ratio() -> None:
    shown = night_text(report_data(cost_ratio=3.0), now=NOW, width=80)
    without = night_text(report_data(), now=NOW, width=80)
    assert "% quantile" not in without
    assert shown.startswith(f"{without}\n\n{SHOWN}")
    header, _, *lines = shown.removeprefix(f"{without}\n\n{SHOWN}").splitlines()[:5]
    assert header.split() == [
        *("forecaster", "n", "cost", "at", "its", "median"),
        *("saving", "our", "cost", "our", "saving"),
    ]
    assert [line.split("  ")[0] for line in lines] == ["published", "last value", "ridge"]
    assert max(map(len, shown.splitlines())) <= 80


def test_the_first_night_has_its_quantiles_and_no_costs_yet() -> None:
    shown = night_text(report_data(cost_ratio=3.0, scored=scored()), now=NOW, width=80)
    assert shown.endswith(SHOWN.rstrip())


def test_of_many_symbols_the_quantile_of_tomorrow_is_a_column() -> None:
    columns, (row,) = line_listing([report_data(cost_ratio=3.0)], now=NOW)
    assert dict(zip(columns, row, strict=True))["25 % quantile"] == "6.08\N{NO-BREAK SPACE}M"


def test_the_document_of_a_night_has_its_costs_or_none() -> None:
    rows = scored(score(median=10.0), score(median=20.0, name="ridge", role="baseline", q25=10.0))
    data = report_data(forecasts=forecasts(outside=""), scored=rows, cost_ratio=3.0)
    found = rounded(night_document(data))["cost"]
    assert {name: found[name] for name in ("ratio", "optimal_level", "level")} == {
        "ratio": 3.0,
        "optimal_level": 0.25,
        "level": 0.25,
    }
    assert [row["quantile"] for row in found["forecasts"]] == rounded(data.rows["q25"].tolist())
    published, ridge = found["realised"]
    assert (published["n"], published["cost"], published["saving"]) == (1, 1.5, None)  # its median is exact
    assert (ridge["cost"], ridge["published_saving"]) == (0.0, None)
    assert "NaN" not in json.dumps(found["realised"])
    assert cost_document(report_data(), track_record(scored())) is None


def test_the_csv_has_the_quantile_only_with_a_ratio() -> None:
    data = report_data(cost_ratio=3.0)
    found = pd.read_csv(StringIO(forecast_csv([data])))
    assert found["cost_quantile"].tolist() == pytest.approx(data.rows["q25"].tolist())
    assert set(found["cost_ratio"]) == {3.0}
    assert "cost_ratio" not in forecast_csv([report_data()])


def test_the_page_has_a_row_for_each_ratio_and_for_the_one_that_is_set() -> None:
    page = render_page(report_data(cost_ratio=2.0))
    assert '<h2 id="costs">' in page
    assert page.count('class="tag">yours') == 1
    assert [f"{ratio} to 1" in page for ratio in (2, 3, 9, 19)] == [True] * 4
    assert "33.3 % quantile" in page
    assert 'id="costs"' not in render_page(report_data(scored=scored()))
