"""What Prefect's UI shows: pages of nights, runs and backtests, messages, tags and guides.

A card in the list of a run's artifacts shows thirty characters of a description, an artifact's page
sixty of a table's row on a desk and thirty-five on a phone: what matters most comes first, and long
texts are Markdown.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from forecasting.conditions import FAILED
from forecasting.evaluate.figures import BacktestSummary
from forecasting.plain_text import markdown_text, named, ordinary_spaces, quantity
from forecasting.report import terminal, wording
from forecasting.report.night_view import NightView, most_unusual_first
from forecasting.report.page import environment
from forecasting.report.units import full_day, short_day
from forecasting.report.words import by_cause, word

SHOWN = 3  # symbols that a sentence names
TAGGED = 5  # most symbols of a run that become tags of it

_SIGNS = {"^": "caret", ".": "dot", "=": "equals", "&": "and", "_": "line"}


class Artifact(NamedTuple):
    """A page in Prefect's UI."""

    key: str  # those of one key are its history
    description: str  # Markdown, as the body
    body: str


def guide(flow: str) -> str:
    """The description of a flow, which the UI shows beside its form."""
    return environment().get_template(f"{flow}_guide.md").render()


def night_artifact(nights: Sequence[tuple[NightView, Path | str]]) -> Artifact:
    """A symbol's night of each target, with the path or web address of its report page."""
    first = nights[0][0]
    medians = [
        f"{wording.headline(data)['median']}, 80% {data.first.span('q10', 'q90')}"
        for data, _ in nights
    ]
    about = f"{first.symbol} {full_day(first.first.session)}: {'; '.join(medians)}"
    template = environment().get_template("night.md")
    body = template.render(nights=nights, several=len(nights) > 1).rstrip()
    return Artifact(artifact_key("night", first.symbol), markdown_text(about), body)


def table_markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown, the columns between the first and the last to the right."""
    rule = [":---", *["---:"] * (len(columns) - 2), ":---"]
    lines = [columns, rule, *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def artifact_key(what: str, *subject: str) -> str:
    """The key of an artifact, like `night-sbux`, of letters, digits and dashes as Prefect asks.

    Other signs have names: `night-caret-gspc` is not `night-gspc`, `brk-dot-b` not `brk-b`.
    """
    key = "-".join([what, *subject]).lower()
    for sign, name in _SIGNS.items():
        key = key.replace(sign, f"-{name}-")
    return re.sub(r"[^a-z0-9]+", "-", key).strip("-")


def backtest_artifact(backtest: BacktestSummary) -> Artifact:
    """The figures of a backtest, as `backtest` prints them; its description names their unit."""
    series = (backtest.symbol, backtest.target)
    unit = wording.backtest_unit(backtest)
    about = f"{' '.join(series)}, in {unit.name}: origins {backtest.first} to {backtest.last}"
    parts = terminal.backtest_parts(backtest)
    body = [
        markdown_text(part) if isinstance(part, str) else table_markdown(*part) for part in parts
    ]
    return Artifact(artifact_key("backtest", *series), markdown_text(about), "\n\n".join(body))


def outcome_sentence(nights: Sequence[NightView]) -> str:
    """What the run brought, for its state and its log: the first forecasts of each symbol."""
    shown = [
        f"{night.symbol} {night.target} {short_day(night.first.session)} "
        f"{night.unit.text(night.first.row.q50)}, 80% {night.first.span('q10', 'q90')}"
        for night in nights
        if night.forecasts
    ]
    return ordinary_spaces(f"{counts_of(nights)}. {named(shown, SHOWN, separator='; ')}".strip())


def subject_tags(symbols: Sequence[str], targets: Sequence[str]) -> list[str]:
    """The tags by which a run can be found: its targets, and its symbols where they are few."""
    return [*targets, *(symbols if len(symbols) <= TAGGED else [])]


def outcome_tags(nights: Sequence[NightView]) -> list[str]:
    """What is unusual about the nights, as stale or baseline; sorted."""
    return sorted({word(one) for night in nights for one in night.flags})


def counts_of(nights: Sequence[NightView]) -> str:
    """How many forecasts ended how, the worst first."""
    counts = Counter(word(night.outcome) for night in _worst_first(nights))
    shown = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return f"{quantity(len(nights), 'forecast')}: {shown}"


def _worst_first(nights: Sequence[NightView]) -> list[NightView]:
    return sorted(nights, key=lambda night: night.outcome.rank)


def outcome_artifact(nights: Sequence[NightView]) -> Artifact:
    """The page of a run for a person on call: how it ended, what to do, the forecasts."""
    counts = counts_of(nights)
    ordered = _worst_first(most_unusual_first(nights))
    template = environment().get_template("outcomes.md")
    body = template.render(
        nights=ordered, counts=counts, actions=_actions(ordered), key_of=artifact_key
    )
    targets = " ".join(dict.fromkeys(night.target for night in nights))
    return Artifact("outcomes", markdown_text(f"{counts}, {targets}"), body.rstrip())


def _actions(nights: Sequence[NightView]) -> list[str]:
    """A line a reason, with the symbols that it is of, then what to do about all of its kind."""
    problems = [(night.series, one) for night in nights for one in night.to_know]
    lines = [
        f"**{markdown_text(cause.series)}: {cause.word}.** {markdown_text(cause.why)}"
        for cause in by_cause(problems)
    ]
    kinds = {one.kind for _, one in problems}
    if kinds & {*FAILED, "late"}:
        lines.append(
            "The next night makes up for what failed or is stale. At once: `prefect deployment run "
            "nightly/nightly`"
        )
    if "baseline" in kinds:
        lines.append(
            "For a baseline nothing: the best one is published until the network passes again."
        )
    return lines or ["Nothing."]
