"""The message of a morning: what tomorrow brings, the most unusual first, yesterday's results, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from forecasting.errors import UsageError
from forecasting.plain_text import named
from forecasting.report.night_view import SymbolLine
from forecasting.report.page import environment
from forecasting.report.units import as_day, quantity, short_day
from forecasting.report.wording import against_usual

SHOWN = 12  # forecasts, results and problems that a message shows, of each so many; the index has all of them
_TEMPLATES = {"text": "digest.txt", "markdown": "digest.md", "html": "digest.html"}


@dataclass(frozen=True)
class Digest:
    """A message."""

    title: str  # the one line that a phone shows
    forecasts: Sequence[SymbolLine]  # lines with a forecast, the most unusual first
    session: str  # the newest that is forecast, like Mon 11 Mar; empty without a forecast
    results: Sequence[SymbolLine]  # lines with a result of the newest day, misses first
    results_of: str  # that day; empty without any
    problems: Sequence[str]  # what a person should know, a sentence a reason; empty where all is well
    alerts: Sequence[str]  # a sentence a forecast for which one of FORECASTING_ALERTS holds; they stand first


def make_digest(
    lines: Sequence[SymbolLine],
    *,
    findings: Sequence[str] = (),
    alerts: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Digest:
    """The message about the newest nights, with `findings`, a sentence each, and by symbol the `alerts` that hold."""
    forecasts = sorted((line for line in lines if line.forecast), key=lambda line: -line.unusualness)
    reasons: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if (problem := line.problem) is not None:
            reasons.setdefault(problem, []).append(f"{line.symbol} {line.target}")
    problems = [f"{named(subjects, 3)}: {what}. {reason}" for (what, reason), subjects in reasons.items()]
    problems += [*([] if forecasts else ["No forecast is stored."]), *findings]
    days = [as_day(line.result["target_session"]) for line in forecasts if line.result is not None]
    scored = [line for line in forecasts if line.result and as_day(line.result["target_session"]) == max(days)]
    results, results_of = sorted(scored, key=lambda line: line.hit, reverse=True), short_day(max(days)) if days else ""
    held = [
        f"{line.symbol} {line.target}: {'; '.join(alerts[line.symbol])}. {line.median} (80% interval {line.interval}), "
        f"{against_usual(line)}."
        for line in forecasts
        if alerts.get(line.symbol)
    ]
    about = [quantity(len(held), "alert")] if held else []
    session = short_day(max(line.session for line in forecasts)) if forecasts else ""
    about += [f"{quantity(len(forecasts), 'forecast')} of {session}" if forecasts else "no forecast"]
    hits = sum(line.hit == "hit" for line in results)
    about += [f"{hits} of {len(results)} hit on {results_of}"] if results else []
    about += [f"{quantity(len(problems), 'thing')} to know" if problems else "all well"]
    return Digest(", ".join(about), forecasts, session, results, results_of, problems, held)


def digest_in(form: str, digest: Digest, *, link: str = "") -> str:
    """The message as text, markdown or html: nothing in it arises from the texts of others.

    Text has a line a forecast, for a terminal, a chat or a mail; Markdown is for Slack, Teams or an artifact; HTML is
    one page without scripts or requests, its styles inline, as mail programs need them, with a `link` at its end.

    Raises:
        UsageError: It is another form.
    """
    if form not in _TEMPLATES:
        raise UsageError(f"Invalid --format {form[:40]!r}: expected text, markdown or html.")
    alerts, problems = (
        [*some[:SHOWN], *([f"and {len(some) - SHOWN} more"] if len(some) > SHOWN else [])]
        for some in (digest.alerts, digest.problems)
    )
    verdict = f"{quantity(len(digest.problems), 'thing')} to know." if digest.problems else "All well."
    words = {"alerts": alerts, "problems": problems, "verdict": verdict, "link": link, "shown": SHOWN}
    return environment().get_template(_TEMPLATES[form]).render(digest=digest, **words).strip()
