"""Tables and paragraphs of plain text, for a terminal of any width or for a pipe."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from forecasting.plain_text import ordinary_spaces, plain_text

GUTTER = "  "
NARROWEST = 8
"""Characters below which no column of text is made narrower."""

_NUMBER = re.compile(r"[-+$\N{MINUS SIGN}]?\d[\d.,\N{EN DASH}]*( ?[%a-zA-Z]{1,6})?|\N{EN DASH}|")


def plain(text: object) -> str:
    """The text in one line with ordinary spaces, cleaned and capped; empty for None."""
    return "" if text is None else ordinary_spaces(plain_text(text))


def paragraph(text: object, *, width: int | None, indent: str = "") -> str:
    """The text broken between words at `width` characters; in one line without a width, as for a pipe.

    `indent` begins every line but the first.
    """
    line = plain(text)
    if width is None or len(line) <= width:
        return line
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def text_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, width: int | None) -> str:
    """The rows below the names of the columns; numbers right, all else left, no line longer than `width`.

    Where the table is too wide, names and texts are broken between words, the widest column first.

    Args:
        columns: Their names.
        rows: A cell a column; None is empty.
        width: Of the terminal; None for a pipe, where each row is one line.
    """
    cells = [[plain(value) for value in row] for row in rows]
    by_column = [list(column) for column in zip(*cells, strict=True)] if cells else [[] for _ in columns]
    to_right = [any(column) and all(_NUMBER.fullmatch(cell) for cell in column) for column in by_column]
    widths = _widths(columns, by_column, to_right, width)
    lines = [
        *_row(columns, widths, to_right),
        GUTTER.join("-" * size for size in widths),
        *(line for row in cells for line in _row(row, widths, to_right)),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _widths(
    columns: Sequence[str], by_column: Sequence[Sequence[str]], to_right: Sequence[bool], width: int | None
) -> list[int]:
    widths = [max(map(len, [name, *cells])) for name, cells in zip(columns, by_column, strict=True)]
    if width is None:
        return widths
    least = [
        max(len(word) for text in [name, *cells] for word in text.split() or [""])
        for name, cells in zip(columns, by_column, strict=True)
    ]
    texts = [size if right else floor for size, floor, right in zip(widths, least, to_right, strict=True)]
    # Texts between words, then the names above numbers too, then within words, as of a path.
    for floors in (texts, least, [min(size, NARROWEST) for size in widths]):
        while sum(widths) + len(GUTTER) * (len(widths) - 1) > width:
            place = max(range(len(widths)), key=lambda column: (widths[column] > floors[column], widths[column]))
            if widths[place] <= floors[place]:
                break
            widths[place] -= 1
    return widths


def _row(cells: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> list[str]:
    broken = [
        textwrap.wrap(cell, size, break_on_hyphens=False) or [""] for cell, size in zip(cells, widths, strict=True)
    ]
    height = max(map(len, broken))
    return [
        GUTTER.join(
            (lines[place] if place < len(lines) else "").rjust(size)
            if right
            else (lines[place] if place < len(lines) else "").ljust(size)
            for lines, size, right in zip(broken, widths, to_right, strict=True)
        )
        for place in range(height)
    ]
