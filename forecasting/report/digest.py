"""The message of a morning: what tomorrow brings, the most unusual first, yesterday's results, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from forecasting.errors import UsageError
from forecasting.plain_text import markdown_text, named, plain_text
from forecasting.report import wording
from forecasting.report.night_view import SymbolLine
from forecasting.report.page import environment
from forecasting.report.terminal import paragraph
from forecasting.report.units import as_day, change, quantity, short_day

SHOWN = 12
"""Forecasts, results and problems that a message shows, of each so many; the index has all of them."""


@dataclass(frozen=True)
class DigestRow:
    """One forecast or result in words.

    Attributes:
        subject: Symbol and target.
        value: Median and interval, or what came.
        change: Against the usual value, or of what came against the median.
        notes: Special days, or hit or miss.
        why: The parts of the median in a sentence; empty where they are unknown.
        page: The web address of its page; empty where pages have none.
    """

    subject: str
    value: str
    change: str
    notes: str
    why: str = ""
    page: str = ""


@dataclass(frozen=True)
class Digest:
    """A message: its title, the coming session's forecasts, the newest results, and what a person should know.

    Attributes:
        title: The one line that a phone shows.
        session: That is forecast, like Mon 11 Mar; empty without a forecast.
        forecasts: The most unusual first, at most SHOWN.
        left_out: How many more there are.
        results_of: The session of the results; empty without any.
        results: Misses first, at most SHOWN; the title counts all.
        problems: A sentence a reason; empty where all is well.
        alerts: A sentence a forecast for which one of FORECASTING_ALERTS holds; they stand first.
    """

    title: str
    session: str
    forecasts: tuple[DigestRow, ...]
    left_out: int
    results_of: str
    results: tuple[DigestRow, ...]
    problems: tuple[str, ...]
    alerts: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Whether a person needs to look."""
        return "All well." if not self.problems else f"{quantity(len(self.problems), 'thing')} to know."


