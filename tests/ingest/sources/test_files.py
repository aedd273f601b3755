from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.actions import adjusted_close, make_actions
from forecasting.ingest.bars import check_bars
from forecasting.ingest.sources.files import Files
from tests.builders import random_bars

BARS = random_bars(60, seed=5)
MANY = random_bars(600, seed=5)
DAYS = [day.date() for day in BARS.index]
YAHOO = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]


def as_yahoo(bars):
    return bars.set_axis(YAHOO, axis=1).rename_axis("Date")


def write(folder: Path, frame, name="SBUX.csv", **options):
    path = folder / name
    frame.to_csv(path, **options)
    return path


def fetch(path, symbol="SBUX", first=DAYS[0], last=DAYS[-1], kind="csv"):
    return Files(kind, path).fetch(symbol, first, last)


def found(path, kind="csv"):
    """Session, rule and value of each finding on a file of MANY."""
    findings = check_bars(fetch(path, first=MANY.index[0].date(), kind=kind), exchange="XNYS", known=None)[1]
    return [(finding.session, finding.rule, finding.value) for finding in findings]


def assert_bars(fetched, expected=BARS):
    pd.testing.assert_frame_equal(fetched.bars, expected, check_freq=False, check_exact=True)


def test_yahoos_column_names_and_ours_give_the_same_bars(tmp_path):
    for frame in (
        as_yahoo(BARS),
        BARS,
        BARS.rename_axis("date")[["volume", "close", "adj_close", "low", "high", "open"]],
    ):
        fetched = fetch(write(tmp_path, frame))
        assert_bars(fetched)
    assert (fetched.source, fetched.title, fetched.live) == (
        "csv:SBUX.csv",
        "SBUX, daily, from the file SBUX.csv",
        True,
    )
    assert not fetch(write(tmp_path, BARS), last=DAYS[-2]).live
    assert fetched.library_version == f"pandas {pd.__version__}"


def test_parquet_gives_the_same_bars_as_csv(tmp_path):
    path = tmp_path / "bars.parquet"
    for frame in (as_yahoo(BARS), as_yahoo(BARS.tz_localize("America/New_York")), as_yahoo(BARS).reset_index()):
        frame.to_parquet(path)
        assert_bars(fetch(path, kind="parquet"))
    texts = as_yahoo(BARS).reset_index().assign(Date=lambda rows: rows["Date"].dt.strftime("%Y-%m-%d"))
    texts.to_parquet(path)
    assert_bars(fetch(path, kind="parquet"))


def test_a_yfinance_frame_saved_as_csv_is_read_with_its_actions(tmp_path):
    frame = as_yahoo(BARS.tz_localize("America/New_York")).assign(**{"Dividends": 0.0, "Stock Splits": 0.0})
    frame.iloc[10, 6], frame.iloc[20, 7] = 0.57, 2.0
    fetched = fetch(write(tmp_path, frame))
    assert_bars(fetched)
    pd.testing.assert_frame_equal(
        fetched.actions, make_actions([(DAYS[10], "dividend", 0.57), (DAYS[20], "split", 2.0)])
    )


def test_dividends_are_derived_from_adj_close_without_a_dividends_column(tmp_path):
    paid = make_actions([(DAYS[10], "dividend", 0.57), (DAYS[40], "dividend", 0.6)])
    fetched = fetch(write(tmp_path, BARS.assign(adj_close=adjusted_close(BARS, paid).round(6))), first=DAYS[20])
    assert fetched.actions["session"].dt.date.tolist() == [DAYS[40]]
    assert fetched.actions["value"].tolist() == pytest.approx([0.6], abs=1e-4)


def test_adj_close_may_be_missing(tmp_path):
    fetched = fetch(write(tmp_path, BARS.drop(columns="adj_close")))
    assert_bars(fetched, BARS.assign(adj_close=np.nan))
    assert fetched.actions.empty


def test_a_file_in_any_order_is_read_in_the_order_of_time(tmp_path):
    assert_bars(fetch(write(tmp_path, as_yahoo(BARS)[::-1])))


