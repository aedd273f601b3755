import importlib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")))
def test_a_benchmark_finds_what_it_imports(name):
    importlib.import_module(name)


def test_the_picture_of_the_readme_has_forty_nights_and_a_fan_is_small_and_requests_nothing():
    text = (ROOT / "docs" / "forecasts.svg").read_text(encoding="utf-8")
    drawn = [element.get("class") for element in ElementTree.fromstring(text).iter()]
    assert drawn.count("band80") == 40 + 1 + 1  # nights, the fan, the legend
    assert len(text) < 20_000
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "<script" not in text
