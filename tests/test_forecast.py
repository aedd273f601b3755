"""`fc.forecast`: forecasts of a frame of bars, without a ledger."""

import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import forecasting as fc
from forecasting.audit import run_backtest
from forecasting.errors import BadDataError, HistoryError, UsageError
from forecasting.sessions import next_sessions
from forecasting.store import migrate
from tests.builders import LAST, random_bars, set_small_fits

BARS = random_bars(days=650, seed=3, last=LAST)
OTHER = random_bars(days=650, seed=4, last=LAST)
AHEAD = BARS.tail(1).shift(1, "D")  # of a Saturday
INDEX = random_bars(days=700, seed=9, last=LAST).assign(volume=float("nan"))
BY_TICKER = pd.concat({"TEST": BARS, "^VIX": INDEX}, axis=1, sort=True)
DOWNLOADED = BY_TICKER.rename(columns=str.title, level=1)  # by yfinance


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """One network of few sessions, in a working folder that stays empty."""
    set_small_fits(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stored(tmp_path):
    """An empty ledger, with BARS in bars.parquet."""
    migrate.upgrade(f"sqlite:///{tmp_path / 'forecasting-data' / 'forecasting.db'}")
    BARS.rename_axis("date").reset_index().to_parquet(tmp_path / "bars.parquet")
    return fc.connect()


@pytest.mark.filterwarnings("ignore:TEST. :UserWarning")  # what the run notes
def test_the_numbers_are_those_of_a_night_of_these_bars_and_no_file_stays(
    stored, tmp_path, monkeypatch
):
    before = sorted(tmp_path.rglob("*"))
    found = fc.forecast(BARS, symbol="TEST", h=np.int64(3))
    assert sorted(tmp_path.rglob("*")) == before
    assert found.quantiles["target_session"].dt.date.tolist() == next_sessions(LAST, 3)
    first = stored.run_night("TEST", source="parquet:bars.parquet")
    pairs = {
        "quantiles": stored.latest(["TEST"]).query("horizon <= 3"),
        "totals": stored.totals("TEST").query("horizon <= 3"),
        "why": stored.why("TEST", origin=LAST).query("horizon <= 3"),
    }
    for name, of_night in pairs.items():
        columns = [one for one in getattr(found, name) if one not in ("model_id", "reason")]
        pd.testing.assert_frame_equal(getattr(found, name)[columns], of_night[columns])
    three = found.paths(4096).sum(axis=1).quantile([0.1, 0.5, 0.9]).to_numpy()
    of_three = found.totals[["q10", "q50", "q90"]].to_numpy(dtype=float)[-1]
    np.testing.assert_allclose(three, of_three, rtol=1e-4)
    assert stored.paths("TEST", 7).shape == (7, 5)
    with pytest.raises(UsageError, match="paths 5000"):
        found.paths(5000)
    product = found.why.groupby("horizon")["factor"].prod()
    assert product.to_numpy() == pytest.approx(found.quantiles["q50"].to_numpy(), rel=1e-9)
    again = fc.connect().run_night("TEST", source="parquet:bars.parquet", mode="scratch")
    pd.testing.assert_frame_equal(again, first)
    (tmp_path / "bars.parquet").rename(tmp_path / "others.parquet")
    with pytest.raises(UsageError, match="sources are not mixed by accident"):
        fc.connect().run_night("TEST", source="parquet:others.parquet")


def test_a_forecast_is_shown_as_text_and_as_html():
    found = fc.forecast(BARS, symbol="TEST", h=3)
    ranges = replace(found, quantiles=found.quantiles.assign(target="range"))
    texts = (repr(ranges), ranges._repr_html_(), repr(found))
    assert ["0.015 is 1.5%" in text for text in texts] == [True, True, False]
    assert f"{found.quantiles['q50'][0]:,.0f}" in repr(found)


@pytest.mark.filterwarnings("ignore:TEST. :UserWarning")  # it is young
def test_a_plot_has_the_medians_the_intervals_and_the_newest_sessions(monkeypatch):
    found = fc.forecast(BARS.tail(70), symbol="TEST", h=3)
    ax = found.plot(ax=Figure().subplots())
    median, actual = ax.get_lines()
    np.testing.assert_array_equal(median.get_ydata(), found.quantiles["q50"])
    np.testing.assert_array_equal(actual.get_ydata(), BARS["volume"].tail(40))
    ends = [band.get_paths()[0].get_extents().y1 for band in ax.collections]
    assert ends == found.quantiles[["q95", "q90"]].max().tolist()
    assert (ax.get_title(), ax.get_ylabel()) == ("TEST volume", "M shares")
    assert ax.yaxis.get_major_formatter()(2e6) == "2.00"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'forecasting\[plot\]'"):
        found.plot()


@pytest.mark.slow
def test_a_market_symbol_among_the_tickers_of_yfinance_is_an_input_alone_in_threads_too():
    at = pd.DatetimeIndex(["2024-01-30 16:05"], tz="America/New_York", name="Earnings Date")
    listed = pd.DataFrame({"EPS Estimate": [0.9]}, at)
    events = pd.DataFrame({"announced": ["2024-01-30"], "timing": ["amc"]})
    calls = [
        {"frame": DOWNLOADED.swaplevel(axis=1), "market": "^VIX", "events": listed},
        {"frame": BARS, "symbol": "TEST", "market": INDEX["close"], "events": events},
        {"frame": DOWNLOADED, "symbol": "TEST", "market": "^VIX", "events": at},
    ]
    with ThreadPoolExecutor(2) as threads:
        first, *others = threads.map(lambda given: fc.forecast(**given).quantiles, calls)
    for other in others:
        pd.testing.assert_frame_equal(first, other)


def test_several_series_in_long_form_come_back_in_long_form_without_one_that_is_too_short():
    bars = [random_bars(days=650, seed=4, exchange=name) for name in ("XNYS", "XLON")]
    names = {"MSFT": bars[0].tail(50), "AAPL": bars[0], "VOD.L": bars[1]}
    frame = pd.concat(names, names=["unique_id", "ds"]).rename(columns={"volume": "y"})
    frame = frame.astype({"y": object}).reset_index("ds")
    events = pd.DataFrame({"announced": ["2024-01-30"], "timing": ["amc"], "symbol": ["AAPL"]})
    market = random_bars(days=700, seed=9)["close"].to_frame("^VIX")
    with pytest.warns(UserWarning, match=r"1 of 3 failed\. MSFT: Expected at least .*; found 50"):
        found = fc.forecast(frame, market=market, events=events)
    assert found.long["unique_id"].value_counts().to_dict() == {"AAPL": 5, "VOD.L": 5}
    assert (found.long["ds"] > found.long["cutoff"]).all()
    assert found.long["published-lo-80"].tolist() == found.quantiles["q10"].tolist()
    shown = re.findall(r"<td>(AAPL|VOD\.L)<", found._repr_html_())
    assert list(dict.fromkeys(shown)) == ["AAPL", "VOD.L"]
    for symbol in ("SBUX", None):
        with pytest.raises(UsageError, match=rf"AAPL, VOD\.L, found {symbol!r}"):
            found.plot(symbol)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"h": 6}, r"1 to 5 sessions ahead\. The models"),
        ({"target": "volumes"}, "volume or range"),
        ({"symbol": "sb x"}, "sb x"),
        ({"symbol": ["A", "B"]}, r"\['A', 'B'\]: expected one"),
        ({"frame": BARS.reset_index(drop=True)}, "lacks date"),
        ({"frame": BARS.assign(symbol="SBUX"), "symbol": "MSFT"}, "of MSFT, found no row"),
        ({"frame": BARS["volume"]}, "found Series"),
        ({"frame": BARS.assign(Ticker="A", symbol="A")}, "two columns for symbol"),
        ({"market": BARS[["open", "high"]]}, r"^market lacks close; .*and case\.$"),
        ({"events": BARS.tail()}, r"^the frame of events lacks announced, timing; .* Expected ann"),
        (
            {"events": pd.DataFrame({"announced": [LAST], "symbol": "TSLA"})},
            "dates of SERIES, found none",
        ),
        ({"frame": BARS.shift(16, "h")}, r"\.dt\.tz_localize.*normalize.* found '.* 16:00:00'"),
        ({"market": [13.1, 14.2]}, r"Expected as market a frame .* found \[13\.1, 14\.2\]"),
        ({"market": "^VIX"}, r"or a symbol of the bars; found '\^VIX'"),
    ],
)
def test_a_wrong_argument_is_raised_and_not_printed_too(given, words, monkeypatch, capfd):
    check_refusal(given, UsageError, words, monkeypatch, capfd)


