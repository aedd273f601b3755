"""`fc.forecast`: forecasts of a frame of bars, without a ledger."""

import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import forecasting as fc
from forecasting.errors import BadDataError, HistoryError, UsageError
from forecasting.report.units import full_day
from forecasting.sessions import next_sessions
from forecasting.store import migrate
from forecasting.vocabulary import QUANTILE_COLUMNS
from tests.builders import LAST, random_bars

BARS = random_bars(days=650, seed=3, last=LAST)
OTHER = random_bars(days=650, seed=4, last=LAST)
AHEAD = BARS.tail(1).shift(1, "D")  # of a Saturday
INDEX = random_bars(days=700, seed=9, last=LAST).assign(volume=float("nan"))
BY_TICKER = pd.concat({"TEST": BARS, "^VIX": INDEX}, axis=1, sort=True)
DOWNLOADED = BY_TICKER.rename(columns=str.title, level=1)  # by yfinance


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """One network of few sessions, in a working folder that stays empty."""
    for name, value in {"MEMBERS": "1", "TRAIN_SESSIONS": "320"}.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
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
    night = stored.latest(["TEST"])
    stated = [*QUANTILE_COLUMNS, "usual", "vs_usual", "why"]
    pd.testing.assert_frame_equal(found.quantiles[stated], night.loc[:2, stated])
    totals = stored.totals("TEST")
    pd.testing.assert_frame_equal(found.totals, totals.loc[:1, list(found.totals)])
    assert totals["horizon"].tolist() == [2, 3, 4, 5]
    product = found.why.groupby("horizon")["factor"].prod()
    assert product.to_numpy() == pytest.approx(found.quantiles["q50"].to_numpy(), rel=1e-9)
    of_night = stored.why("TEST", origin=LAST).query("horizon <= 3")
    pd.testing.assert_frame_equal(
        found.why.drop(columns="model_id"), of_night.drop(columns="model_id")
    )
    monkeypatch.setenv("FORECASTING_SEED", "1")
    again = fc.connect().run_night("TEST", source="parquet:bars.parquet", mode="scratch")
    pd.testing.assert_frame_equal(again, first)


def test_a_forecast_is_shown_as_text_and_drawn_as_far_as_it_goes(tmp_path, monkeypatch):
    found = fc.forecast(BARS, symbol="TEST", h=3)
    assert "<svg" not in repr(found)
    assert f"{found.quantiles['q50'][0]:,.0f}" in repr(found)
    close = replace(found, quantiles=found.quantiles.assign(target="close"))
    assert [found in {found}, close in [found]] == [True, False]
    assert [
        "is of the price" in text for text in (repr(close), close._repr_html_(), repr(found))
    ] == [1, 1, 0]
    found.save(tmp_path / "fan.svg")
    drawing = (tmp_path / "fan.svg").read_text()
    shown = [day in drawing for day in ("TEST, Mon 11 Mar: ", "Wed 13 Mar", "Fri 15 Mar")]
    assert shown == [True, True, False]
    with pytest.raises(UsageError, match=r"fan\.png': expected one that ends with \.svg"):
        found.save(tmp_path / "fan.png")
    ax = found.plot(ax=Figure().subplots())
    median, actual = ax.get_lines()
    np.testing.assert_array_equal(median.get_ydata(), found.quantiles["q50"])
    np.testing.assert_array_equal(actual.get_ydata(), BARS["volume"].tail(40))
    ends = [band.get_paths()[0].get_extents().y1 for band in ax.collections]
    assert ends == found.quantiles[["q95", "q90"]].max().tolist()
    assert (ax.get_title(), ax.get_ylabel()) == ("TEST volume", "M shares")
    assert ax.yaxis.get_major_formatter()(2e6) == "2.00"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'forecasting\[plot\]'.*save\(PATH\)"):
        found.plot()


@pytest.mark.filterwarnings("ignore:TEST. :UserWarning")  # it is young
def test_volumes_alone_are_forecast_and_drawn_on_axes_of_their_own():
    young = BARS.tail(70)
    long = pd.DataFrame({"ds": young.index, "y": young["volume"].to_numpy()})
    found = fc.forecast(long, symbol="TEST")
    expected = fc.forecast(young, symbol="TEST")
    pd.testing.assert_frame_equal(found.quantiles, expected.quantiles)
    pyplot.close("all")
    assert found.plot() is not found.plot()
    assert len(pyplot.get_fignums()) == 2
    pyplot.close("all")
    for target in ("range", "close"):
        with pytest.raises(UsageError, match="lacks open, high, low"):
            fc.forecast(long, symbol="TEST", target=target)


