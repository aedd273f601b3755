"""The one place that cleans text of sources, files, the database and exceptions, before it is read.

Errors pass through it when they are made, log lines when they are logged, and the terminal,
artifacts, events and states of Prefect before they are written. JSON and the HTML page escape by
themselves.
"""

import re
import unicodedata
from collections.abc import Sequence

LIMIT = 1500
"""Characters: the longest message of ours has 700; with a warning before it, under 2,000."""

NAMED = 3  # most symbols that a name or a message lists

_MARKDOWN = re.compile(r"([\\`\[\]<>|])")
# What chat services and Markdown make mentions, links and code of, each in its own way, as signs
# that look alike. A > alone opens nothing, nor does < before a space or a digit, as in an alert.
_SIGNS = str.maketrans("[]`@", "()'\uff20")
_OPENING = re.compile(r"<(?![ \d])")
_SPECIAL = re.compile(r"[^ -~]")
# A URL's password up to the end of the word, which may have been cut before its @; a port is none.
# Paths drop a slash.
_PASSWORD = re.compile(
    r"""(\b[a-z][\w+.-]{1,30}:/{1,2}[^\s/:@'"[]*:)(?!(?:\d{1,5}|(?-i:PORT))(?:[/?#\s'",;.)]|$)|(?-i:PASSWORD@))[^\s'"]+"""
    r"""|([?&](?:ssl)?password=)[^\s'"&]+""",
    re.IGNORECASE,
)
# Which may have a key of any name
_QUERY = re.compile(r"""(\bhttps?://[^\s?'"]*\?)[^\s'"]+""", re.IGNORECASE)


def plain_text(text: object, *, limit: int = LIMIT) -> str:
    """The text in one line of at most `limit` characters, without controls and secrets of URLs.

    A URL's password and a web address's query become ***, line ends and tabs spaces. Escape codes,
    marks that reverse the direction of writing, invisible characters and halves of surrogate pairs
    become U+FFFD: they could move the cursor, hide text or make a print fail.
    """
    whole = str(text)
    if len(whole) > limit:
        end = f" ... ({len(whole):,} characters in all)"
        whole = whole[: max(0, limit - len(end))] + end
    return _SPECIAL.sub(_visible, _QUERY.sub(r"\1***", without_password(whole)))


def without_password(text: str) -> str:
    """The text with *** in place of the password of each URL in it, and of the rest of that URL."""
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)


def named(names: Sequence[str], limit: int, *, separator: str = ", ") -> str:
    """The first names, at most `limit`, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{separator.join(names[:limit])}{more}"


def short_list(symbols: Sequence[str]) -> str:
    """Symbols or targets in the name of a run: `SBUX+MSFT`; of more than three `A+249-others`."""
    if len(symbols) <= NAMED:
        return "+".join(symbols)
    return f"{symbols[0]}+{len(symbols) - 1}-others"


def of_each(text: str, series: str) -> str:
    """The text of one symbol, or symbol and target, as that of several: one cause reads once."""
    symbol, _, target = series.partition(" ")
    own = rf"(?<![\w.^=-]){re.escape(symbol)}(?![\w=-])"
    text = re.sub(f"(--symbol ){own}", r"\1SYMBOL", text)
    if target:
        text = text.replace(f"--target {target}", "--target TARGET")
        own += f"(?: {target})?"
    return re.sub(own, "each", text)


def ordinary_spaces(text: str) -> str:
    """The text with ordinary spaces, where people search it, as in a terminal."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def markdown_text(text: object) -> str:
    """The plain text in Markdown: no image, link, HTML, code span or table cell arises from it."""
    return _MARKDOWN.sub(r"\\\1", plain_text(text))


def unmarked(text: object) -> str:
    """The plain text, from which neither Markdown nor a chat makes a link, a mention or code."""
    return _OPENING.sub("\u2039", ordinary_spaces(plain_text(text))).translate(_SIGNS)


def _visible(found: re.Match[str]) -> str:
    character = found.group()
    category = unicodedata.category(character)
    if character.isspace() and category != "Zs":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if category[0] == "C" else character


def quantity(count: int, noun: str) -> str:
    """Like 1 origin or 1,250 origins."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
