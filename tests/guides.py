"""The guides in docs/, and the parts of them that tests run: sections and blocks of code."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def section(name: str, heading: str) -> str:
    """Return the text of docs/NAME under a heading, up to the next heading of the same level."""
    text = (DOCS / name).read_text(encoding="utf-8")
    level = heading.partition(" ")[0]
    return text.partition(f"\n{heading}\n")[2].partition(f"\n{level} ")[0]


def blocks(text: str, kind: str) -> list[str]:
    """Return the blocks of code of a kind, such as `python`."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
