"""The source that an option names, its default symbol and its newest session."""

from datetime import date
from pathlib import Path

from forecasting.errors import UsageError
from forecasting.ingest.sources import EndedSource, Source
from forecasting.ingest.sources.files import Files
from forecasting.ingest.sources.installed import called, installed_in_words, installed_source
from forecasting.ingest.sources.sample import Sample
from forecasting.ingest.sources.yahoo import Yahoo
from forecasting.market_choice import MarketChoice
from forecasting.option_values import check_day


def source_of(text: str, *, cache_dir: Path, exchange: str = "XNYS") -> Source:
    """The source that `text` names: yahoo, csv:PATH, parquet:PATH, sample, or NAME:ARGUMENT of a package.

    Args:
        text: The option --source.
        cache_dir: Folder where Yahoo's time zones and cookies are kept between nights.
        exchange: Of the symbols whose earnings dates are requested from it; only Yahoo needs it.

    Raises:
        UsageError: Another name, a path without a file, or a package that cannot be imported.
    """
    kind, _, path = text.partition(":")
    if text == "yahoo":
        return Yahoo(cache_dir, exchange=exchange)
    if text == "sample":
        return Sample()
    if kind == "csv" and path:
        return Files("csv", Path(path))
    if kind == "parquet" and path:
        return Files("parquet", Path(path))
    if kind not in ("yahoo", "sample", "csv", "parquet") and (found := installed_source(kind, path)):
        return found
    others = installed_in_words()
    names = f", sample or {others}" if others else " or sample"
    no_package = "" if others else "No package with a source of its own is installed here. "
    raise UsageError(
        f"Invalid --source {text!r}: expected yahoo, csv:PATH, parquet:PATH{names}. {no_package}How to write one: "
        "docs/sources.md."
    )


def market_source_of(choice: MarketChoice, *, cache_dir: Path) -> Source:
    """The source of a market series: a file of its own, or what `source_of` gives for the symbols' own source.

    Raises:
        UsageError: As `source_of`.
    """
    if not choice.has_own_file:
        return source_of(choice.source, cache_dir=cache_dir)
    kind, _, path = choice.source.partition(":")
    return Files("csv" if kind == "csv" else "parquet", Path(path), one_series=True)


def newest_session(source: Source, symbol: str) -> date | None:
    """The newest session of a file or the sample; None for a live source, where the calendar gives it.

    Raises:
        BadDataError: The file cannot be read, or lacks the symbol.
    """
    if not isinstance(source, EndedSource):
        return None
    with called(source):
        return check_day("newest session of the source", source.newest(symbol))


def is_live(source: Source) -> bool:
    """Whether a fetch from the source is a request to another system, which can fail by itself, unlike a file."""
    return not isinstance(source, EndedSource)