def make_digest(
    lines: Sequence[SymbolLine],
    *,
    findings: Sequence[str] = (),
    alerts: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Digest:
    """The message about the newest nights.

    Args:
        lines: One a symbol and target; those without a forecast are problems alone.
        findings: What else a person should know, a sentence each, as new findings about the bars.
        alerts: Those of FORECASTING_ALERTS that hold, by symbol.
    """
    forecast = sorted((line for line in lines if line.forecast), key=lambda line: -line.unusualness)
    reasons: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if (problem := line.problem) is not None:
            reasons.setdefault(problem, []).append(f"{line.symbol} {line.target}")
    problems = [f"{named(subjects, 3)}: {what}. {reason}" for (what, reason), subjects in reasons.items()]
    problems += [] if forecast else ["No forecast is stored."]
    sessions = sorted({line.session for line in forecast})
    scored = [(line, line.result) for line in forecast if line.result is not None]
    newest = max((as_day(result["target_session"]) for _, result in scored), default=None)
    results = [_result(line) for line, result in scored if as_day(result["target_session"]) == newest]
    session = short_day(sessions[-1]) if sessions else ""
    hits = sum(row.notes == "hit" for row in results)
    held = [(_forecast(line), alerts[line.symbol]) for line in forecast if alerts.get(line.symbol)]
    about = [quantity(len(held), "alert")] if held else []
    about += [f"{quantity(len(forecast), 'forecast')} of {session}" if forecast else "no forecast"]
    about += [f"{hits} of {len(results)} hit on {short_day(newest)}"] if newest is not None else []
    about += [quantity(len(problems) + len(findings), "thing") + " to know"] if problems or findings else ["all well"]
    return Digest(
        title=", ".join(about),
        session=session,
        forecasts=tuple(_forecast(line) for line in forecast[:SHOWN]),
        left_out=max(0, len(forecast) - SHOWN),
        results_of=short_day(newest) if newest is not None else "",
        results=tuple(sorted(results, key=lambda row: row.notes, reverse=True)[:SHOWN]),
        problems=(*problems, *findings),
        alerts=tuple(
            f"{row.subject}: {'; '.join(held)}. {row.value}, {row.change} against usual." for row, held in held
        ),
    )


def _first(sentences: Sequence[str]) -> list[str]:
    """Those that a message shows, and how many more there are."""
    more = len(sentences) - SHOWN
    return [*sentences[:SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _forecast(line: SymbolLine) -> DigestRow:
    row, unit = line.row, line.unit
    value = f"{unit.brief(row['q50'])} (80% interval {unit.brief_span(row['q10'], row['q90'])})"
    special, why = ", ".join(line.special_days), wording.why(line)
    return DigestRow(f"{line.symbol} {line.target}", value, line.change, special, why, line.page)


def _result(line: SymbolLine) -> DigestRow:
    result, unit = line.result or {}, line.unit
    value = f"{unit.brief(result['actual'])} for {unit.brief(result['q50'])}"
    off = change(result["actual"], result["q50"], target=line.target)
    return DigestRow(f"{line.symbol} {line.target}", value, off, "hit" if result["inside_80"] else "miss")


def digest_in(form: str, digest: Digest) -> str:
    """The message as text, markdown or html; raises UsageError for another form."""
    forms = {"text": digest_text, "markdown": digest_markdown, "html": digest_html}
    if form not in forms:
        raise UsageError(f"Invalid --format {form[:40]!r}: expected text, markdown or html.")
    return forms[form](digest)


def digest_text(digest: Digest) -> str:
    """The message as plain text, a line a forecast: for a terminal, a chat or a mail."""
    lines = ["Alerts:", *(f"- {text}" for text in _first(digest.alerts)), ""] if digest.alerts else []
    lines += [digest.verdict, *(f"- {text}" for text in _first(digest.problems)), ""]
    if digest.forecasts:
        lines.append(f"{digest.session}, the most unusual first:")
        lines += [f"- {_forecast_text(row)}" for row in digest.forecasts]
        lines += [f"and {digest.left_out} more", ""] if digest.left_out else [""]
    if digest.results:
        lines.append(f"Results of {digest.results_of}:")
        lines += [f"- {row.subject}: {row.value}, {row.change}: {row.notes}" for row in digest.results]
    return "\n".join(paragraph(line, width=None) for line in lines).strip()


def _forecast_text(row: DigestRow) -> str:
    notes = f"; {row.notes}" if row.notes else ""
    return f"{row.subject}: {row.value}, {row.change} against usual{notes}.{f' {row.why}' if row.why else ''}"


def digest_markdown(digest: Digest) -> str:
    """The message in Markdown, for Slack, Teams or an artifact: nothing in it arises from the texts of others."""
    blocks = ["**Alerts**", "\n".join(f"- {markdown_text(text)}" for text in _first(digest.alerts))]
    blocks = blocks if digest.alerts else []
    blocks += [f"**{digest.verdict}**", "\n".join(f"- {markdown_text(text)}" for text in _first(digest.problems))]
    if digest.forecasts:
        rows = [f"- {_name(row)}{_rest(row)}" for row in digest.forecasts]
        rows += [f"- and {digest.left_out} more"] if digest.left_out else []
        blocks += [f"### {digest.session}, the most unusual first", "\n".join(rows)]
    if digest.results:
        rows = [
            f"- **{markdown_text(row.subject)}** {markdown_text(f'{row.value}, {row.change}')}: {row.notes}"
            for row in digest.results
        ]
        blocks += [f"### Results of {digest.results_of}", "\n".join(rows)]
    return "\n\n".join(block for block in blocks if block)


def _name(row: DigestRow) -> str:
    name = f"**{markdown_text(row.subject)}**"
    return f"[{name}]({row.page})" if row.page else name


def _rest(row: DigestRow) -> str:
    return markdown_text(_forecast_text(row).removeprefix(row.subject))


def digest_html(digest: Digest, *, link: str = "") -> str:
    """The message as one HTML page without scripts or requests, its styles inline, as mail programs need them."""
    alerts, problems = ([plain_text(text) for text in _first(some)] for some in (digest.alerts, digest.problems))
    words = {"title": plain_text(digest.title), "alerts": alerts, "problems": problems, "link": link}
    return environment().get_template("digest.html").render(digest=digest, **words)
