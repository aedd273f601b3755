from __future__ import annotations

from datetime import date, time

import pandas as pd
import pytest
from pydantic import ValidationError

from forecasting.errors import UsageError
from forecasting.settings import Settings, read_settings
from forecasting.values import (
    ForecastAlert,
    MarketChoice,
    check_cron,
    check_day,
    check_hour,
    check_option,
    check_symbol,
    parse_alerts,
    parse_date,
)


def test_a_symbol_is_accepted_as_yahoo_writes_it_and_no_other() -> None:
    for symbol in ("SBUX", "BRK-B", "VOD.L", "^GSPC", "7203.T"):
        assert check_symbol(symbol) == symbol
    for symbol in ("", "sbux", "../SBUX", "-SBUX", "SB UX", "A" * 16, "SBUX\n"):
        with pytest.raises(UsageError, match="write it as Yahoo does") as refused:
            check_symbol(symbol)
        assert repr(symbol) in str(refused.value)


def test_a_date_is_an_iso_day_inside_the_calendars() -> None:
    assert parse_date("2024-03-08") == date(2024, 3, 8)
    for text, words in (("8 March", "the form"), ("2024-02-30", "the form"), ("1022-03-08", "a day from 1962")):
        with pytest.raises(UsageError, match=f"^Invalid date .*{words}"):
            parse_date(text)


def test_a_day_from_python_is_a_date_its_text_or_a_midnight() -> None:
    for day in (date(2024, 3, 8), "2024-03-08", pd.Timestamp("2024-03-08")):
        assert check_day("as_of", day) == date(2024, 3, 8)
    for day in (pd.Timestamp("2024-03-08 01:00"), 20240308, "yesterday", None):
        with pytest.raises(UsageError, match="Invalid"):
            check_day("as_of", day)


@pytest.mark.parametrize(
    ("name", "valid", "refused"),
    [
        ("target", "range", ["volumes", ""]),
        ("cost_ratio", "3", ["0", "-3", "inf", "nan", "three", ""]),
        ("market", "csv:VIX.csv", ["vix", "VIX.csv"]),
    ],
)
def test_an_option_is_refused_as_it_was_typed(name: str, valid: str, refused: list[str]) -> None:
    assert check_option(name, valid) == valid
    for text in refused:
        with pytest.raises(UsageError, match=rf"^Invalid --{name.replace('_', '-')} '{text}': expected "):
            check_option(name, text)


@pytest.mark.parametrize(
    ("source", "market", "chosen"),
    [
        ("yahoo", None, MarketChoice("^VIX", "yahoo", "XNYS")),
        ("csv:SBUX.csv", None, None),
        ("yahoo", "none", None),
        ("parquet:panel.parquet", "^GSPC", MarketChoice("^GSPC", "parquet:panel.parquet", "XNYS")),
        ("yahoo", "csv:data/VIX.csv", MarketChoice("^VIX", "csv:data/VIX.csv", "XNYS", True)),
        ("sample", "parquet:^vix.parquet", MarketChoice("^VIX", "parquet:^vix.parquet", "XNYS", True)),
        ("yahoo", "VUSA.L", MarketChoice("VUSA.L", "yahoo", "XLON")),
        ("yahoo", "^N225", MarketChoice("^N225", "yahoo", "XTKS")),
    ],
)
def test_the_setting_or_its_default_chooses_symbol_source_and_exchange_of_the_market_series(
    source: str, market: str | None, chosen: MarketChoice | None
) -> None:
    settings = Settings(source=source, market=market, exchange="XTKS", exchanges="^N225=XTKS")
    assert settings.market_choice == chosen


def test_a_text_that_chooses_no_series_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for market in ("vix", "csv:a name with spaces.csv", "None", "xlsx:VIX.xlsx"):
        with pytest.raises(ValidationError, match="Expected none, a symbol in capitals such as"):
            Settings(market=market)
    monkeypatch.setenv("FORECASTING_MARKET", "VIX.csv")
    with pytest.raises(UsageError, match=r"FORECASTING_MARKET: Expected none.*, found 'VIX.csv'"):
        read_settings()


def test_only_a_set_market_is_part_of_the_hash_and_where_its_file_lies_is_not() -> None:
    hashes = [Settings(source=source).hash for source in ("yahoo", "sample")]
    assert hashes[0] == hashes[1] == Settings().hash
    assert Settings(market="csv:a/VIX.csv").hash == Settings(market="parquet:b/vix.parquet").hash != Settings().hash
    assert Settings(market="none").forecast_fields()["market"] == "none"


def test_a_schedule_has_five_fields_or_a_name() -> None:
    for text in ("30 5 * * 2-6", "0 0 * * mon#1", "@daily"):
        assert check_cron(text) == text
    for text in ("", "30 5 * *", "nightly", "* * * * * *"):
        with pytest.raises(ValueError, match="Expected five fields"):
            check_cron(text)


def test_an_hour_has_no_zone_of_its_own_and_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (check_hour("09:00"), check_hour("23:59:59")) == ("09:00", "23:59:59")
    for text in ("9", "9:00", "24:00", "09:60", "09:00Z", "09:00+02:00", "09:00:00.5", "9 am", "32400"):
        with pytest.raises(ValueError, match="Expected a time of FORECASTING_TIMEZONE such as 09:00, found"):
            check_hour(text)
    monkeypatch.setenv("FORECASTING_LATE_UNTIL", "07:15")
    assert read_settings().late_until == time(7, 15)


def test_alerts_are_conditions_with_an_optional_symbol_and_usual():
    text = " median > 1.5 usual;width<0.3; SBUX q90 > 20e6 ;"
    assert parse_alerts(text) == [
        ForecastAlert("", "median", ">", 1.5, True),
        ForecastAlert("", "width", "<", 0.3, False),
        ForecastAlert("SBUX", "q90", ">", 20e6, False),
    ]
    assert [str(alert) for alert in parse_alerts(text)] == ["median > 1.5 usual", "width < 0.3", "SBUX q90 > 2e+07"]


@pytest.mark.parametrize(
    "text",
    [
        "median",
        "mean > 1",
        "q15 > 1",
        "sbux q90 > 1",
        "A B q90 > 1",
        "q90 >= 1",
        "q90 > x",
        "q90 > -1",
        "q90 > 1e999",
        "q90 > 1 often",
        "q90 > 1, q10 < 2",
        "q90 > 1 q10 < 2",
        "median > 1.5usual",
        "1 < q90",
        "q90 > \u0663",
    ],
)
def test_another_alert_is_refused_with_what_is_expected(text):
    with pytest.raises(ValueError, match=r"as `median > 1.5 usual; SBUX q90 > 20e6`, found"):
        parse_alerts(text)
