"""The lines that a forecast counts in: the published one, its forecaster's own, or both."""

from forecasting.vocabulary import CHALLENGER, CHAMPION, PUBLISHED_LINE


def lines_of(role: str, model: str) -> tuple[str, ...]:
    """The lines of a forecast with this role, by a model of this name.

    The published line holds what was published each night, whichever model made it. A baseline's line, and the
    network's (`lstm`), hold its own forecast of every night, published or not: on a night on which a baseline is
    published, the baseline's line and the published line have the same loss. All challengers share one line.
    """
    if role == CHALLENGER:
        return (CHALLENGER,)
    return (PUBLISHED_LINE, model) if role == CHAMPION else (model,)
