"""Sources that other packages bring: entry points of the group `forecasting.sources`, as docs/sources.md shows."""

from importlib.metadata import EntryPoint, entry_points

from forecasting.errors import UsageError
from forecasting.ingest.sources import Source

GROUP = "forecasting.sources"


def installed_source(name: str, argument: str) -> Source | None:
    """The source that an installed package offers as `name`, made with `argument`; None when none does.

    Raises:
        UsageError: Two packages offer that name, or the package cannot be imported.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        return None
    if len(found) > 1:
        raise UsageError(
            f"--source {name} is offered by {' and by '.join(map(_package, found))}. Uninstall one of them."
        )
    try:
        made = found[0].load()
    except Exception as error:  # whatever an import can raise: it is not our code
        raise UsageError(
            f"--source {name} is offered by {_package(found[0])} as {found[0].value}, which cannot be imported: "
            f"{type(error).__name__}: {error}. Mend that package or install it anew."
        ) from error
    source: Source = made(argument)
    return source


def installed_in_words() -> str:
    """`house:ARGUMENT of house-bars 1.0`, comma separated; empty when no package offers a source."""
    offered = sorted(entry_points(group=GROUP), key=lambda offer: offer.name)
    return ", ".join(f"{offer.name}:ARGUMENT of {_package(offer)}" for offer in offered)


def _package(offer: EntryPoint) -> str:
    return f"{offer.dist.name} {offer.dist.version}" if offer.dist else offer.value
