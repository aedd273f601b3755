"""Damaged answers of Yahoo, through the real yfinance code: the numbers that they state, or one paragraph."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from curl_cffi.requests import Response, Session

from forecasting.errors import ForecastingError, SourceError
from forecasting.ingest.bars import check_bars
from forecasting.ingest.sources import yahoo
from forecasting.ingest.sources.yahoo import Yahoo
from tests.builders import random_bars
from tests.faults.fuzzing import case, counts, damaged, ended
from tests.yahoo_stand_in import StandIn, forget_yahoo, make_actions

BARS = random_bars(days=60, seed=3).round(4)
FIRST, LAST = BARS.index[0].date(), BARS.index[-1].date()
ACTIONS = make_actions([(BARS.index[20], "dividend", 0.5), (BARS.index[40], "split", 2.0)])
NUMBERS = ("open", "high", "low", "close", "volume")
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 10**30, 1.5, 1e308, -0.0, "", "x", "1.5", "UTC", "Mars/Olympus", "GBp" * 90),
    *(
        [],
        {},
        [None],
        [[]],
        [1, 2],
        {"x": 1},
        {"raw": 1},
        "2024-03-08",
        1709908200,
        "\x1b[31m\n",
        253402300800,
        -(10**10),
    ),
)


class Canned(Session):  # type: ignore[misc] # curl_cffi's class is generic over its response
    """A session whose answer to a chart is `body`, and a crumb to anything else."""

    body = b""

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        answer = Response()
        answer.status_code, answer.url, answer.encoding = 200, url, "utf-8"
        answer.content = self.body if "/v8/finance/chart/" in url else b"crumb"
        return answer


@contextmanager
def canned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    forget_yahoo()
    session = Canned()
    monkeypatch.setattr(yahoo, "yahoo_session", lambda: session)
    monkeypatch.setattr(yahoo, "PAUSE_S", 0.0)
    try:
        yield session
    finally:
        forget_yahoo()


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a document, but to few of the numbers of one list."""
    if path:
        yield path
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from places(inner, (*path, key))
    elif isinstance(part, list):
        for key in sorted({*range(len(part))[:3], *range(len(part))[-3:]}):
            yield from places(part[key], (*path, key))


def altered(document: Any, chosen: random.Random) -> Any:
    document = copy.deepcopy(document)
    for _ in range(chosen.choice((1, 1, 2))):
        *path, last = chosen.choice(list(places(document)))
        part: Any = document
        for key in path:
            part = part[key]
        change = chosen.randrange(6)
        if change == 0:
            del part[last]
        elif change == 1 and isinstance(part[last], list):
            chosen.shuffle(part[last])
        elif change == 2 and isinstance(part[last], list):
            part[last] = part[last][: chosen.randrange(len(part[last]) + 1)] * chosen.choice((1, 2))
        elif change == 3 and isinstance(part, list):
            part.insert(last, chosen.choice(ODD))
        elif isinstance(part[last], int | float) and change == 4:
            part[last] = part[last] * chosen.choice((-1, 0, 100, 0.001, 1e300))
        else:
            part[last] = chosen.choice(ODD)
        if not isinstance(document.get("chart"), dict):  # nothing of it is left
            break
    return document


def naive_bars(body: bytes) -> dict[str, list[tuple[float, ...]]]:
    """By day of the answer's own time zone, the five numbers of each of its rows; 0 and None are unknown volumes."""
    result = json.loads(body)["chart"]["result"][0]
    zone, quote = result["meta"]["exchangeTimezoneName"], result["indicators"]["quote"][0]
    found: dict[str, list[tuple[float, ...]]] = {}
    for place, second in enumerate(result["timestamp"]):
        try:
            local = ZoneInfo(zone if isinstance(zone, str) else "UTC")
            instant = datetime.fromisoformat(second).replace(tzinfo=UTC) if isinstance(second, str) else None
            day = str((instant or datetime.fromtimestamp(second, UTC)).astimezone(local).date())
            row = [_number(quote[name], place) for name in NUMBERS]
        except (ValueError, OverflowError, TypeError, IndexError, KeyError):  # no day, or no number
            continue
        found.setdefault(day, []).append((*row[:4], np.trunc(row[4]) or np.nan))  # yfinance makes whole numbers of them
    return found


def _number(column: Any, place: int) -> float:
    """A number of a list; one that stands in place of the list is that of every row, as pandas reads it."""
    value = column[place] if isinstance(column, list) else column
    return np.nan if value is None else float(value)


def accepted(source: Yahoo) -> pd.DataFrame:
    """The bars of the answer that no rule rejects."""
    return check_bars(source.fetch("SBUX", FIRST, LAST), exchange="XNYS", known=None)[0]


@counts(40, 5_000)
def test_a_damaged_chart_gives_its_numbers_or_one_paragraph(
    cases: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandIn(BARS, ACTIONS) as stand_in:
        sound = stand_in.chart("SBUX", 0, 2**40, None)
    source = Yahoo(tmp_path, timeout_s=15.0)
    with canned(monkeypatch) as session:
        for place in range(cases):
            chosen = random.Random(place)
            body = json.dumps(sound).encode()
            session.body = damaged(body, chosen) if place % 3 == 0 else json.dumps(altered(sound, chosen)).encode()
            with case(place, session.body):
                answer = ended(lambda: accepted(source))
                if isinstance(answer, ForecastingError):
                    assert isinstance(answer, SourceError)
                    continue
                naive = naive_bars(session.body)
                for day, row in zip(answer.index, answer[list(NUMBERS)].to_numpy(), strict=True):
                    assert any(np.array_equal(row, one, equal_nan=True) for one in naive.get(str(day.date()), [])), day
