from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from forecasting.errors import BadDataError
from forecasting.ingest.sources.whole_file import whole_file
from tests.builders import random_bars


def write_panel(path: Path, *symbols: str) -> None:
    parts = [random_bars(days=3, seed=seed).assign(symbol=name) for seed, name in enumerate(symbols)]
    pd.concat(parts).rename_axis("date").reset_index().to_parquet(path)


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "panel.parquet"
    write_panel(path, "AAA", "BBB")
    first = whole_file(path, "parquet", "--source")
    assert whole_file(path, "parquet", "--source") is first
    write_panel(path, "AAA", "BBB", "CCC")
    assert len(whole_file(path, "parquet", "--source").of_symbol("CCC")[0]) == 3


def test_a_symbol_has_its_own_rows_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "panel.csv"
    lines = [f"2024-03-0{day},1,1,1,{day},1,{name}" for day, name in ((7, "B"), (6, "A"), (6, " B "), (5, ""))]
    path.write_text("\n".join(["Date,Open,High,Low,Close,Volume,Ticker", *lines]))
    whole = whole_file(path, "csv", "--source")
    assert whole.of_symbol("B")[0]["close"].tolist() == ["7", "6"]
    with pytest.raises(BadDataError, match="no rows of C; it has rows of 2 other symbols"):
        whole.of_symbol("C")
