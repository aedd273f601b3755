"""Files of bars: the same numbers in every form, one finding for each row that does not parse."""

import os
import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bars import check_bars, no_bars
from forecasting.ingest.sources import Request, tables
from forecasting.ingest.sources.files import (
    SAMPLE,
    SAMPLE_ENDS,
    SAMPLE_TITLE,
    Files,
    Sample,
)
from forecasting.ingest.sources.tables import check_regular, read_numbers
from tests.builders import adjusted_close, random_bars

BARS = random_bars(60, seed=5)
MANY = random_bars(600, seed=5)
DAYS = [day.date() for day in BARS.index]


def as_yahoo(bars):
    return bars.set_axis(
        ["Open", "High", "Low", "Close", "Adj Close", "Volume"], axis=1
    ).rename_axis("Date")


LINES = as_yahoo(MANY).to_csv().splitlines()


def write(folder, frame, name="SBUX.csv", **options):
    path = folder / name
    frame.to_csv(path, **options)
    return path


def fetch(path, symbol="SBUX", first=DAYS[0], last=DAYS[-1], kind="csv"):
    return Files(kind, path).fetch(Request("csv:SBUX.csv", symbol, first, last))


def fetch_many(path, kind="csv"):
    return fetch(path, first=MANY.index[0].date(), kind=kind)


def assert_bars(fetched, expected=BARS):
    pd.testing.assert_frame_equal(fetched.bars, expected, check_freq=False, check_exact=True)


@pytest.mark.parametrize(
    "frame",
    [
        as_yahoo(BARS),
        BARS.rename_axis("date")[["volume", "close", "adj_close", "low", "high", "open"]],
        as_yahoo(BARS)[::-1],
        as_yahoo(BARS.tz_localize("America/New_York")),
        as_yahoo(BARS).assign(**{"Note": "x, y", "": ""}),
    ],
)
def test_column_names_and_orders_give_the_same_bars_from_csv_and_parquet(tmp_path, frame):
    fetched = fetch(write(tmp_path, frame))
    assert_bars(fetched)
    stated = (fetched.request.source, fetched.title, fetched.live)
    assert stated == ("csv:SBUX.csv", "SBUX, daily, from SBUX.csv", True)
    days = frame.set_axis(
        pd.Index(frame.index.date, dtype=pd.ArrowDtype(pyarrow.date32()), name=frame.index.name)
    )
    for rows in (frame, frame.reset_index(), days.reset_index()):  # days of Arrow's own type
        rows.to_parquet(tmp_path / "bars.parquet")
        assert_bars(fetch(tmp_path / "bars.parquet", kind="parquet"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n", "\r\n"),
        ("\n", "\r"),
        ("Date", "\ufeffDate"),
        (",", '","'),
        ("\n2", "\n\n2"),
        ("$", "\n\n"),
    ],
)
def test_line_ends_quotes_blank_lines_and_a_byte_order_mark_change_nothing(tmp_path, old, new):
    text = as_yahoo(BARS).to_csv()
    if old == ",":
        text = "".join(f'"{line}"\n' for line in text.splitlines())
    (tmp_path / "SBUX.csv").write_bytes(re.sub(old, new, text).encode())
    assert_bars(fetch(tmp_path / "SBUX.csv"))


def test_a_yfinance_frame_saved_as_csv_is_read_with_its_actions(tmp_path):
    frame = as_yahoo(BARS.tz_localize("America/New_York")).assign(
        **{"Dividends": 0.0, "Stock Splits": 0.0}
    )
    frame.iloc[10, 6] = 0.57
    frame.iloc[20, 7] = 2.0
    fetched = fetch(write(tmp_path, frame))
    assert_bars(fetched)
    expected = make_actions([(DAYS[10], "dividend", 0.57), (DAYS[20], "split", 2.0)])
    pd.testing.assert_frame_equal(fetched.actions, expected)


