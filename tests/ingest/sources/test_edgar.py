"""EDGAR's lists of filings against a server on loopback that answers in their shapes."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest

from forecasting.ingest.sources import edgar as edgar_module
from forecasting.ingest.sources.edgar import Edgar
from tests.flows.sinks import http_source

COMPANIES = {
    "0": {"cik_str": 21344, "ticker": "KO", "title": "COCA COLA CO"},
    "1": {"cik_str": 829224, "ticker": "SBUX", "title": "STARBUCKS CORP"},
    "2": {"cik_str": 1163302, "ticker": "X", "title": "UNITED STATES STEEL CORP"},
}


def filings(*rows: tuple[str, str, str, str]) -> dict[str, list[Any]]:
    """Columns as EDGAR has them, newest first, of form, items, filingDate and acceptanceDateTime."""
    columns = list(zip(*rows, strict=True)) or [()] * 4
    named = zip(("form", "items", "filingDate", "acceptanceDateTime"), map(list, columns), strict=True)
    return {"accessionNumber": ["0000000000-24-1"] * len(rows), **dict(named), "isXBRL": [1] * len(rows)}


IN_UTC = filings(
    ("8-K", "2.02,9.01", "2024-07-30", "2024-07-30T20:05:12.000Z"),  # 16:05 in New York
    ("4", "", "2024-05-03", "2024-05-03T01:10:00.000Z"),  # 21:10 the evening before
    ("8-K/A", "2.02", "2024-05-02", "2024-05-02T20:10:00.000Z"),
    ("8-K", "5.02", "2024-05-01", "2024-05-01T20:10:00.000Z"),
    ("8-K", "2.02,9.01", "2024-04-30", "2024-04-30T11:00:00.000Z"),
    ("8-K", "7.01,2.02", "2024-01-31", "2024-01-30T23:01:00.000Z"),  # 18:01: filed on the next day
    ("8-K", "2.02", "2023-10-24", "2023-10-24T15:00:00.000Z"),  # while the market is open
)
IN_NEW_YORKS_TIME = filings(
    ("8-K", "2.02,9.01", "2024-07-30", "2024-07-30T16:21:59.000Z"),
    ("10-Q", "", "2024-05-03", "2024-05-03T07:30:32.000Z"),  # as UTC: 03:30, when EDGAR is closed
    ("8-K", "2.02", "2024-04-30", "2024-04-30T07:00:00.000Z"),
)
OF_EITHER_TIME = filings(("8-K", "2.02,9.01", "2024-07-30", "2024-07-30T16:21:59.000Z"))


class Server:
    """What EDGAR responds, by path, and the requests that it has had, with their agents."""

    def __init__(self, lists: dict[str, Any]) -> None:
        numbers = {company["ticker"]: company["cik_str"] for company in COMPANIES.values()}
        self.answers: dict[str, Any] = {"/files/company_tickers.json": COMPANIES}
        self.answers |= {f"/submissions/CIK{numbers[symbol]:010}.json": answer for symbol, answer in lists.items()}
        self.requests: list[tuple[str, str]] = []

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        self.requests.append((path, headers["User-Agent"]))
        found = self.answers.get(path)
        return 404 if found is None else 200, found if isinstance(found, bytes) else json.dumps(found).encode()


@contextmanager
def serving(**lists: dict[str, Any]) -> Iterator[tuple[Server, Edgar]]:
    """EDGAR with the lists of some companies, by symbol."""
    server = Server(lists)
    with http_source(server.answer) as address:
        yield server, Edgar("Jo Doe jo@example.com", files=f"{address}/files", submissions=f"{address}/submissions")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edgar_module, "PAUSE_S", 0.0)


def listed(recent: dict[str, list[Any]], *older: dict[str, Any]) -> dict[str, Any]:
    return {"cik": "829224", "tickers": ["SBUX"], "filings": {"recent": recent, "files": list(older)}}


def dates(edgar: Edgar, symbol: str = "SBUX", first: date = date(2023, 1, 1)) -> list[tuple[str, str]]:
    found = edgar.earnings_dates(symbol, first=first)
    return [(f"{day:%Y-%m-%d}", timing) for day, timing in found.itertuples(index=False)]


@pytest.mark.parametrize(
    ("recent", "expected"),
    [
        (IN_UTC, [("2023-10-24", ""), ("2024-01-30", "amc"), ("2024-04-30", "bmo"), ("2024-07-30", "amc")]),
        (IN_NEW_YORKS_TIME, [("2024-04-30", "bmo"), ("2024-07-30", "amc")]),
        (OF_EITHER_TIME, [("2024-07-30", "")]),
        (filings(), []),
    ],
)
def test_results_have_the_day_and_hour_of_their_acceptance_in_new_york(recent, expected):
    with serving(SBUX=listed(recent)) as (server, edgar):
        assert dates(edgar) == expected
        assert dates(edgar, first=date(2024, 5, 1)) == [day for day in expected if day[0] >= "2024-05"]
    paths = [path for path, _ in server.requests]
    assert paths == ["/files/company_tickers.json", *["/submissions/CIK0000829224.json"] * 2]
    assert {agent for _, agent in server.requests} == {"forecasting Jo Doe jo@example.com"}


def test_older_lists_are_requested_only_for_days_that_the_newest_one_lacks() -> None:
    older = {"name": "CIK0000829224-submissions-001.json", "filingFrom": "2001-01-02", "filingTo": "2023-10-20"}
    with serving(SBUX=listed(IN_UTC, older)) as (server, edgar):
        server.answers["/submissions/CIK0000829224-submissions-001.json"] = filings(
            ("8-K", "2.02", "2023-05-02", "2023-05-02T20:05:00.000Z"),
            ("8-K", "12", "2003-05-02", "2003-05-02T20:05:00.000Z"),
        )
        assert dates(edgar, first=date(2023, 10, 24))[0] == ("2023-10-24", "")
        assert len(server.requests) == 2
        assert dates(edgar)[0] == ("2023-05-02", "amc")
        requests = len(server.requests)
        assert dates(edgar, "SPY") == dates(edgar, "^GSPC") == []  # of no company: not requested
        assert len(server.requests) == requests


@pytest.mark.parametrize("fault", [None, b"<html>", {}, {"filings": {"recent": {}, "files": []}}])
def test_a_failure_is_a_line_of_the_log_and_ends_the_requests_of_the_night(fault, caplog):
    with serving(SBUX=listed(IN_UTC)) as (server, edgar), caplog.at_level(logging.WARNING):
        server.answers["/submissions/CIK0000829224.json"] = fault
        assert dates(edgar) == []
        asked = len(server.requests)
        assert dates(edgar, "KO") == dates(edgar) == []
        assert len(server.requests) == asked
    assert caplog.text.count("no filings of SBUX from EDGAR") == 1
