"""The pages: a night as one HTML file, and the index of all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from forecasting.plain_text import markdown_text, plain_text, quantity, unmarked
from forecasting.report import charts, record, units, wording, words
from forecasting.report.night_view import MADE, NightView, most_unusual_first
from forecasting.targets import TARGETS
from forecasting.vocabulary import BASELINES, LSTM, RANDOM

if TYPE_CHECKING:
    from jinja2 import Environment


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Jinja with the package's templates: values in HTML are escaped, an undefined one raises."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=PackageLoader("forecasting.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "charts": charts,
        "record": record,
        "wording": wording,
        "RANDOM": RANDOM,
        "MADE": MADE,
        "WORDS": words.WORDS,
    }
    filters = (
        markdown_text,
        quantity,
        unmarked,
        units.full_day,
        units.instant,
        units.p_value,
        units.percent,
        units.short_day,
        units.span_of_days,
        wording.forecaster_label,
        words.notices,
        words.sentence_of,
        words.word,
    )
    made.filters |= {show.__name__: show for show in filters}
    made.filters["cleaned"] = plain_text
    return made


def render_index(lines: Sequence[NightView]) -> str:
    """The index: a row a symbol, by target, the most unusual first."""
    return environment().get_template("index.html").render(lines=most_unusual_first(lines))


def render_page(data: NightView, *, links: Sequence[tuple[str, str]] = ()) -> str:
    """The page of a night, with `links` (text, address) to others; it makes no network request."""
    leads = data.full.leads.items()
    # The network alone is another forecaster only where a baseline was published in its place
    shown = [one for one in leads if one[0] != LSTM or data.full.record.fallbacks]
    shown.sort(key=lambda one: (one[0] not in BASELINES, one[1].next_session))
    return (
        environment()
        .get_template("page.html")
        .render(
            data=data,
            details=data.full,
            links=links,
            label=TARGETS[data.target].label,
            leads=dict(shown),
            lead_sentence=wording.lead_sentence(data.full),
        )
    )
