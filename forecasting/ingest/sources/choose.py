"""The source that an option names, and what it implies for the symbol and the newest session."""

from datetime import date
from pathlib import Path

from forecasting.errors import UsageError
from forecasting.ingest.sources import Source
from forecasting.ingest.sources.files import Files
from forecasting.ingest.sources.sample import NEWEST, SYMBOL, Sample
from forecasting.ingest.sources.yahoo import Yahoo


def source_of(text: str, *, cache_dir: Path) -> Source:
    """The source that `text` names: yahoo, csv:PATH, parquet:PATH or sample.

    Args:
        text: The option --source.
        cache_dir: Folder where Yahoo's time zones and cookies are kept between nights.

    Raises:
        UsageError: Another name, or a path without a file.
    """
    kind, _, path = text.partition(":")
    if text == "yahoo":
        return Yahoo(cache_dir)
    if text == "sample":
        return Sample()
    if kind == "csv" and path:
        return Files("csv", Path(path))
    if kind == "parquet" and path:
        return Files("parquet", Path(path))
    raise UsageError(f"--source is yahoo, csv:PATH, parquet:PATH or sample; found {text!r}.")


def newest_session(source: Source, symbol: str) -> date | None:
    """The newest session that a file or the sample holds; None for a live source, whose newest the calendar says.

    Raises:
        BadDataError: The file cannot be read, or lacks the symbol.
    """
    if isinstance(source, Sample):
        return NEWEST
    return source.newest(symbol) if isinstance(source, Files) else None


def default_symbol(source: Source) -> str | None:
    """The symbol meant when none is given: the sample's own; None where the settings decide."""
    return SYMBOL if isinstance(source, Sample) else None
