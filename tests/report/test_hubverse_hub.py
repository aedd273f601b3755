"""A hub of the exported files, held to the checks of model output that hubverse's R package hubValidations lists.

Each check has its name there. Left out are those of samples and pmf, which the form does not
have, and those of what is the hub's own: its configuration, the model's metadata and the time of submission.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows import clock
from forecasting.pipeline.export import export
from forecasting.report.documents import TASK_IDS
from forecasting.settings import Settings
from forecasting.vocabulary import QUANTILES
from tests.store.mixed_nights import mixed_scores
from tests.store.rows import SYMBOL, TARGET

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = {*TASK_IDS, "output_type", "output_type_id", "value"}
NAME = r"(\d{4}-\d{2}-\d{2}|[A-Za-z0-9_]+)-[A-Za-z0-9_]+-[A-Za-z0-9_]+(\.[a-z]+)?\.(csv|parquet)"
Hub = dict[str, Any]
Check = Callable[[Path, pd.DataFrame, Hub], bool]


def snippet() -> str:
    """The code of docs/export.md that makes a hub's files."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if "model-output.parquet" in block]
    return found


@pytest.fixture
def hub(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of a hub's folder model-output, from thirty nights of every sort."""
    mixed_scores(sqlite_url, seed=1, days=30)
    settings = Settings(database_url=sqlite_url, symbols=(SYMBOL,))
    export(settings, "hubverse", tmp_path / "model-output.parquet", now=clock.now)
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet(), "docs/export.md", "exec"), {})
    return sorted((tmp_path / "model-output").rglob("*.*"))


def tasks(files: list[Path]) -> Hub:
    """What a hub's tasks.json says of a round that takes these forecasts: values that are required, or optional."""
    rows = pd.concat([pd.read_csv(path) for path in files])
    optional: dict[str, list[Any]] = {name: sorted(set(rows[name])) for name in ("origin_date", "target_end_date")}
    optional["horizon"] = [1, 2, 3, 4, 5]
    required = {"target": [TARGET], "location": [SYMBOL], "output_type": ["quantile"]}
    required["output_type_id"] = list(QUANTILES)
    return {"required": required, "optional": optional}


def col_types(path: Path, rows: pd.DataFrame, hub: Hub) -> bool:
    dates = [pd.to_datetime(rows[name], format="%Y-%m-%d").notna().all() for name in ("origin_date", "target_end_date")]
    kinds = {name: rows[name].dtype.kind for name in ("horizon", "output_type_id", "value")}
    return all(dates) and kinds == {"horizon": "i", "output_type_id": "f", "value": "f"}


def req_vals(path: Path, rows: pd.DataFrame, hub: Hub) -> bool:
    needed = set(product(*hub["required"].values()))
    names = list(hub["required"])
    of_tasks = (set(some[names].itertuples(index=False, name=None)) for _, some in rows.groupby(list(hub["optional"])))
    return all(needed <= values for values in of_tasks)


CHECKS: dict[str, Check] = {
    "file_name": lambda path, rows, hub: re.fullmatch(NAME, path.name) is not None,
    "file_format": lambda path, rows, hub: path.suffix in (".csv", ".parquet"),
    "file_location": lambda path, rows, hub: path.parent.name == path.stem[11:],
    "round_id_valid": lambda path, rows, hub: path.name[:10] in hub["optional"]["origin_date"],
    "unique_round_id": lambda path, rows, hub: rows["origin_date"].nunique() == 1,
    "match_round_id": lambda path, rows, hub: bool((rows["origin_date"] == path.name[:10]).all()),
    "colnames": lambda path, rows, hub: set(rows) == COLUMNS,
    "col_types": col_types,
    "valid_vals": lambda path, rows, hub: all(
        set(rows[name]) <= set(values) for part in hub.values() for name, values in part.items()
    ),
    "rows_unique": lambda path, rows, hub: not rows.duplicated(sorted(COLUMNS - {"value"})).any(),
    "req_vals": req_vals,
    "value_col_valid": lambda path, rows, hub: bool(np.isfinite(rows["value"]).all() and (rows["value"] >= 0.0).all()),
    "value_col_non_desc": lambda path, rows, hub: all(
        values.is_monotonic_increasing
        for _, values in rows.sort_values("output_type_id").groupby(list(TASK_IDS))["value"]
    ),
}
"""Each check by its name in hubValidations."""


def test_every_file_passes_every_check(hub: list[Path]) -> None:
    config = tasks(hub)
    files = [(path, pd.read_csv(path)) for path in hub]
    assert len(files) > 30
    failed = [(name, path) for path, rows in files for name, check in CHECKS.items() if not check(path, rows, config)]
    assert not failed
