"""Seeded damage to inputs, and the one way in which a case may end: a result, or an error of ours in one paragraph."""

from __future__ import annotations

import copy
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from forecasting.errors import ForecastingError, UnexpectedError

LONGEST = 2000
"""Characters of an error: one paragraph."""

LONGEST_CASE_S = 120
"""Seconds after which a case counts as one that hangs; beside other work a whole night takes twenty."""

TOKENS = (
    *(b"", b"0", b"-0", b"-1", b"1e308", b"1e-320", b"1e400", b"nan", b"inf", b"-inf", b"1_000", b"0x10", b"1,5"),
    *(b"9" * 25, b"null", b"None", b"true", b"NaT", b'"', b'""', b"'", b",", b",,", b";", b"\t", b"\r", b"\r\n"),
    *(b"\n", b"\n\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xc3\xa9", b"\xd9\xa1", b"2024-02-30"),
    *(b"0001-01-01", b"9999-12-31", b"2024-03-08", b"1e", b"1.5.5", b"1e5", b"+7", b".", b"-", b"5e-1", b" ", b"#"),
)
"""Texts that readers of numbers, dates and tables treat in ways of their own."""

ODD_JSON: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**63, 10**30, 1.5, 1e308, -0.0, float("nan"), float("inf"), -(10**10),
    "", "x", "..", "1.5", "UTC", "Mars/Olympus", "GBp" * 90, "volume", "close", "2024-03-08", "9999-99-99", "a" * 5000,
    "\x1b[31m\n", [], {}, [None], [[]], [1, 2], ["x"], [0.0], [1e308] * 3, {"x": 1}, {"raw": 1}, 253402300800,
)  # fmt: skip
"""Values that JSON can have in place of another one."""

Result = TypeVar("Result")


def ended(call: Callable[[], Result]) -> Result | ForecastingError:
    """What the call returns, or the error of ours that it raises; any other error is a failure of the test."""
    try:
        return call()
    except UnexpectedError:
        raise
    except ForecastingError as error:
        text = str(error)
        assert 20 < len(text) <= LONGEST, text
        assert "\n" not in text, text
        assert "Traceback" not in text, text
        return error


@contextmanager
def case(place: int, what: object) -> Iterator[None]:
    """Within the block, which may not last for long, a failure names the case: its number, and what was put in."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still running after {LONGEST_CASE_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_CASE_S)
    try:
        yield
    except BaseException as error:
        error.add_note(f"case {place}: {what!r}"[:1000])
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def damaged(content: bytes, chosen: random.Random) -> bytes:
    """`content` after one to three small faults: a flipped bit, a part lost, doubled or replaced, odd texts."""
    for _ in range(chosen.choice((1, 1, 1, 2, 3))):
        at, start = (chosen.randrange(len(content) + 1) for _ in range(2))
        end = start + chosen.choice((1, 2, 6, 12, max(1, len(content) // 10)))
        token = chosen.choice(TOKENS)
        flipped = bytes(byte ^ 1 << chosen.randrange(8) for byte in content[at : at + 1])
        content = chosen.choice(
            (
                content[:at] + flipped + content[at + 1 :],
                content[:start] + content[end:],
                content[:at] + content[start:end] + content[at:],
                content[:at] + token + content[at:],
                content[:start] + token + content[end:],
                content[:at],
            )
        )
    return content


def altered(document: dict[str, Any], chosen: random.Random) -> dict[str, Any]:
    """A JSON document after one or two faults: parts lost, repeated, out of order, of other size or type."""
    document = copy.deepcopy(document)
    for _ in range(chosen.choice((1, 1, 2))):
        if not document:
            break
        *path, last = chosen.choice(list(_places(document)))
        part: Any = document
        for key in path:
            part = part[key]
        value, change = part[last], chosen.randrange(6)
        if change == 0:
            del part[last]
        elif change == 1 and isinstance(value, list):
            chosen.shuffle(value)
        elif change == 2 and isinstance(value, list):
            part[last] = value[: chosen.randrange(len(value) + 1)] * chosen.choice((1, 2))
        elif change == 3 and isinstance(part, list):
            part.insert(last, chosen.choice(ODD_JSON))
        elif change == 3:
            part[last.upper()] = chosen.choice(ODD_JSON)
        elif change == 4 and isinstance(value, int | float):
            part[last] = value * chosen.choice((-1, 0, 100, 0.001, 1e300))
        else:
            part[last] = chosen.choice(ODD_JSON)
    return document


def _places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a document, but to few of the numbers of one list."""
    if path:
        yield path
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from _places(inner, (*path, key))
    elif isinstance(part, list):
        for key in sorted({*range(len(part))[:3], *range(len(part))[-3:]}):
            yield from _places(part[key], (*path, key))
