from datetime import date

import pytest

from forecasting.errors import UsageError
from forecasting.ingest.sources.choose import newest_session, source_of
from forecasting.ingest.sources.files import Files
from forecasting.ingest.sources.sample import Sample
from forecasting.ingest.sources.yahoo import Yahoo
from tests.builders import random_bars


def test_an_option_names_its_source(tmp_path):
    path = tmp_path / "a:b.csv"
    random_bars(5).to_csv(path)
    yahoo = source_of("yahoo", cache_dir=tmp_path / "cache", exchange="XPAR")
    files = source_of(f"csv:{path}", cache_dir=tmp_path)
    parquet = source_of(f"parquet:{path}", cache_dir=tmp_path)
    assert isinstance(yahoo, Yahoo) and (yahoo.cache_dir, yahoo.exchange) == (tmp_path / "cache", "XPAR")
    assert isinstance(files, Files) and (files.kind, files.path) == ("csv", path)
    assert isinstance(parquet, Files) and parquet.kind == "parquet"
    assert isinstance(source_of("sample", cache_dir=tmp_path), Sample)


@pytest.mark.parametrize("text", ["", "Yahoo", "csv", "csv:", "parquet:", "stooq", "sample:x", "csv:/nowhere.csv"])
def test_anything_else_is_a_usage_error_that_quotes_it(tmp_path, text):
    with pytest.raises(UsageError, match="--source"):
        source_of(text, cache_dir=tmp_path)


def test_files_and_the_sample_have_a_newest_session_and_yahoo_has_none(tmp_path):
    path = tmp_path / "SBUX.csv"
    random_bars(5).to_csv(path)
    chosen = {text: source_of(text, cache_dir=tmp_path) for text in ("yahoo", f"csv:{path}", "sample")}
    assert [newest_session(source, "SBUX") for source in chosen.values()] == [
        None,
        date(2024, 3, 8),
        date(2018, 12, 31),
    ]


def test_choosing_a_source_creates_nothing(tmp_path):
    source_of("yahoo", cache_dir=tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []
