"""The message of a morning: what tomorrow brings, yesterday's results, and what went wrong."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from operator import itemgetter
from typing import NamedTuple

from forecasting.conditions import FAILED, Condition
from forecasting.plain_text import named, plain_text, quantity
from forecasting.report.night_view import NightView
from forecasting.report.page import environment
from forecasting.report.units import full_day, relative, short_day
from forecasting.report.words import Cause, by_cause
from forecasting.store.rows import ResultRow

# forecasts, results and problems that a message shows, of each so many; the index has all of them
SHOWN = 12


class HeldAlert(NamedTuple):
    """The alerts that hold for one forecast."""

    forecast: str  # of what, like `SBUX volume`
    brief: str  # the first of them for the title, like `SBUX median 1.82 usual`
    text: str


@dataclass(frozen=True)
class Digest:
    """A message."""

    lines: Sequence[NightView]  # one a symbol and target
    forecasts: Sequence[NightView]  # of all targets, the most unusual first
    # Of the newest scored session, misses first, the largest error first
    results: Sequence[NightView]
    alerts: Sequence[HeldAlert]
    is_stale: bool = False  # whether there are forecasts, none of its newest completed session
    reasons: Sequence[Cause] = ()  # what a person should know, that which failed first

    @property
    def problems(self) -> list[str]:
        """What a person should know, a sentence a reason; empty where all is well."""
        return [reason.text for reason in self.reasons]

    @property
    def unusual(self) -> list[NightView]:
        """The forecasts that a message prints, the most unusual first."""
        return [line for line in self.forecasts if not line.is_as_usual]

    @property
    def as_usual(self) -> str:
        """Which other series are forecast as usual; empty without any."""
        return named([line.series for line in self.forecasts if line.is_as_usual], 3)

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to know."""
        return not (self.reasons or self.alerts)

    @property
    def target(self) -> str:
        """What is forecast; empty where it is of several targets."""
        targets = {line.target for line in self.lines}
        return targets.pop() if len(targets) == 1 else ""

    @property
    def failed(self) -> str:
        """How many symbols' newest night failed; empty where none did."""
        count = sum(line.outcome.kind in FAILED for line in self.lines)
        return f"{count} failed" if count else ""

    @property
    def things(self) -> str:
        """How many other things are to know; empty without any."""
        count = sum(reason.kind not in FAILED for reason in self.reasons)
        return f"{quantity(count, 'thing')} to know" if count else ""

    @property
    def session(self) -> str:
        """The newest that is forecast, like Mon 11 Mar, with its year where all are stale."""
        newest = max(line.first.session for line in self.forecasts)
        return self._day(newest)

    @property
    def results_of(self) -> str:
        """The session of the results."""
        return self._day(max(result.target_session for result in self._scored))

    @property
    def _scored(self) -> list[ResultRow]:
        return [line.result for line in self.results if line.result is not None]

    def _day(self, session: date) -> str:
        return full_day(session) if self.is_stale else short_day(session)

    @property
    def hits(self) -> str:
        """How many results were hits, like `25 of 30 hit`, or `25 of 28 live hit`."""
        live = [result for result in self._scored if result.kind == "live"]
        if not live:
            return "no live forecast"
        hits = sum(result.inside_80 for result in live)
        which = "" if len(live) == len(self.results) else " live"
        return f"{hits} of {len(live)}{which} hit"

    @property
    def verdict(self) -> str:
        """The first line: how much is to know, or that all is well."""
        known = ", ".join(filter(None, [self.failed, self.things]))
        if known:
            return f"{known}."
        return "All well." if self.is_well else ""

    @property
    def title(self) -> str:
        """The one line that a phone shows: the most urgent, how many forecasts, what comes next."""
        stale = "Stale" if self.is_stale else ""
        results = f"{self.hits} on {self.results_of}" if self.results else ""
        urgent = [part for part in (self._alerts, stale, self.failed) if part]
        if urgent:
            rest = filter(None, [*urgent[1:], self.things, results])
            parts = [urgent[0], self._count, next(rest, "")]
        else:
            parts = [self._count, results, self.things or "all well"]
        return ", ".join(filter(None, parts))

    @property
    def _alerts(self) -> str:
        """The one alert with its value, or the first of several."""
        if len(self.alerts) == 1:
            return f"Alert {self.alerts[0].brief}"
        names = [alert.forecast for alert in self.alerts]
        return f"Alerts {named(names, 1)}" if names else ""

    @property
    def _count(self) -> str:
        what = f"{self.target} forecast".strip()
        if not self.forecasts:
            return f"no {what}"
        count = len(self.forecasts)
        if self.is_stale or count == len(self.lines):
            return f"{quantity(count, what)} of {self.session}"
        return f"{count} of {quantity(len(self.lines), what)} of {self.session}"


def make_digest(
    lines: Sequence[NightView],
    *,
    notes: Sequence[tuple[str, Condition]] = (),
    findings: Sequence[str] = (),
    alerts: Sequence[HeldAlert] = (),
) -> Digest:
    """The message about the newest nights.

    Args:
        lines: One a symbol and target.
        notes: What else is to be known of series.
        findings: Further sentences for a person.
        alerts: Those that hold.
    """
    stored = [line for line in lines if line.forecasts]
    stored.sort(key=lambda line: -line.unusualness)
    unjudged = [Cause("unjudged", "", text) for text in findings]
    return Digest(
        lines,
        _shown(stored),
        _results(stored),
        alerts,
        is_stale=bool(stored) and not any(line.is_current for line in stored),
        reasons=[*_reasons(lines, notes), *unjudged],
    )


def _shown(lines: Sequence[NightView]) -> list[NightView]:
    """The forecasts of the newest completed sessions, without any those of the newest session."""
    current = [line for line in lines if line.is_current]
    if current:
        return current
    newest = max((line.first.session for line in lines), default=date.max)
    return [line for line in lines if line.first.session == newest]


def _reasons(lines: Sequence[NightView], notes: Sequence[tuple[str, Condition]]) -> list[Cause]:
    """What is to be known of the nights, those that failed first."""
    problems = [(line.series, one) for line in lines for one in line.to_know]
    return sorted(by_cause([*problems, *notes]), key=lambda cause: cause.kind not in FAILED)


def _results(lines: Sequence[NightView]) -> list[NightView]:
    """The nights with a result of the newest session, misses first, the largest error first."""
    scored = [(line.result, line) for line in lines if line.result is not None]
    newest = max((result.target_session for result, _ in scored), default=date.min)
    of_newest = [
        (result.inside_80, -abs(relative(result.actual, result.q50)), line)
        for result, line in scored
        if result.target_session == newest
    ]
    return [line for *_, line in sorted(of_newest, key=itemgetter(0, 1))]


def digest_markdown(digest: Digest, *, link: str = "", has_pages: bool = True) -> str:
    """The message in Markdown that reads well as plain text.

    Args:
        digest: The message.
        link: An address at its end; empty for none.
        has_pages: Whether each forecast links to its page.
    """
    problems = digest.problems[:SHOWN]
    more = len(digest.problems) - SHOWN
    if more > 0:
        problems.append(f"and {more} more, in view night_log")
    alerts = [alert.text for alert in digest.alerts[:SHOWN]]
    # Each is named: somebody has asked for it
    others = [alert.forecast for alert in digest.alerts[SHOWN:]]
    if others:
        alerts.append(f"and of {', '.join(others)}")
    template = environment().get_template("digest.md")
    text = template.render(
        digest=digest, alerts=alerts, problems=problems, link=link, has_pages=has_pages, shown=SHOWN
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def digest_html(digest: Digest, *, link: str = "") -> str:
    """The message as a page for mail, made of its Markdown."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).render(digest_markdown(digest, link=link))
    template = environment().get_template("digest.html")
    return template.render(title=plain_text(digest.title), body=body)
