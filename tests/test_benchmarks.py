import importlib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd
import pytest
from picture import picture

from forecasting.sessions import shift

BENCHMARKS = sorted(path.stem for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_finds_what_it_imports(name: str) -> None:
    importlib.import_module(name)


DRAWN = Path(__file__).parents[1] / "docs" / "forecasts.svg"
LEVELS = {"q05": 60.0, "q10": 70.0, "q50": 100.0, "q90": 140.0, "q95": 160.0}


def history(*, nights: int, actual: float) -> pd.DataFrame:
    """Published forecasts of nights up to 2018-12-31, five sessions each; what has closed by then has an actual."""
    last = pd.Timestamp("2018-12-31").date()
    rows = []
    for back in range(nights - 1, -1, -1):
        origin = shift(last, -back, "XNYS")
        for horizon in range(1, 6):
            target = shift(origin, horizon, "XNYS")
            scored = target <= last
            row = {"symbol": "^GSPC", "role": "champion", "origin_session": pd.Timestamp(origin), "horizon": horizon}
            row |= {name: value * 1e7 for name, value in LEVELS.items()}
            row |= {"target_session": pd.Timestamp(target), "actual": actual * 1e7 if scored else float("nan")}
            rows.append(row | {"inside_80": 70.0 <= actual <= 140.0 if scored else pd.NA})
    return pd.DataFrame(rows)


def marks(svg: str, css: str) -> int:
    return sum(element.get("class") == css for element in ElementTree.fromstring(svg).iter())


def test_the_picture_has_intervals_actuals_a_fan_and_the_announced_days_and_the_readme_s_is_small() -> None:
    svg = picture(history(nights=9, actual=90.0), name="S&P 500 index")
    assert marks(svg, "band80") == 8 + 1 + 1  # nights with an actual, the fan, the legend
    assert marks(svg, "actual") == 8 + 1 + 1
    assert marks(svg, "miss") == 1
    assert "8 of 8 inside the 80% interval" in svg
    notes = [element.text for element in ElementTree.fromstring(svg).iter() if element.get("class") == "note middle"]
    assert notes == ["triple witching", "half day"]  # 21 and 24 December 2018
    text = DRAWN.read_text(encoding="utf-8")
    assert marks(text, "band80") == 40 + 1 + 1
    assert len(text) < 20_000
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")  # it requests nothing from the web
    assert "<script" not in text