def test_a_span_is_cut_at_both_ends(tmp_path):
    assert_bars(fetch(write(tmp_path, BARS), first=DAYS[10], last=DAYS[20]), BARS.iloc[10:21])


@pytest.mark.parametrize("column", ["symbol", "Ticker"])
def test_one_file_of_many_symbols_gives_the_one_asked_for(tmp_path, column):
    other = random_bars(60, seed=6)
    both = pd.concat([BARS.assign(**{column: "SBUX"}), other.assign(**{column: "PEP"})])
    path = write(tmp_path, both)
    assert_bars(fetch(path))
    assert_bars(fetch(path, "PEP"), other)
    with pytest.raises(BadDataError, match=r"no rows of KO; it has rows of 2 other symbols\. Name one"):
        fetch(path, "KO")


def test_empty_cells_are_unknown_and_a_volume_of_zero_too(tmp_path):
    frame = as_yahoo(BARS).astype(object)
    frame.iloc[3, 5], frame.iloc[4, 5], frame.iloc[5, 5] = "", "null", 0
    volume = fetch(write(tmp_path, frame)).bars["volume"]
    assert np.flatnonzero(volume.isna()).tolist() == [3, 4, 5]


@pytest.mark.parametrize("fields", [1, 2, 3])
def test_a_line_that_ends_early_is_left_out_and_found(tmp_path, fields):
    path = write(tmp_path, as_yahoo(MANY))
    path.write_text(path.read_text().rsplit(",", fields)[0])
    assert found(path) == [(DAYS[-1], "missing_session", None), (DAYS[-1], "row_unreadable", 601.0)]


def test_blank_lines_at_the_end_are_ignored(tmp_path):
    path = write(tmp_path, as_yahoo(BARS))
    path.write_text(path.read_text() + "\n\n")
    assert_bars(fetch(path))


HEADER = "Date,Open,High,Low,Close,Volume\n"
LINE = "2024-03-07,90,92,89,91,700\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"SBUX\.csv is empty"),
        (HEADER, r"found only a header"),
        ("Date,Open,High\n2024-03-07,1,2\n", r"lacks the columns low, close, volume; it has Date, Open, High"),
        (
            HEADER + LINE + "03/08/2024,90,92,89,91,700\n",
            r"line 3: expected a date like 2024-03-08, from 1900 to 2100; found '99/99/9999'",
        ),
        (
            HEADER + LINE + "2024-02-30,90,92,89,91,700\n",
            r"line 3: expected a date like 2024-03-08, from 1900 to 2100; found '9999-99-99'",
        ),
        (HEADER + LINE + "2024-03-08 15:30:00,90,92,89,91,7\n", r"line 3: expected a date"),
        (HEADER + LINE + "\n" + "2024-03-08,90,9O,89,91,700\n", r"line 4: expected a number for high; found '9a'"),
        (
            HEADER + LINE + '2024-03-08,90,92,89,91,"7,000"\n' * 2,
            r"line 3: expected a number for volume; found '9,999', and 1 more line cannot",
        ),
        (HEADER + LINE + '2024-03-08,90,92,89,91,"7,000"\n', r"line 3: expected a number for volume; found '9,999'"),
        (HEADER + LINE + LINE.replace("700", "800"), r"line 2: expected each session once"),
        (HEADER + LINE + "2024-03-08,90,92,89,91,700,800\n", r"line 3: expected as many fields as the header"),
        ("Date,session,Open,High,Low,Close,Volume\n2024-03-07," + LINE, r"two columns for session"),
        (HEADER + "2020-01-02,90,92,89,91,700\n", r"bars of SBUX from 2020-01-02 to 2020-01-02; none lies between"),
        ("\x00\x01\x02", r"lacks the columns"),
    ],
)
def test_an_invalid_file_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "SBUX.csv"
    path.write_text(text)
    with pytest.raises(BadDataError, match=message) as caught:
        fetch(path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_neither_text_nor_parquet_are_refused(tmp_path):
    path = tmp_path / "bars"
    path.write_bytes(b"\xff\xfe\x00\x81" * 40)
    for kind, message in (("csv", "found other bytes in line 1"), ("parquet", "cannot be read as parquet")):
        with pytest.raises(BadDataError, match=message):
            fetch(path, kind=kind)


def test_a_path_without_a_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="found nothing at"):
        Files("csv", tmp_path / "none.csv")
    with pytest.raises(UsageError, match="found a folder at"):
        Files("parquet", tmp_path)


