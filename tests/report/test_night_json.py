"""The JSON inside the page: nights as issued, small, and safe inside a script element."""

import json

import pandas as pd
import pytest

from forecasting.report.night_json import embedded, forecasters
from forecasting.report.units import unit_of
from tests.report.nights import forecasts, report_data, values_of


def issued(**changed: object) -> pd.DataFrame:
    own = forecasts().assign(split_factor=1.0, name="lstm", role="champion")
    return pd.concat([own, own.assign(name="ridge", role="baseline")], ignore_index=True).assign(**changed)


def test_without_past_nights_the_page_has_its_own_in_its_unit() -> None:
    data = report_data()
    document = json.loads(embedded(data))
    (night,) = document["nights"]
    assert document["sessions"][night["origin"]] == "2024-03-08"
    assert document["sessions"][night["targets"][0]] == "2024-03-11"
    assert night["published"] == "lstm"
    assert night["forecasts"]["lstm"][0][3] == pytest.approx(data.rows["q50"].iloc[0] / 1e6, abs=1e-4)
    assert document["values"][night["origin"]] == pytest.approx(values_of("volume").iloc[-1] / 1e6, abs=1e-4)
    assert document["values"][-1] is None


def test_a_number_close_to_a_half_is_rounded_as_elsewhere() -> None:
    medians = [8_224_951.0, 8_224_999.0, 8_225_000.0, 8_225_001.0, 8_225_049.0]
    data = report_data(forecasts=forecasts().assign(q50=medians))
    unit = unit_of(data)
    (night,) = json.loads(embedded(data))["nights"]
    shown = [f"{quantiles[3]:.{unit.decimals}f}" for quantiles in night["forecasts"]["lstm"]]
    assert shown == [unit.number(median) for median in medians]


def test_every_forecaster_is_in_it_and_the_network_comes_first() -> None:
    data = report_data(issued=issued())
    assert list(forecasters(data)) == ["lstm", "ridge"]
    assert set(json.loads(embedded(data))["nights"][0]["forecasts"]) == {"lstm", "ridge"}


@pytest.mark.parametrize(("target", "basis"), [("volume", 0.5), ("close", 2.0), ("range", None)])
def test_a_night_before_a_split_has_its_own_basis(target: str, basis: float | None) -> None:
    own = forecasts(target).assign(split_factor=2.0, name="lstm", role="champion")
    assert json.loads(embedded(report_data(target, issued=own)))["nights"][0].get("basis") == basis


def test_a_reason_cannot_end_the_script_element() -> None:
    text = embedded(report_data(issued=issued(status="fallback", reason="</script><b>")))
    assert "<" not in text
    assert json.loads(text)["nights"][0]["reason"] == "</script><b>"


def test_a_first_print_and_a_special_day_are_marked_by_place() -> None:
    history = pd.DataFrame({"value": values_of("volume"), "settled": True})
    history.iloc[-1, 1] = False
    document = json.loads(embedded(report_data(history=history)))
    assert [document["sessions"][place] for place in document["provisional"]] == ["2024-03-08"]
    assert document["notes"][str(document["sessions"].index("2024-03-13"))] == ["earnings"]