def test_dividends_are_derived_from_adj_close_without_a_dividends_column(tmp_path):
    paid = make_actions([(DAYS[10], "dividend", 0.57), (DAYS[40], "dividend", 0.6)])
    fetched = fetch(
        write(tmp_path, BARS.assign(adj_close=adjusted_close(BARS, paid).round(6))), first=DAYS[20]
    )
    assert fetched.actions["session"].dt.date.tolist() == [DAYS[40]]
    assert fetched.actions["value"].tolist() == pytest.approx([0.6], abs=1e-4)
    without = fetch(write(tmp_path, BARS.drop(columns="adj_close")))
    assert_bars(without, BARS.assign(adj_close=np.nan))
    assert without.actions.empty


def test_a_span_is_cut_at_both_ends_and_a_bar_that_others_follow_is_finished(tmp_path):
    fetched = fetch(write(tmp_path, BARS), first=DAYS[10], last=DAYS[20])
    assert_bars(fetched, BARS.iloc[10:21])
    assert not fetched.live


@pytest.mark.parametrize("column", ["symbol", "Ticker"])
def test_one_file_of_many_symbols_gives_the_one_asked_for(tmp_path, column):
    other = random_bars(60, seed=6).iloc[:-3]
    path = write(
        tmp_path, pd.concat([BARS.assign(**{column: " SBUX"}), other.assign(**{column: "PEP"})])
    )
    assert_bars(fetch(path))
    assert_bars(fetch(path, "PEP"), other)
    assert [Files("csv", path).newest(symbol) for symbol in ("SBUX", "PEP")] == [DAYS[-1], DAYS[-4]]
    assert Files("csv", path).names_symbols()
    with pytest.raises(
        UsageError, match=r"no rows of PEPP; symbols that it has: 2\..* writes it: PEP\.$"
    ):
        fetch(path, "PEPP")
    assert not Files("csv", write(tmp_path, BARS)).names_symbols()


def test_empty_cells_are_unknown_and_a_volume_of_zero_too_and_one_that_no_database_holds_is_rejected(
    tmp_path,
):
    frame = as_yahoo(BARS).astype(object)
    frame.iloc[3, 5] = ""
    frame.iloc[4, 5] = "null"
    frame.iloc[5, 5] = 0
    frame.iloc[6, 5] = "9223372036854775808"
    fetched = fetch(write(tmp_path, frame))
    assert np.flatnonzero(fetched.bars["volume"].isna()).tolist() == [3, 4, 5]
    findings = check_bars(fetched, known=no_bars())[1]
    assert [one.value for one in findings if one.rule == "volume_impossible"] == [2.0**63]


def test_a_file_is_refused_once_no_line_of_it_can_be_read(tmp_path):
    path = tmp_path / "SBUX.csv"
    broken = [f"{line}x" for line in LINES[1:]]
    path.write_text("\n".join([LINES[0], LINES[1], *broken[1:]]))
    assert len(fetch_many(path).findings) == 599
    path.write_text("\n".join([LINES[0], *broken]))
    with pytest.raises(UsageError, match=r"line 2: .* number .* no row of SBUX can be read"):
        fetch_many(path)


def test_a_number_is_read_up_to_the_sizes_whose_ratios_are_finite():
    numbers = pd.Series([0.0, 1e-12, -9e-13, 1e30, 2e30], name="close")
    assert list(read_numbers(numbers)[1].index) == [2, 4]


NEWEST = LINES[-1]


@pytest.mark.parametrize(
    ("end", "is_unreadable"),
    [
        ([NEWEST[:-1] + "x"], True),  # no number
        ([NEWEST.rpartition(",")[0]], True),  # cut off before the volume
        ([NEWEST.rpartition(",")[0] + ","], True),  # and after the last comma
        ([NEWEST[:14]], True),
        ([NEWEST, NEWEST], False),
        ([NEWEST, NEWEST.removesuffix(".0")], False),
        ([NEWEST, NEWEST + "1"], True),  # other numbers
        ([NEWEST, NEWEST[:20]], True),  # written and cut off
        ([NEWEST, *LINES[1:]], False),  # the whole file twice
    ],
)
def test_a_newest_row_that_cannot_be_used_is_there_and_of_equal_rows_one_is_kept(
    tmp_path, end, is_unreadable
):
    path = tmp_path / "SBUX.csv"
    path.write_text("\n".join([*LINES[:-1], *end]))
    fetched = fetch_many(path)
    assert Files("csv", path).newest("SBUX") == DAYS[-1]
    unreadable = [(row.value, row.session) for row in fetched.findings]
    assert unreadable == ([(601, DAYS[-1])] if is_unreadable else [])
    assert_bars(fetched, MANY[:-1] if is_unreadable else MANY)


