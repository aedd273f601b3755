"""A hub of the exported files, held to the checks of model output that hubverse's R package hubValidations lists.

Each check has its name there, and a fault that it finds. Left out are those of samples and pmf, which the form does not
have, and those of what is the hub's own: its configuration, the model's metadata and the time of submission.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows import clock
from forecasting.pipeline.export import export
from forecasting.report.long_forms import TASK_IDS
from forecasting.settings import Settings
from forecasting.vocabulary import QUANTILES
from tests.store.mixed_nights import mixed_scores
from tests.store.rows import SYMBOL, TARGET

ROOT = Path(__file__).resolve().parents[2]
STANDARD = ("output_type", "output_type_id", "value")
Check = Callable[[Path, pd.DataFrame, dict[str, Any]], bool]


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


def tasks(files: list[Path]) -> dict[str, Any]:
    """What a hub's tasks.json says of a round that takes these forecasts: values that are required, or optional."""
    rows = pd.concat([read(path) for path in files])
    return {
        "origin_date": {"required": [], "optional": sorted(set(rows["origin_date"]))},
        "target": {"required": [TARGET], "optional": []},
        "horizon": {"required": [], "optional": [1, 2, 3, 4, 5]},
        "location": {"required": [SYMBOL], "optional": []},
        "target_end_date": {"required": [], "optional": sorted(set(rows["target_end_date"]))},
        "output_type": {"required": ["quantile"], "optional": []},
        "output_type_id": {"required": list(QUANTILES), "optional": []},
    }


def read(path: Path) -> pd.DataFrame:
    """A file as hubs read it: by its header, dates as text."""
    return pd.read_csv(path)


def id_columns(rows: pd.DataFrame) -> list[str]:
    """All columns but the value: together they are the key of a row."""
    return [name for name in rows if name != "value"]


def file_name(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    parts = r"(\d{4}-\d{2}-\d{2}|[A-Za-z0-9_]+)-[A-Za-z0-9_]+-[A-Za-z0-9_]+(\.[a-z]+)?\.(csv|parquet)"
    return re.fullmatch(parts, path.name) is not None


def file_location(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    return path.parent.name == path.stem[11:]


def round_id_valid(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    return path.name[:10] in config["origin_date"]["optional"] and bool(date.fromisoformat(path.name[:10]))


def unique_round_id(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    return rows["origin_date"].nunique() == 1


def match_round_id(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    return bool((rows["origin_date"] == path.name[:10]).all())


def colnames(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    return set(rows) == {*TASK_IDS, *STANDARD}


def col_types(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    dates = [pd.to_datetime(rows[name], format="%Y-%m-%d").notna().all() for name in ("origin_date", "target_end_date")]
    kinds = {name: rows[name].dtype.kind for name in ("horizon", "output_type_id", "value")}
    return all(dates) and kinds == {"horizon": "i", "output_type_id": "f", "value": "f"}


def valid_vals(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    allowed = {name: {*known["required"], *known["optional"]} for name, known in config.items()}
    return all(set(rows[name]) <= values for name, values in allowed.items())


def rows_unique(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    return not rows.duplicated(id_columns(rows)).any()


def req_vals(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    needed = {name: known["required"] for name, known in config.items() if known["required"]}
    optional = [name for name, known in config.items() if not known["required"]]
    of_tasks = (set(some[list(needed)].itertuples(index=False, name=None)) for _, some in rows.groupby(optional))
    return all(set(product(*needed.values())) <= found for found in of_tasks)


def value_col_valid(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    return bool(np.isfinite(rows["value"]).all() and (rows["value"] >= 0.0).all())


def value_col_non_desc(path: Path, rows: pd.DataFrame, config: dict[str, Any]) -> bool:
    tasks = rows.sort_values("output_type_id").groupby(list(TASK_IDS))["value"]
    return all(values.is_monotonic_increasing for _, values in tasks)


def changed(column: str, value: object, place: int = 0) -> Callable[[Path, pd.DataFrame], tuple[Path, pd.DataFrame]]:
    """A fault: one cell of the file has another value."""

    def fault(path: Path, rows: pd.DataFrame) -> tuple[Path, pd.DataFrame]:
        other = rows.astype({column: object})
        other.iloc[place, list(rows).index(column)] = value
        return path, other.infer_objects()

    return fault


def moved(name: Callable[[Path], Path]) -> Callable[[Path, pd.DataFrame], tuple[Path, pd.DataFrame]]:
    """A fault: the file has another path."""
    return lambda path, rows: (name(path), rows)


CHECKS: dict[str, tuple[Check, Callable[[Path, pd.DataFrame], tuple[Path, pd.DataFrame]]]] = {
    "file_name": (file_name, moved(lambda path: path.with_name(path.name.replace("forecasting-", "")))),
    "file_location": (file_location, moved(lambda path: path.parent.with_name("forecasting-other") / path.name)),
    "round_id_valid": (round_id_valid, moved(lambda path: path.with_name("2031" + path.name[4:]))),
    "file_format": (file_name, moved(lambda path: path.with_suffix(".xlsx"))),
    "unique_round_id": (unique_round_id, changed("origin_date", "2019-01-02")),
    "match_round_id": (match_round_id, changed("origin_date", "2019-01-02")),
    "colnames": (colnames, lambda path, rows: (path, rows.assign(model_id="forecasting-lstm"))),
    "col_types": (col_types, changed("horizon", "one")),
    "valid_vals": (valid_vals, changed("output_type_id", 0.2)),
    "rows_unique": (rows_unique, lambda path, rows: (path, pd.concat([rows, rows.iloc[:1]]))),
    "req_vals": (req_vals, lambda path, rows: (path, rows.iloc[1:])),
    "value_col_valid": (value_col_valid, changed("value", -1.0)),
    "value_col_non_desc": (value_col_non_desc, changed("value", 1e12)),
}
"""Each check by its name in hubValidations, with a fault."""


def opened(files: list[Path]) -> Iterator[tuple[Path, pd.DataFrame]]:
    return ((path, read(path)) for path in files)


def test_every_file_passes_every_check_and_a_fault_does_not(hub: list[Path]) -> None:
    config = tasks(hub)
    assert len(hub) > 30
    failed = {
        (name, path.name)
        for path, rows in opened(hub)
        for name, (check, _) in CHECKS.items()
        if not check(path, rows, config)
    }
    assert not failed
    path, rows = next(opened(hub))
    unseen = [name for name, (check, fault) in CHECKS.items() if check(*fault(path, rows), config)]
    assert not unseen
