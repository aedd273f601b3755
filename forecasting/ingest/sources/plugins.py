"""The source that an option names: of this package, or of another one through an entry point as in docs/sources.md."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pandas as pd

from forecasting.errors import BadDataError, ForecastingError, UsageError
from forecasting.ingest.bars import are_midnights, canonical, check_shape
from forecasting.ingest.sources import EndedSource, Fetched, Source
from forecasting.ingest.sources.files import Files, Sample
from forecasting.ingest.sources.yahoo import Yahoo
from forecasting.values import MarketChoice, check_day

GROUP = "forecasting.sources"


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
    if kind in ("csv", "parquet") and path:
        return Files(kind, Path(path))  # type: ignore[arg-type]  # one of its two kinds
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


def installed_source(name: str, argument: str) -> Source | None:
    """The source that an installed package offers as `name`, built with `argument`; None without such a package."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        return None
    if len(found) > 1:
        raise UsageError(
            f"--source {name} is offered by {' and by '.join(map(_package, found))}. Uninstall one of them."
        )
    try:
        source_class = found[0].load()
    except Exception as error:  # an import of other people's code can raise anything
        raise UsageError(
            f"--source {name} is offered by {_package(found[0])} as {found[0].value}, which cannot be imported: "
            f"{type(error).__name__}: {error}. Correct that package or install it again."
        ) from error
    with called(source_class):
        source: Source = source_class(argument)
    if not isinstance(getattr(source, "name", None), str):
        raise UsageError(
            f"--source {name} is offered by {_package(found[0])} as {found[0].value}; expected a text as its attribute "
            "name, by which the ledger knows it, found none. Correct that package."
        )
    return source


@contextmanager
def called(source: object) -> Iterator[None]:
    """Within the block, an error of another package's code that is none of ours is a BadDataError with its name."""
    try:
        yield
    except ForecastingError:
        raise
    except Exception as error:  # other people's code can raise anything
        if type(source).__module__.startswith("forecasting."):
            raise
        name = str(getattr(source, "name", type(source).__name__))[:60]
        raise BadDataError(
            f"The source {name!r} failed with {type(error).__name__}: {str(error)[:300]}. It is code of an installed "
            "package: correct it, or report it there."
        ) from error


def fetched_from(source: Source, symbol: str, first: date, last: date) -> Fetched:
    """The response of a source to one request, its bars canonical.

    Raises:
        SourceError: As the source raises it; BadDataError also for any other error of an installed package's source,
            for bars of another shape, and for a response to another request.
    """
    with called(source):
        fetched = source.fetch(symbol, first, last)
    return made_canonical(fetched, source.name, symbol, (first, last))


def made_canonical(fetched: Fetched, source: str, symbol: str, asked: tuple[date, date]) -> Fetched:
    """The response with canonical bars: a source of another package may return a volume of 0.

    Bars are stored under the symbol of the response, so that it must be the requested one, as must source and span.

    Raises:
        BadDataError: Its bars are of another shape, or it names another request.
    """
    check_shape(fetched)
    request = {"source": source, "symbol": symbol, "first_asked": asked[0], "last_asked": asked[1]}
    other = {name: getattr(fetched, name) for name, value in request.items() if getattr(fetched, name) != value}
    if other:
        named = ", ".join(f"{request[name]} as {name}, found {str(found)[:60]}" for name, found in other.items())
        raise BadDataError(
            f"The source {source!r:.60} returned a Fetched of another request: expected {named}. In its code, pass on "
            "its own name and the arguments of fetch."
        )
    return replace(fetched, bars=canonical(fetched.bars))


def installed_in_words() -> str:
    """`house:ARGUMENT of house-bars 1.0`, comma separated; empty without a package that offers a source."""
    offered = sorted(entry_points(group=GROUP), key=lambda offer: offer.name)
    return ", ".join(f"{offer.name}:ARGUMENT of {_package(offer)}" for offer in offered)


def _package(offer: EntryPoint) -> str:
    return f"{offer.dist.name} {offer.dist.version}" if offer.dist else offer.value


def check_dates(listed: pd.DataFrame, *, names: Sequence[str] = ("announced", "timing")) -> None:
    """Return when a source's earnings dates have the named columns, announced as naive midnights, else BadDataError."""
    has_columns = isinstance(listed, pd.DataFrame) and set(names) <= set(listed.columns)
    if not (has_columns and are_midnights(listed["announced"])):
        raise BadDataError(
            f"Expected earnings dates with the columns {', '.join(names)}, announced as naive midnights."
        )
    if not set(listed["timing"].map(str)) <= {"bmo", "amc", ""}:
        raise BadDataError("Expected the timing bmo, amc or empty of each earnings date.")