def test_a_row_after_today_is_left_out_under_its_own_date_and_is_not_the_newest(tmp_path):
    path = tmp_path / "SBUX.csv"
    path.write_text("\n".join([*LINES, NEWEST.replace("2024-03-08", "2027-05-03")]))
    later = date(2027, 5, 3)
    assert Files("csv", path, today=later).newest("SBUX") == later
    source = Files("csv", path, today=DAYS[-1])
    assert source.newest("SBUX") == DAYS[-1]
    fetched = source.fetch(Request("csv:SBUX.csv", "SBUX", MANY.index[0].date(), DAYS[-1]))
    assert_bars(fetched, MANY)
    (row,) = fetched.findings
    assert (row.session, row.value) == (later, 602)
    assert "from 1900-01-01 to 2024-03-08; found '2027-05-03'" in row.detail


HEADER = "Date,Open,High,Low,Close,Volume\n"
LINE = "2024-03-07,90,92,89,91,700\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks date, open"),
        (HEADER, "found only a header"),
        (
            "Date,Open,High\n2024-03-07,1,2\n",
            "lacks low, close, volume; of its 3 columns 3 are known",
        ),
        ("\x00\x01\x02", "lacks date"),
        (
            "Date;Open;High;Low;Close;Volume\n2024-03-07;1;2;1;2;9\n",
            "^SBUX.csv seems to be separated by ';', not by commas",
        ),
        (
            HEADER.replace("Volume", "hunter2,Volumne"),
            r"lacks volume; of its 7 columns 5 are known",
        ),
        (HEADER.replace("Volume", "VOLUME,volume") + LINE, "two columns for volume"),
        (HEADER + LINE + '2024-03-08,"90,92,89,91,700\n', "cannot be read as CSV"),
        (
            HEADER + "03/08/2024,90,92,89,91,700\n",
            "line 2: expected a date .* found '03/08/2024'; no row of SBUX",
        ),
        (
            HEADER + "\n2024-03-08,90,9O,89,91,700\n",
            "line 3: expected a number for high; found '9O'",
        ),
        (HEADER + '2024-03-08,90,92,89,91,"7,000"\n' * 2, "line 2: .* for volume"),
        (HEADER + LINE + LINE.replace("700", "800"), "line 2: expected each session once"),
        (
            HEADER + "2020-01-02,90,92,89,91,700\n",
            "bars of SBUX from 2020-01-02 to 2020-01-02; none lies between",
        ),
        (
            HEADER + f"\x1b[31m{'x' * 40},1,2,3,4,5\n",
            rf"line 2: .* found '\\x1b\[31m{'x' * 15}'; no row",
        ),
        (
            HEADER.replace("Date", "Symbol,Date") + "hunter_2,2024-03-08,1,2,3,4,5\n",
            r"no rows of SBUX.* writes it\.$",
        ),
    ],
)
def test_an_invalid_file_is_refused_with_its_line_in_one_paragraph_that_quotes_no_other_column(
    tmp_path, text, message
):
    path = tmp_path / "SBUX.csv"
    path.write_text(text)
    for kind, expected in (
        ("csv", message),
        ("parquet", "is no parquet file. Did you mean csv:|cannot be read as parquet"),
    ):
        with pytest.raises((UsageError, BadDataError), match=expected) as caught:
            fetch(path, kind=kind)
        assert isinstance(caught.value, BadDataError) == ("none lies between" in str(caught.value))
        assert not re.search("\n|hunter2", str(caught.value))
        assert (caught.value.__cause__, len(str(caught.value)) < 400) == (None, True)


