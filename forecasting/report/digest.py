"""The message of a morning: what tomorrow brings, the most unusual first, yesterday's results, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from forecasting.errors import UsageError
from forecasting.plain_text import named, of_each, quantity
from forecasting.report.night_view import SymbolLine
from forecasting.report.page import environment
from forecasting.report.units import as_day, short_day
from forecasting.report.wording import alert_value, forecast_words

# forecasts, results and problems that a message shows, of each so many; the index has all of them
SHOWN = 12
_TEMPLATES = {"text": "digest.txt", "markdown": "digest.md", "html": "digest.html"}


@dataclass(frozen=True)
class Digest:
    """A message."""

    title: str  # the one line that a phone shows
    forecasts: Sequence[SymbolLine]  # lines with a forecast, the most unusual first
    # The newest that is forecast, like Mon 11 Mar, with its year where all are stale; empty without
    # one
    session: str
    # Lines with a result of the newest day, misses first, the largest error first
    results: Sequence[SymbolLine]
    results_of: str  # that day; empty without any
    hits: str  # of them, like `25 of 30 hit`, or `25 of 28 live hit`
    # What a person should know, a sentence a reason; empty where all is well
    problems: Sequence[str]
    # A sentence a forecast for which one of FORECASTING_ALERTS holds; they stand first
    alerts: Sequence[str]
    stale: str  # that no forecast is of its newest completed session, in words; empty where one is
    verdict: str  # the first line: that, how many things are to know, or that all is well


def make_digest(
    lines: Sequence[SymbolLine],
    *,
    due: Mapping[str, date] = MappingProxyType({}),
    # What came of its newest one, where there is no such forecast
    requests: Mapping[str, str] = MappingProxyType({}),
    findings: Sequence[str] = (),
    alerts: Sequence[Mapping[str, Any]] = (),
) -> Digest:
    """The message about the newest nights, with `findings`, a sentence each, and `alerts`, rows of `alert_counts`.

    `due` has each symbol's newest completed session: a forecast from an older one is no forecast of
    tomorrow.
    """
    stored = sorted((line for line in lines if line.forecast), key=lambda line: -line.unusualness)
    current = [
        line
        for line in stored
        if as_day(line.forecast["origin_session"]) >= due.get(line.symbol, date.min)
    ]
    newest = max((line.session for line in current or stored), default=date.min)
    forecasts = current or [line for line in stored if line.session == newest]
    listed = {line.symbol for line in forecasts}
    is_stale = bool(stored) and not current
    session = short_day(newest, with_year=is_stale) if stored else ""
    stale = ""
    if is_stale:
        missing = short_day(max(due[line.symbol] for line in stored), with_year=True)
        made = short_day(
            max(as_day(line.forecast["origin_session"]) for line in stored), with_year=True
        )
        stale = (
            f"Stale: the newest forecasts are from the session {made}; the newest completed "
            f"one is {missing}."
        )
        stale += (
            " See forecasting "
            f"doctor.{' Alerts are not judged: the forecasts are stale.' if alerts else ''}"
        )
    reasons: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for line in lines:
        problem = line.problem
        if line.forecast and line.symbol not in listed:
            none = (
                f"No forecast of {session}; the newest is of "
                f"{short_day(line.session, with_year=True)}."
            )
            behind = " ".join(filter(None, [none, requests.get(line.symbol), line.remedy]))
            problem = (problem[0], f"{none} {problem[1]}") if problem else ("behind", behind)
        if problem is not None:
            cause = problem[0], of_each(problem[1], line.symbol)
            reasons.setdefault(cause, []).append((f"{line.symbol} {line.target}", problem[1]))
    problems = [
        f"{named([name for name, _ in some], 3)}: {what}. {some[0][1] if len(some) == 1 else cause}"
        for (what, cause), some in sorted(
            reasons.items(), key=lambda reason: reason[0][0] != "failed"
        )
    ]
    without = [line.symbol for line in lines if line.symbol not in listed] if current else []
    problems += [f"Alerts are not judged of {named(without, 3)}."] * bool(alerts and without)
    problems += [*([] if stored or reasons else ["No forecast is stored."]), *findings]
    days = [as_day(line.result["target_session"]) for line in stored if line.result is not None]
    scored = [
        line
        for line in stored
        if line.result and as_day(line.result["target_session"]) == max(days)
    ]
    results = sorted(scored, key=lambda line: (line.hit == "hit", -line.off))
    results_of = short_day(max(days), with_year=is_stale) if days else ""
    held = []
    names = []
    for line in current:
        if own := [row for row in alerts if row["newest"] and row["symbol"] == line.symbol]:
            which = [f"{row['alert']} (is {alert_value(row)})" for row in own]
            held.append(
                f"{line.symbol} {line.target}: {'; '.join(which)}. "
                f"{forecast_words(line, briefly=True)}"
            )
            names.append(
                f"{line.symbol} {own[0]['compared']} "
                f"{alert_value(own[0])}{' usual' * own[0]['of_usual']}"
            )
    about = [f"Alert{'s' * (len(held) > 1)} {named(names, 1)}"] if held else []
    failed = sum(line.status == "failed" for line in lines)
    about += ["Stale"] * is_stale + [f"{failed} failed"] * (failed > 0)
    what = f"{lines[0].target} forecast" if lines else "forecast"
    count = (
        f"{len(forecasts)} of {quantity(len(lines), what)}"
        if without
        else quantity(len(forecasts), what)
    )
    none = f", none of {named(without, 2)}" if without else ""
    about += [f"{count} of {session}{none}" if forecasts else f"no {what}"]
    live = [line.hit == "hit" for line in results if line.result and line.result["kind"] == "live"]
    hits = (
        f"{sum(live)} of {len(live)}{' live' * (len(live) < len(results))} hit"
        if live
        else "no live forecast"
    )
    about += [f"{hits} on {results_of}"] if results else []
    others = len(problems) - sum(what == "failed" for what, _ in reasons)
    things = [f"{quantity(others, 'thing')} to know"] if others else []
    known = [f"{failed} failed"] * (failed > 0) + things
    about += things or ["all well"] * (not held and not stale and not known)
    well = f"{quantity(len(held), 'alert')}; the nights are well." if held else "All well."
    verdict = " ".join(filter(None, [stale, f"{', '.join(known)}." if known else ""])) or well
    return Digest(
        ", ".join(about),
        forecasts,
        session,
        results,
        results_of,
        hits,
        problems,
        held,
        stale,
        verdict,
    )


def digest_in(form: str, digest: Digest, *, link: str = "") -> str:
    """The message as text, as markdown for a chat or an artifact, or as html for a mail, with a `link` at its end."""
    if form not in _TEMPLATES:
        raise UsageError(f"Invalid --format {form[:40]!r}: expected text, markdown or html.")
    more = len(digest.problems) - SHOWN
    problems = [
        *digest.problems[:SHOWN],
        *([f"and {more} more, in view night_log"] if more > 0 else []),
    ]
    # Each is named: somebody has asked for it
    others = [text.partition(": ")[0] for text in digest.alerts[SHOWN:]]
    alerts = [*digest.alerts[:SHOWN], *([f"and of {', '.join(others)}"] if others else [])]
    words = {
        "alerts": alerts,
        "problems": problems,
        "verdict": digest.verdict,
        "link": link,
        "shown": SHOWN,
    }
    return environment().get_template(_TEMPLATES[form]).render(digest=digest, **words).strip()