@pytest.mark.filterwarnings("ignore:SERIES. :UserWarning")  # it is young
def test_a_series_without_a_name_is_said_to_have_no_earnings_dates():
    young = BARS.tail(70)
    with pytest.warns(UserWarning, match='symbol="SBUX"') as told:
        fc.forecast(young)
    assert told[-1].filename == __file__
    fc.forecast(young, events=["2024-01-30"])


def test_a_late_market_series_and_a_row_after_today_are_warnings_where_the_forecast_is_called():
    with pytest.warns(UserWarning) as told:
        fc.forecast(BARS, symbol="TEST", market=BARS["close"].iloc[:-20])
        fc.forecast(pd.concat([BARS, AHEAD.shift(9999, "D")]), market=BARS["close"].iloc[-50:])
        fc.forecast(pd.concat([BARS.assign(symbol="AAPL"), OTHER[:-2].assign(symbol="KO")]))
    market, short, after_today, unnamed, early = [
        str(warning.message) for warning in told if warning.filename == __file__
    ]
    assert short.endswith("too few of its 50 closes are of the bars' sessions; it was not used.")
    assert 'name it, as symbol="SBUX"' in unnamed
    assert after_today.startswith(f"SERIES: Findings: row unreadable {full_day(LAST)}")
    assert early.startswith(f"KO: Its bars end with the session 2024-03-06, before {LAST}")
    assert "the newest is of 2024-02-08, too old to be used" in market


@pytest.mark.parametrize(
    ("sessions", "model"), [(66, "rolling_median"), (199, "rolling_median"), (435, "har")]
)
def test_a_young_series_is_forecast_by_a_baseline_with_a_warning(sessions, model):
    with pytest.warns(UserWarning, match=rf"TEST: .*{sessions} of 436 sessions .*{model}"):
        found = fc.forecast(BARS.tail(sessions), symbol="TEST")
    assert found.quantiles["model"].tolist() == [model] * 5
    assert (found.quantiles["why"] != "").all()
    assert found.quantiles["reason"].str.contains(f"^{sessions} of 436").all()


def test_a_market_symbol_among_the_tickers_of_yfinance_is_an_input_alone_in_threads_too():
    listed = pd.DataFrame(
        {"EPS Estimate": [0.9]}, pd.DatetimeIndex(["2024-01-30 16:05"], tz="America/New_York")
    )
    events = pd.DataFrame({"announced": ["2024-01-30"], "timing": ["amc"]})
    calls = [
        {
            "frame": DOWNLOADED.swaplevel(axis=1),
            "market": "^VIX",
            "events": listed.rename_axis("Earnings Date"),
        }
    ]
    calls += [{"frame": BARS, "symbol": "TEST", "market": INDEX["close"], "events": events}]
    with ThreadPoolExecutor(2) as threads:
        of_frame, expected = threads.map(lambda given: fc.forecast(**given), calls)
    pd.testing.assert_frame_equal(of_frame.quantiles, expected.quantiles)
    again = fc.forecast(DOWNLOADED, symbol="TEST", market="^VIX", events=listed.index)
    pd.testing.assert_frame_equal(again.quantiles, expected.quantiles)


