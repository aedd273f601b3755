"""Alpaca through the real alpaca-py against a local stand-in."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import alpaca.common.rest
import pandas as pd
import pytest
from pydantic import SecretStr

from forecasting.errors import BadDataError, RateLimitedError, SourceError, UnavailableError, UsageError
from forecasting.ingest.bars import check_bars
from forecasting.ingest.sources import Fetched, ManySource
from forecasting.ingest.sources.alpaca import Alpaca
from forecasting.ingest.sources.choose import is_live, source_of
from tests.alpaca_stand_in import KEY, KEYS, SECRET, AlpacaStandIn, alpaca_stand_in
from tests.builders import LAST, random_bars

BARS = random_bars(40, seed=1, last=LAST)
FIRST = BARS.index[0].date()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[AlpacaStandIn]:
    """The stand-in with bars of SBUX and BRK.B; alpaca-py repeats a refused request at once, not after 3 s."""
    monkeypatch.setattr(alpaca.common.rest, "DEFAULT_RETRY_WAIT_SECONDS", 0)
    with alpaca_stand_in() as running:
        running.put("SBUX", BARS)
        running.put("BRK.B", random_bars(40, seed=2, last=LAST))
        yield running


@pytest.fixture
def source(stand_in: AlpacaStandIn) -> Alpaca:
    return Alpaca(SecretStr(KEYS), url=stand_in.url)


def bars_of(found: Fetched | SourceError) -> pd.DataFrame:
    assert isinstance(found, Fetched)
    return found.bars


def test_bars_are_canonical_split_adjusted_and_of_all_exchanges(source: Alpaca, stand_in: AlpacaStandIn) -> None:
    fetched = source.fetch("SBUX", FIRST, LAST)
    pd.testing.assert_frame_equal(
        fetched.bars.drop(columns="adj_close"), BARS.drop(columns="adj_close"), check_freq=False
    )
    assert (fetched.source, fetched.currency, fetched.live, is_live(source)) == ("alpaca", "USD", True, True)
    assert fetched.library_version.startswith("alpaca-py 0.")
    assert len(check_bars(fetched, exchange="XNYS", known=None)[0]) == 40
    (request,) = stand_in.requests
    assert (request["feed"], request["adjustment"], request["timeframe"]) == ("sip", "split", "1Day")


def test_only_the_sessions_asked_for_come(source: Alpaca) -> None:
    days = bars_of(source.fetch("SBUX", date(2024, 2, 1), date(2024, 2, 6))).index
    assert [f"{day:%m-%d}" for day in days] == ["02-01", "02-02", "02-05", "02-06"]


def test_the_session_that_closed_a_moment_ago_is_within_the_free_plan(source: Alpaca, stand_in: AlpacaStandIn) -> None:
    stand_in.now = datetime(2024, 3, 8, 21, 5, tzinfo=UTC)
    assert source.fetch("SBUX", FIRST, LAST).bars.index[-1].date() == LAST


def test_many_symbols_are_one_request_and_what_is_missing_is_an_error_of_its_own(
    source: Alpaca, stand_in: AlpacaStandIn
) -> None:
    assert isinstance(source, ManySource)
    found = source.fetch_many(["SBUX", "BRK-B", "^GSPC", "VOD.L", "NONE"], FIRST, LAST)
    assert [request["symbols"] for request in stand_in.requests] == ["SBUX,BRK.B,NONE"]
    assert len(bars_of(found["BRK-B"])) == 40
    for symbol in ("^GSPC", "VOD.L", "NONE"):
        assert isinstance(found[symbol], BadDataError)
        assert f"no bar of {symbol} between {FIRST} and {LAST}" in str(found[symbol])
    with pytest.raises(BadDataError, match="no bar of NONE"):
        source.fetch("NONE", FIRST, LAST)


def test_symbols_that_alpaca_cannot_have_make_no_request(source: Alpaca, stand_in: AlpacaStandIn) -> None:
    assert isinstance(source.fetch_many(["^GSPC"], FIRST, LAST)["^GSPC"], BadDataError)
    assert stand_in.requests == []


def test_pages_are_put_together_also_where_one_ends_within_a_symbol(source: Alpaca, stand_in: AlpacaStandIn) -> None:
    whole = source.fetch_many(["SBUX", "BRK-B"], FIRST, LAST)
    stand_in.page_rows = 13
    paged = source.fetch_many(["SBUX", "BRK-B"], FIRST, LAST)
    assert len(stand_in.requests) == 1 + 7
    for symbol in ("SBUX", "BRK-B"):
        pd.testing.assert_frame_equal(bars_of(paged[symbol]), bars_of(whole[symbol]))


@pytest.mark.parametrize(
    ("status", "text", "error", "words"),
    [
        (401, '{"message": "unauthorized."}', BadDataError, "refuses these keys"),
        (403, '{"message": "forbidden."}', BadDataError, "HTTP 403.*forbidden.*Check FORECASTING_ALPACA_KEYS"),
        (403, "subscription does not permit querying recent SIP data", BadDataError, "plan.*recent SIP data"),
        (400, '{"message": "invalid symbol: X"}', BadDataError, "invalid symbol: X.*Check the symbols"),
        (429, "too many requests.", RateLimitedError, "refuses requests for now .HTTP 429: too many"),
        (500, "", UnavailableError, "HTTP 500: no message"),
        (504, "<html>", UnavailableError, "HTTP 504"),
        (302, "", UnavailableError, "no usable response"),
    ],
)
def test_a_refusal_is_one_of_the_three_errors_with_alpacas_words(
    source: Alpaca, stand_in: AlpacaStandIn, status: int, text: str, error: type[SourceError], words: str
) -> None:
    stand_in.refusals = [(status, text)] * 10
    with pytest.raises(error, match=words) as raised:
        source.fetch("SBUX", FIRST, LAST)
    assert type(raised.value) is error
    assert SECRET not in str(raised.value)


def test_too_many_requests_once_is_overcome_within_the_attempt(source: Alpaca, stand_in: AlpacaStandIn) -> None:
    stand_in.refusals = [(429, "too many requests.")]
    assert len(source.fetch("SBUX", FIRST, LAST).bars) == 40
    assert len(stand_in.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"null",
        b"[]",
        b'{"bars": null}',
        b'{"bars": {"SBUX": null}}',
        b'{"bars": {"SBUX": {"t": 1}}}',
        b'{"bars": {"SBUX": [1, 2]}}',
        b'{"bars": {"SBUX": [{"t": "yesterday", "c": 1.0}]}}',
        b'{"bars": {"SBUX": [{"t": "2024-03-08T05:00:00Z", "c": "much"}]}}',
    ],
)
def test_a_response_of_another_form_is_no_usable_one(source: Alpaca, stand_in: AlpacaStandIn, body: bytes) -> None:
    stand_in.body = body
    with pytest.raises(UnavailableError, match=r"no usable response|cannot be read"):
        source.fetch("SBUX", FIRST, LAST)


@pytest.mark.parametrize("body", [b'{"bars": {}}', b'{"bars": {"SBUX": []}}', b'{"bars": {"SBUX": [{"t": 1}]}}'])
def test_a_response_without_a_bar_of_the_span_says_so(source: Alpaca, stand_in: AlpacaStandIn, body: bytes) -> None:
    stand_in.body = body
    with pytest.raises(BadDataError, match="no bar of SBUX"):
        source.fetch("SBUX", FIRST, LAST)


def test_a_server_that_does_not_respond_ends_by_the_limit(stand_in: AlpacaStandIn) -> None:
    stand_in.silent = threading.Event()
    with pytest.raises(UnavailableError, match=r"did not respond in 0\.05 s"):
        Alpaca(SecretStr(KEYS), url=stand_in.url, timeout_s=0.05).fetch("SBUX", FIRST, LAST)
    stand_in.silent.set()


def test_a_server_that_is_off_cannot_be_reached() -> None:
    with alpaca_stand_in() as off:
        url = off.url
    with pytest.raises(UnavailableError, match="Check the network") as raised:
        Alpaca(SecretStr(KEYS), url=url).fetch("SBUX", FIRST, LAST)
    assert KEY not in str(raised.value)


def test_wrong_keys_are_refused_by_the_server_and_repeated_by_nothing(stand_in: AlpacaStandIn) -> None:
    wrong = Alpaca(SecretStr("PKWRONG:wr0ng-secret"), url=stand_in.url)
    with pytest.raises(BadDataError, match=r"refuses these keys.*unauthorized") as raised:
        wrong.fetch("SBUX", FIRST, LAST)
    assert "wr0ng" not in f"{raised.value} {wrong!r} {raised.value.__cause__!r}"


def test_without_keys_the_variables_are_named_before_anything_is_requested(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"FORECASTING_ALPACA_KEYS .*FORECASTING_ALPACA_KEYS_FILE"):
        source_of("alpaca", cache_dir=tmp_path)
    assert isinstance(source_of("alpaca", cache_dir=tmp_path, alpaca_keys=SecretStr(KEYS)), Alpaca)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alpaca.data.historical.stock", None)
    with pytest.raises(UsageError, match=r"pip install 'forecasting\[alpaca\]'"):
        Alpaca(SecretStr(KEYS))