@pytest.mark.parametrize(
    ("frame", "error", "words"),
    [
        (
            BARS.assign(open=-1.0),
            BadDataError,
            r"2024-03-08 yet; parquet:the frame of bars has no usable bar .*kept out.*its newest rows",
        ),
        (BARS.tail(65), HistoryError, "at least 66 sessions .*; found 65"),
        (BARS.assign(volume=float("nan")), HistoryError, "choose target range"),
    ],
)
def test_bars_that_cannot_be_forecast_are_raised_and_not_printed_too(
    frame, error, words, monkeypatch, capfd
):
    check_refusal({"frame": frame}, error, words, monkeypatch, capfd)


def check_refusal(given, error, words, monkeypatch, capfd):
    """As in a notebook, where Python itself prints warnings; the words are not those of a file."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with pytest.raises(error, match=words) as raised:
        fc.forecast(**{"frame": BARS} | given)
    assert not re.search(r"/|\.frame|--|the file|again later", str(raised.value))
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:TEST. :UserWarning")  # what the run notes
def test_a_ledger_takes_lists_and_texts_of_days_and_refuses_what_it_has_nothing_of(
    stored, monkeypatch
):
    stored.run_night("TEST", source="parquet:bars.parquet", as_of=str(LAST), mode="skip")
    for call in (stored.latest, stored.why, stored.bars):
        assert len(call()) == len(call("TEST")) == len(call(pd.Index(["TEST"]))) > 0
    assert len(stored.bars("TEST", as_of="2024-03-08")) == len(stored.bars("TEST"))
    assert len(stored.why("TEST", origin=LAST)) > 0
    refused = [
        (lambda: stored.history(["TEST", "SBUX"]), r"nights of volume \(TEST\), found SBUX"),
        (lambda: stored.latest("TEST", target="range"), r"of range \(none\), found TEST"),
        (lambda: stored.why("TEST", origin="2024-03-07"), "forecasts of TEST, found 2024-03-07"),
    ]
    for call, words in refused:
        with pytest.raises(UsageError, match=words):
            call()
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX")
    for call in (fc.connect().latest, fc.connect().history, fc.connect().bars):
        with pytest.raises(UsageError, match=r" \(TEST\), found SBUX\. That is FORECASTING_SYMBOL"):
            call()
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,TEST")
    assert len(fc.connect().latest()) == 5


LONG = BARS.rename_axis("ds").reset_index().rename(columns={"volume": "y"})
SPAN = ("2024-02-12", "2024-02-20")


@pytest.fixture(scope="module")
def tested():
    """The backtest of a frame of two series of the same bars."""
    panel = pd.concat([LONG.assign(unique_id="TEST"), LONG.assign(unique_id="KO")])
    with pytest.MonkeyPatch.context() as patch:
        set_small_fits(patch.setattr)
        patch.setattr(run_backtest, "cpu_count", lambda: 1)  # where the fits are small
        yield fc.backtest(
            panel, *SPAN, market=INDEX["close"], events=["2024-01-30"], refit_every=30
        )


def of_series(tested, symbol):
    """What a backtest has of one series alone."""
    frames = (tested.forecasts, tested.figures, tested.comparison)
    return fc.Backtest(*(rows[rows["symbol"] == symbol].reset_index(drop=True) for rows in frames))


@pytest.mark.slow
@pytest.mark.parametrize("has_files", [False, True])
def test_a_backtest_of_a_frame_is_that_of_its_file(tested, stored, has_files):
    inputs = {"market": INDEX["close"], "events": ["2024-01-30"]}
    if has_files:
        INDEX[["close"]].rename_axis("date").to_csv("vix.csv")
        pd.DataFrame({"announced": ["2024-01-30"], "timing": [""]}).to_csv("dates.csv", index=False)
        inputs = {"market": "vix.csv", "events": "csv:dates.csv"}
    source = "bars.parquet"
    found = stored.backtest("TEST", *SPAN, source=source, refit_every=30, **inputs)
    pd.testing.assert_frame_equal(found.forecasts, of_series(tested, "TEST").forecasts)


def test_a_backtest_comes_back_in_long_form(tested):
    one = of_series(tested, "TEST")
    columns = ["target_session", "origin_session", "actual", "q10"]
    rows = one.forecasts.query("model == 'lstm'").sort_values(columns[:2])
    assert one.long["unique_id"].unique().tolist() == ["TEST"]
    long = one.long[["ds", "cutoff", "y", "LSTM-lo-80"]]
    assert long.to_numpy().tolist() == rows[columns].to_numpy().tolist()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda both: both.plot(5), UsageError, "TEST, KO, found None"),
        (lambda both: both.plot(6), UsageError, "horizon 6: expected 1 to 5"),
        (lambda _: fc.backtest(None, *SPAN), UsageError, "bars, found NoneType"),
        (
            lambda _: fc.backtest(BARS, *SPAN, refit_every=0),
            UsageError,
            "refit_every 0: expected a",
        ),
        (lambda _: fc.backtest(BARS[:100], *SPAN, symbol="KO"), HistoryError, "436 sessions of KO"),
    ],
)
def test_a_backtest_that_cannot_be_made_or_drawn_is_refused(call, error, words, tested):
    with pytest.raises(error, match=words):
        call(tested)
