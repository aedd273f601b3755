"""Which private names of other packages this code uses: three of yfinance, each for a request less.

What they do is tested on the stand-in for Yahoo, which counts requests (`tests/pipeline/test_ingest.py`).
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OF_YFINANCE = {"_tz", "_most_active_qy", "_instances"}
OWN = {"_asdict", "_exit", "_fields", "_forecasting_traceback", "_mapping"}
"""Names with an underscore that their documents promise, or that are ours."""


def test_no_other_private_name_of_another_package_is_used() -> None:
    modules = [path for folder in ("forecasting", "flows", "migrations") for path in (ROOT / folder).rglob("*.py")]
    used = {name for path in modules for name in private_names(path)}
    assert used - OWN == OF_YFINANCE


def private_names(module: Path) -> set[str]:
    """Names with one underscore that a module imports from others, or takes from anything but `self` and `cls`."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}