def test_newest_is_the_last_session_of_the_symbol(tmp_path):
    both = pd.concat([BARS.assign(symbol="SBUX"), random_bars(60, seed=6).iloc[:-3].assign(symbol="PEP")])
    source = Files("csv", write(tmp_path, both))
    assert (source.newest("SBUX"), source.newest("PEP")) == (date(2024, 3, 8), date(2024, 3, 5))


def damage(path, line, old, new):
    """Replace text in one line of a file; the header is line 1."""
    lines = path.read_bytes().split(b"\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_bytes(b"\n".join(lines))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"20", b"10", "a date like 2024-03-08"),
        (b"20", b"99", "a date like 2024-03-08"),
        (b"-", b"m", "a date like 2024-03-08"),
        (b"-", b",", "as many fields as the header"),
        (b"\n", b"", "a date like"),
        (b".", b"n", "a number for open"),
        (b".", b"\xae", "a number for open"),
    ],
)
def test_one_damaged_line_of_600_is_a_finding_and_the_rest_is_read(tmp_path, old, new, reason):
    path = write(tmp_path, as_yahoo(MANY))
    if old == b"\n":
        path.write_bytes(path.read_bytes().replace(b"2023-11-01", b"xxxx-xx-xx"))
    else:
        damage(path, 400, old, new)
    fetched = fetch(path, first=MANY.index[0].date())
    assert len(fetched.bars) == 599
    (row,) = fetched.unreadable
    assert reason in row.reason
    assert [rule for _, rule, _ in found(path)] in (
        ["row_unreadable", "missing_session"],
        ["missing_session", "row_unreadable"],
    )


@pytest.mark.parametrize(
    ("change", "unreadable"),
    [
        (lambda lines: [*lines[:-1], lines[-1][:-1] + "x"], [601]),
        (lambda lines: [*lines[:-1], lines[-1][:30]], [601]),
        (lambda lines: [*lines, lines[-1]], []),
        (lambda lines: [*lines, lines[-1].removesuffix(".0")], []),
        (lambda lines: [*lines, lines[-1] + "1"], [601]),
        (lambda lines: [*lines, lines[-1][:20]], [601]),
        (lambda lines: [*lines, *lines[1:]], []),
    ],
    ids=["no number", "cut off", "equal", "equal numbers", "other numbers", "written and cut off", "whole file twice"],
)
def test_a_newest_row_that_cannot_be_used_is_there_and_of_equal_rows_one_is_kept(tmp_path, change, unreadable):
    path = tmp_path / "SBUX.csv"
    path.write_text("\n".join(change(as_yahoo(MANY).to_csv().splitlines())))
    fetched = fetch(path, first=MANY.index[0].date())
    assert Files("csv", path).newest("SBUX") == DAYS[-1]
    assert [row.line for row in fetched.unreadable] == unreadable
    assert {row.session for row in fetched.unreadable} <= {DAYS[-1]}
    assert_bars(fetched, MANY[:-1] if unreadable else MANY)


def test_more_than_one_unreadable_row_in_a_hundred_is_another_format(tmp_path):
    frame = as_yahoo(MANY).astype(object)
    frame.iloc[:7, 3] = "unknown"
    with pytest.raises(BadDataError, match=r"line 2: expected a number for close; found 'aaaaaaa', and 6 more lines"):
        fetch(write(tmp_path, frame))