def test_parquet_with_null_symbols_null_dates_and_far_years_is_read_without_those_rows(tmp_path):
    # Rows are counted from the file's first
    frame = as_yahoo(MANY).reset_index().assign(Symbol="SBUX").tail(599)
    frame["Date"] = frame["Date"].astype("datetime64[s]")
    frame.loc[10, "Symbol"] = None
    frame.loc[11, "Date"] = pd.NaT
    frame.loc[12, "Date"] = pd.Timestamp("9999-01-01")
    path = tmp_path / "bars.parquet"
    frame.to_parquet(path)
    fetched = fetch_many(path, kind="parquet")
    assert (len(fetched.bars), [row.value for row in fetched.findings]) == (596, [11, 12])


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"Date": lambda rows: rows["Date"].dt.strftime("%Y-%m-%d")}, ""),
        (
            {"Date": lambda rows: rows["Date"].dt.tz_localize("Asia/Tokyo").dt.tz_convert("UTC")},
            "a date",
        ),
        ({"Volume": lambda rows: rows["Volume"] > 0}, "a number for volume"),
        ({"Volume": lambda rows: rows["Volume"].map(lambda value: [value])}, "a number for volume"),
    ],
)
def test_a_parquet_column_of_another_type_has_its_numbers_or_a_sentence(tmp_path, change, refused):
    path = tmp_path / "bars.parquet"
    as_yahoo(BARS).reset_index().assign(**change).to_parquet(path)
    if not refused:
        assert_bars(fetch(path, kind="parquet"))
        return
    with pytest.raises(UsageError, match=f"row 1: expected {refused}"):
        fetch(path, kind="parquet")


def test_a_market_series_needs_dates_and_closes_alone(tmp_path):
    path = write(
        tmp_path,
        BARS[["close"]].rename_axis("Date").rename(columns={"close": "Close"}).assign(Symbol="VIX"),
    )
    bars = (
        Files("csv", path, one_series=True)
        .fetch(Request("csv:SBUX.csv", "^VIX", DAYS[0], DAYS[-1]))
        .bars
    )
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(bars[name], BARS["close"])
    assert bars["volume"].isna().all()
    with pytest.raises(UsageError, match="lacks open, high, low, volume"):
        fetch(path)
    with pytest.raises(UsageError, match="lacks close"):
        Files("csv", write(tmp_path, BARS[["open"]].rename_axis("Date")), one_series=True).newest(
            "^VIX"
        )
    with pytest.raises(UsageError, match="in market;"):
        Files("csv", tmp_path / "absent.csv", one_series=True)


def test_only_regular_files_of_limited_size_are_read(tmp_path, monkeypatch):
    path = write(tmp_path, BARS)
    (tmp_path / "link.csv").symlink_to(path)
    monkeypatch.setattr(tables, "MAX_BYTES", path.stat().st_size)
    assert_bars(fetch(tmp_path / "link.csv"))
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(tables, "MAX_BYTES", path.stat().st_size - 1)
    monkeypatch.chdir(tmp_path)
    for message, refused in (
        (f"nothing at {tmp_path}/none.csv: No such file", Path("none.csv")),
        ("a folder", tmp_path),
        ("a device or a pipe", tmp_path / "pipe"),
        ("a device or a pipe", Path("/dev/zero")),
        ("nothing at .*: File name too long", Path("a" * 5000)),
        ("nothing at .*: ValueError", Path("a\0b")),
        ("at most 0 MiB", path),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            check_regular(refused, "--source")
        assert len(str(caught.value)) < 500


def test_the_sample_is_twenty_valid_years_of_the_index_with_volume():
    fetched = Sample().fetch(Request("sample", SAMPLE, date(1990, 1, 2), SAMPLE_ENDS))
    clean, findings = check_bars(fetched, known=no_bars())
    assert (len(clean), clean["volume"].notna().all(), findings) == (5031, True, [])
    assert (clean.index[0].date(), clean.index[-1].date()) == (date(1999, 1, 4), SAMPLE_ENDS)
    assert (fetched.request.source, fetched.title, fetched.live) == ("sample", SAMPLE_TITLE, False)
    with pytest.raises(UsageError, match=r"SBUX is not in .* symbol is \^GSPC"):
        Sample().fetch(Request("sample", "SBUX", date(2024, 1, 2), date(2024, 3, 8)))
    with pytest.raises(BadDataError, match="none lies between 2024-01-02"):
        Sample().fetch(Request("sample", SAMPLE, date(2024, 1, 2), date(2024, 3, 8)))