def test_several_series_in_long_form_come_back_in_long_form_without_one_that_is_too_short():
    bars = [random_bars(days=650, seed=4, exchange=name) for name in ("XNYS", "XLON")]
    short = bars[0].tail(50).assign(unique_id="MSFT")
    frame = pd.concat([short, bars[0].assign(unique_id="AAPL"), bars[1].assign(unique_id="VOD.L")])
    frame = (
        frame.rename_axis("ds").reset_index().rename(columns={"volume": "y"}).astype({"y": object})
    )
    frame = frame.set_index("unique_id")
    events = pd.DataFrame({"announced": ["2024-01-30"], "timing": ["amc"], "symbol": ["AAPL"]})
    with pytest.warns(UserWarning, match=r"1 of 3 failed\. MSFT: Expected at least .*; found 50"):
        found = fc.forecast(
            frame, market=random_bars(days=700, seed=9)["close"].to_frame("^VIX"), events=events
        )
    assert found.long["unique_id"].value_counts().to_dict() == {"AAPL": 5, "VOD.L": 5}
    assert (found.long["ds"] > found.long["cutoff"]).all()
    assert found.long["published-lo-80"].tolist() == found.quantiles["q10"].tolist()
    shown = found._repr_html_()
    assert [name in shown for name in ("e+0", "q05")] == [False, False]
    # drawing, rows
    places = [shown.index(text) for text in ("AAPL, ", "<td>AAPL<", "VOD.L, ", "<td>VOD.L<")]
    assert places == sorted(places)
    for symbol in ("SBUX", None):
        with pytest.raises(UsageError, match=rf"AAPL, VOD\.L, found {symbol!r}"):
            found.plot(symbol)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"h": 6}, UsageError, r"1 to 5 sessions ahead\. The models"),
        ({"target": "volumes"}, UsageError, "volume, close or range"),
        ({"symbol": "sbux"}, UsageError, "sbux"),
        ({"symbol": ["A", "B"]}, UsageError, r"\['A', 'B'\]: expected one"),
        ({"frame": BARS.reset_index(drop=True)}, UsageError, "lacks date"),
        ({"frame": BARS.drop(columns="open")}, UsageError, "lacks open"),
        (
            {"frame": BARS.assign(symbol="SBUX"), "symbol": "MSFT"},
            UsageError,
            "of MSFT, found no row",
        ),
        ({"frame": BARS["volume"]}, UsageError, "found Series"),
        ({"frame": None}, UsageError, "found NoneType"),
        ({"frame": BARS.assign(Ticker="A", symbol="A")}, UsageError, "two columns for symbol"),
        ({"frame": BARS.assign(y=1.0)}, UsageError, "two columns for volume"),
        (
            {"frame": BARS.assign(open=-1.0)},
            BadDataError,
            r"2024-03-08 yet; the frame of bars has no usable bar .*kept out.*its newest rows",
        ),
        (
            {"frame": pd.concat([BARS[:-1], BARS[-1:] * [*[1e3] * 5, 1]])},
            BadDataError,
            "jump.*its newest rows",
        ),
        (
            {"frame": BARS.assign(volume="many")},
            UsageError,
            r"^the frame of bars row 1: expected a number for volume",
        ),
        (
            {"market": BARS[["open", "high"]]},
            UsageError,
            r"^the frame of market lacks close; .*order and case\.$",
        ),
        (
            {"events": BARS.tail()},
            UsageError,
            r"^the frame of events lacks announced, timing; .* Expected announced",
        ),
        (
            {"events": pd.DataFrame({"announced": [LAST], "symbol": "TSLA"})},
            UsageError,
            "dates of SERIES, found none",
        ),
        (
            {"events": [LAST, "soon"]},
            UsageError,
            r"row 2: expected a date like 2024-01-30, .*; found 'soon'. .* row",
        ),
        (
            {"frame": pd.concat([BARS, AHEAD])},
            BadDataError,
            "row of SERIES is of Saturday .* no session of XNYS",
        ),
        (
            {"frame": BARS.shift(16, "h")},
            UsageError,
            r"\.dt\.tz_localize.*normalize.* found '.* 16:00:00'",
        ),
        (
            {"market": [13.1, 14.2]},
            UsageError,
            r"Expected as market a frame .* found \[13\.1, 14\.2\]",
        ),
        ({"market": "^VIX"}, UsageError, r"or a symbol of the bars; found '\^VIX'"),
        ({"frame": BARS.tail(65)}, HistoryError, "at least 66 sessions .*; found 65"),
        (
            {"frame": BARS.assign(volume=BARS["volume"].shift(-1))},
            BadDataError,
            r"The bar of 2024-03-08 came without its volume.*its newest rows",
        ),
        ({"frame": BARS.assign(volume=float("nan"))}, HistoryError, "choose target range or close"),
        (
            {"frame": DOWNLOADED.tail(50), "symbol": "TEST"},
            HistoryError,
            "of TEST at 2024-03-08; found 50",
        ),
    ],
)
def test_what_cannot_be_forecast_is_raised_and_not_printed_too(
    given, error, words, monkeypatch, capfd
):
    # As in a notebook: Python itself prints warnings
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with pytest.raises(error, match=words) as raised:
        fc.forecast(**{"frame": BARS} | given)
    assert not re.search(r"/|\.frame|--|the file|again later", str(raised.value))
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:TEST. :UserWarning")  # what the run notes
def test_a_ledger_takes_lists_and_texts_of_days_and_refuses_a_symbol_that_it_has_nothing_of(
    stored, monkeypatch
):
    assert len(stored.latest()) == 0  # the ledger is empty
    with pytest.raises(UsageError, match=r"nights of volume \(none\), found SBUX"):
        stored.latest("SBUX")
    with pytest.raises(UsageError, match="found an empty list"):
        stored.latest([])
    with pytest.raises(UsageError, match=r"dates\.csv"):
        stored.run_night(
            "TEST", source="parquet:bars.parquet", market="none", events="csv:dates.csv"
        )
    stored.run_night("TEST", source="parquet:bars.parquet", as_of=str(LAST), mode="skip")
    with pytest.raises(UsageError, match="no column role"):
        fc.nixtla(stored.latest("TEST"))
    assert (
        len(stored.bars(pd.Index(["TEST"]), as_of="2024-03-08")) == len(stored.bars("TEST")) > 300
    )
    with pytest.raises(
        UsageError,
        match=r"Expected symbols of the ledger with nights of volume \(TEST\), found SBUX",
    ):
        stored.history(["TEST", "SBUX"])
    reading = (stored.latest, stored.why, stored.bars)
    assert [len(call()) for call in reading] == [len(call("TEST")) for call in reading]
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX")
    for call in (fc.connect().latest, fc.connect().history, fc.connect().bars):
        with pytest.raises(
            UsageError, match=r" \(TEST\), found SBUX\. That is FORECASTING_SYMBOLS, or its d"
        ):
            call()
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,TEST")
    assert len(fc.connect().latest()) == 5
    with pytest.raises(UsageError, match=r"with nights of close \(none\), found TEST"):
        stored.latest("TEST", target="close")
    with pytest.raises(UsageError, match=r"origin of volume forecasts of TEST, found 2024-03-07"):
        stored.why("TEST", origin="2024-03-07")
    assert len(stored.why("TEST", origin=LAST)) > 0