def test_volumes_no_database_holds_are_rejected(tmp_path):
    frame = as_yahoo(MANY).astype({"Volume": object})
    frame.iloc[300, 5], frame.iloc[301, 5] = "9223372036854775808", "1" + "0" * 400
    assert [(rule, value) for _, rule, value in found(write(tmp_path, frame))] == [
        ("volume_impossible", 2.0**63),
        ("missing_session", None),
        ("row_unreadable", 303.0),
    ]


def test_parquet_with_null_symbols_null_dates_and_far_years_is_read_without_those_rows(tmp_path):
    frame = as_yahoo(MANY).reset_index().assign(Symbol="SBUX")
    frame["Date"] = frame["Date"].astype("datetime64[s]")
    frame.loc[10, "Symbol"] = None
    frame.loc[11, "Date"] = pd.NaT
    frame.loc[12, "Date"] = pd.Timestamp("9999-01-01")
    path = tmp_path / "bars.parquet"
    frame.to_parquet(path)
    fetched = fetch(path, kind="parquet", first=MANY.index[0].date())
    assert (len(fetched.bars), [row.line for row in fetched.unreadable]) == (597, [12])


def test_no_message_quotes_a_cell_or_an_unknown_column(tmp_path):
    path = tmp_path / "environ.csv"
    for text in (
        "PASSWORD=hunter2\0URL=postgres://u:hunter2@h/d",
        "hunter2,Date,Open,High,Low,Close\n",
        "Date,Open,High,Low,Close,Volume\nhunter2,1,2,3,4,5\n",
        "Date,Open,High,Low,Close,Volume,Symbol\n2024-03-08,1,2,3,4,5,hunter2\n",
        "Date,Open,High,Low,Close,Volume\n2024-03-08,1,2,3,hunter2,5\n",
        'Date,Open,High,Low,Close,Volume\n"hunter2\n',
        "hunter2,hunter2,Date,Open,High,Low,Close,Volume,Date\n",
    ):
        path.write_text(text)
        for kind in ("csv", "parquet"):
            with pytest.raises(BadDataError) as caught:
                fetch(path, kind=kind)
            assert "hunter2" not in str(caught.value)
            assert (caught.value.__cause__, len(str(caught.value)) < 400) == (None, True)


def test_whether_a_file_names_its_symbol_is_stated(tmp_path):
    assert not fetch(write(tmp_path, BARS)).names_symbol
    assert fetch(write(tmp_path, BARS.assign(symbol="SBUX"))).names_symbol


def test_a_market_series_needs_dates_and_closes_alone(tmp_path):
    path = write(tmp_path, BARS[["close"]].rename_axis("Date").rename(columns={"close": "Close"}).assign(Symbol="VIX"))
    bars = Files("csv", path, one_series=True).fetch("^VIX", DAYS[0], DAYS[-1]).bars
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(bars[name], BARS["close"], rtol=1e-14)
    assert bars["volume"].isna().all()
    with pytest.raises(BadDataError, match="lacks the columns open, high, low, volume"):
        fetch(path)


def test_a_market_series_without_a_close_is_refused_by_its_option(tmp_path):
    path = write(tmp_path, BARS[["open"]].rename_axis("Date"))
    with pytest.raises(BadDataError, match="lacks the column close"):
        Files("csv", path, one_series=True).newest("^VIX")
    with pytest.raises(UsageError, match="--market csv:PATH"):
        Files("csv", tmp_path / "absent.csv", one_series=True)


def test_a_parquet_file_has_midnights_and_numbers_alone(tmp_path):
    path = tmp_path / "bars.parquet"
    frame = as_yahoo(BARS).reset_index()
    tokyo = frame["Date"].dt.tz_localize("Asia/Tokyo").dt.tz_convert("UTC")  # 15:00 on the day before
    for other in (frame.assign(Date=tokyo), frame.assign(Volume=frame["Volume"] > 0)):
        other.to_parquet(path)
        with pytest.raises(BadDataError, match="expected a "):
            fetch(path, kind="parquet")
