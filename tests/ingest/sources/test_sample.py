from datetime import date

import pytest

from forecasting.errors import BadDataError
from forecasting.ingest.bars import check_bars
from forecasting.ingest.sources.sample import NEWEST, SYMBOL, TITLE, Sample


def test_the_sample_is_twenty_valid_years_of_the_index_with_volume():
    fetched = Sample().fetch(SYMBOL, date(1990, 1, 2), NEWEST)
    clean, findings = check_bars(fetched, exchange="XNYS", known=None)
    assert (len(clean), clean["volume"].notna().all(), findings) == (5031, True, [])
    assert (clean.index[0].date(), clean.index[-1].date()) == (date(1999, 1, 4), date(2018, 12, 31))
    assert (fetched.source, fetched.symbol, fetched.title, fetched.live) == ("sample", "^GSPC", TITLE, False)
    assert fetched.currency == ""  # an index has points, and the package does not say
    assert fetched.library_version.startswith("arch ")
    assert "not SBUX" in TITLE


def test_the_sample_is_cut_to_the_requested_span():
    bars = Sample().fetch(SYMBOL, date(2018, 12, 20), date(2018, 12, 26)).bars
    assert [day.day for day in bars.index] == [20, 21, 24, 26]


@pytest.mark.parametrize(
    ("symbol", "first", "message"),
    [
        ("SBUX", date(2018, 1, 2), r"symbol \^GSPC.* found SBUX\. .*neither set FORECASTING_SYMBOLS nor give --symbol"),
        (SYMBOL, date(2024, 1, 2), "none lies between 2024-01-02"),
    ],
)
def test_another_symbol_or_span_is_bad_data(symbol, first, message):
    with pytest.raises(BadDataError, match=message):
        Sample().fetch(symbol, first, date(2024, 3, 8))
