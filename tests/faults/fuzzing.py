"""Seeded damage to inputs, and the one way in which a case may end: a result, or an error of ours in one paragraph."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import pytest

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

Result = TypeVar("Result")


def counts(short: int, whole: int) -> pytest.MarkDecorator:
    """Run a test with `short` cases in `make test`, and with `whole` ones as a campaign."""
    return pytest.mark.parametrize("cases", [short, pytest.param(whole, marks=pytest.mark.campaign)])


def ended(call: Callable[[], Result]) -> Result | ForecastingError:
    """What the call returns, or the error of ours that it raises; any other error is a failure of the test."""
    try:
        with within(LONGEST_CASE_S):
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
def within(seconds: float) -> Iterator[None]:
    """Raise AssertionError where the block has not ended after `seconds`."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still running after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def case(place: int, what: object) -> Iterator[None]:
    """Within the block, a failure names the case: its number, and what was put in."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"case {place}: {what!r}"[:1000])
        raise


def damaged(content: bytes, chosen: random.Random, tokens: Sequence[bytes] = TOKENS) -> bytes:
    """`content` after one to three small faults: flipped bits, lost, doubled or moved parts, odd texts."""
    for _ in range(chosen.choice((1, 1, 1, 2, 3))):
        content = chosen.choice(_FAULTS)(content, chosen, tokens)
    return content


def _flip(content: bytes, chosen: random.Random, tokens: Sequence[bytes]) -> bytes:
    if not content:
        return content
    at = chosen.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chosen.randrange(8)]) + content[at + 1 :]


def _lose(content: bytes, chosen: random.Random, tokens: Sequence[bytes]) -> bytes:
    start, end = _part(content, chosen)
    return content[:start] + content[end:]


def _double(content: bytes, chosen: random.Random, tokens: Sequence[bytes]) -> bytes:
    start, end = _part(content, chosen)
    at = chosen.randrange(len(content) + 1)
    return content[:at] + content[start:end] + content[at:]


def _insert(content: bytes, chosen: random.Random, tokens: Sequence[bytes]) -> bytes:
    at = chosen.randrange(len(content) + 1)
    return content[:at] + chosen.choice(tokens) + content[at:]


def _replace(content: bytes, chosen: random.Random, tokens: Sequence[bytes]) -> bytes:
    start, end = _part(content, chosen)
    return content[:start] + chosen.choice(tokens) + content[end:]


def _cut(content: bytes, chosen: random.Random, tokens: Sequence[bytes]) -> bytes:
    return content[: chosen.randrange(len(content) + 1)]


_FAULTS = (_flip, _flip, _lose, _double, _insert, _replace, _replace, _cut)


def _part(content: bytes, chosen: random.Random) -> tuple[int, int]:
    """Start and end of a part of up to 12 bytes, now and then of up to a tenth of the whole."""
    start = chosen.randrange(len(content) + 1)
    return start, start + chosen.choice((1, 2, 6, 12, max(1, len(content) // 10)))
