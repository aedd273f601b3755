"""Orders: chances and shares against the quantiles they come from, and what is refused."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import forecasting as fc
from flows import cli
from flows.console import printed
from forecasting.errors import StoreError, SymbolsFailedError, UsageError
from forecasting.predict.totals import total_quantiles
from forecasting.publish.orders import (
    Order,
    book_parts,
    order_frame,
    order_of,
    order_parts,
    pace_of,
    plan_orders,
    planned_order,
    read_orders,
)
from forecasting.publish.runs import run_missed
from forecasting.report.units import full_day
from forecasting.settings import read_settings
from forecasting.vocabulary import QUANTILE_COLUMNS, QUANTILES
from tests.builders import LAST, random_bars, write_yahoo_csv
from tests.nights import after, newest_reports
from tests.report.nights import report_data, total

NIGHT = report_data()
QUANTILES_OF = total_quantiles(NIGHT.rows[list(QUANTILE_COLUMNS)].to_numpy(dtype=float))
TOTALS = [
    total(place + 1, **dict(zip(QUANTILE_COLUMNS, QUANTILES_OF[place], strict=True)))
    for place in range(1, 5)
]
NIGHT = replace(NIGHT, totals=TOTALS)
FIRST = NIGHT.rows[list(QUANTILE_COLUMNS)].to_numpy(dtype=float)[0]


LONG = [
    total(length, **{name: times * getattr(TOTALS[-1], name) for name in QUANTILE_COLUMNS})
    for length, times in ((10, 2.0), (20, 3.5))
]
MONTH = replace(NIGHT, totals=[*TOTALS, *LONG])


def ordered(shares, *, night=NIGHT, participation=0.1, chance=0.9, by=None):
    return planned_order(night, order_of(shares), pace_of(participation, chance, by))


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("level", range(7))
def test_an_order_of_a_quantile_is_done_with_the_chance_beyond_its_level(at, level):
    total = QUANTILES_OF[at] if at else FIRST
    order = ordered(0.2 * total[level], participation="20%")
    session = order.sessions[at]
    assert session.done_chance == pytest.approx(1.0 - QUANTILES[level], abs=1e-9)
    chances = [one.done_chance for one in order.sessions]
    assert chances == sorted(chances)
    assert [one.is_extrapolated for one in order.sessions] == [
        not 0.05 - 1e-9 <= chance <= 0.95 + 1e-9 for chance in chances
    ]


def test_what_a_session_takes_gives_the_chance_asked_for():
    day = NIGHT.week[2].session
    order = ordered(3e6, chance="75%", by=day)
    assert order.by == order.sessions[2]
    assert order.by.takes == pytest.approx(3e6 / QUANTILES_OF[2][QUANTILES.index(0.25)])
    faster = ordered(3e6, participation=order.by.takes, chance=0.75)
    assert faster.sessions[2].done_chance == pytest.approx(0.75, abs=1e-9)
    assert faster.done_by in (day, NIGHT.week[3].session)  # the chance but for rounding
    traded = {name: 0.1 * NIGHT.rows[name][4] for name in ("q10", "q50", "q90")}
    assert order.sessions[4].traded == pytest.approx(traded)


def test_an_order_of_twelve_sessions_is_done_between_the_totals_of_ten_and_twenty():
    """With 90%, of which the 10% quantile decides, linear from that of ten to that of twenty."""
    by_twelve = LONG[0].q10 + 0.2 * (LONG[1].q10 - LONG[0].q10)
    order = ordered(0.1 * by_twelve, night=MONTH, by=date(2024, 3, 26))
    assert len(order.sessions) == 20
    assert order.sessions[-1].session == date(2024, 4, 8)  # Good Friday is no session
    assert order.by == order.sessions[11]
    assert order.by.done_chance == pytest.approx(0.9, abs=1e-9)
    assert order.by.takes == pytest.approx(0.1)
    assert order.sessions[4] == ordered(0.1 * by_twelve).sessions[4]
    assert order_frame(order)["traded_q50"].isna().tolist() == [False] * 5 + [True] * 15
    done = ordered(0.099999 * by_twelve, night=MONTH)
    assert done.done_by == date(2024, 3, 26)
    _, (_, rows), *_ = order_parts([done])
    assert [row[0] for row in rows][-2:] == ["Mon 25 Mar 2024", "Tue 26 Mar 2024"]
    _, (columns, (of_month, of_week)), *_ = book_parts([done, ordered(1e6)])
    assert columns[3:10] == ["1", "2", "3", "4", "5", "10", "20"]
    assert of_month[9] == "> 99%*"
    assert of_week[8:10] == ["", ""]
    late = ordered(0.1 * 1.2 * LONG[1].q10, night=MONTH)
    assert (late.done_by, late.sessions_needed) == (None, pytest.approx(24.0))
    _, (_, rows), *_ = order_parts([late])
    assert len(rows) == 20


@pytest.mark.parametrize("chance", [0.05, 0.5, 0.9, 0.975, 0.99])
def test_more_than_five_sessions_are_needed_exactly_when_it_is_not_done_within_five(chance):
    for shares in np.geomspace(2e6, 5e6, 40):
        order = ordered(shares, chance=chance)
        assert (order.sessions_needed > 5.0) == (order.done_by is None)
        if order.done_by is None:
            shown = printed(order_parts([order]), width=None)
            assert float(shown.partition("takes about ")[2][:3]) > 5.0


def test_an_order_above_the_whole_volume_of_a_session_is_not_done_within_it():
    order = ordered(4.0 * NIGHT.rows["q05"][0], by=NIGHT.week[0].session)
    assert order.by.takes > 1.0
    title, (_, rows), *_ = order_parts([order])
    assert rows[0][-1] == "not within this session"
    assert "more than the whole volume" in title
    assert f"{100 * order.by.takes:.1f}%" not in title


@pytest.mark.parametrize(
    ("shares", "participation", "chance", "by", "problem"),
    [
        (-3.0, 0.1, 0.9, None, "shares '-3.0': expected a number above 0"),
        (np.nan, 0.1, 0.9, None, "shares 'nan'"),
        ("many", 0.1, 0.9, None, "shares 'many': expected a number"),
        (
            1e6,
            "120%",
            0.9,
            None,
            "participation '120%': expected a number above 0 and up to 1, like 10% or 0.1.",
        ),
        (1e6, 0, 0.9, None, "participation '0'"),
        (
            1e6,
            "100%",
            0.999,
            None,
            "chance '0.999': expected a number above 0 and up to 0.99, like 90% or 0.9.",
        ),
        (1e6, 0.1, 0.9, date(2024, 3, 10), "by 2024-03-10: .* forecast: 2024-03-11, 2024-03-12"),
    ],
)
def test_wrong_input_gets_its_sentence(shares, participation, chance, by, problem):
    with pytest.raises(UsageError, match=problem):
        ordered(shares, participation=participation, chance=chance, by=by)


def test_a_night_without_totals_names_what_to_do():
    with pytest.raises(StoreError, match=r"of 20.*found none"):
        ordered(1e6, night=report_data())


def test_a_book_of_purchases_and_sales_counts_all_that_trades(tmp_path):
    path = tmp_path / "book.csv"
    path.write_text('ticker,side,qty\nsbux,buy,"1,000,000"\nSBUX,sell,500\nMSFT,,"-2,000.5"\n')
    book = read_orders(str(path))
    assert book == {"MSFT": Order(2000.5), "SBUX": Order(1_000_500.0, lines=2)}
    pace = pace_of(0.1, 0.9)
    orders = [
        replace(planned_order(NIGHT, order, pace), symbol=name) for name, order in book.items()
    ]
    shown = printed(book_parts(orders), width=None)
    assert any("SBUX" in line and "netted" in line for line in shown.splitlines())
    assert "netted" not in printed(book_parts(orders[:1]), width=None)


def test_a_limit_of_a_symbol_is_the_lowest_of_its_lines_and_caps_its_participation(tmp_path):
    path = tmp_path / "book.csv"
    path.write_text("symbol,shares,max\nSBUX,2e5,8%\nSBUX,1e5,0.05\nMSFT,1e5,\nKO,1e5,30%\n")
    book = read_orders(str(path))
    assert {symbol: order.limit for symbol, order in book.items()} == {
        "KO": 0.3,
        "MSFT": 1.0,
        "SBUX": 0.05,
    }
    capped = planned_order(NIGHT, book["SBUX"], pace_of("10%", 0.9))
    assert capped.sessions == ordered(3e5, participation=0.05).sessions
    assert planned_order(NIGHT, book["KO"], pace_of("10%", 0.9)).participation == 0.1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("symbol,shares\n", "Expected a line for each order .* found only a header"),
        ("symbol,shares\nKO,1\nSBUX,abc\n", "line 3: .* number of shares, not 0; found 'abc'"),
        ("symbol,shares\nKO,0\n", "line 2: .* number of shares, not 0; found '0'"),
        ('symbol,shares\nKO,"1,5"\n', "line 2: .* number of shares, not 0; found '1,5'"),
        ("symbol,shares,max\nKO,1,80\n", "line 2: .* max above 0 .*; found '80'"),
        ("symbol,shares,max\nKO,1,few\n", "line 2: .* max above 0 .*; found 'few'"),
        ("symbol,shares\ns/x,1\n", "line 2: expected a symbol.*; found 'S/X'"),
    ],
)
def test_a_wrong_file_of_orders_says_what_is_expected_and_found_and_where(text, problem, tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=problem):
        read_orders(f"csv:{path}")


@pytest.mark.usefixtures("night_folder")
def test_an_order_has_the_newest_night_of_the_ledger_with_its_warnings(tmp_path):
    settings = read_settings()
    write_yahoo_csv(random_bars(days=560, seed=4, last=LAST), tmp_path / "TEST.csv")
    run_missed(settings, as_of=LAST, mode="auto", now=after(LAST))
    later = after(date(2024, 4, 2))
    plans = plan_orders(
        settings, {"TEST": order_of(1e6), "NONE": order_of(1.0)}, pace_of(0.1, 0.9), now=later
    )
    (night,) = newest_reports(settings)
    by_hand = ordered(1e6, night=night)
    pd.testing.assert_frame_equal(order_frame(plans.values["TEST"]), order_frame(by_hand))
    assert plans.values["TEST"].is_stale
    assert "Tue 2 Apr 2024" in plans.values["TEST"].notices["Stale"]
    with pytest.raises(SymbolsFailedError, match="Expected a forecast of NONE volume"):
        plans.raise_failed()
    found = fc.order("TEST", np.int64(1_000_000), now=later)
    sessions = plans.values["TEST"].sessions
    assert found["takes"].tolist() == [one.takes for one in sessions]
    traded = [one.traded["q90"] for one in sessions]
    np.testing.assert_array_equal(found["traded_q90"], traded)
    assert found["target_session"].dt.date.tolist() == [one.session for one in sessions]
    assert found["is_stale"].all()
    assert dict(found.dtypes.astype(str))["done_by"] == "datetime64[ns]"
    by = plan_orders(
        settings, {"TEST": order_of(1e6)}, pace_of(0.1, 0.9, date(2024, 4, 9)), now=later
    )
    with pytest.raises(UsageError, match="by 2024-04-09: expected a session that is forecast"):
        by.raise_failed()
    with pytest.raises(UsageError, match="shares '-1'"):
        fc.order("TEST", -1, now=later)
    with pytest.raises(UsageError, match="Invalid symbol"):
        fc.order(["TEST"], 1e6, now=later)
    pd.testing.assert_frame_equal(fc.order("test", 1e6, now=later), found)
    book = tmp_path / "book.csv"
    book.write_text("symbol,shares\nTEST,1e6\n")
    words = ["order", "--orders", f"csv:{book}", "--by", f"{night.week[1].session}"]
    shown = CliRunner().invoke(cli.app, words).stdout
    assert shown.startswith("1 order at 10% of the volume")
    assert f"To be done by {full_day(night.week[1].session)} with a chance of 90%" in shown
