"""The source that an option names, of this package or another's entry point (docs/developer.md)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from forecasting.errors import BadDataError, ForecastingError, UsageError
from forecasting.ingest.sources import EndedSource, Request, Response, Source
from forecasting.ingest.sources.files import Files, Sample
from forecasting.ingest.sources.yahoo import Yahoo
from forecasting.sessions import NEWEST_DAY
from forecasting.values import check_day

GROUP = "forecasting.sources"


def source_of(
    text: str,
    *,
    cache_dir: Path,
    one_series: bool = False,
    today: date = NEWEST_DAY,
) -> Source:
    """The source that an option names: yahoo, csv:PATH, parquet:PATH, sample, or a package's.

    Yahoo keeps time zones and cookies in `cache_dir` between nights. With `one_series` a file has a
    market series alone. Rows of a file after `today`, the exchange's date, are unreadable. Any
    other text is a UsageError.
    """
    kind, _, path = text.partition(":")
    if text == "yahoo":
        return Yahoo(cache_dir)
    if text == "sample":
        return Sample()
    if kind in ("csv", "parquet") and path:
        return Files(
            kind,  # type: ignore[arg-type]  # one of its two
            Path(path),
            one_series=one_series,
            today=today,
        )
    offer = next(iter(entry_points(group=GROUP, name=kind)), None)
    if offer is None:
        raise _refusal(text)
    with called(offer):
        source: Source = offer.load()(path)
    return source


def _refusal(text: str) -> UsageError:
    """The error of an option that names no source."""
    offers = entry_points(group=GROUP)
    others = "".join(sorted(f", {offer.name}:ARGUMENT of {_package(offer)}" for offer in offers))
    return UsageError(
        f"Invalid source {text!r}: expected yahoo, a .csv or .parquet file, sample{others}. A "
        "package can offer others: docs/developer.md."
    )


def newest_session(source: Source, symbol: str) -> date | None:
    """The newest session of a file or the sample; None for a live source: the calendar has it."""
    if not isinstance(source, EndedSource):
        return None
    with called(source):
        return check_day("newest session of the source", source.newest(symbol))


def is_live(source: Source) -> bool:
    """Whether a fetch from the source is a request to another system, which can fail by itself."""
    return not isinstance(source, EndedSource)


@contextmanager
def called(source: object) -> Iterator[None]:
    """Within the block, any error of another package's code but ours is a BadDataError."""
    try:
        yield
    except ForecastingError:
        raise
    except Exception as error:  # other people's code can raise anything
        if type(source).__module__.startswith("forecasting."):
            raise
        name = str(getattr(source, "name", type(source).__name__))[:60]
        raise BadDataError(
            f"The source {name!r} failed with {type(error).__name__}: {str(error)[:300]}. It is "
            "code of an installed package: correct it, or report it there."
        ) from error


def response_of(source: Source, request: Request) -> Response:
    """Request bars from a source and return its response without bars after the request's last."""
    with called(source):
        response = source.fetch(request)
        return replace(response, request=request, bars=response.bars.loc[: str(request.last)])


def _package(offer: EntryPoint) -> str:
    return f"{offer.dist.name} {offer.dist.version}" if offer.dist else offer.value
