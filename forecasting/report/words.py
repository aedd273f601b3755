"""The one table of words for what is wrong with a night, or is to be known of it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from typing import Literal, NamedTuple

from forecasting.conditions import Condition, Kind
from forecasting.plain_text import NAMED, named, of_each
from forecasting.report.units import full_day, instant

Severity = Literal["wrong", "warn", "info"]
"""wrong: somebody should act; warn: the forecast is less reliable than usual."""


class Words(NamedTuple):
    """How a kind of condition is written."""

    severity: Severity
    word: str  # in tables, tags and messages
    text: str  # a sentence with its values in braces
    advice: str = ""  # what a person does about it
    heading: str = ""  # of a banner on a page, where it says more than the word

    @property
    def title(self) -> str:
        """The heading of a banner on a page."""
        return self.heading if self.heading else self.word.capitalize()


_RUN = "`forecasting run --symbol {symbol} --target {target}` makes it, or says why not."

WORDS: dict[Kind, Words] = {
    "failed": Words(
        "wrong",
        "failed",
        "{reason}",
        "Correct what stopped the night",
        heading="Newest night failed",
    ),
    "late": Words("wrong", "stale", "{reason}", "See whether the source has the bar"),
    "refused": Words("wrong", "failed", "{reason}", "Correct that input"),
    "future": Words("wrong", "clock", "{reason}"),
    "no_calendar": Words("wrong", "failed", "{reason}"),
    "cut_off": Words(
        "wrong",
        "cut off",
        "The night of {session} began at {began} and was cut off: no process here has its lock.",
        "See why its process ended",
    ),
    "unended": Words(
        "wrong",
        "not ended",
        "The night of {session} began at {began} and has not ended: it runs, or was cut off.",
        "See whether its process runs",
    ),
    "running": Words("info", "running", "A run is at work on it."),
    "done": Words("info", "done", "{reason}"),
    "no_night": Words(
        "wrong",
        "no night yet",
        _RUN,
        "See whether the schedule runs and `forecasting doctor` is ok",
    ),
    "old": Words(
        "warn", "stale", "The newest completed session is {newest}: see `forecasting doctor`."
    ),
    "part_failed": Words("wrong", "failed", "{reason}", heading="Part of the night failed"),
    "baseline": Words("warn", "baseline", "{reason}"),
    "break": Words("warn", "break in the bars", "{reason}"),
    "issued_late": Words(
        "warn",
        "issued late",
        "Written at {issued}, after {session} had opened: it is not scored as live.",
        "Start nights earlier if they are often late",
    ),
    "made_afterwards": Words(
        "info",
        "made afterwards",
        "For a past session, from the data known at that session; never counted as live.",
    ),
    "revised": Words("warn", "data.revised", "{session}: {verdict}: {detail}"),
    "missing": Words("warn", "data.missing", "{session}: {findings}."),
    "model": Words(
        "info",
        "model",
        "{session}: {model}, a fit from scratch ({reason}), replaces {before} from now on",
    ),
    "inputs": Words(
        "warn", "other inputs", "{changes}.", heading="Other inputs than the night before"
    ),
    "earnings_expected": Words(
        "info", "earnings dates", "Report expected around {session}, not announced."
    ),
    "earnings_unannounced": Words(
        "info",
        "earnings dates",
        "The next report is expected from past ones alone: `--events dates.csv` adds announced "
        "dates.",
    ),
    "earnings_quiet": Words(
        "info",
        "earnings dates doubtful",
        "Volume reacted to neither of the newest two, the last of {session}: `--events dates.csv` "
        "corrects them.",
    ),
    "sample": Words(
        "info", "sample", "{title}. Real bars, but not current ones.", heading="Sample data"
    ),
    "rival": Words(
        "info", "yours is ahead", "Your {name} has lost less over the newest {nights} nights."
    ),
    "ended": Words("info", "no bars", "{reason}"),
    "note": Words("info", "note", "{reason}"),
    "unjudged": Words(
        "warn", "alerts", "Alerts were not checked where there is no new forecast: {series}."
    ),
}


def word(condition: Condition) -> str:
    """A word or two for a condition, in tables, tags and messages."""
    return WORDS[condition.kind].word


def sentence_of(condition: Condition) -> str:
    """What a condition says, days and instants in words."""
    shown = {name: _shown(value) for name, value in condition.values.items()}
    return WORDS[condition.kind].text.format(**shown).strip()


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return instant(value)
    return full_day(value) if isinstance(value, date) else value


def notices(conditions: Iterable[Condition]) -> dict[str, str]:
    """What each condition says, by its title."""
    return {WORDS[one.kind].title: sentence_of(one) for one in conditions}


class Cause(NamedTuple):
    """A condition of one series, or what several have in common."""

    kind: Kind
    series: str  # empty of a condition that is of none
    why: str  # its sentence

    @property
    def word(self) -> str:
        """A word or two for it."""
        return WORDS[self.kind].word

    @property
    def text(self) -> str:
        """The series, the word and the sentence."""
        return f"{self.series}: {self.word}. {self.why}" if self.series else self.why


def by_cause(conditions: Iterable[tuple[str, Condition]], *, limit: int = NAMED) -> list[Cause]:
    """Join the conditions that have one cause, and name at most `limit` of their series."""
    alike = defaultdict[tuple[str, str], list[tuple[str, Condition]]](list)
    for series, condition in conditions:
        cause = of_each(sentence_of(condition), series)
        alike[word(condition), cause].append((series, condition))
    causes = []
    for (_, cause), some in alike.items():
        first = some[0][1]
        why = sentence_of(first) if len(some) == 1 else cause
        causes.append(Cause(first.kind, named([series for series, _ in some], limit), why))
    return causes