def test_a_backtest_of_a_frame_in_long_form_is_that_of_its_file_and_comes_back_in_long_form(
    stored,
):
    frame = (
        BARS.rename_axis("ds")
        .reset_index()
        .rename(columns={"volume": "y"})
        .assign(unique_id="TEST")
    )
    INDEX[["close"]].rename_axis("date").to_csv("vix.csv")
    pd.DataFrame({"announced": ["2024-01-30"], "timing": [""]}).to_csv("dates.csv", index=False)
    bars = "parquet:bars.parquet"
    vix = INDEX["close"]
    days = ["2024-01-30"]
    files = ("csv:vix.csv", "csv:dates.csv")
    others = (
        stored.backtest(
            "TEST",
            "2024-02-01",
            "2024-02-20",
            source=source,
            market=market,
            events=events,
            refit_every=30,
        )
        for source, market, events in ((bars, vix, days), (bars, *files))
    )
    of_frame = fc.backtest(
        frame, "2024-02-01", "2024-02-20", market=vix, events=days, refit_every=30
    )
    for other in others:
        pd.testing.assert_frame_equal(of_frame.forecasts, other.forecasts)
    panel = pd.concat([frame, frame.assign(unique_id="KO")])
    both = fc.backtest(panel, "2024-02-01", "2024-02-20", market=vix, events=days, refit_every=30)
    alone = both.forecasts.query("symbol == 'TEST'").reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, of_frame.forecasts)
    assert re.search(r"^TEST, KO volume(.|\n)* KO +5 ", repr(both))
    with pytest.raises(UsageError, match="TEST, KO, found None"):
        both.plot(5)
    with pytest.raises(fc.HistoryError, match="436 sessions of KO"):
        fc.backtest(panel[: len(frame) + 100], "2024-02-01", "2024-02-20")
    with pytest.raises(UsageError, match="bars, found NoneType"):
        fc.backtest(None, "2024-02-01", "2024-02-20")
    with pytest.raises(UsageError, match="refit_every 0: expected a number of sessions, 1 or more"):
        fc.backtest(panel, "2024-02-01", "2024-02-20", refit_every=0)
    with pytest.raises(UsageError, match="horizon 6: expected 1 to 5"):
        of_frame.plot(6)
    both.save("both.svg", 5, symbol="TEST")
    of_frame.save("alone.svg", 5)
    drawn = Path("alone.svg").read_text()
    assert drawn == Path("both.svg").read_text()
    median, actual = of_frame.plot(5, ax=Figure().subplots()).get_lines()
    rows = of_frame.forecasts.query("model == 'lstm' and horizon == 5")
    np.testing.assert_array_equal(median.get_ydata(), rows["q50"])
    np.testing.assert_array_equal(actual.get_ydata(), rows["actual"])
    assert [
        text in drawn
        for text in ("TEST volume, horizon 5", ">Thu 8 Feb 2024<", ">Tue 27 Feb 2024<")
    ] == [True] * 3
    figures = of_frame.figures
    other = figures["baseline"].mask(figures["metric"] == "reference_skill", "another")
    viewed = replace(of_frame, figures=figures.assign(baseline=other))
    views = repr(viewed), viewed._repr_html_()
    ours = of_frame.forecasts.query("model == 'lstm'").sort_values(
        ["target_session", "origin_session"]
    )
    long = of_frame.long
    assert long["unique_id"].unique().tolist() == ["TEST"]
    mae = figures.query("horizon == 5 and metric == 'mae'")["value"].item()
    words = {
        f"{mae:,.0f}": True,
        "TEST volume, origins 2024-02-01 to 2024-02-20; ": True,
        "mae_har": False,
    }
    words |= {"reference_skill": True, "another": True, "skill_vs_best": False}
    assert all((text in shown) == there for text, there in words.items() for shown in views)
    columns = ["target_session", "origin_session", "actual", "q10"]
    assert (
        long[["ds", "cutoff", "y", "LSTM-lo-80"]].to_numpy().tolist()
        == ours[columns].to_numpy().tolist()
    )
